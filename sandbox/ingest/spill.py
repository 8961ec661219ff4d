"""Spilled rows: routed by pseudonym into parts that fit memory, sealed before the disk sees them, gone when we are.

A part is a prefix of the pseudonym somewhat longer than the bucket's, so the parts of a bucket follow each other in the
order of pseudonyms. What is buffered is written as one run a part whenever it reaches the limit.
"""

from __future__ import annotations

import errno
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import BinaryIO, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from sandbox import crash
from sandbox.crypto.stream import SegmentReader, seal_stream
from sandbox.crypto.suite import INTL, KEY_SIZE
from sandbox.errors import DependencyFailed

MOST_BUFFERED: Final = 128 << 20
"""Bytes of rows in memory before they are spilled, so also the longest run."""

PART_ROWS: Final = 750_000
"""Rows that a part is planned for, by the declared N_max: what one thread sorts at a time."""

MOST_PART_BITS: Final = 12

_Run = tuple[int, int, int]


def part_bits(n_max: int, bucket_bits: int) -> int:
    """Bits of the pseudonym that name a part: the bucket's and as many more as N_max asks for."""
    bits = bucket_bits
    while n_max > PART_ROWS << bits and bits < max(MOST_PART_BITS, bucket_bits):
        bits += 1
    return bits


class Spill:
    """Takes rows in any order and gives them back part by part.

    Runs lie in one unnamed file (it has no path, so a killed process leaves nothing), each sealed under a key that
    exists in this object alone. The column `pseudonym` decides the part.
    """

    def __init__(self, folder: Path, bits: int, *, most_buffered: int = MOST_BUFFERED) -> None:
        self._bits = bits
        self._most = most_buffered
        self._key = INTL.random(KEY_SIZE)
        self._waiting: list[list[pa.RecordBatch]] = [[] for _ in range(1 << bits)]
        self._buffered = 0
        self._runs: list[list[_Run]] = [[] for _ in range(1 << bits)]
        with _told():
            self._file: BinaryIO = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115  # closed by `close`

    def add(self, batch: pa.RecordBatch) -> None:
        """Route rows to their parts.

        Raises:
            DependencyFailed: `work_folder_full` or `work_folder_failed`.
        """
        if not batch.num_rows:
            return
        for part, rows in _routed(batch, self._bits):
            self._waiting[part].append(rows)
        self._buffered += batch.nbytes
        if self._buffered >= self._most:
            self._flush()
            crash.point("ingest.spilled")

    def part(self, number: int) -> list[pa.RecordBatch]:
        """All rows of a part. May be called from several threads; a part is given once.

        Raises:
            DependencyFailed: `work_folder_failed`.
            IntegrityFailed: `object_corrupt`, the file is not what was written.
        """
        waiting, self._waiting[number] = self._waiting[number], []
        return [*(batch for run in self._runs[number] for batch in self._opened(number, run)), *waiting]

    def close(self) -> None:
        """Give the disk back."""
        self._file.close()

    def _flush(self) -> None:
        for number, batches in enumerate(self._waiting):
            if batches:
                with _told():
                    self._write(number, batches)
                self._waiting[number] = []
        self._buffered = 0

    def _write(self, number: int, batches: list[pa.RecordBatch]) -> None:
        plain = BytesIO()
        with pa.ipc.new_stream(plain, batches[0].schema) as writer:
            for batch in batches:
                writer.write_batch(batch)
        plain.seek(0)
        start = self._file.seek(0, 2)
        sealed = seal_stream(plain, self._file, key=self._key, aad=self._aad(number, start))
        self._file.flush()
        self._runs[number].append((start, sealed.size, sealed.sealed_size))

    def _opened(self, number: int, run: _Run) -> Iterator[pa.RecordBatch]:
        start, size, sealed_size = run
        with _told():
            reader = SegmentReader(
                lambda offset, length: _pread(self._file, start + offset, length),
                sealed_size=sealed_size,
                key=self._key,
                aad=self._aad(number, start),
            )
            plain = reader.read(0, size)
        with pa.ipc.open_stream(plain) as stream:
            yield from stream

    @staticmethod
    def _aad(number: int, start: int) -> bytes:
        return f"spill/{number}/{start}".encode()


def _routed(batch: pa.RecordBatch, bits: int) -> Iterator[tuple[int, pa.RecordBatch]]:
    """The batch's rows by part."""
    if bits == 0:
        yield 0, batch
        return
    pseudonyms: npt.NDArray[np.uint64] = batch.column("pseudonym").to_numpy()
    parts = (pseudonyms >> np.uint64(64 - bits)).astype(np.uint16 if bits <= 16 else np.uint32)
    order = np.argsort(parts, kind="stable")
    ordered = batch.take(pa.array(order))
    edges = np.searchsorted(parts[order], np.arange((1 << bits) + 1))
    for part in np.flatnonzero(np.diff(edges)).tolist():
        yield part, ordered.slice(int(edges[part]), int(edges[part + 1] - edges[part]))


def _pread(file: BinaryIO, offset: int, length: int) -> bytes:
    return os.pread(file.fileno(), length, offset)


@contextmanager
def _told() -> Iterator[None]:
    """Say what the disk said, in our words."""
    try:
        yield
    except OSError as e:
        full = e.errno in {errno.ENOSPC, errno.EDQUOT}
        raise DependencyFailed("work_folder_full" if full else "work_folder_failed") from None
