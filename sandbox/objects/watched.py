"""Watched objects: an object store whose failures are counted by code, and that does nothing else to it."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import BinaryIO

from sandbox.errors import DependencyFailed, IntegrityFailed
from sandbox.ports import ObjectStore


class WatchedObjects:
    """Passes every call on. A failure of the store is a broken dependency or a damaged object, never a refusal."""

    def __init__(self, objects: ObjectStore) -> None:
        self._objects = objects
        self._failures: Counter[str] = Counter()
        self._lock = threading.Lock()

    def failures(self) -> Mapping[str, int]:
        """How often the store failed, by code."""
        with self._lock:
            return dict(self._failures)

    def put(self, key: str, data: BinaryIO, *, size: int, sha256: str, keep_until: str | None = None) -> None:
        """As the store does."""
        with self._watched():
            self._objects.put(key, data, size=size, sha256=sha256, keep_until=keep_until)

    def replace(self, key: str, data: bytes) -> None:
        """As the store does."""
        with self._watched():
            self._objects.replace(key, data)

    def read(self, key: str, start: int, length: int) -> bytes:
        """As the store does."""
        with self._watched():
            return self._objects.read(key, start, length)

    def size(self, key: str) -> int | None:
        """As the store does."""
        with self._watched():
            return self._objects.size(key)

    def list(self, prefix: str) -> Iterator[str]:
        """As the store does."""
        with self._watched():
            yield from self._objects.list(prefix)

    def delete(self, key: str) -> None:
        """As the store does."""
        with self._watched():
            self._objects.delete(key)

    @contextmanager
    def _watched(self) -> Iterator[None]:
        try:
            yield
        except (DependencyFailed, IntegrityFailed) as error:
            with self._lock:
                self._failures[error.code] += 1
            raise
