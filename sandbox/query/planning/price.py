"""The price: mechanism, noise and cost of a plan, from declared facts and the grant's own ledger alone."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Final

from sandbox.errors import RequestError
from sandbox.flow import Cost, Measure, Plan, Priced, Release
from sandbox.privacy import accounting, intervals, mechanisms
from sandbox.privacy.accounting import Cap
from sandbox.privacy.mechanisms import Mechanism
from sandbox.privacy.sensitivity import check_range, sensitivity
from sandbox.privacy.split import split
from sandbox.query.planning.rung import CostModel

LEVEL: Final = 0.95


@dataclass(frozen=True, slots=True, kw_only=True)
class Purse:
    """The grant's cap and what is spent under it."""

    cap: Cap
    spent: Cost


@dataclass(frozen=True, slots=True, kw_only=True)
class _Offer:
    """One way to pay: all measures by one mechanism."""

    releases: tuple[Release, ...]
    cost: Cost
    error: float
    """Sum of the measures' standard deviations, each in units of what one row can add."""


def price(plan: Plan, purse: Purse, model: CostModel) -> Priced:
    """Choose the mechanism, set the noise, fix the rung.

    Privacy: touches no protected rows (P6.5). Pure Laplace is weighed against Gaussian noise by expected error where a
    budget is given, by epsilon where an accuracy is; one that the grant can pay comes before one that it cannot.

    Raises:
        RequestError: `budget_missing`, `budget_twice`, `budget_range`, `within_needs_totals`, `within_range`,
            `budget_too_small`, `plan_overflows`.
    """
    request = plan.permitted.parsed.request
    if (request.epsilon is None) == (request.within is None):
        raise RequestError("budget_missing" if request.epsilon is None else "budget_twice")
    for measure in plan.measures:
        check_range(measure, plan.spec.n_max, plan.bound.rows)
    if request.epsilon is not None:
        offers = _by_budget(plan, request.epsilon, purse)
    else:
        offers = _by_accuracy(plan, request.within or 0.0, purse)
    if not offers:
        raise RequestError("budget_too_small")
    best = min(offers, key=lambda o: (not accounting.fits(purse.spent, o.cost, purse.cap), o.error))
    return Priced(plan=plan, releases=best.releases, cost=best.cost, rung=model.rung(plan))


def epsilon_of(cost: Cost, share: int) -> int:
    """A price as one epsilon, in 1e-12: pure as it is, rho at the share of delta (1e-18) it was bought at (P6.6)."""
    return cost.eps_p + (mechanisms.epsilon_of_rho(cost.rho, share) if cost.rho else 0)


def _by_budget(plan: Plan, epsilon: int, purse: Purse) -> list[_Offer]:
    if epsilon <= 0 or epsilon > 100 * accounting.UNIT:
        raise RequestError("budget_range", smallest=accounting.decimal(1), largest="100")
    shares = [m.share for m in plan.measures]
    rho = mechanisms.rho_of_epsilon(epsilon, purse.cap.first_share())
    budgets: list[tuple[Mechanism, int]] = [("laplace", epsilon), ("gaussian", rho)]
    offers = []
    for mechanism, budget in budgets:
        losses = split(budget, shares)
        if min(losses) > 0:
            offers.append(_offer(plan, mechanism, [_scaled(plan, mechanism, i, loss) for i, loss in enumerate(losses)]))
    return offers


def _scaled(plan: Plan, mechanism: Mechanism, index: int, loss: int) -> float:
    return mechanisms.scale(mechanism, sensitivity=sensitivity(plan.measures[index], plan.bound), loss=loss)


def _offer(plan: Plan, mechanism: Mechanism, scales: Sequence[float]) -> _Offer:
    releases = []
    for measure, scale in zip(plan.measures, scales, strict=True):
        s = sensitivity(measure, plan.bound)
        loss = mechanisms.loss(mechanism, sensitivity=s, scale=scale)
        releases.append(Release(mechanism=mechanism, scale=scale, sensitivity=s, loss=loss))
    total = sum(r.loss for r in releases)
    cost = Cost(eps_p=total) if mechanism == "laplace" else Cost(rho=total)
    error = sum(
        intervals.deviation(mechanism, r.scale) / m.row_bound for m, r in zip(plan.measures, releases, strict=True)
    )
    return _Offer(releases=tuple(releases), cost=cost, error=error)


def _by_accuracy(plan: Plan, within: float, purse: Purse) -> list[_Offer]:
    """Invert the interval: every COUNT and SUM within +- X at 95 %. An average's parts follow its count's noise."""
    if not (math.isfinite(within) and within > 0):
        raise RequestError("within_range")
    totals = [m for m in plan.measures if m.share == max(x.share for x in plan.measures)]
    if all(o.kind in {"key", "avg"} for o in plan.outputs):
        raise RequestError("within_needs_totals")
    offers = []
    mechanisms_known: list[Mechanism] = ["laplace", "gaussian"]
    for mechanism in mechanisms_known:
        losses = {id(m): _loss_within(plan, m, mechanism, within) for m in totals}
        most = max(losses.values())
        share = max(m.share for m in plan.measures)
        scales = []
        for i, m in enumerate(plan.measures):
            loss = losses.get(id(m), -(-most * m.share // share))
            scales.append(_scaled(plan, mechanism, i, loss))
        offer = _offer(plan, mechanism, scales)
        epsilon = epsilon_of(offer.cost, purse.cap.first_share())
        offers.append(_Offer(releases=offer.releases, cost=offer.cost, error=float(epsilon)))
    return offers


def _loss_within(plan: Plan, measure: Measure, mechanism: Mechanism, within: float) -> int:
    """The loss of the widest noise whose 95 % half-width is at most `within`, in value units of the measure."""
    units = Fraction(within) / Fraction(*measure.scale)
    if units > 2**62:
        raise RequestError("within_range")
    scale = intervals.scale_within(mechanism, float(units), LEVEL)
    return mechanisms.loss(mechanism, sensitivity=sensitivity(measure, plan.bound), scale=scale)
