"""A clock that a test moves, for several processes at one time."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from sandbox.clock import Clock


class Times:
    """`clock()` gives the clock of one more process; `pass_(seconds)` moves them all."""

    def __init__(self) -> None:
        self._at = datetime(2026, 11, 24, 8, tzinfo=UTC)

    def clock(self, *, ahead: float = 0.0) -> Clock:
        return Clock(lambda: self._at + timedelta(seconds=ahead))

    def pass_(self, seconds: float) -> None:
        self._at += timedelta(seconds=seconds)
