"""The guard: before a home is written to, and while it is, its log is compared with what others hold of it."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Sequence
from typing import Final

from sqlalchemy.orm import Session

from sandbox.clock import Clock
from sandbox.errors import DependencyFailed, IntegrityFailed, SandboxError
from sandbox.ports import ObjectStore
from sandbox.store import cosignatures, home_state, log
from sandbox.store.sessions import Sessions
from sandbox.work.outside import Outside, compare, look_outside
from sandbox.work.tree import Tree
from sandbox.work.witnesses import Witness

BEAT: Final = 2.0
"""How often a process looks whether the log under it became shorter, or another process closed the home."""
FULL_SECONDS: Final = 60.0
"""How often everybody outside is asked again."""

_log = logging.getLogger("sandbox.work")


class Guard:
    """Freezes this process's sessions while the home may not be written to, and thaws them when it may.

    At the start nothing may be written until the object store has been asked, and one witness at least if any are
    named (unless `alone`); one that does not answer later stops nothing. A home that is behind, or beside, what others
    hold is closed for every process, and only `reconcile` opens it again.
    """

    def __init__(
        self,
        sessions: Sessions,
        clock: Clock,
        objects: ObjectStore,
        *,
        vkey: str,
        witnesses: Sequence[Witness] = (),
        alone: bool = False,
    ) -> None:
        """Nothing is looked at yet."""
        self._sessions = sessions
        self._clock = clock
        self._objects = objects
        self._vkey = vkey
        self._witnesses = witnesses
        self._alone = alone
        self._tree = Tree()
        self._lock = threading.Lock()
        self._seen = 0
        self._full_at = float("-inf")

    def start(self) -> None:
        """The look before the first write. Whatever it finds, reading works; `Sessions.frozen` has the reason.

        Raises:
            DependencyFailed: the database cannot be read.
        """
        self._sessions.freeze(home_state.UNCHECKED)
        with self._lock:
            self._from_the_start()

    def run(self) -> bool:
        """Duty: look again. Raises what keeps it from looking; a home that it found well stays open meanwhile."""
        with self._lock:
            if self._sessions.frozen is not None:
                self._from_the_start()
                return False
            seen = self._seen  # before the snapshot: meanwhile the sequencer's thread may see more than it holds
            with self._sessions.reading() as session:
                size, state = log.size(session), home_state.read(session)
            if size < seen:
                self._close(home_state.ROLLED_BACK)  # for every process, not for this one alone
                self._sessions.freeze(home_state.ROLLED_BACK)
                raise DependencyFailed("home_read_only", reason=home_state.ROLLED_BACK)
            self._seen = max(self._seen, size)
            if state.mode != home_state.OPEN:
                self._sessions.freeze(state.code)
            elif time.monotonic() - self._full_at >= FULL_SECONDS:
                self._again()
        return False

    def check(self, session: Session) -> None:
        """A log only grows: call it before any event is numbered, and freeze if it became shorter than it was seen.

        Raises:
            DependencyFailed: `home_read_only`.
        """
        size = log.size(session)
        if size < self._seen:
            _log.critical("the log had %d events and has %d: the database was set back", self._seen, size)
            self._sessions.freeze(home_state.ROLLED_BACK)
            raise DependencyFailed("home_read_only", reason=home_state.ROLLED_BACK)
        self._seen = max(self._seen, size)

    def _from_the_start(self) -> None:
        reason = self._why_not()
        if reason != self._sessions.frozen:
            _log.warning("the home is %s", "open" if reason is None else f"read-only: {reason}")
        self._sessions.freeze(reason)

    def _why_not(self) -> str | None:
        """The reason that forbids writing, after asking everybody and writing down what was found."""
        try:
            outside = self._look(copies=True)
        except DependencyFailed as error:
            _log.error("what was published cannot be looked up: %s", error.code)
            return home_state.UNCHECKED
        except IntegrityFailed as error:
            return error.code
        if self._witnesses and not outside.answered and not self._alone:
            return home_state.UNCHECKED
        seen = self._seen
        with self._sessions.reading() as session:
            state, found = home_state.read(session), compare(session, self._tree, outside)
            size = log.size(session)
        if found is None and size < seen:
            found = home_state.ROLLED_BACK  # set back to what is published, and what came after it was answered
        if found is not None:
            self._close(found)
            return found
        if state.mode != home_state.OPEN and (state.code != home_state.RESTORED or not outside.known):
            return state.code
        if state.mode != home_state.OPEN:
            self._restored(size)
        self._seen, self._full_at = max(self._seen, size), time.monotonic()
        return None

    def _again(self) -> None:
        outside = self._look(copies=False)
        with self._sessions.reading() as session:
            found = compare(session, self._tree, outside)
        if found is not None:
            self._close(found)
            self._sessions.freeze(found)
        self._full_at = time.monotonic()

    def _look(self, *, copies: bool) -> Outside:
        with self._sessions.reading() as session:
            own = cosignatures.note(session)
        return look_outside(self._objects, self._witnesses, self._vkey, own=own, copies=copies)

    def _close(self, code: str) -> None:
        """Close the home for every process. This one is frozen even if that cannot be written."""
        try:
            with self._sessions.begin(although_frozen=True) as session:
                state = home_state.read(session)
                if state.code != code:
                    home_state.close(session, self._clock, code, state.backup)
        except SandboxError as error:
            _log.error("that the home is closed could not be written: %s", error.code)

    def _restored(self, size: int) -> None:
        """Nobody holds more than the restored home has: it goes on; event `home.restore`."""
        with self._sessions.begin(although_frozen=True) as session:
            state = home_state.read(session)
            if state.mode != home_state.OPEN and state.backup is not None:
                tell_restored(session, self._clock, state.backup, size)
                home_state.open_again(session, self._clock)


def tell_restored(session: Session, clock: Clock, backup: str, size: int) -> None:
    """The event `home.restore`: from which backup, with how many events."""
    details = {"backup": backup, "size": size}
    log.append(session, clock, "home.restore", actor=log.SYSTEM, subject=backup, details=details)
