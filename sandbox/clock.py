"""The clock: UTC, injected, and never behind the last event it was told of."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta


def rfc3339(at: datetime) -> str:
    """UTC text with milliseconds, whose order as text is its order in time."""
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.") + f"{at.microsecond // 1000:03d}Z"


def parse_rfc3339(text: str) -> datetime:
    """The inverse of `rfc3339`; also takes a plain date, as midnight UTC.

    Raises:
        ValueError: the text is neither.
    """
    at = datetime.fromisoformat(text)
    return at.replace(tzinfo=UTC) if at.tzinfo is None else at.astimezone(UTC)


class Clock:
    """Tells the time; monotone over all its readings and over `not_before`."""

    def __init__(self, source: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self._source = source
        self._lock = threading.Lock()
        self._last = datetime.min.replace(tzinfo=UTC)

    def now(self) -> datetime:
        """The present moment, never earlier than any reading before."""
        with self._lock:
            self._last = max(self._last, self._source())
            return self._last

    def text(self, *, plus_seconds: float = 0.0) -> str:
        """`now`, moved by some seconds, as RFC 3339 text."""
        return rfc3339(self.now() + timedelta(seconds=plus_seconds))

    def not_before(self, text: str) -> None:
        """Never again tell a time earlier than this one (the last event of a log that was opened)."""
        with self._lock:
            self._last = max(self._last, parse_rfc3339(text))
