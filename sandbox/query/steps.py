"""Answers by relative accuracy: releases are repeated on integers computed once, each charged before its noise."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Final

from sandbox import crash
from sandbox.clock import parse_rfc3339
from sandbox.errors import Conflict, Denied, DependencyFailed, RequestError
from sandbox.flow import Charged, Cost, Exact, Noisy, Priced, Release, Stored
from sandbox.plans import Steps, Totals
from sandbox.privacy import mechanisms, relative
from sandbox.privacy.relative import Combined, Draw
from sandbox.query import canonical, repeats
from sandbox.query.paid import stage_before, store, store_stage
from sandbox.query.parts import Parts
from sandbox.query.planning.offers import noised
from sandbox.query.release.noise import noise
from sandbox.store import duties, ledger, queries, versions

SMALLEST: Final = 100
"""A release of less than one in so many parts of the cap would change nothing."""


def repeated(parts: Parts, exact: Exact, leaves: str) -> Stored:
    """Release until every number is as accurate as was asked, or cannot become so under the cap; store the means.

    Privacy: each release is charged before its noise is drawn, and decided by earlier releases alone (P5.5). It is
    charged at a moment that is fixed by the price (P7.1), and stored before the next one is decided (P6.2).

    Raises:
        DependencyFailed: `query_overrun`, a release was not done when the next one was due.
    """
    first = exact.charged
    draws: list[list[Draw]] = [[] for _ in first.priced.releases]
    paid: Charged | None = first
    last, number = first, 0
    while paid is not None:
        noisy = _drawn(parts, exact, paid, number)
        for found, release, values in zip(draws, paid.priced.releases, noisy.values, strict=True):
            if release.loss:
                found.append(Draw(values=values, scale=release.scale, loss=release.loss))
        last, number = paid, number + 1
        more = next_releases(first.priced, [relative.combine(d) for d in draws], number)
        paid = None if more is None else _charged_again(parts, first, more, number, leaves)
    if parts.clock.text() > leaves:
        raise DependencyFailed("query_overrun")
    return _stored(parts, last, [relative.combine(d) for d in draws], number)


def _drawn(parts: Parts, exact: Exact, paid: Charged, number: int) -> Noisy:
    """One release; what an earlier attempt has stored of it is not drawn again (P6.2)."""
    known = stage_before(parts, paid, "values", number) if paid.attempt > 1 else None
    if known is not None:
        return known
    noisy = noise(exact, paid)
    store_stage(parts, noisy, number)
    return noisy


def _stored(parts: Parts, charged: Charged, found: Sequence[Combined], draws: int) -> Stored:
    totals = Totals(
        scales=tuple(c.scale for c in found), losses=tuple(c.loss for c in found), draws=draws, receipt=charged.receipt
    )
    means = Noisy(charged=charged, stage="values", values=tuple(c.values for c in found))
    return store(parts, means, totals=totals)


# --- what comes next --------------------------------------------------------------------------------------------------


def next_releases(priced: Priced, found: Sequence[Combined], number: int) -> tuple[Release, ...] | None:
    """What to release after `number` releases, from these alone and from the price; None where it ends.

    Privacy: post-processing. A measure that needs nothing more gets a release of no loss, which is not drawn.
    """
    steps = _steps(priced)
    left, share = steps.most - sum(c.loss for c in found), steps.share / relative.PARTS
    if number >= steps.count or left < 1:
        return None
    judged = [relative.standing(c, share=share, left=left) for c in found]
    last = number == steps.count - 1
    more = [relative.wanted(c, j, share=share, last=last) - c.loss for c, j in zip(found, judged, strict=True)]
    asked = sum(more)
    if asked < 1:
        return None
    if asked > left:
        if left * SMALLEST < steps.most:
            return None  # what is left would change nothing
        more = [m * left // asked for m in more]
    try:
        return tuple(_release(r, m) for r, m in zip(priced.releases, more, strict=True))
    except RequestError:  # no noise is as wide as so little would need: the answer is what was reached
        return None


def _steps(priced: Priced) -> Steps:
    if priced.steps is None:
        raise TypeError("this question is released once")
    return priced.steps


def _release(before: Release, loss: int) -> Release:
    if loss < 1:
        return Release(mechanism="gaussian", scale=0.0, sensitivity=before.sensitivity, loss=0)
    scale = mechanisms.scale("gaussian", sensitivity=before.sensitivity, loss=loss)
    return noised("gaussian", scale, before.sensitivity)


# --- the charge -------------------------------------------------------------------------------------------------------


def _charged_again(
    parts: Parts, first: Charged, releases: tuple[Release, ...], number: int, leaves: str
) -> Charged | None:
    """Pay for the next release at its moment; None if that is refused: the answer is then what was reached.

    What an earlier attempt has charged is not charged again.
    """
    priced = replace(first.priced, releases=releases, cost=Cost(rho=sum(r.loss for r in releases)))
    step, steps = f"{ledger.STEP}-{number}", _steps(priced)
    if first.attempt > 1 and (receipt := _receipt_before(parts, first, step)) is not None:
        return replace(first, priced=priced, receipt=receipt)
    _wait(parts, parse_rfc3339(leaves) - timedelta(seconds=(steps.count - number) * steps.tick))
    try:
        paid = charge_again(parts, first, priced, step)
    except (Denied, Conflict, DependencyFailed):  # of the budget, the grant, the version, the log: none follows rows
        return None
    crash.point("charge.again")
    return paid


def _wait(parts: Parts, moment: datetime) -> None:
    seconds = (moment - parts.clock.now()).total_seconds()
    if seconds < 0:
        raise DependencyFailed("query_overrun")
    time.sleep(seconds)


def _receipt_before(parts: Parts, first: Charged, step: str) -> Mapping[str, str] | None:
    """What is left, if an earlier attempt has charged this step."""
    with parts.sessions.reading() as session:
        done = ledger.is_charged(session, first.query_id, step)
        return repeats.receipt_of(session, _keys(first.priced)) if done else None


def _keys(priced: Priced) -> list[ledger.Key]:
    plan = priced.plan
    lineages = sorted({t.dataset_id for t in plan.tables})
    return ledger.keys_of(grant=plan.permitted.grant.id, datasets=lineages, population=plan.population_id)


def charge_again(parts: Parts, first: Charged, priced: Priced, step: str) -> Charged:
    """Spend the price of a further release of a charged query under every cap, and log it, in one transaction.

    Raises:
        Denied: `budget_exhausted`, or the grant or the dataset has ended; nothing was written.
        Conflict: `version_withdrawn`, `step_already_charged`.
        DependencyFailed: `log_not_published`.
    """
    plan, keys = priced.plan, _keys(priced)
    permitted, form = plan.permitted, canonical.priced_form(first.priced)
    with parts.sessions.begin() as session:
        duties.require_published(session, parts.clock)
        ledger.lock(session, keys)
        queries.require_grant(session, parts.clock, permitted.grant.id)
        versions.require_open(session, plan.version.id)
        event = ledger.charge(
            session, parts.clock, actor=permitted.parsed.request.principal, query_id=first.query_id, step=step,
            grant=permitted.grant.id, keys=keys, cost=priced.cost,
            details={"plan": canonical.digest(form), "rung_ms": round(priced.rung * 1000)},
        )  # fmt: skip
        receipt = repeats.receipt_of(session, keys)
    return replace(first, priced=priced, event_id=event, receipt=receipt)
