"""Limits in memory: token buckets per caller, a bound on requests in flight, and slots shared fairly by tenants."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from time import monotonic
from typing import TypeVar

import anyio
from anyio import to_thread

from sandbox.errors import DependencyFailed, TooMany

T = TypeVar("T")


@dataclass(slots=True)
class _Bucket:
    tokens: float
    at: float


class Buckets:
    """A token bucket for each name: `per_minute` a minute, as many at once. Keeps the most recent `most` names."""

    def __init__(self, per_minute: int, *, most: int = 10_000, time: Callable[[], float] = monotonic) -> None:
        self._size = float(per_minute)
        self._most = most
        self._time = time
        self._lock = threading.Lock()
        self._buckets: OrderedDict[str, _Bucket] = OrderedDict()

    def take(self, name: str) -> bool:
        """Take one token; False when there is none."""
        with self._lock:
            bucket = self._filled(name)
            if bucket.tokens < 1.0:
                return False
            bucket.tokens -= 1.0
            return True

    def _filled(self, name: str) -> _Bucket:
        now = self._time()
        bucket = self._buckets.setdefault(name, _Bucket(self._size, now))
        bucket.tokens = min(self._size, bucket.tokens + (now - bucket.at) * self._size / 60.0)
        bucket.at = now
        self._buckets.move_to_end(name)
        if len(self._buckets) > self._most:
            self._buckets.popitem(last=False)
        return bucket


class Flight:
    """Requests under way: `limit` in all, at most half of them for one name. Used by the event loop alone."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._share = max(1, limit // 2)
        self._names: dict[str, int] = {}
        self.aboard = 0

    def board(self) -> Seat:
        """A seat for a request of whom nothing is known yet.

        Raises:
            DependencyFailed: `gateway_busy`, all are taken.
        """
        if self.aboard >= self._limit:
            raise DependencyFailed("gateway_busy")
        self.aboard += 1
        return Seat(self)

    def name(self, name: str) -> None:
        """Count one more of a name.

        Raises:
            TooMany: `too_many_under_way`, it has its half already.
        """
        if self._names.get(name, 0) >= self._share:
            raise TooMany("too_many_under_way", limit=self._share)
        self._names[name] = self._names.get(name, 0) + 1

    def leave(self, name: str | None) -> None:
        """Count one less."""
        self.aboard -= 1
        if name is not None:
            self._names[name] -= 1
            if self._names[name] == 0:
                del self._names[name]


class Seat:
    """One request's place in the flight: first without a name, then under its caller's."""

    def __init__(self, flight: Flight) -> None:
        self._flight = flight
        self._name: str | None = None

    def take(self, name: str) -> None:
        """Count it for a caller.

        Raises:
            TooMany: `too_many_under_way`.
        """
        self._flight.name(name)
        self._name = name

    def leave(self) -> None:
        """Give the place back."""
        self._flight.leave(self._name)


class QuerySlots:
    """Threads for queries: `slots` in all, at most half of them for one tenant, `queue` waiting of one tenant."""

    def __init__(self, slots: int, queue: int) -> None:
        self._limiter = anyio.CapacityLimiter(slots)
        self._share = max(1, slots // 2)
        self._queue = queue
        self._tenants: dict[str, tuple[anyio.Semaphore, list[int]]] = {}

    def depth(self) -> tuple[int, int]:
        """(how many have their share, how many wait). A share is held until the rung, so this tells no more (P7.1)."""
        inside = [count[0] for _, count in list(self._tenants.values())]
        return sum(min(n, self._share) for n in inside), sum(max(0, n - self._share) for n in inside)

    async def run(self, tenant: str, function: Callable[[], T], hold: Callable[[], float] = lambda: 0.0) -> T:
        """`function()` in a thread of this tenant's share; the share, not the thread, stays taken for `hold()` more.

        A share that came free when computing ends would tell the tenant, by its next question, how long that took.

        Raises:
            TooMany: `too_many_queries`, the tenant has too many waiting.
        """
        async with self.share_of(tenant):
            result = await to_thread.run_sync(function, limiter=self._limiter)
            await anyio.sleep(hold())
            return result

    @asynccontextmanager
    async def share_of(self, tenant: str) -> AsyncIterator[None]:
        """A place in the tenant's share, waited for if need be.

        Raises:
            TooMany: `too_many_queries`, the tenant has too many waiting.
        """
        semaphore, inside = self._tenants.setdefault(tenant, (anyio.Semaphore(self._share), [0]))
        if inside[0] >= self._share + self._queue:
            raise TooMany("too_many_queries", limit=self._share + self._queue)
        inside[0] += 1
        try:
            async with semaphore:
                yield
        finally:
            inside[0] -= 1
            if inside[0] == 0:
                self._tenants.pop(tenant, None)
