"""The one sequencer: gives committed events their places in the log, writes its tiles, signs a checkpoint over them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from sqlalchemy.orm import Session

from sandbox import crash
from sandbox.audit.checkpoint import checkpoint_text, sign_note
from sandbox.audit.tiles import WIDTH
from sandbox.clock import Clock
from sandbox.store import log, numbering, tiles
from sandbox.store.sessions import Sessions
from sandbox.work.tree import Tree

_BATCH: Final = 10_000
"""Events that get their places in one transaction."""
_FILLED: Final = 64 * WIDTH
"""Leaves whose tiles are written in one transaction where a log has none yet."""


class Sequencer:
    """Numbers events after their commit, so that writers never wait for one another; all it knows is in SQL."""

    def __init__(
        self,
        sessions: Sessions,
        clock: Clock,
        *,
        name: str,
        key: bytes,
        guard: Callable[[Session], None] = lambda _session: None,
    ) -> None:
        """`guard` is called first in the transaction, and raises `lease_lost` when another worker sequences."""
        self._guard = guard
        self._sessions = sessions
        self._clock = clock
        self._name = name
        self._key = key
        self._tree = Tree()

    def run(self) -> bool:
        """Number what is new and sign, in one transaction with the tiles; True if there was anything."""
        with self._sessions.reading() as session:
            size, bare = log.size(session), is_bare(session)
            newest = log.checkpoint(session)
            if not bare and not log.unnumbered(session) and (size == 0 or (newest is not None and newest[0] == size)):
                return False
        with self._sessions.begin() as session:
            self._guard(session)
            if not numbering.my_turn(session):
                return False
            if bare:
                fill(session, self._tree)
            else:
                extend(session, self._clock, self._tree, name=self._name, key=self._key)
        return True


def extend(
    session: Session, clock: Clock, tree: Tree, *, name: str, key: bytes, only: Sequence[str] | None = None
) -> tuple[int, str]:
    """Number events that wait (or only those), write the tiles that became full, sign; gives (size, note).

    The caller has made sure that nobody else numbers, and the tiles of what is numbered already are there.

    Raises:
        DependencyFailed: `database_busy`, somebody else did number.
        IntegrityFailed: `tile_missing`.
    """
    before = log.size(session)
    old = tree.at(session, before)
    numbering.number(session, _BATCH, only=only)
    crash.point("log.numbered")
    grown, changed = old.grow(log.leaves(session, before))
    tiles.save(session, changed)
    root = grown.root()
    note = sign_note(checkpoint_text(name, grown.size, root), name, key)
    log.save_checkpoint(session, size=grown.size, root=root.hex(), note=note, at=clock.text())
    return grown.size, note


def fill(session: Session, tree: Tree) -> None:
    """Write tiles for some of the events that were numbered without any.

    A log of release 0.1 has none.
    """
    covered = tiles.covered(session)
    size = log.size(session)
    end = min(covered + _FILLED, size - size % WIDTH)
    _, changed = tree.at(session, covered).grow(log.leaves(session, covered, end))
    tiles.save(session, changed)


def is_bare(session: Session) -> bool:
    """Whether full tiles are still to be written for what is numbered, as in a log of release 0.1."""
    size = log.size(session)
    return tiles.covered(session) < size - size % WIDTH
