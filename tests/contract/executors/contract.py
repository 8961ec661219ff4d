"""What every executor keeps: order, each bucket once, failures told once and after all have ended, nothing missing."""

from __future__ import annotations

import os
import pickle
import time
from collections import Counter
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from sandbox.errors import DependencyFailed, IntegrityFailed
from sandbox.ports import Executor


@dataclass(frozen=True)
class Chore:
    """A task without a kernel: a folder where every run of a bucket leaves a mark, and what is to happen."""

    folder: str
    seconds: float = 0.0
    fails: tuple[int, ...] = ()
    size: int = 0


def work(task: Chore, bucket: int, bench: Any) -> tuple[int, bytes]:
    """Leave a mark, wait, fail or give the bucket's number."""
    mark(task, "began", bucket)
    time.sleep(task.seconds)
    if bucket in task.fails:
        raise IntegrityFailed("object_missing", key=str(bucket))
    mark(task, "ended", bucket)
    return bucket, b"x" * task.size


def breaks(task: Chore, bucket: int, bench: Any) -> int:
    """A failure that is not ours, with a text that tells too much."""
    if bucket == 3:
        raise ValueError("cell of somebody")
    return bucket


def dies(task: Chore, bucket: int, bench: Any) -> int:
    """Ends its process at bucket 3, as often as it is asked."""
    if bucket == 3:
        os._exit(1)
    return bucket


def mark(task: Chore, word: str, bucket: int) -> None:
    """One file for each time that it happens, named with the process that it happens in."""
    Path(task.folder, f"{word}.{bucket}.{os.getpid()}.{time.monotonic_ns()}").touch()


def marks(task: Chore, word: str) -> list[tuple[int, int]]:
    """(bucket, process) for each time that it happened."""
    found = (path.name.split(".") for path in Path(task.folder).iterdir())
    return sorted((int(bucket), int(pid)) for told, bucket, pid, _ in found if told == word)


@dataclass(frozen=True)
class ChoreCraft:
    """A craft without keys. `made` is a folder: a worker without it cannot work."""

    made: str

    def bench(self) -> str:
        if not Path(self.made).is_dir():
            raise DependencyFailed("key_file_failed", path=self.made)
        return self.made

    def first(self, task: Any) -> int:
        return 0

    def held(self, bench: str) -> set[str]:
        return {path.name for path in Path(bench).glob("ver_*")}

    def forget(self, bench: str, versions: Collection[str]) -> None:
        for version in versions:
            Path(bench, version).unlink(missing_ok=True)

    def seal(self, task: Any, bench: Any, place: str, result: Any) -> bytes:
        return pickle.dumps((place, result))

    def open(self, task: Any, bench: Any, place: str, sealed: bytes) -> Any:
        found, result = pickle.loads(sealed)  # noqa: S301  # made here
        assert found == place
        return result


class Counting:
    """Merging of lists of numbers: the n-th piece has what leaves n over."""

    def spreads(self, task: Any) -> bool:
        return True

    def weight(self, result: Any) -> int:
        return 1

    def split(self, task: Any, result: tuple[int, bytes], ways: int) -> list[Counter[int]]:
        return [Counter({n: 1 for n in range(result[0], result[0] + 10) if n % ways == way}) for way in range(ways)]

    def join(self, task: Any, pieces: Sequence[Counter[int]]) -> Counter[int]:
        return sum(pieces, start=Counter())


class DyingOnce(Counting):
    """Its first join ends the process."""

    def join(self, task: Chore, pieces: Any) -> Counter[int]:
        mark(task, "joined", 0)
        if len(marks(task, "joined")) == 1:
            os._exit(1)
        return super().join(task, pieces)


def keeps_order(executor: Executor, task: Chore) -> None:
    for buckets in (range(11), [5], [9, 2, 7]):
        assert [bucket for bucket, _ in executor.map(work, task, buckets, None)] == list(buckets)
    assert sorted(bucket for bucket, _ in marks(task, "began")) == sorted([*range(11), 5, 9, 2, 7])


def fails_once_and_last(executor: Executor, task: Chore) -> None:
    """The first bucket in order that failed is told, when no other runs any more."""
    with pytest.raises(IntegrityFailed) as caught:
        executor.map(work, task, range(8), None)
    assert caught.value.params == {"key": str(min(task.fails))}
    assert [bucket for bucket, _ in marks(task, "ended")] == sorted(set(range(8)) - set(task.fails))


def gathers_each_once(executor: Executor, task: Chore, merge: Callable[[Any], Counter[int]]) -> None:
    results = executor.gather(work, task, range(7), None, Counting())
    expected = sum((Counter(range(b, b + 10)) for b in range(7)), start=Counter())
    assert sum(map(merge, results), start=Counter()) == expected
