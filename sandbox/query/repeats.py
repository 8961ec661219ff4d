"""Free answers: the same question again, or a coarser one that a stored answer's numbers add up to (P6.4)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

from sqlalchemy.orm import Session

from sandbox.clock import parse_rfc3339, rfc3339
from sandbox.errors import Conflict, IntegrityFailed, NotFound
from sandbox.flow import Plan, Priced, Released, Request
from sandbox.ids import new_id
from sandbox.privacy import accounting
from sandbox.query import canonical, ends, rollup
from sandbox.query.paid import priced_again, request_form, stored_values
from sandbox.query.parts import SETTLE_SECONDS, Parts, Pending
from sandbox.query.release import render
from sandbox.query.release.free import Source
from sandbox.store import ledger, queries, repeats
from sandbox.store.queries import NewQuery, QueryRecord


@dataclass(frozen=True, slots=True, kw_only=True)
class Free:
    """A free answer that can be given: the query it comes from; for a roll-up the plan as it is then answered."""

    record: QueryRecord
    source: Source
    plan: Plan
    question: str
    answered: Priced | None = None


def earlier(parts: Parts, request: Request) -> Pending | None:
    """The question that this idempotency key was used for, if it was: its answer costs nothing more (P6.3).

    Raises:
        Conflict: `idempotency_key_reused`, for another question.
    """
    if request.idempotency_key is None:
        return None
    with parts.sessions.reading() as session:
        used = queries.idempotent(session, request.principal.id, request.idempotency_key)
        record = queries.get(session, used[1]) if used is not None else None
        free = repeats.is_free(session, request.principal.id, request.idempotency_key)
    if used is None or record is None:
        return None
    if used[0] != request.digest:
        raise Conflict("idempotency_key_reused", key=request.idempotency_key)
    source = source_of(record) or (Source(query=record.id, kind="repeat") if free else None)
    after = rfc3339(parse_rfc3339(ends.leaves_of(record)) + timedelta(seconds=SETTLE_SECONDS))
    return Pending(query_id=record.id, leaves_at=after, clock=parts.clock, source=source)


# --- what is free -----------------------------------------------------------------------------------------------------


def repeat(parts: Parts, plan: Plan) -> Free | None:
    """The settled answer to the same question, of the same grant and version; looked up before anything is chosen.

    Privacy: gives out once more what its own company was given: post-processing. Never across versions, since that
    would tell that nothing changed between them, and never across grants.
    """
    question = canonical.question(plan)
    with parts.sessions.reading() as session:
        found = repeats.same_question(session, plan.permitted.grant.id, plan.version.id, question)
    if found is None or parts.clock.text() < ends.leaves_of(found):
        return None
    # What is a roll-up says so again: the key of this request will find it by its own record.
    source = source_of(found) or Source(query=found.id, kind="repeat")
    return Free(record=found, source=source, plan=plan, question=question)


def roll_up(parts: Parts, plans: Sequence[Plan], asked: Priced) -> Free | None:
    """The best stored answer that this question's numbers can be added up from, if they err no more than `asked` would.

    Privacy: post-processing of released numbers of the same grant and version; no protected row is touched.
    """
    plan = asked.plan
    wanted = [canonical.basis(plan, relation) for relation in rollup.bases(plan)]
    if not wanted:
        return None
    with parts.sessions.reading() as session:
        found = repeats.additive_answers(session, plan.permitted.grant.id, plan.version.id, wanted)
    best: tuple[float, Free] | None = None
    for record in found:
        if parts.clock.text() < ends.leaves_of(record):
            continue
        made = _made(parts, plans, asked, record)
        if made is not None and (best is None or made[0] < best[0]):
            best = made
    return None if best is None else best[1]


def _made(parts: Parts, plans: Sequence[Plan], asked: Priced, record: QueryRecord) -> tuple[float, Free] | None:
    """The error of a roll-up of this answer, in what one row can add to each number, and the roll-up."""
    source = priced_again(parts, record)
    plan = next((p for p in plans if rollup.same_bound(p.bound, source.plan.bound)), None)
    way = None if plan is None else rollup.way(plan, source.plan)
    if plan is None or way is None:
        return None
    answered = rollup.priced_as(plan, way, source)
    summed = rollup.summed(way, source, stored_values(parts, source.plan, record))
    if not rollup.is_good_enough(summed, answered, asked):
        return None
    error = sum(e / m.row_bound for e, m in zip(rollup.errors(summed, answered), plan.measures, strict=True))
    told = Source(query=record.id, kind="roll-up", cells=way.cells)
    return error, Free(record=record, source=told, plan=plan, question=canonical.question(plan), answered=answered)


# --- giving it --------------------------------------------------------------------------------------------------------


def give(parts: Parts, request: Request, free: Free) -> Pending:
    """Log that the question is answered free, and for which idempotency key; its answer may leave at once.

    The event follows the request and nothing else: neither its time nor its being there depends on rows (P7.1).

    Raises:
        Denied, Conflict: as `store.repeats.give`; nothing was written.
    """
    lineages = sorted({t.dataset_id for t in free.plan.tables})
    keys = ledger.keys_of(grant=free.record.grant, datasets=lineages, population=free.plan.population_id)
    with parts.sessions.begin() as session:
        record = repeats.give(
            session, parts.clock, actor=request.principal, source=free.record, made=_new(session, keys, request, free),
            keys=keys, idempotency=(request.idempotency_key, request.digest) if request.idempotency_key else None,
        )  # fmt: skip
    return Pending(query_id=record.id, leaves_at=parts.clock.text(), clock=parts.clock, source=free.source)


def _new(session: Session, keys: Sequence[ledger.Key], request: Request, free: Free) -> NewQuery | None:
    if free.answered is None:
        return None
    form = canonical.priced_form(free.answered)
    return NewQuery(
        id=new_id("qry"),
        grant=free.record.grant,
        population=free.record.population,
        request=request_form(request),
        priced={"form": form, "receipt": receipt_of(session, keys), "cells": free.source.cells},
        plan=canonical.digest(form),
        version=free.record.version,
        rung_ms=0,
        question=free.question,
    )


def receipt_of(session: Session, keys: Sequence[ledger.Key]) -> dict[str, Any]:
    """What is left under these caps now; see `query.render`."""
    caps = ledger.read_caps(session, keys)
    left = accounting.left([(spent, cap) for _, cap, spent in caps])
    return render.receipt(next(cap for (scope, _), cap, _ in caps if scope == "grant"), left)


# --- reading it -------------------------------------------------------------------------------------------------------


def source_of(record: QueryRecord) -> Source | None:
    """Where a query's own answer comes from, if it is a roll-up."""
    if record.source is None:
        return None
    return Source(query=record.source, kind="roll-up", cells=record.priced["cells"])


def body(parts: Parts, record: QueryRecord, source: Source | None) -> dict[str, Any]:
    """The body of a settled answer, from its own sealed numbers or from those it is added up from."""
    priced = priced_again(parts, record)
    released, receipt = _released(parts, record, priced), record.priced["receipt"]
    source = source or source_of(record)
    if source is not None and source.kind == "repeat":
        receipt = _receipt_now(parts, priced)
    return render.answer(
        priced, released, query_id=record.id, event=record.event, receipt=receipt, source=source
    )  # fmt: skip


def _released(parts: Parts, record: QueryRecord, priced: Priced) -> Released:
    if record.source is None:
        return stored_values(parts, priced.plan, record)
    with parts.sessions.reading() as session:
        lender = queries.get(session, record.source)
    if lender is None:
        raise NotFound("answer_unknown")
    lent = priced_again(parts, lender)
    way = rollup.way(priced.plan, lent.plan)
    if way is None:
        raise IntegrityFailed("answer_malformed")
    return rollup.summed(way, lent, stored_values(parts, lent.plan, lender))


def _receipt_now(parts: Parts, priced: Priced) -> Mapping[str, Any]:
    plan = priced.plan
    lineages = sorted({t.dataset_id for t in plan.tables})
    keys = ledger.keys_of(grant=plan.permitted.grant.id, datasets=lineages, population=plan.population_id)
    with parts.sessions.reading() as session:
        return receipt_of(session, keys)


def explained(parts: Parts, free: Free) -> Priced:
    """A free question as it is answered: for its explanation."""
    if free.answered is not None:
        return free.answered
    priced = priced_again(parts, free.record)
    return replace(priced, plan=replace(priced.plan, permitted=free.plan.permitted))
