"""Duties in SQL: who may do each, under a lease with a fence, and when it last succeeded or failed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from sqlalchemy import or_, select, update
from sqlalchemy.orm import Session

from sandbox.clock import Clock
from sandbox.errors import Conflict, DependencyFailed
from sandbox.store import tables as t
from sandbox.store.writing import insert_new

WORD_SECONDS: Final = 30.0
"""How long one worker's failure at a duty that many share stands against the success of the others."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Duty:
    """A duty's standing: the time of its last success, a code if it has failed since, and who holds it until when.

    `fence` counts its leases; it is 0 for a duty that all workers share, whose holder is who last told of it.
    """

    name: str
    last_ok: str | None
    error: str | None
    holder: str | None = None
    until: str | None = None
    fence: int = 0


def take(session: Session, clock: Clock, name: str, owner: str, seconds: float) -> int | None:
    """Take the lease of a duty that nobody holds, whose holder's time is over, or that is the owner's own.

    Gives the lease's fence, larger than every one before; None while somebody else holds it.
    """
    _make(session, name)
    free = or_(t.DutyRow.lease_until.is_(None), t.DutyRow.lease_until <= clock.text(), t.DutyRow.lease_owner == owner)
    taken: int | None = session.scalar(
        update(t.DutyRow)
        .where(t.DutyRow.name == name, free)
        .values(lease_owner=owner, lease_until=clock.text(plus_seconds=seconds), fence=t.DutyRow.fence + 1)
        .returning(t.DutyRow.fence)
        .execution_options(synchronize_session=False)
    )
    return taken


def renew(session: Session, clock: Clock, name: str, owner: str, *, fence: int, seconds: float) -> None:
    """Hold the lease for so long from now. One that ran out and that nobody else has taken is good again.

    Raises:
        Conflict: `lease_lost`.
    """
    self_held = (t.DutyRow.name == name) & (t.DutyRow.lease_owner == owner) & (t.DutyRow.fence == fence)
    renewed = session.scalar(
        update(t.DutyRow)
        .where(self_held)
        .values(lease_until=clock.text(plus_seconds=seconds))
        .returning(t.DutyRow.name)
        .execution_options(synchronize_session=False)
    )
    if renewed is None:
        raise Conflict("lease_lost", duty=name)


def release(session: Session, name: str, owner: str, fence: int) -> None:
    """Let another have it at once; nothing happens if the lease is lost already."""
    session.execute(
        update(t.DutyRow)
        .where(t.DutyRow.name == name, t.DutyRow.lease_owner == owner, t.DutyRow.fence == fence)
        .values(lease_owner=None, lease_until=None)
        .execution_options(synchronize_session=False)
    )


def fence(session: Session, name: str, owner: str, fence: int) -> None:
    """Refuse to go on unless this lease is still the newest; until the transaction ends nobody else can take it.

    Call it first in every transaction of a duty that one at a time may do. What time it is does not matter here: a
    holder who slept through its lease and whose duty nobody took has done no harm, and one whose duty was taken finds
    out here, before it changes anything.

    Raises:
        Conflict: `lease_lost`.
    """
    held = select(t.DutyRow.name).where(
        t.DutyRow.name == name, t.DutyRow.lease_owner == owner, t.DutyRow.fence == fence
    )
    if session.scalar(held.with_for_update()) is None:
        raise Conflict("lease_lost", duty=name)


def free(session: Session, clock: Clock, name: str, owner: str) -> bool:
    """Whether `take` would give the lease; a reader's question, so that waiting for a duty writes nothing."""
    row = session.get(t.DutyRow, name, populate_existing=True)
    if row is None or row.lease_until is None or row.lease_owner == owner:
        return True
    return row.lease_until <= clock.text()

PUBLISHED_SECONDS: Final = 30
"""Charges are refused when the log has not been published for so long: a database that is set back then would forget
more charges than those of this time, and nobody outside could tell."""


def is_late(session: Session, clock: Clock, name: str, seconds: float) -> bool:
    """Whether a duty that has succeeded before has not for so long."""
    last = session.scalar(select(t.DutyRow.last_ok).where(t.DutyRow.name == name))
    return last is not None and last < clock.text(plus_seconds=-seconds)


def require_published(session: Session, clock: Clock) -> None:
    """Refuse to charge while the log is not published: `log_not_published` (DependencyFailed)."""
    if is_late(session, clock, "publish", PUBLISHED_SECONDS):
        raise DependencyFailed("log_not_published", seconds=PUBLISHED_SECONDS)


def report(session: Session, clock: Clock, name: str, *, worker: str, error: str | None) -> None:
    """Write a duty's success or failure down.

    Of a duty that all workers share, one worker's failure is not covered up by another's success: it stands until the
    same worker succeeds or is silent for `WORD_SECONDS`.
    """
    _make(session, name)
    row = session.get_one(t.DutyRow, name, populate_existing=True, with_for_update=True)
    if error is None:
        row.last_ok = clock.text()
    others = row.error is not None and row.lease_owner != worker and (row.lease_until or "") > clock.text()
    if row.fence == 0 and error is None and others:
        return
    row.error = error
    if row.fence == 0:
        row.lease_owner, row.lease_until = worker, clock.text(plus_seconds=WORD_SECONDS)


def all_duties(session: Session) -> list[Duty]:
    """Every duty that has ever run, by name."""
    rows = session.scalars(select(t.DutyRow).order_by(t.DutyRow.name))
    return [
        Duty(
            name=r.name, last_ok=r.last_ok, error=r.error, holder=r.lease_owner, until=r.lease_until, fence=r.fence
        )
        for r in rows
    ]  # fmt: skip


def _make(session: Session, name: str) -> None:
    """The duty's row, if it is not there; two that make it at one time are not in each other's way."""
    if session.get(t.DutyRow, name) is None:
        insert_new(session, t.DutyRow(name=name, fence=0))
