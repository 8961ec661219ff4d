"""Claims: who was asked for which item of one request, and whose answer counts: for each item the first."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from typing import Final, Generic, TypeVar

from sandbox.errors import DependencyFailed, SandboxError

Answer = TypeVar("Answer")

MOST_LOSSES: Final = 3
"""Workers that an item may lose before it is taken to be what kills them."""


class Claims(Generic[Answer]):
    """The items (buckets) of one request. Not thread-safe: one thread asks and takes.

    Whatever dies, stops or answers twice, an item's answer is taken once: `take` says whether this was it.
    """

    def __init__(self, request: str, items: Sequence[int]) -> None:
        if len(set(items)) != len(items):
            raise ValueError(items)
        self.request = request
        self._items = tuple(items)
        self._asked: dict[int, set[str]] = {item: set() for item in items}
        self._losses: dict[int, int] = dict.fromkeys(items, 0)
        self._taken: dict[int, Answer | SandboxError] = {}

    def open(self, living: Collection[str]) -> Iterator[int]:
        """Items without an answer that no living worker was asked for, in order."""
        alive = set(living)
        return (i for i in self._items if i not in self._taken and not self._asked[i] & alive)

    def ask(self, item: int, worker: str) -> None:
        """This worker is asked for the item."""
        self._asked[item].add(worker)

    def lose(self, item: int, worker: str) -> None:
        """This worker will not answer: it died. An item that outlives several workers fails instead of killing more."""
        if item in self._taken or worker not in self._asked[item]:
            return
        self._asked[item].discard(worker)
        self._losses[item] += 1
        if self._losses[item] >= MOST_LOSSES:
            self._taken[item] = DependencyFailed("worker_lost", times=MOST_LOSSES)

    def take(self, request: str, item: int, answer: Answer | SandboxError) -> bool:
        """Take an answer, unless it is one of another request or the item has one: then it is dropped."""
        if request != self.request or item not in self._asked or item in self._taken:
            return False
        self._taken[item] = answer
        return True

    def reopen(self, item: int, worker: str) -> None:
        """An answer that was taken cannot be read any more: it counts no longer, and the item is asked for again."""
        del self._taken[item]
        self.lose(item, worker)

    @property
    def missing(self) -> int:
        """How many items have no answer yet."""
        return len(self._items) - len(self._taken)

    def answers(self) -> list[Answer]:
        """Every item's answer, in the order of the items.

        Raises:
            SandboxError: the failure of the first item that failed.
        """
        if self.missing:
            raise ValueError(self.missing)
        answers: list[Answer] = []
        for item in self._items:
            answer = self._taken[item]
            if isinstance(answer, SandboxError):
                raise answer
            answers.append(answer)
        return answers
