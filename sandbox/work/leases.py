"""Leases: how a worker holds a duty that only one at a time may do, and finds out when it does not any more."""

from __future__ import annotations

import threading
import time
from typing import Final

from sqlalchemy.orm import Session

from sandbox.clock import Clock
from sandbox.errors import Conflict
from sandbox.store import duties
from sandbox.store.sessions import Sessions

LEASE_SECONDS: Final = 10.0
"""A dead worker's duties are idle for so long at most."""


class Lease:
    """One worker's hold on one duty. The fence makes it safe, the time only makes it quick."""

    def __init__(
        self, sessions: Sessions, clock: Clock, *, name: str, owner: str, seconds: float = LEASE_SECONDS
    ) -> None:
        self._sessions = sessions
        self._clock = clock
        self._name = name
        self._owner = owner
        self._seconds = seconds
        self._lock = threading.Lock()
        self._fence: int | None = None
        self._fresh = 0.0

    def hold(self) -> bool:
        """Take the lease, or renew it when a third of it is over; True while it is held.

        A long run calls it between its steps: whoever does not come back in time has the duty taken from it.

        Raises:
            DependencyFailed: the database fails; whether it is held is not known then.
        """
        with self._lock:
            if self._fence is None:
                return self._take()
            if time.monotonic() - self._fresh < self._seconds / 3:
                return True
            return self._renew(self._fence)

    def guard(self, session: Session) -> None:
        """First call of every transaction of the duty: nobody else takes it before this one has ended.

        Raises:
            Conflict: `lease_lost`; nothing may be changed.
        """
        held = self._fence
        if held is None:
            raise Conflict("lease_lost", duty=self._name)
        duties.fence(session, self._name, self._owner, held)

    def release(self) -> None:
        """Let another worker have it at once.

        Raises:
            DependencyFailed: the database fails; the lease will run out.
        """
        with self._lock:
            held, self._fence = self._fence, None
            if held is not None:
                with self._sessions.begin() as session:
                    duties.release(session, self._name, self._owner, held)

    def lose(self) -> None:
        """Believe no longer that it is held: somebody was told `lease_lost`."""
        with self._lock:
            self._fence = None

    def _take(self) -> bool:
        started = time.monotonic()
        with self._sessions.reading() as session:
            if not duties.free(session, self._clock, self._name, self._owner):
                return False
        with self._sessions.begin() as session:
            taken = duties.take(session, self._clock, self._name, self._owner, self._seconds)
        self._fence, self._fresh = taken, started
        return taken is not None

    def _renew(self, held: int) -> bool:
        started = time.monotonic()
        try:
            with self._sessions.begin() as session:
                duties.renew(session, self._clock, self._name, self._owner, fence=held, seconds=self._seconds)
        except Conflict:
            self._fence = None
            return False
        self._fresh = started
        return True
