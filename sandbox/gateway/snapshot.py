"""A settled instant: records as one snapshot has them, and a checkpoint over exactly the events that made them so."""

from __future__ import annotations

import time
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Final

from sqlalchemy.orm import Session

from sandbox.errors import DependencyFailed, SandboxError
from sandbox.store import cosignatures, log, numbering
from sandbox.wiring import House
from sandbox.work.sequence import extend, is_bare
from sandbox.work.tree import Tree

_WAIT: Final = 15.0
_PAUSE: Final = 0.05
_PIECE: Final = 5000
"""Ids in one statement."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Instant:
    """`records` sees the rows of that instant; the first `size` events, which `note` signs, made them so."""

    records: Session
    size: int
    note: str


def settled(house: House, stack: ExitStack) -> Instant:
    """An instant, with its session on `stack`.

    A busy gateway always has events that wait for their places, so waiting for a moment without any could be in vain.
    Instead the sequencer is kept waiting for a moment, and the events that the snapshot sees get their places here:
    no others, though they may be committed by then.

    Raises:
        DependencyFailed: `log_busy`; `home_read_only`.
        IntegrityFailed: `tile_missing`, an event is gone from the database.
    """
    deadline = time.monotonic() + _WAIT
    while time.monotonic() < deadline:
        with ExitStack() as attempt:
            try:
                instant = _settle(house, attempt)
            except SandboxError as error:
                if error.code != "database_busy":
                    raise
            else:
                stack.push(attempt.pop_all())
                return instant
        time.sleep(_PAUSE)
    raise DependencyFailed("log_busy")


def _settle(house: House, stack: ExitStack) -> Instant:
    with house.sessions.begin() as writer:
        numbering.hold_numbering(writer)
        house.guard.check(writer)
        tree = Tree()  # of this attempt alone: what is rolled back must be remembered nowhere
        records = stack.enter_context(house.sessions.reading())
        size, waiting = log.size(records), numbering.waiting_ids(records)
        if size != log.size(writer) or is_bare(writer):
            raise DependencyFailed("database_busy")
        newest = log.checkpoint(records)
        unsigned = newest is None or newest[0] != size  # then it is signed, also if nothing waits
        for start in range(0, max(len(waiting), unsigned), _PIECE):
            piece = waiting[start : start + _PIECE]
            size, _ = extend(writer, house.clock, tree, name=house.log_name, key=house.log_key, only=piece)
    with house.sessions.reading() as session:
        found = cosignatures.note(session, size)
    if found is None:
        raise DependencyFailed("database_busy")
    return Instant(records=records, size=size, note=found[1])
