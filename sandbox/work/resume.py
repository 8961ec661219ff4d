"""Resumes charged queries whose process has died, and ends each at the later rung that its attempt has."""

from __future__ import annotations

import logging
import time
from typing import Final

from sandbox.errors import SandboxError
from sandbox.query import answer, ends
from sandbox.query.parts import Parts, Pending

SWEEP_SECONDS: Final = 86_400.0

_log = logging.getLogger("sandbox.work")


class Resumer:
    """Computes at once and waits for no rung: what is computed is kept, and written when its rung has come."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._waiting: list[Pending] = []
        self._swept = float("-inf")

    def run(self) -> bool:
        """Sweep now and then, end what is due, take over one query; True if there was one."""
        self._sweep()
        self._end_due()
        try:
            pending = ends.take_over(self._parts)
        except SandboxError as error:
            _log.error("a query could not be resumed: %s", error.code)
            return False
        if pending is None:
            return False
        answer.finish(self._parts, pending)
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
