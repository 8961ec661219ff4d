"""The worker: runs duties, each on a thread and a beat of its own, and keeps their standing in SQL."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from sandbox.clock import Clock
from sandbox.errors import SandboxError
from sandbox.store import duties
from sandbox.store.sessions import Sessions
from sandbox.work.leases import Lease

REPORT_SECONDS: Final = 10.0
"""How often a duty that keeps succeeding says so: readiness needs no more, and each word costs a disk write."""

WAIT_SECONDS: Final = 1.0
"""How often a worker asks whether a duty that another one holds has come free."""

GATHER_SECONDS: Final = 0.1
"""After a ring a duty rests so long, so that what many commit at one time is done at one time."""

_log = logging.getLogger("sandbox.work")


@dataclass(frozen=True, slots=True, kw_only=True)
class Duty:
    """Something to do again and again: `run` gives True while there is more; then it rests for `beat` seconds.

    With a `lease` it runs only while this worker holds it; without one every worker runs it, and its rows have leases.
    `wakes`: it rests no longer than until somebody commits an event.
    """

    name: str
    run: Callable[[], bool]
    beat: float
    lease: Lease | None = None
    wakes: bool = False
    always: bool = False
    """Runs also while the home may not be written to; the others rest then."""


class Worker:
    """Runs duties until it is stopped. A duty that fails says so, rests, and tries again."""

    def __init__(self, duties: Sequence[Duty], *, sessions: Sessions, clock: Clock, worker_id: str) -> None:
        self._sessions = sessions
        self._clock = clock
        self._worker_id = worker_id
        self._stop = threading.Event()
        self._threads = [
            threading.Thread(target=self._live, args=(d,), name=f"duty {d.name}", daemon=True) for d in duties
        ]

    def start(self) -> None:
        """Begin all duties."""
        for thread in self._threads:
            thread.start()

    def stop(self, seconds: float = 30.0) -> None:
        """Let every duty end what it is at, and let go of its lease, so that another worker takes over at once."""
        self._stop.set()
        self._sessions.wake()
        deadline = time.monotonic() + seconds
        for thread in self._threads:
            thread.join(max(0.0, deadline - time.monotonic()))

    def _live(self, duty: Duty) -> None:
        told: str | None = None
        told_at = 0.0
        while not self._stop.is_set():
            if self._sessions.frozen is not None and not duty.always:
                told = None
                self._stop.wait(WAIT_SECONDS)
                continue
            if not self._holds(duty):
                told = None  # whoever holds it reports
                self._stop.wait(WAIT_SECONDS)
                continue
            more, error = self._once(duty)
            now = time.monotonic()
            if (error or "") != told or now - told_at > REPORT_SECONDS:
                told, told_at = self._tell(duty, error), now
            if not more:
                self._rest(duty)
        self._let_go(duty)

    def _holds(self, duty: Duty) -> bool:
        try:
            return duty.lease is None or duty.lease.hold()
        except SandboxError as error:
            _log.error("duty %s: no word of its lease: %s", duty.name, error.code)
            return False

    def _once(self, duty: Duty) -> tuple[bool, str | None]:
        try:
            return duty.run(), None
        except SandboxError as error:
            if error.code == "lease_lost" and duty.lease is not None:
                _log.warning("duty %s: another worker has taken it over", duty.name)
                duty.lease.lose()
                return False, None
            _log.error("duty %s failed: %s", duty.name, error.code)
            return False, error.code
        except Exception as error:  # noqa: BLE001 - a duty that dies unseen would be worse than one that fails aloud
            _log.error("duty %s failed: %s", duty.name, type(error).__name__)
            return False, type(error).__name__

    def _rest(self, duty: Duty) -> None:
        if not duty.wakes:
            self._stop.wait(duty.beat)
            return
        self._sessions.wait(duty.beat)
        self._stop.wait(GATHER_SECONDS)

    def _tell(self, duty: Duty, error: str | None) -> str | None:
        """Report, unless the duty was lost meanwhile; gives what was told, None if it was not."""
        if self._sessions.frozen is not None:
            return None
        try:
            with self._sessions.begin() as session:
                if duty.lease is not None:
                    duty.lease.guard(session)
                duties.report(session, self._clock, duty.name, worker=self._worker_id, error=error)
        except SandboxError as failure:
            if failure.code != "lease_lost":
                _log.error("duty %s could not report: %s", duty.name, failure.code)
            return None
        return error or ""

    def _let_go(self, duty: Duty) -> None:
        try:
            if duty.lease is not None:
                duty.lease.release()
        except SandboxError as error:
            _log.error("duty %s: its lease will run out: %s", duty.name, error.code)
