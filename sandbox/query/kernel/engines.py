"""DuckDB behind a wall: pooled single-threaded instances that may read only descriptors lent to them."""

from __future__ import annotations

import os
import queue
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Final

import duckdb
import pyarrow as pa

BLOCK: Final = 128
"""Descriptors an instance may read: files of all tables that a plan reads of one bucket; planning refuses more."""


CHUNK: Final = 1 << 17
"""Rows that leave the engine at a time: their arrays stay in a core's own cache."""

MEMORY: Final = "2GB"
"""What one instance may hold, beside the files, which lie outside of it."""


class Engine:
    """One instance: its settings are locked, its reach is a block of descriptor numbers of its own (P3.4)."""

    def __init__(self) -> None:
        self._block = [os.memfd_create("reserved", os.MFD_CLOEXEC) for _ in range(BLOCK)]
        self.paths = [f"/proc/self/fd/{fd}" for fd in self._block]
        config = {"threads": 1, "preserve_insertion_order": True, "memory_limit": MEMORY}
        self._connection = duckdb.connect(":memory:", config=config)
        allowed = ", ".join(f"'{p}'" for p in self.paths)
        for setting in (
            # Descriptor numbers are used again, so nothing may be remembered by path.
            "SET enable_external_file_cache = false",
            "SET temp_directory = ''",
            "SET autoinstall_known_extensions = false",
            "SET autoload_known_extensions = false",
            f"SET allowed_paths = [{allowed}]",
            "SET enable_external_access = false",
            "SET lock_configuration = true",
        ):
            self._connection.execute(setting)

    def lend(self, descriptors: Sequence[int]) -> list[str]:
        """Make these open files readable; gives the paths under which the engine sees them."""
        for reserved, fd in zip(self._block, descriptors, strict=False):
            os.dup2(fd, reserved, inheritable=False)
        return self.paths[: len(descriptors)]

    def take_back(self, count: int) -> None:
        """End the loan: the numbers stay reserved, over empty files."""
        for reserved in self._block[:count]:
            empty = os.memfd_create("reserved", os.MFD_CLOEXEC)
            os.dup2(empty, reserved, inheritable=False)
            os.close(empty)

    def table(self, sql: str) -> pa.Table:
        """Run one statement written by `sandbox.query.expressions.sql`."""
        return self._connection.sql(sql).to_arrow_table()

    def batches(self, sql: str) -> Iterator[pa.RecordBatch]:
        """Run one statement and give its rows as they come, once none at least, in the order in which they are stored.

        All of them are to be read before the next statement.
        """
        reader, some = self._connection.sql(sql).to_arrow_reader(CHUNK), False
        for batch in reader:
            some = True
            yield batch
        if not some:
            yield pa.RecordBatch.from_pylist([], schema=reader.schema)

    def close(self) -> None:
        """Close the instance and free its block."""
        self._connection.close()
        for fd in self._block:
            os.close(fd)


class Engines:
    """A pool of instances, made when first needed (each takes some 20 ms)."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._free: queue.LifoQueue[Engine | None] = queue.LifoQueue()
        for _ in range(size):
            self._free.put(None)

    @contextmanager
    def engine(self) -> Iterator[Engine]:
        """An instance for the block's duration; waits while all are busy."""
        engine = self._free.get()
        try:
            engine = engine or Engine()
            yield engine
        finally:
            self._free.put(engine)

    def warm(self) -> pa.Table:
        """Make every instance now; gives a small table (k: text, n: int64) that one of them has read."""
        taken = [self._free.get() or Engine() for _ in range(self._size)]
        for engine in taken:
            table = engine.table("SELECT 'a' AS k, 1::BIGINT AS n")
            self._free.put(engine)
        return table

    def close(self) -> None:
        """Close every idle instance."""
        for _ in range(self._size):
            engine = self._free.get()
            if engine is not None:
                engine.close()
            self._free.put(None)
