"""The verifier and free answers: a true one passes, and each way to pass off something else as free is named."""

from __future__ import annotations

from typing import Any

import pytest

from sandbox.audit.export import verify_bundle
from tests.promises import promise
from tests.unit.audit.story import VKEY, Story, granted


def found(story: Story) -> str:
    return "\n".join(verify_bundle(story.bundle(), VKEY))


def told(query: str, source: str, kind: str, **otherwise: Any) -> dict[str, Any]:
    return {
        "query": query, "kind": kind, "source": source, "grant": "grt_1", "version": "ver_1", "population": "pop_1",
        **otherwise,
    }  # fmt: skip


def roll_up(story: Story, query: str = "qry_2", source: str = "qry_1", row: dict[str, Any] | None = None, **otherwise: Any) -> None:
    """A roll-up with a record of its own."""
    id_ = f"evt_{len(story.bodies):03d}"
    made = {
        "id": query, "tenant": "company", "principal": "e1", "grant": "grt_1", "population": "pop_1",
        "version": "ver_1", "event": id_, "state": "settled", "source": source, **(row or {}),
    }  # fmt: skip
    story.tell_rows("query.repeat", "e1", told(query, source, "roll-up", **otherwise), {f"queries/{query}": made}, id_=id_)


def charged() -> Story:
    story = granted()
    story.charge("qry_1", eps_p=1)
    return story


@promise("P6.4")
def test_true_repeats_and_roll_ups_pass() -> None:
    story = charged()
    row = {"principal": "e1", "key": "k", "digest": "d", "resource": "qry_1", "at": "2026"}
    story.tell_rows("query.repeat", "e1", told("qry_1", "qry_1", "repeat"), {"idempotency/e1/k": row})
    story.tell("query.repeat", "e1", told("qry_1", "qry_1", "repeat"))
    roll_up(story)
    story.tell("query.repeat", "e1", told("qry_2", "qry_2", "repeat"))
    assert found(story) == ""


@promise("P6.4")
def test_an_answer_from_what_nobody_paid_for_is_named() -> None:
    story = charged()
    story.tell("query.repeat", "e1", told("qry_9", "qry_9", "repeat"))
    assert "answers from queries/qry_9, which was never charged" in found(story)
    story = granted()
    roll_up(story)
    story.charge("qry_1", eps_p=1)
    assert "answers from queries/qry_1, which was never charged" in found(story), "it was charged only later"


@promise("P6.4")
@pytest.mark.parametrize("wrong", [{"version": "ver_2"}, {"grant": "grt_2"}, {"population": "pop_2"}])
def test_an_answer_from_another_version_grant_or_population_is_named(wrong: dict[str, str]) -> None:
    story = charged()
    story.tell("query.repeat", "e1", told("qry_1", "qry_1", "repeat", **wrong))
    assert "answers from queries/qry_1, which is of another grant, population or version" in found(story)


@pytest.mark.parametrize("wrong", [
    {"grant": "grt_9"}, {"principal": "e2"}, {"version": "ver_9"}, {"source": "qry_8"}, {"source": None},
    {"event": "evt_000"}, {"tenant": "other"},
])  # fmt: skip
def test_a_roll_ups_record_that_is_another_is_named(wrong: dict[str, Any]) -> None:
    story = charged()
    roll_up(story, row=wrong)
    assert "record queries/qry_2: is not the query that was answered free" in found(story)


def test_a_paid_query_has_no_source() -> None:
    story = granted()
    story.charge("qry_1", eps_p=1, asked={"source": "qry_0"})
    assert "record queries/qry_1: is not the query that was charged" in found(story)


@pytest.mark.parametrize(("query", "source", "kind"), [
    ("qry_1", "qry_1", "roll-up"), ("qry_2", "qry_1", "repeat"), ("qry_2", "qry_1", "gift"),
])  # fmt: skip
def test_only_a_repeat_or_a_roll_up_is_free(query: str, source: str, kind: str) -> None:
    story = charged()
    story.tell("query.repeat", "e1", told(query, source, kind))
    assert "it is neither a repeat of a query nor a roll-up of another" in found(story)


def test_a_roll_up_changes_no_other_query_and_is_given_once() -> None:
    story = charged()
    row = story.rows["queries/qry_1"] | {"state": "settled"}
    story.tell_rows("query.repeat", "e1", told("qry_1", "qry_1", "repeat"), {"queries/qry_1": row})
    assert "it is neither a repeat of a query nor a roll-up of another" in found(story)
    story = charged()
    roll_up(story)
    roll_up(story)
    assert "charges queries/qry_2 again" in found(story)


def test_nothing_is_free_once_the_grant_has_ended() -> None:
    story = charged()
    story.end("grant.revoke", "revoked")
    story.tell("query.repeat", "e1", told("qry_1", "qry_1", "repeat"))
    assert "query.repeat): its grant grt_1 is not active" in found(story)


# --- further charges of repeated releases -----------------------------------------------------------------------------


@promise("P5.5")
def test_further_charges_of_a_query_pass() -> None:
    story = granted()
    story.charge("qry_1", rho=1)
    story.charge("qry_2", rho=1)
    for number in (1, 2):
        story.charge("qry_1", rho=10, step=f"main-{number}")
    assert found(story) == ""


@promise("P5.5")
def test_a_further_charge_is_of_what_was_charged_first_and_comes_once() -> None:
    story = granted()
    story.charge("qry_1", rho=1, step="main-1")
    assert "charges queries/qry_1, which was never charged" in found(story)
    story = granted()
    story.charge("qry_1", rho=1)
    for _ in range(2):
        story.charge("qry_1", rho=10, step="main-1")
    assert "charges ledger/qry_1/main-1/grant/grt_1 again" in found(story)
    story = granted()
    story.charge("qry_1", rho=1)
    story.charge("qry_1", rho=10, step="main-1", grant="grt_2")
    assert "charges queries/qry_1 further, but not as it was charged first" in found(story)
    story = granted()
    story.charge("qry_1", rho=1)
    story.charge("qry_1", rho=10, step="main-1", asked={"state": "settled"})
    assert "a further charge of a query changes its record" in found(story)
    story = granted()
    story.charge("qry_1", rho=1)
    story.charge("qry_1", rho=5000, step="main-1")
    assert "over its frontier" in found(story)
