"""Forgetting: dropping what this process and its workers elsewhere still hold of destroyed versions."""

from __future__ import annotations

from collections.abc import Collection
from typing import Protocol

from sqlalchemy.orm import Session

from sandbox.store import versions as store


class Memory(Protocol):
    """What holds something of versions: opened files, declared facts, an executor's workers."""

    def held(self) -> set[str]:
        """The versions of which it holds something."""
        ...

    def forget(self, versions: Collection[str]) -> None:
        """Hold nothing of these any more."""
        ...


def forget_destroyed(session: Session, *memories: Memory) -> None:
    """Drop opened files, declared facts and wrapped keys of destroyed versions; a file in use goes a moment later."""
    held = {version for memory in memories for version in memory.held()}
    gone = store.destroyed_among(session, sorted(held))
    if gone:
        for memory in memories:
            memory.forget(gone)
