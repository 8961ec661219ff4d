"""Earlier rows: those of the version that an update begins with, read back from its sealed files.

An append sorts them again together with the new ones (P2.4): ordinals that began anew with each append would give a
unit its first rows once for every version.
"""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from sandbox.catalog import DatasetSpec, SealedFile, Version
from sandbox.crypto.stream import SegmentReader
from sandbox.ingest.columns import Held, Shape
from sandbox.ingest.reading import Rows
from sandbox.ports import ObjectStore

_BATCH: Final = 1 << 17
_UNIT: Final = "pseudonym"


@dataclass(frozen=True, slots=True, kw_only=True)
class Earlier:
    """A dataset's newest version, opened. Its rows stay in this process's memory, and in sealed runs."""

    objects: ObjectStore
    spec: DatasetSpec
    version: Version
    key: bytes = field(repr=False)

    def rows(self, shapes: Sequence[Shape]) -> Iterator[Rows]:
        """All stored rows, in the form that the new manifest gives their columns.

        Raises:
            IntegrityFailed: a stored object is missing or changed.
            DependencyFailed: `object_store_failed`.
        """
        names = [shape.column.name for shape in shapes]
        for file in self.version.files:
            for batch in self._batches(file, names if self.spec.public else [_UNIT, *names]):
                yield Rows(
                    pseudonyms=None if self.spec.public else np.asarray(batch.column(_UNIT).to_numpy()),
                    columns={s.column.name: _held(batch.column(s.column.name), s) for s in shapes},
                    count=batch.num_rows,
                )

    def units(self, bucket: int) -> npt.NDArray[np.uint64]:
        """The pseudonyms of a bucket, ascending, each once: every unit has a row in the first tier.

        Raises:
            IntegrityFailed, DependencyFailed: as `rows`.
        """
        (file,) = (f for f in self.version.files if (f.bucket, f.tier) == (bucket, 0))
        found = [np.asarray(batch.column(_UNIT).to_numpy()) for batch in self._batches(file, [_UNIT])]
        return np.unique(np.concatenate(found)) if found else np.zeros(0, np.uint64)

    def _batches(self, file: SealedFile, columns: list[str]) -> Iterator[pa.RecordBatch]:
        reader = SegmentReader(
            lambda start, length: self.objects.read(file.key, start, length),
            sealed_size=file.sealed_size,
            key=self.key,
            aad=f"{self.version.id}/{file.bucket}/{file.tier}".encode(),
        )
        with pq.ParquetFile(_Plain(reader)) as parquet:
            yield from parquet.iter_batches(_BATCH, columns=columns)


def unseen(units: npt.NDArray[np.uint64], known: npt.NDArray[np.uint64]) -> int:
    """How many of the units (ascending, repeated or not) are not among the known ones (ascending)."""
    distinct = np.unique(units)
    return len(distinct) - int(np.count_nonzero(np.isin(distinct, known, assume_unique=True)))


class _Plain(io.RawIOBase):
    """A sealed object as a file that can be read anywhere."""

    def __init__(self, reader: SegmentReader) -> None:
        super().__init__()
        self._reader = reader
        self._at = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        start = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._reader.size}[whence]
        self._at = start + offset
        return self._at

    def tell(self) -> int:
        return self._at

    def read(self, size: int = -1) -> bytes:
        left = max(0, self._reader.size - self._at)
        found = self._reader.read(self._at, left if size < 0 else min(size, left)) if left and size else b""
        self._at += len(found)
        return found


def _held(column: pa.Array, shape: Shape) -> Held:
    """A stored column as it is held before sorting."""
    if shape.kind == "text":
        return column.cast(pa.string())
    if shape.kind == "integer":
        return np.asarray(column.fill_null(shape.null).to_numpy(zero_copy_only=False)).astype(shape.dtype)
    words = pa.array([str(v) for v in shape.column.domain or ()], pa.string())
    places = pc.index_in(column.cast(pa.string()), value_set=words).fill_null(-1)
    return np.asarray(places.to_numpy(zero_copy_only=False)).astype(shape.dtype)
