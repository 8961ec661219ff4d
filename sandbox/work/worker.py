"""The worker: runs duties, each on a thread and a beat of its own, and keeps their standing in SQL."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from sandbox.clock import Clock
from sandbox.errors import SandboxError
from sandbox.store import duties
from sandbox.store.sessions import Sessions

REPORT_SECONDS: Final = 10.0
"""How often a duty that keeps succeeding says so: readiness needs no more, and each word costs a disk write."""

_log = logging.getLogger("sandbox.work")


@dataclass(frozen=True, slots=True, kw_only=True)
class Duty:
    """Something to do again and again: `run` gives True while there is more; then it rests for `beat` seconds."""

    name: str
    run: Callable[[], bool]
    beat: float


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
        """Let every duty end what it is at."""
        self._stop.set()
        for thread in self._threads:
            thread.join(seconds)

    def _live(self, duty: Duty) -> None:
        told, told_at = "", 0.0
        while not self._stop.is_set():
            more, error = self._once(duty)
            now = self._clock.now().timestamp()
            if (error or "") != told or now - told_at > REPORT_SECONDS or not told_at:
                self._tell(duty, error)
                told, told_at = error or "", now
            if not more:
                self._stop.wait(duty.beat)

    def _once(self, duty: Duty) -> tuple[bool, str | None]:
        try:
            return duty.run(), None
        except SandboxError as error:
            _log.error("duty %s failed: %s", duty.name, error.code)
            return False, error.code
        except Exception as error:  # noqa: BLE001 - a duty that dies unseen would be worse than one that fails aloud
            _log.error("duty %s failed: %s", duty.name, type(error).__name__)
            return False, type(error).__name__

    def _tell(self, duty: Duty, error: str | None) -> None:
        try:
            with self._sessions.begin() as session:
                duties.report(session, self._clock, duty.name, worker=self._worker_id, error=error)
        except SandboxError as failure:
            _log.error("duty %s could not report: %s", duty.name, failure.code)
