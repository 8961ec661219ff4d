"""Duties in SQL: when each last succeeded, and what it last failed with."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import select
from sqlalchemy.orm import Session

from sandbox.clock import Clock
from sandbox.store import tables as t


@dataclass(frozen=True, slots=True, kw_only=True)
class Duty:
    """A duty's standing: the time of its last success, and a code if it has failed since."""

    name: str
    last_ok: str | None
    error: str | None


def report(session: Session, clock: Clock, name: str, *, worker: str, error: str | None) -> None:
    """Write a duty's success or failure down."""
    row = session.get(t.DutyRow, name) or t.DutyRow(name=name, last_ok=None)
    row.error, row.lease_owner = error, worker
    if error is None:
        row.last_ok = clock.text()
    session.add(row)


def all_duties(session: Session) -> list[Duty]:
    """Every duty that has ever run, by name."""
    rows = session.scalars(select(t.DutyRow).order_by(t.DutyRow.name))
    return [Duty(name=r.name, last_ok=r.last_ok, error=r.error) for r in rows]
