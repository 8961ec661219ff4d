"""The price: bound, mechanism, noise and cost of a plan, from declared facts and the grant's own ledger alone."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Final, Literal, TypeAlias

from sandbox.errors import RequestError
from sandbox.flow import Cost, Mechanism, Plan, Priced, Release
from sandbox.plans import Measure
from sandbox.privacy import accounting, intervals, keys, mechanisms, selection
from sandbox.privacy.accounting import Cap
from sandbox.privacy.selection import Selection
from sandbox.privacy.sensitivity import Reach, check_room, reach
from sandbox.privacy.split import Need, shares, split
from sandbox.query.planning.bounding import NORM_SHARE, expected_norm
from sandbox.query.planning.rung import CostModel
from sandbox.query.planning.sizes import all_rows, most_rows

LEVEL: Final = 0.95
KEYS_SHARE: Final = (9, 20)
"""Part of the budget that decides which private keys are shown (utility.md: 40 to 50 % of rho)."""
DELTA_SHARE: Final = 16
"""A release of private keys takes one in so many parts of the delta that the grant has left."""
SELECTIONS: Final = frozenset({"quantile", "top"})
CLEARER: Final = 0.5
"""A way that is dearer to compute is taken where its expected error is under so much of the cheapest one's."""

MOST_KEYS: Final = 100
"""Private keys that a unit is counted for, at most."""

Mode: TypeAlias = Literal["pure", "gaussian"]
Noise: TypeAlias = Literal["laplace", "gaussian"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Purse:
    """The grant's cap and what is spent under it."""

    cap: Cap
    spent: Cost

    @property
    def delta(self) -> int:
        """What one release of private keys may take, 1e-18."""
        return max(0, self.cap.delta - self.cap.conversion - self.spent.delta) // DELTA_SHARE


@dataclass(frozen=True, slots=True, kw_only=True)
class _Offer:
    """One way to pay: one bound, all measures in one mode."""

    plan: Plan
    releases: tuple[Release, ...]
    keys: Release | None = None
    norms: tuple[Release, ...] = ()
    error: float
    """Sum of the measures' expected deviations, each in units of what one row can add."""

    @property
    def cost(self) -> Cost:
        parts = [*self.releases, *self.norms, *([self.keys] if self.keys is not None else [])]
        return Cost(
            eps_p=sum(r.loss for r in parts if r.pure),
            rho=sum(r.loss for r in parts if not r.pure),
            delta=sum(r.delta for r in parts),
        )


def price(plans: Sequence[Plan], purse: Purse, model: CostModel) -> Priced:
    """Choose bound and mechanism, set the noise, fix the rung.

    Privacy: touches no protected rows (P6.5). Pure noise is weighed against Gaussian noise, and one bound against
    another, by expected error where a budget is given, by epsilon where an accuracy is; an offer that the grant can pay
    comes before one that it cannot.

    Raises:
        RequestError: `budget_missing`, `budget_twice`, `budget_range`, `within_needs_totals`, `within_range`,
            `budget_too_small`, `plan_overflows`, `delta_missing`.
    """
    request = plans[0].permitted.parsed.request
    if (request.epsilon is None) == (request.within is None):
        raise RequestError("budget_missing" if request.epsilon is None else "budget_twice")
    for plan in plans:
        _check_range(plan)
    if plans[0].private and not purse.delta:
        raise RequestError("delta_missing")
    offers: list[_Offer] = []
    for plan in plans:
        found = _by_budget(plan, request.epsilon, purse) if request.epsilon is not None else (
            _by_accuracy(plan, request.within or 0.0, purse)
        )  # fmt: skip
        offers += found
    if not offers:
        raise RequestError("budget_too_small")
    best = _best(offers, purse)
    return Priced(
        plan=best.plan, releases=best.releases, keys=best.keys, norms=best.norms, cost=best.cost,
        rung=model.rung(best.plan),
    )  # fmt: skip


def _best(offers: Sequence[_Offer], purse: Purse) -> _Offer:
    def order(offer: _Offer) -> tuple[bool, float]:
        return not accounting.fits(purse.spent, offer.cost, purse.cap), offer.error

    best: dict[str, _Offer] = {}
    for offer in offers:
        known = best.get(offer.plan.bound.form)
        if known is None or order(offer) < order(known):
            best[offer.plan.bound.form] = offer
    first, *others = best.values()
    chosen = min(others, key=order, default=first)
    affordable, error = order(first)
    if (order(chosen)[0], order(chosen)[1]) < (affordable, CLEARER * error):
        return chosen
    return first


def epsilon_of(cost: Cost, share: int) -> int:
    """A price as one epsilon, in 1e-12: pure as it is, rho at the share of delta (1e-18) it was bought at (P6.6)."""
    return cost.eps_p + (mechanisms.epsilon_of_rho(cost.rho, share) if cost.rho else 0)


def reach_of(plan: Plan, measure: Measure) -> Reach:
    """How far one unit moves a measure; not for a clipped one, whose norm is fixed later."""
    kind = "present" if measure.kind == "quantile" else measure.kind
    bound = plan.bound
    if kind == "top":
        raise TypeError("a selection has a sensitivity of its own")
    return reach(
        form=bound.form, kind=kind, groups=_groups(plan), rows=bound.rows, kept=bound.groups,
        per_group=bound.per_group, row_bound=_row_bound(measure), most=max(measure.most, 1),
    )  # fmt: skip


def touched(plan: Plan) -> int:
    """How many groups one unit can touch: a selection in each is paid for."""
    kept = plan.bound.groups if plan.bound.form == "groups" else plan.bound.rows
    return max(1, min(kept, _groups(plan)))


def _groups(plan: Plan) -> int:
    return max(plan.groups, 1) if not plan.private else 2**31


def _row_bound(measure: Measure) -> int:
    """What the plan says, or what its clamp and centre say, whichever is larger."""
    if measure.kind not in {"sum", "square"}:
        return 1
    clamp = max(abs(measure.lower - measure.center), abs(measure.upper - measure.center), 1)
    return max(measure.row_bound, clamp if measure.kind == "sum" else clamp * clamp)


def _check_range(plan: Plan) -> None:
    n_max, r_max = all_rows(plan.relation, plan.tables), most_rows(plan.relation, plan.tables)
    for m in plan.measures:
        if m.kind == "quantile":
            selection.check_scores(*m.rank, max(n_max, plan.bound.rows))
        largest = max(_row_bound(m), abs(m.lower), abs(m.upper), abs(m.center)) if m.kind == "sum" else _row_bound(m)
        check_room(form=plan.bound.form, n_max=max(n_max, plan.bound.rows), r_max=r_max, largest=largest)


# --- by budget --------------------------------------------------------------------------------------------------------


def _by_budget(plan: Plan, epsilon: int, purse: Purse) -> list[_Offer]:
    if epsilon <= 0 or epsilon > 100 * accounting.UNIT:
        raise RequestError("budget_range", smallest=accounting.decimal(1), largest="100")
    rho = mechanisms.rho_of_epsilon(epsilon, purse.cap.first_share())
    budgets: list[tuple[Mode, int]] = [("pure", epsilon), ("gaussian", rho)]
    if plan.bound.form == "clip":
        budgets.pop(0)
    offers = []
    for mode, budget in budgets:
        keys_loss = budget * KEYS_SHARE[0] // KEYS_SHARE[1] if plan.private else 0
        losses = split(budget - keys_loss, _weights(plan, mode))
        try:
            offers.append(_offer(plan, mode, losses, keys_loss, purse))
        except RequestError as error:
            if error.code != "budget_too_small":  # the other kind of noise may fit where this one does not
                raise
    return offers


def _weights(plan: Plan, mode: Mode) -> list[int]:
    """Each measure's part of the budget: by how much it would err at an equal part (utility.md), times its share."""
    needs, errs = list[Need](), set[float]()
    for m in plan.measures:
        if m.kind in SELECTIONS:
            size = float(touched(plan))
        elif plan.bound.form == "clip":
            size = expected_norm(plan.bound.rows, plan.groups, m.row_bound)
        else:
            reached = reach_of(plan, m)
            size = reached.l1 if mode == "pure" else reached.l2
        # The law takes a root of what weighs: this power undoes it, so that shares stand as they are.
        weight = m.share**2 if mode == "pure" else math.isqrt(m.share**3)
        needs.append(Need(groups=max(plan.groups, 1), reach=size, unit=m.row_bound, weight=weight))
        errs.add(round(size / m.row_bound, 6))
    if len(errs) == 1:  # the shares as they are: a price in round numbers stays one
        return [m.share for m in plan.measures]
    return shares("laplace" if mode == "pure" else "gaussian", needs)


def _offer(plan: Plan, mode: Mode, losses: Sequence[int], keys_loss: int, purse: Purse) -> _Offer:
    made: list[Release] = []
    norm_releases: list[Release] = []
    error = 0.0
    for measure, loss in zip(plan.measures, losses, strict=True):
        if plan.bound.form == "clip":
            part = max(1, loss // NORM_SHARE)
            scale = mechanisms.scale("gaussian", sensitivity=1, loss=part)
            norm_releases.append(_noise("gaussian", scale, 1))
            release = Release(mechanism="gaussian", scale=0.0, sensitivity=0.0, loss=loss - part)
            rows = min(plan.bound.rows, plan.spec.default_rows)
            likely = expected_norm(rows, plan.groups, measure.row_bound)
            error += likely / math.sqrt(2 * max(release.loss, 1) / accounting.UNIT) / measure.row_bound
        else:
            release = _release(plan, measure, mode, loss)
            error += _deviation(release) / measure.row_bound
        made.append(release)
    shown = _keys(plan, mode, keys_loss, purse) if plan.private else None
    return _Offer(plan=plan, releases=tuple(made), norms=tuple(norm_releases), keys=shown, error=error)


def _release(plan: Plan, measure: Measure, mode: Mode, loss: int) -> Release:
    pure = mode == "pure"
    if measure.kind in SELECTIONS:
        times = touched(plan)
        return selected(plan, measure, loss // times, times, pure=pure)
    mechanism: Noise = "laplace" if pure else "gaussian"
    size = reach_of(plan, measure)
    sensitivity = size.l1 if pure else size.l2
    return _noise(mechanism, mechanisms.scale(mechanism, sensitivity=sensitivity, loss=loss), sensitivity)


def _noise(mechanism: Noise, scale: float, sensitivity: float) -> Release:
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


def _keys(plan: Plan, mode: Mode, loss: int, purse: Purse) -> Release:
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


# --- by accuracy ------------------------------------------------------------------------------------------------------


def _by_accuracy(plan: Plan, within: float, purse: Purse) -> list[_Offer]:
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
        offer = _offer(plan, mode, each, keys_loss, purse)
        offers.append(replace(offer, error=float(epsilon_of(offer.cost, purse.cap.first_share()))))
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


