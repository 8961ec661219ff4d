"""The threads executor: buckets side by side in this process."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from typing import Any


class ThreadsExecutor:
    """Implements `ports.Executor` with a pool of threads."""

    def __init__(self, threads: int) -> None:
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="kernel")

    def map(self, function: Callable[[int], Any], buckets: Sequence[int]) -> list[Any]:
        """See `ports.Executor.map`."""
        if len(buckets) == 1:
            return [function(buckets[0])]
        futures = [self._pool.submit(function, b) for b in buckets]
        wait(futures)
        return [f.result() for f in futures]

    def close(self) -> None:
        """End the pool's threads."""
        self._pool.shutdown()
