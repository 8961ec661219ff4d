"""The bell: wakes who waits for events, in this process and by NOTIFY in the others; nothing depends on hearing it."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final, Protocol

CHANNEL: Final = "sandbox"
_PAUSE: Final = 0.02
"""Many commits in so short a time ring once."""
_RETRY: Final = 5.0

_log = logging.getLogger(__name__)


class Line(Protocol):
    """A driver's connection of its own, in autocommit; psycopg's has it."""

    def execute(self, query: Any) -> object:
        """Run one statement."""
        ...

    def notifies(self, *, timeout: float | None = None, stop_after: int | None = None) -> Any:
        """What others have sent, as it comes, until the time is over."""
        ...

    def close(self) -> None:
        """Let go of it."""
        ...


class Bell:
    """`ring` after a commit, `wait` for the next ring.

    Rings leave by a connection and a thread of their own, after the commit and several in one: a NOTIFY within the
    writers' transactions would hold one lock of the whole server while each of them waits for the disk. A ring that is
    lost costs a waiter the time it asked to wait, and nothing else.
    """

    def __init__(self, connect: Callable[[], Line] | None) -> None:
        """Without `connect` it is heard in this process alone."""
        self._connect = connect
        self._heard = threading.Condition()
        self._rings = 0
        self._seen = threading.local()
        self._due = threading.Event()
        self._closed = threading.Event()
        self._started: set[str] = set()

    def ring(self) -> None:
        """Wake whoever waits."""
        self.wake()
        if self._connect is not None:
            self._due.set()
            self._start("bell rings", self._send)

    def wait(self, seconds: float) -> None:
        """Rest until the bell rings, or rang since this thread last waited; at most so long."""
        if self._connect is not None:
            self._start("bell listens", self._listen)
        with self._heard:
            seen = getattr(self._seen, "rings", 0)
            self._heard.wait_for(lambda: self._rings != seen or self._closed.is_set(), seconds)
            self._seen.rings = self._rings

    def close(self) -> None:
        """Wake everybody, and end."""
        self._closed.set()
        self._due.set()
        self.wake()

    def wake(self) -> None:
        """Wake the waiters of this process."""
        with self._heard:
            self._rings += 1
            self._heard.notify_all()

    def _start(self, name: str, live: Callable[[Line], None]) -> None:
        if name in self._started:  # looked up without the lock: threads never leave the set
            return
        with self._heard:
            if name not in self._started and not self._closed.is_set():
                self._started.add(name)
                threading.Thread(target=self._keep, args=(live,), name=name, daemon=True).start()

    def _keep(self, live: Callable[[Line], None]) -> None:
        """Connect, live, and connect again when the database was away."""
        assert self._connect is not None  # noqa: S101 - `ring` and `wait` start threads only with it
        while not self._closed.is_set():
            try:
                line = self._connect()
            except Exception:  # noqa: BLE001 - whatever it is, the duties' own beat goes on
                self._closed.wait(_RETRY)
                continue
            try:
                live(line)
            except Exception as error:  # noqa: BLE001
                _log.debug("bell: %s", type(error).__name__)
                self._closed.wait(_PAUSE)
            finally:
                with suppress(Exception):
                    line.close()

    def _send(self, line: Line) -> None:
        while not self._closed.is_set():
            self._due.wait()
            self._due.clear()
            if not self._closed.is_set():
                line.execute(f"NOTIFY {CHANNEL}")
                self._closed.wait(_PAUSE)

    def _listen(self, line: Line) -> None:
        line.execute(f"LISTEN {CHANNEL}")
        while not self._closed.is_set():
            for _ in line.notifies(timeout=1.0, stop_after=1):
                self.wake()
