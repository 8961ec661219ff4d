"""Prices by accuracy: the noise that an asked error allows, and what it costs."""

from __future__ import annotations

import math
from dataclasses import replace
from fractions import Fraction
from typing import Final

from sandbox.errors import RequestError
from sandbox.flow import Plan
from sandbox.plans import Measure
from sandbox.privacy import intervals, mechanisms
from sandbox.query.planning.offers import (
    KEYS_SHARE,
    LEVEL,
    SELECTIONS,
    Mode,
    Noise,
    Offer,
    Purse,
    epsilon_of,
    offer,
    reach_of,
)
from sandbox.query.release import post
from sandbox.query.release.values import indexes

RELEASES: Final = 8
"""Releases of a question by relative accuracy, at most."""
PILOT: Final = 10_000
"""One in so many parts of the cap pays for the first of them."""


def by_accuracy(plan: Plan, within: float, purse: Purse) -> list[Offer]:
    """Invert the interval: every COUNT and SUM within +- X at 95 %. An average's parts follow its count's noise."""
    if not (math.isfinite(within) and within > 0):
        raise RequestError("within_range")
    if plan.bound.form == "clip":
        return []
    noised = [m for m in plan.measures if m.kind not in SELECTIONS]
    if all(o.kind not in {"count", "sum", "histogram", "expression"} for o in plan.outputs) or not noised:
        raise RequestError("within_needs_totals")
    if len(noised) < len(plan.measures):
        raise RequestError("within_needs_totals")
    whole = max(m.share for m in noised)
    modes: list[Mode] = ["pure", "gaussian"]
    offers = []
    for mode in modes:
        losses = {id(m): _loss_within(plan, m, mode, within) for m in noised if m.share == whole}
        most = max(losses.values())
        each = [losses.get(id(m), -(-most * m.share // whole)) for m in plan.measures]
        keys_loss = sum(each) * KEYS_SHARE[0] // (KEYS_SHARE[1] - KEYS_SHARE[0]) if plan.private else 0
        made = offer(plan, mode, each, keys_loss, purse)
        offers.append(replace(made, error=float(epsilon_of(made.cost, purse.cap.first_share()))))
    return offers


def _loss_within(plan: Plan, measure: Measure, mode: Mode, within: float) -> int:
    """The loss of the widest noise whose 95 % half-width is at most `within`, in value units of the measure."""
    units = Fraction(within) / Fraction(*measure.scale)
    if units > 2**62:
        raise RequestError("within_range")
    mechanism: Noise = "laplace" if mode == "pure" else "gaussian"
    scale = intervals.scale_within(mechanism, float(units), LEVEL)
    size = reach_of(plan, measure)
    return mechanisms.loss(mechanism, sensitivity=size.l1 if mode == "pure" else size.l2, scale=scale)


def check_repeatable(plan: Plan, share: int) -> None:
    """Refuse what has no relative accuracy: other than counts and sums, and keys that are private.

    Raises:
        RequestError: `within_range`, `within_share_totals`, `within_share_keys`.
    """
    if share < 1:
        raise RequestError("within_range")
    if plan.private:
        raise RequestError("within_share_keys", column=next(k.label for k in plan.keys if k.domain is None))
    atoms = [post.atoms_of(o.formula) for o in plan.outputs if o.formula is not None]
    told = {i for found in atoms for atom in found for i in indexes(atom)}
    if any(o.kind not in {"key", "count", "sum"} for o in plan.outputs) or len(told) < len(plan.measures):
        raise RequestError("within_share_totals")
