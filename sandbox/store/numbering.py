"""Numbering: how committed events get their places in the log, without keeping any writer waiting."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from sqlalchemy import func, select, update
from sqlalchemy.orm import Session

from sandbox.errors import DependencyFailed
from sandbox.store import log
from sandbox.store import tables as t

_TURN: Final = 0x5EC0_10C5
"""PostgreSQL's advisory lock that sequencers try."""

_ORDER: Final = (func.coalesce(t.EventRow.seq, 0), t.EventRow.at, t.EventRow.id)


def number(session: Session, limit: int = 10_000, *, only: Sequence[str] | None = None) -> int:
    """Give places in the log to events that have none, oldest first, in one statement; only a sequencer calls this.

    Oldest by insertion: a cause was committed before its effect was begun, whatever the clocks of their processes said.
    Events from before there was such an order come first, by time. `only` leaves all others waiting.

    Raises:
        DependencyFailed: `database_busy`, somebody else gave places at the same time.
    """
    start = log.size(session)
    place = (func.row_number().over(order_by=_ORDER) + (start - 1)).label("place")
    waiting = select(t.EventRow.id, place).where(t.EventRow.idx.is_(None)).order_by(*_ORDER).limit(limit)
    if only is not None:
        waiting = waiting.where(t.EventRow.id.in_(only))
    found = waiting.subquery("waiting")
    placed = session.scalars(
        update(t.EventRow)
        .where(t.EventRow.id == found.c.id, t.EventRow.idx.is_(None))
        .values(idx=found.c.place)
        .returning(t.EventRow.idx)
        .execution_options(synchronize_session=False)
    )
    places = sorted(p for p in placed if p is not None)
    if places != list(range(start, start + len(places))):
        raise DependencyFailed("database_busy")
    return len(places)


def my_turn(session: Session) -> bool:
    """Whether no other sequencer is at it; a hint that spares waiting, where the database has such locks."""
    if session.get_bind().dialect.name != "postgresql":
        return True
    return bool(session.scalar(select(func.pg_try_advisory_xact_lock(_TURN))))


def hold_numbering(session: Session) -> None:
    """Keep every sequencer waiting until this transaction ends: they all begin with the row of their duty."""
    session.execute(select(t.DutyRow.name).where(t.DutyRow.name == "sequence").with_for_update()).all()


def waiting_ids(session: Session) -> list[str]:
    """The ids of events that have no place yet, in the order in which they will get theirs."""
    query = select(t.EventRow.id).where(t.EventRow.idx.is_(None))
    return list(session.scalars(query.order_by(*_ORDER)))
