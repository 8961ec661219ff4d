"""The flow of a question, one call a step: parse, decide, plan, price, charge, compute, noise; at the rung, answer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sandbox.errors import Conflict, Denied, DependencyFailed, NotFound, RequestError, SandboxError
from sandbox.flow import Charged, GrantTerms, Noisy, Parsed, Permitted, Plan, Priced, Principal, Request, Stored
from sandbox.ids import new_id
from sandbox.plans import Stage, Table
from sandbox.policy.grants import query_context
from sandbox.privacy import accounting
from sandbox.query import canonical, ends, repeats, rollup, steps
from sandbox.query.forget import forget_destroyed
from sandbox.query.kernel.compute import compute
from sandbox.query.language.parse import parse
from sandbox.query.paid import charged_of, request_form, stage_before, store, store_stage, stored_before
from sandbox.query.parts import LEASE_SECONDS, Parts, Pending, step
from sandbox.query.planning.plan import Known
from sandbox.query.planning.plan import plan as make_plan
from sandbox.query.planning.price import price as make_price
from sandbox.query.public import public_rows
from sandbox.query.purse import purse_of
from sandbox.query.release import render
from sandbox.query.release.free import Source
from sandbox.query.release.noise import noise
from sandbox.store import committee, datasets, duties, ledger, queries, versions
from sandbox.store.datasets import StoredPopulation, StoredVersion
from sandbox.store.queries import QueryRecord

__all__ = ["Parts", "Pending", "charge", "decide", "explain", "finish", "read", "submit"]


def _planned(parts: Parts, request: Request) -> tuple[Plan, ...]:
    with step(parts, "parse"):
        parsed = parse(request)
    with step(parts, "decide"):
        permitted = decide(parts, parsed)
    with step(parts, "plan"):
        return make_plan(permitted, _known(parts, parsed))


def _priced(parts: Parts, plans: Sequence[Plan]) -> Priced:
    with step(parts, "price"):
        return make_price(plans, purse_of(parts, plans[0].permitted.grant, plans), parts.model)


def _found(parts: Parts, plans: Sequence[Plan]) -> repeats.Free | Priced:
    """A free answer, looked for before any choice is made; else the price, unless stored numbers add up to as good."""
    free = repeats.repeat(parts, plans[0])
    if free is not None:
        return free
    priced = _priced(parts, plans)
    # How well a roll-up does in parts of each number shows in its own numbers alone: nothing is looked up for it.
    return priced if priced.steps is not None else repeats.roll_up(parts, plans, priced) or priced


def submit(parts: Parts, request: Request) -> Pending:
    """Take a question up to its charge. The caller runs `finish` beside, holds, and at the rung calls `ends.end`.

    Privacy: costs what `price` says, charged before any protected row is touched (P6.2); a repeated idempotency key
    with the same body costs nothing and gives the same answer (P6.3), and so does the same question, or one that a
    stored answer adds up to well enough (P6.4): its answer may leave at once.

    Raises:
        RequestError, TooLarge: the question cannot be answered; nothing was charged.
        Denied: no grant covers it, or the budget is exhausted; nothing was charged.
        Conflict: the idempotency key was used for another question.
    """
    earlier = repeats.earlier(parts, request)
    if earlier is not None:
        return earlier
    found = _found(parts, _planned(parts, request))
    try:
        if isinstance(found, repeats.Free):
            return repeats.give(parts, request, found)
        with step(parts, "charge"):
            charged = charge(parts, found)
    except Conflict as error:
        # The same request was charged by another thread since we looked.
        earlier = repeats.earlier(parts, request) if error.code == "idempotency_in_flight" else None
        if earlier is None:
            raise
        return earlier
    return ends.pending_of(parts, charged)


def finish(parts: Parts, pending: Pending) -> None:
    """Compute, noise, store sealed; raises nothing: what became of it is written at the rung by `ends.end` (P7.1)."""
    if pending.charged is None:
        return
    try:
        stored, failure, blameless = _computed(parts, pending.charged, pending.leaves_at), None, False
    except Exception as error:  # noqa: BLE001 - whatever happens after the charge has one outcome and one text (P7.1)
        code = error.code if isinstance(error, SandboxError) else type(error).__name__
        stored, failure, blameless = None, code, ends.is_blameless(error)
    outcome = pending.outcome
    with outcome.lock:
        outcome.stored, outcome.failure, outcome.blameless, late = stored, failure, blameless, outcome.ended
    if late:
        ends.withdraw(parts, pending.query_id)


def explain(parts: Parts, request: Request) -> dict[str, Any]:
    """What `submit` would do and cost, without touching any data and free of charge (P6.5)."""
    plans = _planned(parts, request)
    found, purse = _found(parts, plans), purse_of(parts, plans[0].permitted.grant, plans)
    if isinstance(found, repeats.Free):
        return render.explanation(repeats.explained(parts, found), purse, found.source)
    return render.explanation(found, purse)


def _computed(parts: Parts, charged: Charged, leaves: str) -> Stored:
    """The part of the flow that a resume takes up again; nothing is stored once the rung has passed."""
    if charged.attempt > 1 and (stored := stored_before(parts, charged)) is not None:
        return stored
    earlier: list[Noisy] = []
    *before, last = charged.priced.plan.stages
    for stage in before:
        earlier.append(_staged(parts, charged, stage, earlier))
    with step(parts, "compute"):
        exact = compute(charged, parts.bench, last, tuple(earlier))
    with step(parts, "noise"):
        if charged.priced.steps is not None:
            return steps.repeated(parts, exact, leaves)
        noisy = noise(exact)
    if parts.clock.text() > leaves:
        raise DependencyFailed("query_overrun")
    stored = store(parts, noisy, earlier)
    # A conversion takes two milliseconds and is remembered: during the hold it costs nobody anything.
    render.spent_and_left(charged.priced.cost, charged.receipt)
    return stored


def _staged(parts: Parts, charged: Charged, stage: Stage, earlier: list[Noisy]) -> Noisy:
    """What a stage releases for the next ones; what an earlier attempt has stored of it is not drawn again (P6.2)."""
    known = stage_before(parts, charged, stage) if charged.attempt > 1 else None
    if known is not None:
        return known
    noisy = noise(compute(charged, parts.bench, stage, tuple(earlier)))
    store_stage(parts, noisy)
    return noisy


# --- before the charge ----------------------------------------------------------------------------------------------


def decide(parts: Parts, parsed: Parsed) -> Permitted:
    """Find the grant that allows the question, before the catalogue is looked at.

    Every protected table must be covered by the one grant; public ones need none.

    Raises:
        Denied: with the reason; the same whether or not the dataset exists.
    """
    request = parsed.request
    with parts.sessions.reading() as session:
        held = committee.held(session, request.principal.tenant)
        public = [name for name in parsed.datasets if datasets.is_public(session, name)]
        states = {name: datasets.state_of(session, name) for name in parsed.datasets}
    protected = [name for name in parsed.datasets if name not in public]
    if not protected:
        raise RequestError("dataset_public", dataset=public[0], position=parsed.tree.body.at)
    asked, permitted = request.grant, None
    for name in protected:
        context = query_context(
            held, asked=asked, purpose=request.purpose, dataset=name, now=parts.clock.text(),
            dataset_state=states[name], also=tuple(protected),
        )  # fmt: skip
        decision = parts.policy.decide(request.principal, "query", "ask", context)
        decision.require()
        grant = context["grant"]
        if not isinstance(grant, GrantTerms):
            raise Denied("no_grant", dataset=name, nearest=None)
        asked, permitted = grant.id, Permitted(parsed=parsed, grant=grant, rule=decision.rule)
    if permitted is None:
        raise Denied("no_grant", dataset=protected[0], nearest=None)
    return permitted


def _known(parts: Parts, parsed: Parsed) -> Known:
    tables: dict[str, Table] = {}
    owners: dict[str, StoredPopulation] = {}
    records: dict[str, StoredVersion] = {}
    request = parsed.request
    with parts.sessions.reading() as session:
        for name in parsed.datasets:
            dataset_id, population_id = datasets.lineage(session, name)
            asked = request.version if len(parsed.datasets) == 1 else None
            records[name] = versions.asked(session, dataset_id, asked)
            if population_id is not None:
                owners[name] = datasets.population_by_id(session, population_id)
        forget_destroyed(session, parts.versions, parts.bench.opened, parts.bench.executor)
    if request.version is not None and len(parsed.datasets) > 1:
        raise RequestError("version_of_several")
    if len({p.id for p in owners.values()}) > 1:
        raise RequestError("populations_differ", datasets=sorted(owners), position=parsed.tree.body.at)
    for name, record in records.items():
        spec, opened = parts.versions.open(record, owners.get(name))
        tables[name] = Table(spec=spec, dataset_id=record.dataset, version=opened)
    population = next(iter(owners.values()))
    return Known(
        tables=tables,
        population=population.spec,
        population_id=population.id,
        population_key=population.wrapped_key,
        public=public_rows(parts.versions, records),
    )


# --- the charge -----------------------------------------------------------------------------------------------------


def charge(parts: Parts, priced: Priced) -> Charged:
    """Spend the price under every cap, and log it, in one transaction; nothing protected has been touched before.

    Raises:
        Denied: `budget_exhausted` or the grant has ended; nothing was written.
        DependencyFailed: `log_not_published`.
    """
    plan, request = priced.plan, priced.plan.permitted.parsed.request
    grant = plan.permitted.grant
    lineages = sorted({t.dataset_id for t in plan.tables})
    keys = ledger.keys_of(grant=grant.id, datasets=lineages, population=plan.population_id)
    form = canonical.priced_form(priced)
    with parts.sessions.begin() as session:
        duties.require_published(session, parts.clock)
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
            question=canonical.question(plan),
            basis=canonical.basis(plan, plan.relation) if rollup.can_lend(plan) and priced.steps is None else None,
            clipping=canonical.clipping(plan) if priced.norms and not plan.private else None,
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


def read(parts: Parts, principal: Principal, query_id: str, source: Source | None = None) -> dict[str, Any]:
    """A settled answer of the principal's own company, from its sealed numbers; `source` if it is given free now.

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
        return repeats.body(parts, record, source)
