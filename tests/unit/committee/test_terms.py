"""Terms are checked in whole before anything is looked up, each mistake by its own code."""

from __future__ import annotations

from decimal import Decimal

import pytest

from sandbox.committee.terms import PRESETS, draft
from sandbox.errors import RequestError
from sandbox.policy.terms import Terms
from sandbox.privacy.accounting import UNIT

NOW = "2026-11-20T08:00:00.000Z"


def made(**changes: object) -> Terms:
    values: dict[str, object] = {
        "scenario": " Plan clinics\nin two districts ",
        "purpose": "健康规划",
        "datasets": ["health.visits", "health.survey"],
        "actions": ["query"],
        "preset": None,
        "epsilon": Decimal("0.5"),
        "starts_at": "2026-11-21",
        "expires_at": "2027-01-01T00:00:00+08:00",
        "now": NOW,
    }
    return draft(**{**values, **changes})  # type: ignore[arg-type]


def test_terms_are_normal_forms() -> None:
    terms = made()
    assert terms.scenario == "Plan clinics\nin two districts"
    assert (terms.starts_at, terms.expires_at) == ("2026-11-21T00:00:00.000Z", "2026-12-31T16:00:00.000Z")
    assert (terms.epsilon, terms.preset) == (UNIT // 2, None)
    assert made(starts_at=None).starts_at == NOW


def test_presets_are_the_three_of_the_committee() -> None:
    assert {name: made(preset=name, epsilon=None).epsilon for name in PRESETS} == {
        "strict": 300_000_000_000,
        "standard": 1_000_000_000_000,
        "research": 3_000_000_000_000,
    }


def test_the_smallest_epsilon_is_one_unit() -> None:
    assert made(epsilon=Decimal("1e-12")).epsilon == 1


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"scenario": "  "}, "terms_text"),
        ({"scenario": "x" * 401}, "terms_text"),
        ({"scenario": "a\x00b"}, "terms_text"),
        ({"scenario": "a\u202eb"}, "terms_text"),
        ({"purpose": "\ud800"}, "terms_text"),
        ({"purpose": ""}, "terms_text"),
        ({"datasets": []}, "terms_list"),
        ({"datasets": ["a.b", "a.b"]}, "terms_list"),
        ({"datasets": [f"a.b{n}" for n in range(51)]}, "terms_list"),
        ({"actions": []}, "terms_list"),
        ({"actions": ["train"]}, "terms_action_unknown"),
        ({"epsilon": None}, "terms_budget"),
        ({"preset": "standard"}, "terms_budget"),
        ({"preset": "standart", "epsilon": None}, "terms_preset_unknown"),
        *(({"epsilon": Decimal(text)}, "terms_epsilon") for text in ("0", "-1", "NaN", "sNaN", "Infinity", "1e300")),
        *(({"epsilon": Decimal(text)}, "terms_epsilon") for text in ("1e-13", "0.0000000000015", "1e-999999", "1001")),
        ({"starts_at": "tomorrow"}, "terms_date_unreadable"),
        ({"starts_at": "2026-02-30"}, "terms_date_unreadable"),
        ({"starts_at": "0001-01-01T00:00:00+14:00"}, "terms_date_unreadable"),
        ({"starts_at": "1026-01-01"}, "terms_date_unreadable"),
        ({"expires_at": "9999-12-31T23:59:59-14:00"}, "terms_date_unreadable"),
        ({"expires_at": "2026-11-21"}, "terms_dates_order"),
        ({"expires_at": "2026-11-01"}, "terms_dates_order"),
        ({"starts_at": "2026-10-01", "expires_at": "2026-11-20"}, "terms_over"),
    ],
)
def test_each_mistake_has_its_code(changes: dict[str, object], code: str) -> None:
    with pytest.raises(RequestError) as caught:
        made(**changes)
    assert caught.value.code == code


def test_a_misspelt_preset_gets_the_nearest_one() -> None:
    with pytest.raises(RequestError) as caught:
        made(preset="standart", epsilon=None)
    assert caught.value.params["nearest"] == "standard"
