"""From what a company typed to terms: every text, name, amount and date checked, nothing looked up yet."""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Final

from sandbox.clock import parse_rfc3339, rfc3339
from sandbox.errors import RequestError
from sandbox.names import nearest
from sandbox.policy.terms import Terms
from sandbox.privacy.accounting import UNIT

PRESETS: Final[Mapping[str, int]] = {"strict": 3 * UNIT // 10, "standard": UNIT, "research": 3 * UNIT}
"""The three budgets a committee decides on, in units of 1e-12 (domain.md: 严格, 标准, 研究)."""

ACTIONS: Final = ("query",)
"""What a grant can allow in this release."""

MOST_DATASETS: Final = 50
LONGEST_SCENARIO: Final = 400
LONGEST_PURPOSE: Final = 120
LONGEST_REASON: Final = 2000


def draft(
    *,
    scenario: str,
    purpose: str,
    datasets: Sequence[str],
    actions: Sequence[str],
    preset: str | None,
    epsilon: Decimal | None,
    starts_at: str | None,
    expires_at: str,
    now: str,
) -> Terms:
    """The terms, checked as far as that needs no catalogue. `starts_at` is now unless told; a date is its midnight UTC.

    Raises:
        RequestError: `terms_text`, `terms_list`, `terms_action_unknown`, `terms_budget`, `terms_preset_unknown`,
            `terms_epsilon`, `terms_date_unreadable`, `terms_dates_order`, `terms_over`.
    """
    starts = now if starts_at is None else _moment("starts_at", starts_at)
    expires = _moment("expires_at", expires_at)
    if expires <= starts:
        raise RequestError("terms_dates_order", starts_at=starts, expires_at=expires)
    if expires <= now:
        raise RequestError("terms_over", expires_at=expires)
    for action in actions:
        if action not in ACTIONS:
            raise RequestError("terms_action_unknown", action=action, known=list(ACTIONS))
    return Terms(
        scenario=checked_text("scenario", scenario, LONGEST_SCENARIO),
        purpose=checked_text("purpose", purpose, LONGEST_PURPOSE),
        datasets=_distinct("datasets", datasets),
        actions=_distinct("actions", actions),
        epsilon=_budget(preset, epsilon),
        preset=preset,
        starts_at=starts,
        expires_at=expires,
    )


def checked_text(field: str, text: str, longest: int, *, empty: bool = False) -> str:
    """The text without spaces around it: valid Unicode, no control characters but line breaks, not too long.

    Raises:
        RequestError: `terms_text`.
    """
    text = text.strip()
    # Surrogates (Cs) have no UTF-8 and so no digest; controls (Cc) and format marks (Cf) can hide what is signed.
    hidden = any(unicodedata.category(c) in {"Cc", "Cf", "Cs"} and c != "\n" for c in text)
    if hidden or len(text) > longest or not (text or empty):
        raise RequestError("terms_text", field=field, limit=longest)
    return text


def _distinct(field: str, names: Sequence[str]) -> tuple[str, ...]:
    """In the order given: one scenario reads one list."""
    if not 0 < len(names) <= MOST_DATASETS or len(set(names)) != len(names):
        raise RequestError("terms_list", field=field, limit=MOST_DATASETS)
    return tuple(names)


def _budget(preset: str | None, epsilon: Decimal | None) -> int:
    if (preset is None) == (epsilon is None):
        raise RequestError("terms_budget", presets=list(PRESETS))
    if preset is not None:
        if preset not in PRESETS:
            raise RequestError(
                "terms_preset_unknown", preset=preset, nearest=nearest(preset, PRESETS), presets=list(PRESETS)
            )
        return PRESETS[preset]
    # The order matters: NaN refuses to be compared, and 1E+999999 would be computed digit by digit.
    if epsilon is None or not epsilon.is_finite() or not Decimal(0) < epsilon <= Decimal(1000):
        raise RequestError("terms_epsilon", least="0.000000000001")
    units = epsilon * UNIT
    if units != units.to_integral_value():
        raise RequestError("terms_epsilon", least="0.000000000001")
    return int(units)


def _moment(field: str, text: str) -> str:
    try:
        at: datetime = parse_rfc3339(text)
        if 2000 <= at.year <= 2999:  # texts of other years would not sort as their times do
            return rfc3339(at)
    except (ValueError, OverflowError):
        pass
    raise RequestError("terms_date_unreadable", field=field, value=text[:40])
