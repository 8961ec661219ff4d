"""The log in SQL: events written in the transaction of what they tell of, then numbered, then signed over."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from sqlalchemy import func, select, tuple_
from sqlalchemy.orm import Session

from sandbox.audit.event import Event, encode
from sandbox.audit.merkle import leaf_hash
from sandbox.audit.records import record_digest
from sandbox.clock import Clock
from sandbox.flow import Principal
from sandbox.ids import new_id
from sandbox.store import tables as t
from sandbox.store.connecting import POLICY
from sandbox.store.sessions import TOLD, of_transaction
from sandbox.store.writing import insert_or_update

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

LATER: Mapping[str, Mapping[str, str | None]] = {
    "datasets": {"state": "active"},
    "versions": {"kind": "add", "state": "open"},
    "queries": {"question": None, "basis": None, "source": None, "clipping": None},
}
"""Columns that came after the first release, covered where they are not what every older row means by their absence."""


_COLUMNS = "id, at, type, tenant, subject, body, leaf, seq"
# SQLite has one writer: the largest plus one is nobody else's.
_INSERT_SQLITE = f"""
    INSERT INTO events ({_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, (SELECT coalesce(max(seq), 0) + 1 FROM events))
"""  # noqa: S608
_INSERT_POSTGRESQL = f"""
    INSERT INTO events ({_COLUMNS}) VALUES (%s, %s, %s, %s, %s, %s, %s, nextval('events_seq'))
"""  # noqa: S608

_POLICY = select(t.PolicyVersionRow.version).where(t.PolicyVersionRow.id == 1)

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
        policy=_policy_of(session),
        details=body,
    )
    raw = encode(event)
    values = {
        "id": event.id, "at": event.at, "type": event.type, "tenant": event.tenant, "subject": subject, "body": raw,
        "leaf": leaf_hash(raw).hex(),
    }  # fmt: skip
    _insert(session, values)
    session.info[TOLD] = True
    return event.id


def _insert(session: Session, values: Mapping[str, Any]) -> None:
    """Write the row by the driver, without the unit of work and the compiler: every writer's every event goes here."""
    connection = session.connection()
    if connection.dialect.name == "sqlite":
        connection.exec_driver_sql(_INSERT_SQLITE, tuple(values.values()))
    else:
        connection.exec_driver_sql(_INSERT_POSTGRESQL, tuple(values.values()))


def policy_version(session: Session) -> int:
    """The number that grows with every change of a principal or a grant."""
    return session.scalar(_POLICY) or 0


def _policy_of(session: Session) -> int:
    """The same, read once in a transaction that writes several events."""
    known: dict[str, int] = of_transaction(session, "policy")
    if "version" not in known:
        begun: int | None = session.connection().info.get(POLICY)
        known["version"] = policy_version(session) if begun is None else begun
    return known["version"]


def bump_policy(session: Session) -> None:
    """Tell every process that principals or grants have changed. Others who do wait until this transaction ends."""
    bumped = {"version": t.PolicyVersionRow.version + 1}
    insert_or_update(session, t.PolicyVersionRow(id=1, version=1), bumped)
    of_transaction(session, "policy")["version"] = policy_version(session)


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


def waiting_since(session: Session) -> str | None:
    """The time of the oldest event that waits for its place."""
    return session.scalar(select(func.min(t.EventRow.at)).where(t.EventRow.idx.is_(None)))


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


def bodies(session: Session, start: int, end: int) -> list[bytes]:
    """The events from `start` to before `end`, in order."""
    query = select(t.EventRow.body).where(t.EventRow.idx >= start, t.EventRow.idx < end).order_by(t.EventRow.idx)
    return list(session.scalars(query))


def bodies_between(session: Session, start: str, end: str, after: int, limit: int) -> list[tuple[int, bytes]]:
    """(index, body) of numbered events whose time lies from `start` to before `end`, behind an index."""
    when = (t.EventRow.at >= start) & (t.EventRow.at < end) & (t.EventRow.idx > after)
    query = select(t.EventRow.idx, t.EventRow.body).where(when).order_by(t.EventRow.idx).limit(limit)
    return [(idx, body) for idx, body in session.execute(query) if idx is not None]


def first_at(session: Session) -> str | None:
    """The time of the log's first event."""
    return session.scalar(select(t.EventRow.at).where(t.EventRow.idx == 0))


def find(session: Session, event_id: str) -> tuple[str, int | None, bytes] | None:
    """One event: (whose it is, its place if it has one yet, body)."""
    query = select(t.EventRow.tenant, t.EventRow.idx, t.EventRow.body).where(t.EventRow.id == event_id)
    found = session.execute(query).one_or_none()
    return None if found is None else (found.tenant, found.idx, found.body)


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


def checkpoint_at(session: Session) -> str | None:
    """When the newest checkpoint was signed."""
    return session.scalar(select(t.CheckpointRow.at).order_by(t.CheckpointRow.size.desc()).limit(1))


def records(session: Session, table: str, after: str, limit: int) -> Iterable[tuple[str, dict[str, Any]]]:
    """A page of an audited table's rows, in order of their keys, after one of them by its `table/key`."""
    model, keys, _ = AUDITED[table]
    columns = [getattr(model, k) for k in keys]
    query = select(model).order_by(*columns).limit(limit)
    # Only a last key may hold slashes.
    last = after.split("/", len(keys))[1:]
    if last:
        query = query.where(tuple_(*columns) > tuple_(*last, *[""] * (len(keys) - len(last))))
    return [record_of(row) for row in session.scalars(query.execution_options(populate_existing=True))]
