"""The flow of a question, one call a step: parse, decide, plan, price, charge, compute, noise; at the rung, answer."""

from __future__ import annotations

from datetime import timedelta
from typing import Any, Final

from sandbox.clock import parse_rfc3339, rfc3339
from sandbox.errors import Conflict, Denied, DependencyFailed, NotFound, RequestError, SandboxError
from sandbox.flow import Charged, GrantTerms, Parsed, Permitted, Priced, Principal, Request, Stored
from sandbox.ids import new_id
from sandbox.policy.grants import query_context
from sandbox.privacy import accounting
from sandbox.query import canonical, ends
from sandbox.query.forget import forget_destroyed
from sandbox.query.kernel.compute import compute
from sandbox.query.language.parse import parse
from sandbox.query.paid import charged_of, priced_again, request_form, store, stored_before, stored_values
from sandbox.query.parts import LEASE_SECONDS, SETTLE_SECONDS, Parts, Pending, step
from sandbox.query.planning.plan import Known
from sandbox.query.planning.plan import plan as make_plan
from sandbox.query.planning.price import Purse
from sandbox.query.planning.price import price as make_price
from sandbox.query.release import render
from sandbox.query.release.table import noise
from sandbox.store import committee, datasets, duties, ledger, queries, versions
from sandbox.store.queries import QueryRecord

PUBLISHED_SECONDS: Final = 30
"""Charges are refused when the log has not been published for so long: a database that is set back then would forget
more charges than those of this time, and nobody outside could tell."""

__all__ = ["Parts", "Pending", "charge", "decide", "explain", "finish", "read", "submit"]


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
    """Take a question up to its charge. The caller runs `finish` beside, holds, and at the rung calls `ends.end`.

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
    return ends.pending_of(parts, charged)


def finish(parts: Parts, pending: Pending) -> None:
    """Compute, noise, store sealed; raises nothing: what became of it is written at the rung by `ends.end` (P7.1)."""
    if pending.charged is None:
        return
    try:
        stored, failure = _computed(parts, pending.charged, pending.leaves_at), None
    except Exception as error:  # noqa: BLE001 - whatever happens after the charge has one outcome and one text (P7.1)
        stored, failure = None, error.code if isinstance(error, SandboxError) else type(error).__name__
    with pending.outcome.lock:
        pending.outcome.stored, pending.outcome.failure = stored, failure
        late = pending.outcome.ended
    if late:
        ends.withdraw(parts, pending.query_id)


def explain(parts: Parts, request: Request) -> dict[str, Any]:
    """What `submit` would do and cost, without touching any data and free of charge (P6.5)."""
    priced = _priced(parts, request)
    return render.explanation(priced, _purse(parts, priced.plan.permitted.grant))


def _computed(parts: Parts, charged: Charged, leaves: str) -> Stored:
    """The part of the flow that a resume takes up again; nothing is stored once the rung has passed."""
    if charged.attempt > 1 and (stored := stored_before(parts, charged)) is not None:
        return stored
    with step(parts, "compute"):
        exact = compute(charged, parts.bench)
    with step(parts, "noise"):
        noisy = noise(exact)
    if parts.clock.text() > leaves:
        raise DependencyFailed("query_overrun")
    stored = store(parts, noisy)
    # A conversion takes two milliseconds and is remembered: during the hold it costs nobody anything.
    render.spent_and_left(charged.priced.cost, charged.receipt)
    return stored


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
    after = rfc3339(parse_rfc3339(ends.leaves_of(record)) + timedelta(seconds=SETTLE_SECONDS))
    return Pending(query_id=record.id, leaves_at=after, clock=parts.clock)


def decide(parts: Parts, parsed: Parsed) -> Permitted:
    """Find the grant that allows the question, before the catalogue is looked at.

    Raises:
        Denied: with the reason; the same whether or not the dataset exists.
    """
    request = parsed.request
    with parts.sessions.reading() as session:
        held = committee.held(session, request.principal.tenant)
        state = datasets.state_of(session, parsed.dataset)
    context = query_context(
        held, asked=request.grant, purpose=request.purpose, dataset=parsed.dataset, now=parts.clock.text(),
        dataset_state=state,
    )  # fmt: skip
    decision = parts.policy.decide(request.principal, "query", "ask", context)
    if decision.reason == "no_grant":
        _refuse_public(parts, parsed)
    decision.require()
    grant = context["grant"]
    if not isinstance(grant, GrantTerms):
        raise Denied("no_grant", dataset=parsed.dataset, nearest=None)
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
        version = versions.asked(session, dataset_id, parsed.request.version)
        population = datasets.population_by_id(session, population_id)
        forget_destroyed(session, parts.versions, parts.bench.opened)
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
        DependencyFailed: `log_not_published`.
    """
    plan, request = priced.plan, priced.plan.permitted.parsed.request
    grant = plan.permitted.grant
    keys = ledger.keys_of(grant=grant.id, datasets=[plan.dataset_id], population=plan.population_id)
    form = canonical.priced_form(priced)
    with parts.sessions.begin() as session:
        if duties.is_late(session, parts.clock, "publish", PUBLISHED_SECONDS):
            raise DependencyFailed("log_not_published", seconds=PUBLISHED_SECONDS)
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


def shown_state(parts: Parts, record: QueryRecord) -> str:
    """The state as its company may see it: whatever became of a query, it shows at its rung and not before (P7.1)."""
    return record.state if parts.clock.text() >= ends.leaves_of(record) else "charged"


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
