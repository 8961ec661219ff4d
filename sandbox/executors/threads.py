"""The threads executor: buckets side by side in this process."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from typing import Any

from sandbox.ports import Merging


class ThreadsExecutor:
    """Implements `ports.Executor` with a pool of threads."""

    def __init__(self, threads: int) -> None:
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="kernel")

    def map(self, function: Callable[[Any, int, Any], Any], task: Any, buckets: Sequence[int], bench: Any) -> list[Any]:
        """See `ports.Executor.map`."""
        if len(buckets) == 1:
            return [function(task, buckets[0], bench)]
        futures = [self._pool.submit(function, task, b, bench) for b in buckets]
        wait(futures)
        return [f.result() for f in futures]

    def gather(
        self, function: Callable[[Any, int, Any], Any], task: Any, buckets: Sequence[int], bench: Any, merging: Merging
    ) -> list[Any]:
        """See `ports.Executor.gather`; in one process there is nothing to spread."""
        del merging
        return self.map(function, task, buckets, bench)

    def held(self) -> set[str]:
        """Nothing: what is opened lies in the bench of this process."""
        return set()

    def forget(self, versions: Collection[str]) -> None:
        """Nothing to do; see `held`."""

    def close(self) -> None:
        """End the pool's threads."""
        self._pool.shutdown()
