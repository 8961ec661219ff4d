"""Resumes charged queries whose process has died, and ends each at the later rung that its attempt has."""

from __future__ import annotations

import logging
import threading
import time
from typing import Final

from sandbox.errors import SandboxError
from sandbox.query import answer, ends
from sandbox.query.parts import Parts, Pending

SWEEP_SECONDS: Final = 86_400.0
AT_ONCE: Final = 2
"""Queries that are computed at one time, each on a thread of its own."""

_log = logging.getLogger("sandbox.work")


class Resumer:
    """Computes beside, and waits for no rung: what is computed is kept, and written when its rung has come.

    An end that waited for another query's computing would show in the log's size how long that took (P7.1).
    """

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._waiting: list[Pending] = []
        self._computing: list[threading.Thread] = []
        self._swept = float("-inf")

    def run(self) -> bool:
        """Sweep now and then, end what is due, take over one query; True if there was one."""
        self._end_due()
        self._sweep()
        self._computing = [thread for thread in self._computing if thread.is_alive()]
        if len(self._computing) >= AT_ONCE:
            return False
        try:
            pending = ends.take_over(self._parts)
        except SandboxError as error:
            _log.error("a query could not be resumed: %s", error.code)
            return False
        if pending is None:
            return False
        thread = threading.Thread(
            target=answer.finish, args=(self._parts, pending), name=f"resume {pending.query_id}", daemon=True
        )
        thread.start()
        self._computing.append(thread)
        self._waiting.append(pending)
        return True

    def _sweep(self) -> None:
        """What processes that died have stored for nothing: at the start, then once a day."""
        if time.monotonic() - self._swept > SWEEP_SECONDS:
            ends.sweep(self._parts)
            self._swept = time.monotonic()

    def _end_due(self) -> None:
        due = [pending for pending in self._waiting if pending.leaves_in() == 0.0]
        self._waiting = [pending for pending in self._waiting if pending not in due]
        for pending in due:
            ends.end(self._parts, pending)
