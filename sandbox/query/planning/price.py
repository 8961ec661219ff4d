"""The price: bound, mechanism, noise and cost of a plan, from declared facts and the grant's own ledger alone."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

from sandbox.errors import RequestError
from sandbox.flow import Plan, Priced
from sandbox.plans import Steps
from sandbox.privacy import accounting, mechanisms, selection
from sandbox.privacy.sensitivity import check_room
from sandbox.privacy.split import Need, shares, split
from sandbox.query.planning.accuracy import PILOT, RELEASES, by_accuracy, check_repeatable
from sandbox.query.planning.bounding import expected_norm
from sandbox.query.planning.clipping import reused
from sandbox.query.planning.offers import (
    KEYS_SHARE,
    SELECTIONS,
    Mode,
    Offer,
    Purse,
    offer,
    reach_of,
    row_bound,
    touched,
)
from sandbox.query.planning.rung import CostModel
from sandbox.query.planning.sizes import all_rows, most_rows

CLEARER: Final = 0.5
"""A way that is dearer to compute is taken where its expected error is under so much of the cheapest one's."""


def price(plans: Sequence[Plan], purse: Purse, model: CostModel) -> Priced:
    """Choose bound and mechanism, set the noise, fix the rung.

    Privacy: touches no protected rows (P6.5). Pure noise is weighed against Gaussian noise, and one bound against
    another, by expected error where a budget is given, by epsilon where an accuracy is; an offer that the grant can pay
    comes before one that it cannot.

    Raises:
        RequestError: `budget_missing`, `budget_twice`, `budget_range`, `within_needs_totals`, `within_range`,
            `budget_too_small`, `plan_overflows`, `delta_missing`,
            `within_without_cap`, `within_share_totals`, `within_share_keys`.
    """
    request = plans[0].permitted.parsed.request
    if request.relative is not None and request.epsilon is None:
        raise RequestError("within_without_cap")
    if (request.epsilon is None) == (request.within is None):
        raise RequestError("budget_missing" if request.epsilon is None else "budget_twice")
    for plan in plans:
        _check_range(plan)
    if plans[0].private and not purse.delta:
        raise RequestError("delta_missing")
    offers: list[Offer] = []
    for plan in plans:
        found = _by_budget(plan, request.epsilon, purse) if request.epsilon is not None else (
            by_accuracy(plan, request.within or 0.0, purse)
        )  # fmt: skip
        offers += found
    if not offers:
        raise RequestError("budget_too_small")
    best = _best(offers, purse)
    if request.relative is not None:
        return _first(best, request.relative, purse, model)
    return Priced(
        plan=best.plan, releases=best.releases, keys=best.keys, norms=best.norms, reused=best.reused,
        cost=best.cost, rung=model.rung(best.plan),
    )  # fmt: skip


def _first(whole: Offer, share: int, purse: Purse, model: CostModel) -> Priced:
    """The first of repeated releases, where `whole` is what all of them may come to."""
    plan = whole.plan
    check_repeatable(plan, share)
    losses = [max(1, r.loss // PILOT) for r in whole.releases]
    first = offer(plan, "gaussian", losses, 0, purse)
    rung, tick = model.repeated(plan, RELEASES)
    steps = Steps(share=share, most=whole.cost.rho, count=RELEASES, tick=tick)
    return Priced(plan=plan, releases=first.releases, cost=first.cost, rung=rung, steps=steps)


def _best(offers: Sequence[Offer], purse: Purse) -> Offer:
    def order(one: Offer) -> tuple[bool, float]:
        return not accounting.fits(purse.spent, one.cost, purse.cap), one.error

    best: dict[str, Offer] = {}
    for one in offers:
        known = best.get(one.plan.bound.form)
        if known is None or order(one) < order(known):
            best[one.plan.bound.form] = one
    first, *others = best.values()
    chosen = min(others, key=order, default=first)
    affordable, error = order(first)
    if (order(chosen)[0], order(chosen)[1]) < (affordable, CLEARER * error):
        return chosen
    return first


def _check_range(plan: Plan) -> None:
    n_max, r_max = all_rows(plan.relation, plan.tables), most_rows(plan.relation, plan.tables)
    for m in plan.measures:
        if m.kind == "quantile":
            selection.check_scores(*m.rank, max(n_max, plan.bound.rows))
        largest = max(row_bound(m), abs(m.lower), abs(m.upper), abs(m.center)) if m.kind == "sum" else row_bound(m)
        check_room(form=plan.bound.form, n_max=max(n_max, plan.bound.rows), r_max=r_max, largest=largest)


# --- by budget --------------------------------------------------------------------------------------------------------


def _by_budget(plan: Plan, epsilon: int, purse: Purse) -> list[Offer]:
    if epsilon <= 0 or epsilon > 100 * accounting.UNIT:
        raise RequestError("budget_range", smallest=accounting.decimal(1), largest="100")
    rho = mechanisms.rho_of_epsilon(epsilon, purse.cap.first_share())
    budgets: list[tuple[Mode, int]] = [("pure", epsilon), ("gaussian", rho)]
    if plan.bound.form == "clip" or plan.permitted.parsed.request.relative is not None:
        budgets.pop(0)
    offers = []
    for mode, budget in budgets:
        keys_loss = budget * KEYS_SHARE[0] // KEYS_SHARE[1] if plan.private else 0
        losses = split(budget - keys_loss, _weights(plan, mode, budget - keys_loss, purse))
        try:
            offers.append(offer(plan, mode, losses, keys_loss, purse))
        except RequestError as error:
            if error.code != "budget_too_small":  # the other kind of noise may fit where this one does not
                raise
    return offers


def _weights(plan: Plan, mode: Mode, budget: int, purse: Purse) -> list[int]:
    """Each measure's part of the budget: by how much it would err at an equal part (utility.md), times its share."""
    needs, errs = list[Need](), set[float]()
    whole = sum(m.share for m in plan.measures)
    known = [reused(plan, i, purse.norms, loss=budget * m.share // whole) for i, m in enumerate(plan.measures)]
    for m, norm in zip(plan.measures, known, strict=True):
        if m.kind in SELECTIONS:
            size = float(touched(plan))
        elif plan.bound.form == "clip":
            # Norms that are known beside others that are only expected would not be weighed alike.
            true = norm is not None and None not in known
            size = float(norm.norm) if norm and true else expected_norm(plan.bound.rows, plan.groups, m.row_bound)
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
