"""The flow of a question, one call a step: parse, decide, plan, price, charge, compute, noise, settle, answer."""

from __future__ import annotations

import logging
from typing import Any

from sandbox.errors import Conflict, Denied, DependencyFailed, NotFound, RequestError, SandboxError
from sandbox.flow import Charged, GrantTerms, Parsed, Permitted, Priced, Principal, Request
from sandbox.ids import new_id
from sandbox.policy.grants import query_context
from sandbox.privacy import accounting
from sandbox.query import canonical, render
from sandbox.query.kernel import compute
from sandbox.query.paid import charged_of, priced_again, request_form, settle, settle_stored, stored_values
from sandbox.query.parse import parse
from sandbox.query.parts import LEASE_SECONDS, Parts, Pending, leaves_at, step
from sandbox.query.plan import Known
from sandbox.query.plan import plan as make_plan
from sandbox.query.price import Purse
from sandbox.query.price import price as make_price
from sandbox.query.release import noise
from sandbox.store import committee, datasets, ledger, queries
from sandbox.store.queries import QueryRecord

__all__ = [
    "Parts", "Pending", "charge", "conclude", "decide", "explain", "finish", "read", "resume", "settle", "submit",
]  # fmt: skip

_log = logging.getLogger("sandbox.query")


def _priced(parts: Parts, request: Request) -> Priced:
    with step(parts, "parse"):
        parsed = parse(request)
    with step(parts, "decide"):
        permitted = decide(parts, parsed)
    with step(parts, "plan"):
        plan = make_plan(permitted, _known(parts, parsed))
    with step(parts, "price"):
        return make_price(plan, _purse(parts, permitted.grant), parts.model)


def submit(parts: Parts, request: Request) -> Pending:
    """Take a question up to its charge. The caller runs `finish` beside, holds until `leaves_in()`, then concludes.

    Privacy: costs what `price` says, charged before any protected row is touched (P6.2); a repeated idempotency key
    with the same body costs nothing and gives the same answer (P6.3).

    Raises:
        RequestError, TooLarge: the question cannot be answered; nothing was charged.
        Denied: no grant covers it, or the budget is exhausted; nothing was charged.
        Conflict: the idempotency key was used for another question.
    """
    earlier = _earlier(parts, request)
    if earlier is not None:
        return earlier
    priced = _priced(parts, request)
    try:
        with step(parts, "charge"):
            charged = charge(parts, priced)
    except Conflict as error:
        # The same request was charged by another thread since we looked.
        earlier = _earlier(parts, request) if error.code == "idempotency_in_flight" else None
        if earlier is None:
            raise
        return earlier
    leaves = leaves_at(charged.charged_at, charged.priced.rung, charged.attempt)
    return Pending(query_id=charged.query_id, leaves_at=leaves, clock=parts.clock, charged=charged)


def finish(parts: Parts, pending: Pending) -> None:
    """Compute, noise, settle. Whatever happens here shows at the rung and not before, so it raises nothing (P7.1)."""
    if pending.charged is not None:
        _finish(parts, pending.charged)


def conclude(parts: Parts, principal: Principal, pending: Pending) -> dict[str, Any]:
    """At the rung: the answer, or else the one text that says there is none; a late one is an overrun from now on.

    Raises:
        DependencyFailed: `query_no_answer`.
        NotFound, Conflict, IntegrityFailed: as `read`.
    """
    if pending.charged is not None:
        with parts.sessions.reading() as session:
            record = queries.get(session, pending.query_id)
        if record is not None and record.state == "charged" and record.attempt == pending.charged.attempt:
            _end(parts, pending.charged, DependencyFailed("query_overrun"))
    return read(parts, principal, pending.query_id)


def explain(parts: Parts, request: Request) -> dict[str, Any]:
    """What `submit` would do and cost, without touching any data and free of charge (P6.5)."""
    priced = _priced(parts, request)
    return render.explanation(priced, _purse(parts, priced.plan.permitted.grant))


def _finish(parts: Parts, charged: Charged) -> None:
    """The part of the flow that a resume takes up again."""
    try:
        with step(parts, "compute"):
            exact = compute(charged, parts.bench)
        with step(parts, "noise"):
            noisy = noise(exact)
        with step(parts, "settle"):
            settle(parts, noisy)
        # A conversion takes two milliseconds and is remembered: during the hold it costs nobody anything.
        render.spent_and_left(charged.priced.cost, charged.receipt)
    except Exception as error:  # noqa: BLE001 - whatever happens after the charge has one outcome and one text (P7.1)
        _end(parts, charged, error)


# --- before the charge ----------------------------------------------------------------------------------------------


def _earlier(parts: Parts, request: Request) -> Pending | None:
    if request.idempotency_key is None:
        return None
    with parts.sessions.reading() as session:
        used = queries.idempotent(session, request.principal.id, request.idempotency_key)
        record = queries.get(session, used[1]) if used is not None else None
    if used is None or record is None:
        return None
    if used[0] != request.digest:
        raise Conflict("idempotency_key_reused", key=request.idempotency_key)
    return Pending(query_id=record.id, leaves_at=_leaves_at(record), clock=parts.clock)


def decide(parts: Parts, parsed: Parsed) -> Permitted:
    """Find the grant that allows the question, before the catalogue is looked at.

    Raises:
        Denied: with the reason; the same whether or not the dataset exists.
    """
    request = parsed.request
    with parts.sessions.reading() as session:
        held = committee.held(session, request.principal.tenant)
    context = query_context(
        held, asked=request.grant, purpose=request.purpose, dataset=parsed.dataset, now=parts.clock.text()
    )
    decision = parts.policy.decide(request.principal, "query", "ask", context)
    if decision.reason == "no_grant":
        _refuse_public(parts, parsed)
    decision.require()
    grant = context["grant"]
    if not isinstance(grant, GrantTerms):
        raise Denied("no_grant", dataset=parsed.dataset)
    return Permitted(parsed=parsed, grant=grant, rule=decision.rule)


def _refuse_public(parts: Parts, parsed: Parsed) -> None:
    """A public table needs no grant and takes no question; that it is public may be told to anybody."""
    with parts.sessions.reading() as session:
        found = datasets.find(session, parsed.dataset)
    if found is not None and found.spec.public:
        raise RequestError("dataset_public", dataset=parsed.dataset, position=parsed.tree.table_at)


def _known(parts: Parts, parsed: Parsed) -> Known:
    with parts.sessions.reading() as session:
        dataset_id, population_id = datasets.lineage(session, parsed.dataset)
        if population_id is None:
            raise RequestError("dataset_public", dataset=parsed.dataset, position=parsed.tree.table_at)
        version = datasets.newest_version(session, dataset_id)
        population = datasets.population_by_id(session, population_id)
    spec, opened = parts.versions.open(version, population)
    return Known(
        spec=spec,
        dataset_id=dataset_id,
        version=opened,
        population=population.spec,
        population_id=population.id,
        population_key=population.wrapped_key,
    )


def _purse(parts: Parts, grant: GrantTerms) -> Purse:
    with parts.sessions.reading() as session:
        ((_, cap, spent),) = ledger.read_caps(session, [("grant", grant.id)])
    return Purse(cap=cap, spent=spent)


# --- the charge -----------------------------------------------------------------------------------------------------


def charge(parts: Parts, priced: Priced) -> Charged:
    """Spend the price under every cap, and log it, in one transaction; nothing protected has been touched before.

    Raises:
        Denied: `budget_exhausted` or the grant has ended; nothing was written.
    """
    plan, request = priced.plan, priced.plan.permitted.parsed.request
    grant = plan.permitted.grant
    keys = ledger.keys_of(grant=grant.id, datasets=[plan.dataset_id], population=plan.population_id)
    form = canonical.priced_form(priced)
    with parts.sessions.begin() as session:
        caps = ledger.read_caps(session, keys)
        left = accounting.left([(spent + priced.cost, cap) for _, cap, spent in caps])
        grant_cap = next(cap for (scope, _), cap, _ in caps if scope == "grant")
        query = queries.NewQuery(
            id=new_id("qry"),
            grant=grant.id,
            population=plan.population_id,
            request=request_form(request),
            priced={"form": form, "receipt": render.receipt(grant_cap, left)},
            plan=canonical.digest(form),
            version=plan.version.id,
            rung_ms=round(priced.rung * 1000),
        )
        record = queries.insert_charged(
            session,
            parts.clock,
            actor=request.principal,
            query=query,
            step=ledger.STEP,
            keys=keys,
            cost=priced.cost,
            idempotency=(request.idempotency_key, request.digest) if request.idempotency_key else None,
            worker=parts.worker_id,
            lease_seconds=priced.rung + LEASE_SECONDS,
        )
    return charged_of(priced, record)


# --- after the charge -----------------------------------------------------------------------------------------------


def _end(parts: Parts, charged: Charged, error: Exception) -> None:
    """Log the end of a query without an answer; it stays charged. Of the failure only a code or a class is kept."""
    code = error.code if isinstance(error, SandboxError) else type(error).__name__
    _log.error("query %s ended without an answer: %s", charged.query_id, code)
    if code == "query_already_settled":
        return
    try:
        with parts.sessions.begin() as session:
            if code == "query_overrun":
                queries.overrun(session, parts.clock, charged.query_id, charged.attempt)
            else:
                queries.fail(session, parts.clock, charged.query_id, charged.attempt, "query_no_answer")
    except SandboxError as failure:
        # Ended by the other side of the rung meanwhile, or the database is away: the lease will run out.
        _log.error("query %s: its end could not be written: %s", charged.query_id, failure.code)


def resume(parts: Parts) -> bool:
    """Duty: take over one charged query whose worker is gone; True if there was one."""
    with parts.sessions.reading() as session:
        if not queries.abandoned(session, parts.clock):
            return False
    with parts.sessions.begin() as session:
        record = queries.take_over(session, parts.clock, parts.worker_id, LEASE_SECONDS)
    if record is None:
        return False
    charged = charged_of(priced_again(parts, record), record)
    try:
        if not settle_stored(parts, charged):
            _finish(parts, charged)
    except SandboxError as error:
        _log.error("query %s could not be resumed: %s", record.id, error.code)
    return True


def _leaves_at(record: QueryRecord) -> str:
    return leaves_at(record.charged_at, record.rung_ms / 1000, record.attempt)


def shown_state(parts: Parts, record: QueryRecord) -> str:
    """The state as its company may see it: whatever became of a query, it shows at its rung and not before (P7.1)."""
    return record.state if parts.clock.text() >= _leaves_at(record) else "charged"


def read(parts: Parts, principal: Principal, query_id: str) -> dict[str, Any]:
    """A settled answer of the principal's own company, from its sealed numbers.

    Raises:
        NotFound: `answer_unknown`, also for another company's.
        Conflict: `answer_not_ready`.
        DependencyFailed: `query_no_answer`, the query ended without one.
        IntegrityFailed: the stored bytes are not what was settled.
    """
    with parts.sessions.reading() as session:
        record = queries.get(session, query_id)
    if record is None or record.tenant != principal.tenant:
        raise NotFound("answer_unknown")
    if shown_state(parts, record) == "charged":
        raise Conflict("answer_not_ready")
    if record.state != "settled":
        raise DependencyFailed("query_no_answer")
    with step(parts, "answer"):
        priced = priced_again(parts, record)
        values = stored_values(parts, priced.plan, record)
        return render.answer(
            priced, values, query_id=record.id, event=record.event, receipt=record.priced["receipt"]
        )
