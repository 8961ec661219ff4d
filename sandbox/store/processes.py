"""Processes in SQL: which gateways and workers live, on which settings and release, and when each was last seen."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from sqlalchemy import delete, select, update
from sqlalchemy.orm import Session

from sandbox.clock import Clock
from sandbox.store import log
from sandbox.store import tables as t
from sandbox.store.writing import insert_new

ALIVE_SECONDS: Final = 30.0
"""A process that was not seen for so long is taken for dead."""

KEPT_SECONDS: Final = 3600.0
"""A dead one is remembered for so long, for whoever looks for the reason."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Process:
    """A gateway (`gateway`) or a worker (`worker`). `settings` is their digest, `id` the owner of its leases."""

    id: str
    role: str
    host: str
    release: str
    settings: str
    started_at: str
    seen_at: str = ""


def start(session: Session, clock: Clock, process: Process) -> None:
    """Write a process down as it starts, with the event `process.start`, which does not name its machine."""
    if not insert_new(session, _row(process, clock.text())):
        return  # it was written down, and did not hear of it
    log.append(
        session, clock, "process.start", actor=log.SYSTEM, subject=process.id,
        details={"role": process.role, "settings": process.settings, "release": process.release},
    )  # fmt: skip


def seen(session: Session, clock: Clock, process: Process) -> None:
    """It lives; forget those who have long been dead. One that was taken for dead itself is written down again."""
    at = clock.text()
    alive = session.scalar(
        update(t.ProcessRow)
        .where(t.ProcessRow.id == process.id)
        .values(seen_at=at)
        .returning(t.ProcessRow.id)
        .execution_options(synchronize_session=False)
    )
    if alive is None:
        session.add(_row(process, at))
    session.execute(delete(t.ProcessRow).where(t.ProcessRow.seen_at < clock.text(plus_seconds=-KEPT_SECONDS)))


def stop(session: Session, _clock: Clock, process: Process) -> None:
    """It ends as it should, and leaves nothing."""
    session.execute(delete(t.ProcessRow).where(t.ProcessRow.id == process.id))


def all_processes(session: Session) -> list[Process]:
    """Every process that has not ended as it should, oldest first."""
    rows = session.scalars(select(t.ProcessRow).order_by(t.ProcessRow.started_at, t.ProcessRow.id))
    return [
        Process(
            id=r.id, role=r.role, host=r.host, release=r.release, settings=r.settings, started_at=r.started_at,
            seen_at=r.seen_at,
        )
        for r in rows
    ]  # fmt: skip


def living(session: Session, clock: Clock) -> list[Process]:
    """Those that were seen lately, oldest first."""
    since = clock.text(plus_seconds=-ALIVE_SECONDS)
    return [process for process in all_processes(session) if process.seen_at >= since]


def _row(process: Process, at: str) -> t.ProcessRow:
    return t.ProcessRow(
        id=process.id, role=process.role, host=process.host, release=process.release, settings=process.settings,
        started_at=process.started_at, seen_at=at,
    )  # fmt: skip
