"""Ports: what the house asks of object stores, executors and connectors, each with its adapters elsewhere."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, BinaryIO, Protocol

import pyarrow as pa

from sandbox.catalog import Source

CONTRACT = 1
"""The contract version that a plug-in states as `CONTRACT`; another one is refused at start."""


class ObjectStore(Protocol):
    """Objects under text keys such as `v1/ver_…/b0000.t00`; no plaintext ever comes here.

    What the store refuses is DependencyFailed: also `object_store_refused` (its credentials) and `bucket_missing`.
    """

    def put(self, key: str, data: BinaryIO, *, size: int, sha256: str, keep_until: str | None = None) -> None:
        """Store `size` bytes under `key`, whole or not at all; durable when it returns. Same key, same bytes: no-op.

        `keep_until` (RFC 3339) is retention: a store that can lock objects lets nobody remove this one before then.

        Raises:
            Conflict: `object_exists`, the key holds other bytes.
            DependencyFailed: `object_store_full` or `object_store_failed`.
            IntegrityFailed: `object_corrupt`, the bytes read from `data` do not match `sha256` and `size`.
        """
        ...

    def replace(self, key: str, data: bytes) -> None:
        """Store these bytes under `key`, whole, in place of what was there; durable when it returns.

        For pointers to the newest of something, which hold nothing that is not also elsewhere; all else is immutable.

        Raises:
            DependencyFailed: `object_store_full` or `object_store_failed`.
        """
        ...

    def read(self, key: str, start: int, length: int) -> bytes:
        """Exactly `length` bytes from `start`.

        Raises:
            IntegrityFailed: `object_missing` or `object_truncated`.
            DependencyFailed: `object_store_failed`.
        """
        ...

    def size(self, key: str) -> int | None:
        """Bytes stored under `key`, or None."""
        ...

    def list(self, prefix: str) -> Iterator[str]:
        """Every key that starts with `prefix`, sorted."""
        ...

    def delete(self, key: str) -> None:
        """Remove the object, with all versions that the store may have kept of it; no error if there is none.

        Raises:
            Conflict: `object_kept`, it is under retention.
            DependencyFailed: `object_store_failed`.
        """
        ...


class Executor(Protocol):
    """Runs a function on buckets. A bucket's result is taken exactly once, none is missing, order is the input's."""

    def map(self, function: Callable[[Any, int, Any], Any], task: Any, buckets: Sequence[int], bench: Any) -> list[Any]:
        """`[function(task, b, bench) for b in buckets]`, perhaps in parallel; an exception comes after all have ended.

        `task` is plain values and may travel; `bench` is what this process works with, and an executor that runs
        elsewhere brings its own.
        """
        ...

    def gather(
        self, function: Callable[[Any, int, Any], Any], task: Any, buckets: Sequence[int], bench: Any, merging: Merging
    ) -> list[Any]:
        """As `map`, for results that will be merged: they may come as fewer that `merging` has made of them.

        Each bucket's result is in what comes exactly once, in whatever pieces.
        """
        ...

    def held(self) -> set[str]:
        """Versions that its workers elsewhere have opened files of, as far as they have told."""
        ...

    def forget(self, versions: Collection[str]) -> None:
        """Have its workers drop what they opened of these versions; said again for as long as `held` names them."""
        ...

    def close(self) -> None:
        """Let go of its workers."""
        ...


class Merging(Protocol):
    """How results of buckets become fewer. Travels by name: its class is a module's, and has no state."""

    def spreads(self, task: Any) -> bool:
        """Whether results of this task may be too large for one place to merge them all."""
        ...

    def weight(self, result: Any) -> int:
        """How large a result is, in rows."""
        ...

    def split(self, task: Any, result: Any, ways: int) -> list[Any]:
        """A result in `ways` pieces; what is to be merged with each other is in the same piece of every result."""
        ...

    def join(self, task: Any, pieces: Sequence[Any]) -> Any:
        """One result of the same piece of every bucket's result."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceBatch:
    """Rows as the source has them. `first_row` counts data rows from 1, for error places.

    `table`'s columns are utf8 (CSV) or the source's own types (Parquet); a missing value is null.
    """

    first_row: int
    table: pa.RecordBatch


class Connector(Protocol):
    """Reads one kind of source as a stream of batches in bounded memory."""

    name: str
    contract: int

    def read(self, source: Source, path: str, columns: Sequence[str]) -> Iterator[SourceBatch]:
        """Batches of at most about 64 MB, with just `columns`, in the source's order; `path` is local and allowed.

        Raises:
            RequestError: `source_…` with the place (file, line) and never a cell of data.
        """
        ...
