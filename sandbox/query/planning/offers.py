"""Offers: one way to pay for a plan, under one bound and with one kind of noise, and the error to expect of it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Final, Literal, TypeAlias

from sandbox.flow import Cost, Mechanism, Plan, Release
from sandbox.plans import Measure, Norm
from sandbox.privacy import accounting, intervals, keys, mechanisms, selection
from sandbox.privacy.accounting import Cap
from sandbox.privacy.selection import Selection
from sandbox.privacy.sensitivity import Reach, reach
from sandbox.query.planning.bounding import NORM_SHARE, expected_norm
from sandbox.query.planning.clipping import Histograms, reused

LEVEL: Final = 0.95
DELTA_SHARE: Final = 16
"""A release of private keys takes one in so many parts of the delta that the grant has left."""
KEYS_SHARE: Final = (9, 20)
"""Part of the budget that decides which private keys are shown (utility.md: 40 to 50 % of rho)."""
SELECTIONS: Final = frozenset({"quantile", "top"})
MOST_KEYS: Final = 100
"""Private keys that a unit is counted for, at most."""

Mode: TypeAlias = Literal["pure", "gaussian"]
Noise: TypeAlias = Literal["laplace", "gaussian"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Purse:
    """The grant's cap and what is spent under it; and what norms its answers have released of a plan's vectors."""

    cap: Cap
    spent: Cost
    norms: Histograms = field(default_factory=dict)

    @property
    def delta(self) -> int:
        """What one release of private keys may take, 1e-18."""
        return max(0, self.cap.delta - self.cap.conversion - self.spent.delta) // DELTA_SHARE


@dataclass(frozen=True, slots=True, kw_only=True)
class Offer:
    """One way to pay: one bound, all measures in one mode."""

    plan: Plan
    releases: tuple[Release, ...]
    keys: Release | None = None
    norms: tuple[Release, ...] = ()
    reused: tuple[Norm | None, ...] = ()
    error: float
    """Sum of the measures' expected deviations, each in units of what one row can add."""

    @property
    def cost(self) -> Cost:
        """What its releases cost together."""
        parts = [*self.releases, *self.norms, *([self.keys] if self.keys is not None else [])]
        return Cost(
            eps_p=sum(r.loss for r in parts if r.pure),
            rho=sum(r.loss for r in parts if not r.pure),
            delta=sum(r.delta for r in parts),
        )


def epsilon_of(cost: Cost, share: int) -> int:
    """A price as one epsilon, in 1e-12: pure as it is, rho at the share of delta (1e-18) it was bought at (P6.6)."""
    return cost.eps_p + (mechanisms.epsilon_of_rho(cost.rho, share) if cost.rho else 0)


def offer(plan: Plan, mode: Mode, losses: Sequence[int], keys_loss: int, purse: Purse) -> Offer:
    """The offer that spends so much on each measure, and so much on private keys.

    Raises:
        RequestError: `budget_too_small`.
    """
    if plan.bound.form == "clip":
        return _clipped(plan, losses, keys_loss, purse)
    made = [_release(plan, measure, mode, loss) for measure, loss in zip(plan.measures, losses, strict=True)]
    error = sum(_deviation(r) / m.row_bound for m, r in zip(plan.measures, made, strict=True))
    return Offer(plan=plan, releases=tuple(made), keys=_shown(plan, mode, keys_loss, purse), error=error)


def _clipped(plan: Plan, losses: Sequence[int], keys_loss: int, purse: Purse) -> Offer:
    """Each measure's norm is reused, at no price, or bought for a part of its loss."""
    made, bought, known, error = list[Release](), list[Release](), list[Norm | None](), 0.0
    for index, (measure, loss) in enumerate(zip(plan.measures, losses, strict=True)):
        found = reused(plan, index, purse.norms, loss=loss)
        part = max(1, loss // NORM_SHARE) if found is None else 0
        if found is None:
            bought.append(noised("gaussian", mechanisms.scale("gaussian", sensitivity=1, loss=part), 1))
        release = Release(mechanism="gaussian", scale=0.0, sensitivity=0.0, loss=loss - part)
        # A known norm above the expected one tells of units with more rows than other bounds keep of them: what those
        # lose by it stands in no price, so it does not speak for them.
        likely = likely_norm(plan, measure)
        norm = likely if found is None else min(likely, float(found.norm))
        error += deviation_at(norm, release.loss) / measure.row_bound
        made.append(release)
        known.append(found)
    staged = tuple(s for s in plan.stages if s != "norms" or bought)
    return Offer(
        plan=replace(plan, stages=staged), releases=tuple(made), keys=_shown(plan, "gaussian", keys_loss, purse),
        norms=tuple(bought), reused=tuple(known) if any(known) else (), error=error,
    )  # fmt: skip


def likely_norm(plan: Plan, measure: Measure) -> float:
    """The norm to expect where none has been released, from declared facts."""
    rows = min(plan.bound.rows, plan.spec.default_rows)
    return expected_norm(rows, plan.groups, measure.row_bound)


def deviation_at(norm: float, loss: int) -> float:
    """The deviation of Gaussian noise for vectors of this norm that costs so much rho."""
    return norm / math.sqrt(2 * max(loss, 1) / accounting.UNIT)


# --- one measure ------------------------------------------------------------------------------------------------------


def reach_of(plan: Plan, measure: Measure) -> Reach:
    """How far one unit moves a measure; not for a clipped one, whose norm is fixed later."""
    kind = "present" if measure.kind == "quantile" else measure.kind
    bound = plan.bound
    if kind == "top":
        raise TypeError("a selection has a sensitivity of its own")
    return reach(
        form=bound.form, kind=kind, groups=_groups(plan), rows=bound.rows, kept=bound.groups,
        per_group=bound.per_group, row_bound=row_bound(measure), most=max(measure.most, 1),
    )  # fmt: skip


def touched(plan: Plan) -> int:
    """How many groups one unit can touch: a selection in each is paid for."""
    kept = plan.bound.groups if plan.bound.form == "groups" else plan.bound.rows
    return max(1, min(kept, _groups(plan)))


def _groups(plan: Plan) -> int:
    return max(plan.groups, 1) if not plan.private else 2**31


def row_bound(measure: Measure) -> int:
    """What the plan says, or what its clamp and centre say, whichever is larger."""
    if measure.kind not in {"sum", "square"}:
        return 1
    clamp = max(abs(measure.lower - measure.center), abs(measure.upper - measure.center), 1)
    return max(measure.row_bound, clamp if measure.kind == "sum" else clamp * clamp)


def _release(plan: Plan, measure: Measure, mode: Mode, loss: int) -> Release:
    pure = mode == "pure"
    if measure.kind in SELECTIONS:
        times = touched(plan)
        return selected(plan, measure, loss // times, times, pure=pure)
    mechanism: Noise = "laplace" if pure else "gaussian"
    size = reach_of(plan, measure)
    sensitivity = size.l1 if pure else size.l2
    return noised(mechanism, mechanisms.scale(mechanism, sensitivity=sensitivity, loss=loss), sensitivity)


def noised(mechanism: Noise, scale: float, sensitivity: float) -> Release:
    """Noise of this scale at this sensitivity, with its price."""
    loss = mechanisms.loss(mechanism, sensitivity=sensitivity, scale=scale)
    return Release(mechanism=mechanism, scale=scale, sensitivity=sensitivity, loss=loss)


def selected(plan: Plan, measure: Measure, loss: int, times: int, *, pure: bool) -> Release:
    """A selection in each group, at most so much loss for one group."""
    mechanism: Selection = "exponential" if pure else "gumbel"
    sensitivity, picks, monotonic = 1, measure.most, True
    if measure.kind == "quantile":
        per_group = plan.bound.per_group if plan.bound.form == "groups" else plan.bound.rows
        sensitivity, picks, monotonic = selection.score_sensitivity(*measure.rank, per_group), 1, False
    scale = selection.scale(mechanism, sensitivity=sensitivity, loss=loss, picks=picks, monotonic=monotonic)
    each = selection.loss(mechanism, sensitivity=sensitivity, scale=scale, picks=picks, monotonic=monotonic)
    return Release(mechanism=mechanism, scale=scale, sensitivity=float(sensitivity), times=times, loss=each * times)


def _deviation(release: Release) -> float:
    if release.mechanism in {"laplace", "gaussian"}:
        return intervals.deviation(_noises(release.mechanism), release.scale)
    return release.scale / release.sensitivity


def _noises(mechanism: Mechanism) -> Noise:
    return "laplace" if mechanism == "laplace" else "gaussian"


# --- private keys -----------------------------------------------------------------------------------------------------


def _shown(plan: Plan, mode: Mode, loss: int, purse: Purse) -> Release | None:
    if not plan.private:
        return None
    mechanism: Noise = "laplace" if mode == "pure" else "gaussian"
    most = keys_kept(plan)
    scale = keys.scale(mechanism, paid=loss)
    threshold = keys.threshold(mechanism, scale=scale, most=most, delta=purse.delta)
    cost = keys.price(mechanism, scale=scale, most=most, threshold=threshold)
    return Release(
        mechanism=mechanism, scale=scale, sensitivity=float(keys.VOTE), times=most, threshold=threshold,
        loss=cost.eps_p + cost.rho, delta=cost.delta,
    )  # fmt: skip


def keys_kept(plan: Plan) -> int:
    """How many private keys a unit is counted for."""
    return max(1, min(plan.bound.groups if plan.bound.form == "groups" else plan.bound.rows, MOST_KEYS))
