"""Paid queries in SQL: charged and logged in one transaction, then settled, failed, lost or overrun once."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, cast

from sqlalchemy import ColumnElement, CursorResult, or_, select, update
from sqlalchemy.orm import Session

from sandbox.clock import Clock
from sandbox.errors import Conflict, Denied, IntegrityFailed
from sandbox.flow import Cost, Principal
from sandbox.ids import new_id
from sandbox.policy.lifecycles import QUERY
from sandbox.store import committee, ledger, log, stops, versions
from sandbox.store import tables as t
from sandbox.store.writing import insert_new

ATTEMPTS: Final = 2
"""A charged query is begun at most twice (P6.2)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NewQuery:
    """A priced query about to be charged. `request` and `priced` are what a resume needs, as JSON."""
    id: str
    grant: str
    population: str
    request: Mapping[str, Any]
    priced: Mapping[str, Any]
    plan: str
    """SHA-256 (hex) of the plan's canonical form."""
    version: str
    rung_ms: int
    question: str | None = None
    """SHA-256 (hex) of what was asked, by which a repeat finds it (P6.4)."""
    basis: str | None = None
    """SHA-256 (hex) of what its numbers rest on, where they may be added up."""
    clipping: str | None = None
    """SHA-256 (hex) of the vectors whose norms it releases, by which a later question finds them (P5.3)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class QueryRecord:
    """A paid query, or a free one that was made from the stored answer of `source`."""

    id: str
    tenant: str
    principal: str
    grant: str
    population: str
    request: dict[str, Any]
    priced: dict[str, Any]
    version: str
    state: str
    attempt: int
    lease_owner: str | None
    lease_until: str | None
    charged_at: str
    rung_ms: int
    event: str
    answer_object: str | None
    answer_sha256: str | None
    source: str | None = None


def idempotent(session: Session, principal_id: str, key: str) -> tuple[str, str] | None:
    """What a principal used this idempotency key for: (digest of the body, id of the query)."""
    row = session.get(t.IdempotencyRow, (principal_id, key), populate_existing=True)
    return None if row is None else (row.digest, row.resource)


def insert_charged(
    session: Session,
    clock: Clock,
    *,
    actor: Principal,
    query: NewQuery,
    step: str,
    keys: Sequence[ledger.Key],
    cost: Cost,
    idempotency: tuple[str, str] | None,
    worker: str,
    lease_seconds: float,
) -> QueryRecord:
    """Charge a query and write down what it is: caps, ledger, query, idempotency key and event, or nothing at all.

    An exception must end the transaction. The caps are locked first: a grant that ends, and a second request with the
    same key, wait for them, or are seen here.

    `idempotency` is (key, digest of the body). The query starts `charged`, at attempt 1, leased to `worker`.

    Raises:
        Denied: `budget_exhausted`; `grant_not_active`, `grant_expired`, `dataset_retired` or `dataset_destroyed`, if
            that came between decision and charge.
        Conflict: `idempotency_key_lost` (at a restore), `idempotency_key_reused` (with another body),
            `idempotency_in_flight` (the same body came first, as `query`), `step_already_charged`;
            `version_withdrawn`, if that came between.
        IntegrityFailed: `cap_missing`, `charge_refused`.
    """
    ledger.lock(session, keys)
    require_grant(session, clock, query.grant)
    versions.require_open(session, query.version)
    event_id, at = new_id("evt"), clock.text()
    row = t.QueryRow(
        id=query.id, tenant=actor.tenant, principal=actor.id, grant=query.grant, population=query.population,
        request=dict(query.request), priced=dict(query.priced), version=query.version, state=QUERY.start, attempt=1,
        lease_owner=worker, lease_until=clock.text(plus_seconds=lease_seconds), charged_at=at, rung_ms=query.rung_ms,
        event=event_id, answer_object=None, answer_sha256=None, source=None,
        question=query.question, basis=query.basis, clipping=query.clipping,
    )  # fmt: skip
    claimed: list[t.IdempotencyRow] = []
    if idempotency is not None:
        key, digest = idempotency
        claimed.append(t.IdempotencyRow(principal=actor.id, key=key, digest=digest, resource=query.id, at=at))
        claim(session, claimed[0])
    ledger.charge(
        session, clock, actor=actor, query_id=query.id, step=step, grant=query.grant, keys=keys, cost=cost,
        event_id=event_id, details={"plan": query.plan, "rung_ms": query.rung_ms}, extra_rows=[row],
        extra_records=claimed,
    )  # fmt: skip
    return record_of(row)


def settle(
    session: Session, clock: Clock, query_id: str, attempt: int, *, answer_object: str, answer_sha256: str
) -> QueryRecord:
    """Say where the sealed answer lies, once; event `query.settle`.

    Raises:
        Conflict: `query_already_settled`: it has ended, or another attempt has taken it over.
    """
    stored = {"answer_object": answer_object, "answer_sha256": answer_sha256}
    return _end(session, clock, query_id, attempt, "settle", stored=stored, details={"answer": answer_sha256})


def fail(session: Session, clock: Clock, query_id: str, attempt: int, code: str) -> QueryRecord:
    """End a query without an answer; it stays charged. Event `query.fail`; counts towards the stop (`stops.count`).

    Raises:
        Conflict: `query_already_settled`.
    """
    record = _end(session, clock, query_id, attempt, "fail", details={"code": code})
    stops.count(session, clock, tenant=record.tenant, population=record.population)
    return record


def lose(session: Session, clock: Clock, query_id: str, attempt: int, code: str) -> QueryRecord:
    """End a query whose answer the platform lost, by something that no row can cause; it stays charged.

    Event `query.fail`, with the state `lost`; counts towards no stop.

    Raises:
        Conflict: `query_already_settled`.
    """
    return _end(session, clock, query_id, attempt, "lose", details={"code": code})


def overrun(session: Session, clock: Clock, query_id: str, attempt: int) -> QueryRecord:
    """End a query whose answer was not ready at its rung; it stays charged. Event `query.overrun`; counts as `fail`.

    Raises:
        Conflict: `query_already_settled`.
    """
    record = _end(session, clock, query_id, attempt, "overrun", details={})
    stops.count(session, clock, tenant=record.tenant, population=record.population)
    return record


def abandoned(session: Session, clock: Clock) -> bool:
    """Whether `take_over` has anything to look at: a reader's question, so that an idle duty locks nothing."""
    return session.scalar(select(t.QueryRow.id).where(_abandoned(clock)).limit(1)) is not None


def exhausted(session: Session, clock: Clock) -> list[str]:
    """Charged queries whose lease has run out in the last attempt that may compute."""
    last = _abandoned(clock) & (t.QueryRow.attempt >= ATTEMPTS)
    return list(session.scalars(select(t.QueryRow.id).where(last).order_by(t.QueryRow.id)))


def take_over(
    session: Session, clock: Clock, worker: str, lease_seconds: float, *, stored: Collection[str] = ()
) -> QueryRecord | None:
    """Lease the oldest charged query whose lease has run out, under the next attempt number; None if there is none.

    Queries that had all their attempts end as failed on the way (`query.fail`, code `attempts_exhausted`; rows may have
    killed both), but for those whose answer is `stored`: nothing is computed or drawn for them any more.
    """
    waiting = select(t.QueryRow).where(_abandoned(clock)).order_by(t.QueryRow.id).limit(1)
    waiting = waiting.with_for_update(skip_locked=True).execution_options(populate_existing=True)
    while (row := session.scalar(waiting)) is not None:
        if row.attempt >= ATTEMPTS and row.id not in stored:
            fail(session, clock, row.id, row.attempt, "attempts_exhausted")
            continue
        row.state = QUERY.step(row.state, "take_over").target
        row.attempt += 1
        row.lease_owner, row.lease_until = worker, clock.text(plus_seconds=lease_seconds)
        session.flush()
        return record_of(row)
    return None


def without_answer(session: Session, ids: Sequence[str]) -> set[str]:
    """Which of these queries have ended without an answer; one that is not known is not among them."""
    ended = t.QueryRow.state.not_in([QUERY.start, "settled"])
    return set(session.scalars(select(t.QueryRow.id).where(t.QueryRow.id.in_(ids), ended)))


def hold(session: Session, record: QueryRecord, until: str) -> None:
    """Keep a taken query's lease until a time: its answer leaves at a rung, and nobody else may end it before."""
    mine = (t.QueryRow.id == record.id) & (t.QueryRow.attempt == record.attempt)
    session.execute(update(t.QueryRow).where(mine).values(lease_until=until))


def _abandoned(clock: Clock) -> ColumnElement[bool]:
    late = or_(t.QueryRow.lease_until.is_(None), t.QueryRow.lease_until <= clock.text())
    return (t.QueryRow.state == QUERY.start) & late


def get(session: Session, query_id: str) -> QueryRecord | None:
    """One query as it is now."""
    row = session.get(t.QueryRow, query_id, populate_existing=True)
    return None if row is None else record_of(row)


def list_own(session: Session, tenant: str, after: str = "", limit: int = 100) -> list[QueryRecord]:
    """A company's queries in order of their ids, after one of them."""
    query = select(t.QueryRow).where(t.QueryRow.tenant == tenant, t.QueryRow.id > after)
    return [record_of(row) for row in session.scalars(query.order_by(t.QueryRow.id).limit(limit))]


def require_grant(session: Session, clock: Clock, grant_id: str) -> None:
    """Refuse under a grant that has ended since the decision: `grant_not_active`, `grant_expired` (Denied)."""
    grant = committee.get_grant(session, grant_id)
    if grant is None or grant.state != "active":
        raise Denied("grant_not_active", grant=grant_id, state=grant.state if grant else None)
    if grant.terms.expires_at <= clock.text():
        raise Denied("grant_expired", grant=grant_id, expired_at=grant.terms.expires_at)


def claim(session: Session, row: t.IdempotencyRow) -> None:
    """Use the key, unless it is used already; waits for whoever is just using it under another grant.

    Raises:
        Conflict: `idempotency_key_lost`, `idempotency_key_reused`, `idempotency_in_flight`.
    """
    if insert_new(session, row):
        return
    used = idempotent(session, row.principal, row.key)
    if used is not None and not used[0]:
        raise Conflict("idempotency_key_lost", key=row.key, query=used[1])
    if used is None or used[0] != row.digest:
        raise Conflict("idempotency_key_reused", key=row.key)
    raise Conflict("idempotency_in_flight", key=row.key, query=used[1])


def _end(
    session: Session,
    clock: Clock,
    query_id: str,
    attempt: int,
    action: str,
    *,
    stored: Mapping[str, str] | None = None,
    details: Mapping[str, str],
) -> QueryRecord:
    """One guarded UPDATE decides who ends the query; its event follows in the same transaction."""
    move = QUERY.step(QUERY.start, action)
    mine = (t.QueryRow.id == query_id) & t.QueryRow.state.in_(move.sources) & (t.QueryRow.attempt == attempt)
    values = {"state": move.target, "lease_owner": None, "lease_until": None, **(stored or {})}
    done = cast("CursorResult[Any]", session.execute(update(t.QueryRow).where(mine).values(**values)))
    if done.rowcount != 1:
        raise Conflict("query_already_settled", query=query_id)
    row = session.get(t.QueryRow, query_id, populate_existing=True)
    if row is None or move.event is None:
        raise IntegrityFailed("query_lost", query=query_id)
    log.append(
        session, clock, move.event, actor=log.SYSTEM, subject=query_id,
        # The auditor's event, not the company's: its time would tell how long computing took (P7.1).
        details={**details, "query": query_id, "attempt": attempt}, tenant=log.SYSTEM.tenant, records=[row],
    )  # fmt: skip
    return record_of(row)


def record_of(row: t.QueryRow) -> QueryRecord:
    """A row as a value."""
    return QueryRecord(
        id=row.id, tenant=row.tenant, principal=row.principal, grant=row.grant, population=row.population,
        request=row.request, priced=row.priced, version=row.version, state=row.state, attempt=row.attempt,
        lease_owner=row.lease_owner, lease_until=row.lease_until, charged_at=row.charged_at, rung_ms=row.rung_ms,
        event=row.event, answer_object=row.answer_object, answer_sha256=row.answer_sha256, source=row.source,
    )  # fmt: skip
