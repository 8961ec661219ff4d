"""The log in SQL: events written in the transaction of what they tell of, then numbered, then signed over."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from sqlalchemy import ColumnElement, func, select, update
from sqlalchemy.orm import Session

from sandbox.audit.event import Event, encode
from sandbox.audit.merkle import leaf_hash
from sandbox.audit.records import record_digest
from sandbox.clock import Clock
from sandbox.flow import Principal
from sandbox.ids import new_id
from sandbox.store import tables as t

SYSTEM = Principal(id="system", tenant="system", roles=frozenset())
"""The actor of events that no person caused."""

AUDITED: Mapping[str, tuple[type[t.Row], tuple[str, ...], tuple[str, ...]]] = {
    "tenants": (t.Tenant, ("id",), ("kind", "created_at")),
    "principals": (t.PrincipalRow, ("id",), ("tenant", "roles", "state", "created_at")),
    "api_keys": (t.ApiKey, ("id",), ("principal", "sha256", "state", "created_at")),
    "populations": (t.PopulationRow, ("id",), ("tenant", "name", "spec", "suite", "wrapped_key", "created_at")),
    "caps": (
        t.CapRow,
        ("scope", "subject"),
        (
            *("tenant", "epsilon", "delta", "conversion", "frontier", "created_at"),
            *("spent_eps_p", "spent_rho", "spent_delta"),
        ),
    ),
    "ledger": (
        t.LedgerRow,
        ("request", "step", "scope", "subject"),
        ("tenant", "eps_p", "rho", "delta", "event", "at"),
    ),
    "datasets": (t.DatasetRow, ("id",), ("tenant", "name", "population", "spec", "bits", "created_at")),
    "versions": (
        t.VersionRow,
        ("id",),
        ("tenant", "dataset", "number", "suite", "wrapped_key", "manifest_object", "manifest_sha256", "created_at"),
    ),
    "applications": (t.ApplicationRow, ("id",), ("tenant", "principal", "terms", "state", "created_at")),
    "votes": (t.VoteRow, ("application", "round", "principal"), ("tenant", "approve", "reason", "at")),
    "grants": (
        t.GrantRow,
        ("id",),
        ("tenant", "application", "terms", "state", "starts_at", "expires_at", "created_at"),
    ),
    "queries": (
        t.QueryRow,
        ("id",),
        (
            *("tenant", "principal", "grant", "population", "request", "priced", "version", "state", "charged_at"),
            *("rung_ms", "event", "answer_object", "answer_sha256"),
        ),
    ),
    "idempotency": (t.IdempotencyRow, ("principal", "key"), ("digest", "resource", "at")),
    "removals": (
        t.RemovalRow,
        ("id",),
        ("tenant", "dataset", "proposed_by", "confirmed_by", "state", "reason", "certificate", "created_at"),
    ),
}
"""Tables whose every row must agree with the log: key columns, then the columns that the log's digest covers."""

LATER: Mapping[str, Mapping[str, str]] = {
    "datasets": {"state": "active"},
    "versions": {"kind": "add", "state": "open"},
}
"""Columns that came after the first release, covered where they are not what every older row means by their absence."""

_ORDER = func.coalesce(t.EventRow.seq, 0)

_NAME_OF = {model: name for name, (model, _, _) in AUDITED.items()}


def record_of(row: t.Row) -> tuple[str, dict[str, Any]]:
    """An audited row as the auditor sees it: `table/key` and the covered columns."""
    name = _NAME_OF[type(row)]
    _, keys, columns = AUDITED[name]
    path = "/".join([name, *(str(getattr(row, k)) for k in keys)])
    later = {c: getattr(row, c) for c, meant in LATER.get(name, {}).items() if getattr(row, c) != meant}
    return path, {c: getattr(row, c) for c in (*keys, *columns)} | later


def append(
    session: Session,
    clock: Clock,
    type_: str,
    *,
    actor: Principal,
    subject: str,
    details: Mapping[str, Any],
    tenant: str | None = None,
    records: Sequence[t.Row] = (),
    event_id: str | None = None,
) -> str:
    """Write one event into this transaction, with the digests of the rows it changed; gives its id.

    `tenant` is whose event it is (who may read it beside the auditor); the actor's own by default.
    """
    session.flush()
    body = dict(details)
    if records:
        body["records"] = {path: record_digest(values) for path, values in map(record_of, records)}
    event = Event(
        id=event_id or new_id("evt"),
        type=type_,
        at=clock.text(),
        actor=actor.id,
        tenant=tenant or actor.tenant,
        subject=subject,
        policy=policy_version(session),
        details=body,
    )
    raw = encode(event)
    session.add(
        t.EventRow(
            id=event.id, idx=None, seq=_next_seq(session), at=event.at, type=event.type, tenant=event.tenant,
            subject=subject, body=raw, leaf=leaf_hash(raw).hex(),
        )
    )  # fmt: skip
    session.flush()
    return event.id


def _next_seq(session: Session) -> ColumnElement[int]:
    """The next place in the order of insertion. SQLite has one writer: the largest plus one is nobody else's."""
    if session.get_bind().dialect.name == "sqlite":
        return select(func.coalesce(func.max(t.EventRow.seq), 0) + 1).scalar_subquery()
    return func.nextval("events_seq")


def policy_version(session: Session) -> int:
    """The number that grows with every change of a principal or a grant."""
    return session.scalar(select(t.PolicyVersionRow.version).where(t.PolicyVersionRow.id == 1)) or 0


def bump_policy(session: Session) -> None:
    """Tell every process that principals or grants have changed."""
    done = session.execute(
        update(t.PolicyVersionRow).where(t.PolicyVersionRow.id == 1).values(version=t.PolicyVersionRow.version + 1)
    )
    if done.rowcount == 0:  # type: ignore[attr-defined]
        session.add(t.PolicyVersionRow(id=1, version=1))


def last_at(session: Session) -> str | None:
    """The time of the newest event, for the clock."""
    return session.scalar(select(func.max(t.EventRow.at)))


def size(session: Session) -> int:
    """How many events are numbered."""
    last = session.scalar(select(func.max(t.EventRow.idx)))
    return 0 if last is None else last + 1


def unnumbered(session: Session) -> bool:
    """Whether an event waits for its place."""
    return session.scalar(select(t.EventRow.id).where(t.EventRow.idx.is_(None)).limit(1)) is not None


def number(session: Session, limit: int = 10_000) -> int:
    """Give places in the log to events that have none, oldest first; only the one sequencer calls this.

    Oldest by insertion: a cause was committed before its effect was begun, whatever the clocks of their processes said.
    Events from before there was such an order come first, by time.
    """
    next_index = size(session)
    waiting = select(t.EventRow.id).where(t.EventRow.idx.is_(None))
    ids = session.scalars(waiting.order_by(_ORDER, t.EventRow.at, t.EventRow.id).limit(limit))
    count = 0
    for offset, event_id in enumerate(ids.all()):
        session.execute(update(t.EventRow).where(t.EventRow.id == event_id).values(idx=next_index + offset))
        count += 1
    return count


def leaves(session: Session, start: int = 0, end: int | None = None) -> list[bytes]:
    """The stored leaf hashes of events `start` to `end`, in order."""
    query = select(t.EventRow.leaf).where(t.EventRow.idx >= start).order_by(t.EventRow.idx)
    if end is not None:
        query = query.where(t.EventRow.idx < end)
    return [bytes.fromhex(leaf) for leaf in session.scalars(query)]


def entries(session: Session, start: int, limit: int) -> list[tuple[int, bytes, str]]:
    """(index, body, stored leaf hash) of numbered events from `start`."""
    query = (
        select(t.EventRow.idx, t.EventRow.body, t.EventRow.leaf)
        .where(t.EventRow.idx >= start)
        .order_by(t.EventRow.idx)
        .limit(limit)
    )
    return [(idx, body, leaf) for idx, body, leaf in session.execute(query) if idx is not None]


def of_tenant(session: Session, tenant: str, after: str, limit: int) -> list[tuple[str, int | None, bytes]]:
    """A tenant's own events after an event id: (id, index, body)."""
    query = (
        select(t.EventRow.id, t.EventRow.idx, t.EventRow.body)
        .where(t.EventRow.tenant == tenant, t.EventRow.id > after)
        .order_by(t.EventRow.id)
        .limit(limit)
    )
    return [(i, n, b) for i, n, b in session.execute(query)]


def save_checkpoint(session: Session, *, size: int, root: str, note: str, at: str) -> None:
    """Keep a signed checkpoint."""
    session.merge(t.CheckpointRow(size=size, root=root, note=note, at=at))


def checkpoint(session: Session) -> tuple[int, str] | None:
    """The newest checkpoint: (size, signed note)."""
    row = session.execute(select(t.CheckpointRow).order_by(t.CheckpointRow.size.desc()).limit(1)).scalar()
    return (row.size, row.note) if row else None


def records(session: Session, table: str, after: str, limit: int) -> Iterable[tuple[str, dict[str, Any]]]:
    """A page of an audited table's rows, in order of `table/key`, after one of them."""
    model, keys, _ = AUDITED[table]
    columns = [getattr(model, k) for k in keys]
    query = select(model).order_by(*columns)
    rows = (record_of(row) for row in session.scalars(query))
    return [pair for pair in rows if pair[0] > after][:limit]
