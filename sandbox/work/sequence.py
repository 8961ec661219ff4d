"""The one sequencer: gives committed events their places in the log and signs a checkpoint over them."""

from __future__ import annotations

from sandbox.audit import merkle
from sandbox.audit.checkpoint import checkpoint_text, sign_note
from sandbox.clock import Clock
from sandbox.store import log
from sandbox.store.sessions import Sessions


class Sequencer:
    """Numbers events after their commit, so that writers never wait for one another; keeps the tree's edge."""

    def __init__(self, sessions: Sessions, clock: Clock, *, name: str, key: bytes) -> None:
        self._sessions = sessions
        self._clock = clock
        self._name = name
        self._key = key
        self._edge = merkle.Frontier()
        self._size = 0

    def run(self) -> bool:
        """Number what is new and sign; True if there was anything. Numbers and checkpoint are one transaction."""
        with self._sessions.reading() as session:
            if not log.unnumbered(session) and self._signed(log.checkpoint(session), log.size(session)):
                return False
        with self._sessions.begin() as session:
            log.number(session)
            size = log.size(session)
            edge = merkle.Frontier() if self._size > size else self._edge
            start = 0 if self._size > size else self._size
            for leaf in log.leaves(session, start, size):
                edge.push(leaf)
            root = edge.root()
            note = sign_note(checkpoint_text(self._name, size, root), self._name, self._key)
            log.save_checkpoint(session, size=size, root=root.hex(), note=note, at=self._clock.text())
        self._edge, self._size = edge, size
        return True

    def _signed(self, checkpoint: tuple[int, str] | None, size: int) -> bool:
        return size == 0 or (checkpoint is not None and checkpoint[0] == size)
