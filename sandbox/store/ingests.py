"""Ingests in SQL: rows with a lease, moved by their transition table, each move with its event."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import and_, or_, select, update
from sqlalchemy.orm import Session

from sandbox.catalog import DatasetSpec, plain, restored
from sandbox.clock import Clock
from sandbox.errors import Conflict, NotFound
from sandbox.flow import Principal
from sandbox.ids import new_id
from sandbox.machine import Machine
from sandbox.store import log
from sandbox.store import tables as t
from sandbox.store.sessions import WRITES
from sandbox.store.writing import insert_new


@dataclass(frozen=True, slots=True, kw_only=True)
class Ingest:
    """One ingest. `version` is the version that its present attempt builds, or has built.

    `progress`, `error` and `report` depend on the data: for people cleared for it.
    """

    id: str
    tenant: str
    dataset: str
    principal: str
    spec: DatasetSpec
    version: str | None
    state: str
    attempt: int
    lease_owner: str | None
    lease_until: str | None
    progress: Mapping[str, Any]
    report: Mapping[str, Any] | None
    error: Mapping[str, Any] | None
    created_at: str
    kind: str
    reason: str


def submit(
    session: Session, clock: Clock, actor: Principal, *, machine: Machine, spec: DatasetSpec, manifest: str,
    sha256: str, kind: str = "add", reason: str = "",
) -> Ingest:  # fmt: skip
    """Queue an ingest, with the event `ingest.submit`; `sha256` is the manifest text's, `kind` what it makes of it.

    Raises:
        Conflict: `ingest_under_way`, another one for the name has not ended.
    """
    row = t.IngestRow(
        id=new_id("ing"), tenant=actor.tenant, dataset=spec.name, principal=actor.id, manifest=manifest,
        spec=plain(spec), version=None, state=machine.start, attempt=0, lease_owner=None, lease_until=None,
        progress={}, report=None, error=None, created_at=clock.text(), kind=kind, reason=reason,
    )  # fmt: skip
    if not insert_new(session, row):  # the index `uq_ingests_under_way` lets one in
        waiting = (t.IngestRow.dataset == spec.name) & t.IngestRow.state.not_in(sorted(machine.ends))
        under_way = session.scalar(select(t.IngestRow.id).where(waiting).limit(1))
        raise Conflict("ingest_under_way", dataset=spec.name, ingest=under_way)
    details = {"ingest": row.id, "manifest": sha256} | ({} if kind == "add" else {"kind": kind})
    log.append(session, clock, "ingest.submit", actor=actor, subject=row.id, details=details)
    return _ingest(row)


def due(session: Session, now: str) -> Ingest | None:
    """The oldest ingest that waits, or whose worker's lease has run out.

    A session that writes holds it for its `take`; one that another is just taking is passed over.
    """
    expired = and_(t.IngestRow.state == "running", t.IngestRow.lease_until < now)
    query = select(t.IngestRow).where(or_(t.IngestRow.state == "queued", expired)).order_by(t.IngestRow.id).limit(1)
    if session.info.get(WRITES):
        query = query.with_for_update(skip_locked=True).execution_options(populate_existing=True)
    row = session.scalar(query)
    return None if row is None else _ingest(row)


def take(
    session: Session, clock: Clock, ingest: Ingest, *, machine: Machine, owner: str, version: str, lease_seconds: float
) -> Ingest:
    """Begin the next attempt, with the event `ingest.start`. In the session that found it `due`.

    Raises:
        Conflict: `transition_refused`; `lease_lost`, another has taken it.
    """
    move = machine.step(ingest.state, "claim" if ingest.state == machine.start else "take_over")
    until = clock.text(plus_seconds=lease_seconds)
    values = {"state": move.target, "attempt": ingest.attempt + 1, "version": version, "progress": {}}
    _update_held(session, ingest, {**values, "lease_owner": owner, "lease_until": until})
    row = _row(session, ingest.id)
    _tell(session, clock, row, str(move.event), {"attempt": row.attempt})
    return _ingest(row)


def renew(
    session: Session, clock: Clock, ingest: Ingest, *, lease_seconds: float, progress: Mapping[str, Any]
) -> None:
    """Keep the lease, and tell how far it is.

    Raises:
        Conflict: `lease_lost`, another worker has taken over.
    """
    values = {"lease_until": clock.text(plus_seconds=lease_seconds), "progress": dict(progress)}
    _update_held(session, ingest, values)


def end(
    session: Session,
    clock: Clock,
    ingest: Ingest,
    *,
    machine: Machine,
    action: str,
    details: Mapping[str, Any],
    records: tuple[t.Row, ...] = (),
    report: Mapping[str, Any] | None = None,
    error: Mapping[str, Any] | None = None,
) -> None:
    """Commit, fail or give up, with the move's event; only whoever holds the present attempt can.

    `details` enter the log, which others than cleared people read: declared facts alone.

    Raises:
        Conflict: `lease_lost`; `transition_refused`.
    """
    move = machine.step(ingest.state, action)
    values = {
        "state": move.target, "lease_owner": None, "lease_until": None,
        "report": None if report is None else dict(report), "error": None if error is None else dict(error),
    }  # fmt: skip
    _update_held(session, ingest, values)
    row = _row(session, ingest.id)
    _tell(session, clock, row, str(move.event), details, records=records)


def get(session: Session, ingest_id: str) -> Ingest:
    """The ingest of that id.

    Raises:
        NotFound: `ingest_unknown`.
    """
    return _ingest(_row(session, ingest_id))


def of_tenant(session: Session, tenant: str | None, after: str = "", limit: int = 100) -> list[Ingest]:
    """A page of ingests after an id, of one tenant or of all."""
    query = select(t.IngestRow).where(t.IngestRow.id > after).order_by(t.IngestRow.id).limit(limit)
    if tenant is not None:
        query = query.where(t.IngestRow.tenant == tenant)
    return [_ingest(row) for row in session.scalars(query)]


def units_of(session: Session, population: str, owner: str) -> int:
    """Units that an owner's committed ingests brought into a population, those in several datasets counted each time.

    Whoever is about to add to them comes one at a time: the population is locked until this transaction ends.

    Privacy: depends on the data; only the ingest itself looks at it, to keep to N_ids (P2.2).
    """
    if session.info.get(WRITES):
        session.execute(select(t.PopulationRow.id).where(t.PopulationRow.name == population).with_for_update())
    query = select(t.IngestRow).where(t.IngestRow.state == "committed", t.IngestRow.tenant == owner)
    reports = (row.report or {} for row in session.scalars(query) if row.spec.get("population") == population)
    return sum(int(report.get("units_new", report.get("units", 0))) for report in reports)


def living_versions(session: Session, now: str) -> set[str]:
    """Versions that some worker under a lease is building."""
    query = select(t.IngestRow.version).where(t.IngestRow.state == "running", t.IngestRow.lease_until >= now)
    return {version for version in session.scalars(query) if version is not None}


def _row(session: Session, ingest_id: str) -> t.IngestRow:
    row = session.get(t.IngestRow, ingest_id, populate_existing=True)
    if row is None:
        raise NotFound("ingest_unknown", ingest=ingest_id)
    return row


def _update_held(session: Session, ingest: Ingest, values: Mapping[str, Any]) -> None:
    """Change the row if this attempt still is the one that runs: a worker that slept through its lease must not."""
    changed = session.execute(
        update(t.IngestRow)
        .where(
            t.IngestRow.id == ingest.id,
            t.IngestRow.state == ingest.state,
            t.IngestRow.attempt == ingest.attempt,
            t.IngestRow.lease_owner.is_not_distinct_from(ingest.lease_owner),
        )
        .values(**values)
        .returning(t.IngestRow.id)
        .execution_options(synchronize_session=False)
    )
    if changed.first() is None:
        raise Conflict("lease_lost", ingest=ingest.id)


def _tell(
    session: Session,
    clock: Clock,
    row: t.IngestRow,
    event: str,
    details: Mapping[str, Any],
    *,
    records: tuple[t.Row, ...] = (),
) -> None:
    told = {"ingest": row.id, **details}
    log.append(
        session, clock, event, actor=log.SYSTEM, subject=row.id, details=told, tenant=row.tenant, records=records
    )


def _ingest(row: t.IngestRow) -> Ingest:
    return Ingest(
        id=row.id, tenant=row.tenant, dataset=row.dataset, principal=row.principal,
        spec=restored(DatasetSpec, row.spec), version=row.version, state=row.state, attempt=row.attempt,
        lease_owner=row.lease_owner, lease_until=row.lease_until, progress=row.progress, report=row.report,
        error=row.error, created_at=row.created_at, kind=row.kind, reason=row.reason,
    )  # fmt: skip
