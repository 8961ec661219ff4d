"""Stored files: Parquet by DuckDB's writer, and sidecars, in memory, sealed, then stored; no disk sees them plain."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from io import BytesIO
from typing import BinaryIO, Final

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from sandbox import crash
from sandbox.catalog import SealedFile, Sidecar
from sandbox.crypto.stream import Sealed, seal_stream
from sandbox.errors import DependencyFailed
from sandbox.ingest.columns import Shape
from sandbox.objects.sidecars import Slots, pack, sidecar_aad, sidecar_name
from sandbox.ports import ObjectStore

ROW_GROUP: Final = 500_000
_TAIL: Final = 8
"""A Parquet file ends with the footer's length (4 bytes) and the word PAR1."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Destination:
    """Where a version's files go, and the key that seals them."""

    objects: ObjectStore
    version_id: str
    key: bytes

    def store(self, table: pa.Table, shapes: Sequence[Shape], *, bucket: int, tier: int) -> SealedFile:
        """Write, seal and upload one file (P2.3); its plaintext lives in this process's memory alone.

        Raises:
            DependencyFailed: `object_store_full`, `object_store_failed`, or `parquet_failed`.
        """
        object_key = f"v1/{self.version_id}/b{bucket:04d}.t{tier:02d}"
        with _memory("plain") as plain:
            _write_parquet(table, shapes, plain)
            crash.point("ingest.written")
            chunks, footer = _layout(plain)
            with open(plain, "rb", closefd=False) as source:
                source.seek(0)
                result = self._put(source, object_key, f"{self.version_id}/{bucket}/{tier}".encode())
        return SealedFile(
            bucket=bucket, tier=tier, key=object_key, rows=table.num_rows, size=result.size,
            sealed_size=result.sealed_size, sha256=result.sha256, footer=footer, chunks=chunks,
        )  # fmt: skip

    def store_slots(self, slots: Slots, *, bucket: int, column: str, number: int) -> Sidecar:
        """Seal and upload what a bucket's slots of a column stand for; `number` is the column's among the slots'.

        Raises:
            DependencyFailed: `object_store_full` or `object_store_failed`.
        """
        object_key = f"v1/{self.version_id}/{sidecar_name(bucket, number)}"
        result = self._put(BytesIO(pack(slots)), object_key, sidecar_aad(self.version_id, bucket, column))
        return Sidecar(
            bucket=bucket, column=column, key=object_key, size=result.size, sealed_size=result.sealed_size,
            sha256=result.sha256,
        )  # fmt: skip

    def _put(self, plain: BinaryIO, object_key: str, aad: bytes) -> Sealed:
        with _memory("sealed") as sealed, open(sealed, "r+b", closefd=False) as out:
            result = seal_stream(plain, out, key=self.key, aad=aad)
            out.flush()
            crash.point("ingest.sealed")
            out.seek(0)
            self.objects.put(object_key, out, size=result.sealed_size, sha256=result.sha256)
            crash.point("ingest.uploaded")
        return result


@contextmanager
def _memory(name: str) -> Iterator[int]:
    descriptor = os.memfd_create(name, os.MFD_CLOEXEC)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _write_parquet(table: pa.Table, shapes: Sequence[Shape], descriptor: int) -> None:
    """One COPY by an instance that may touch this descriptor and nothing else."""
    path = f"/proc/self/fd/{descriptor}"
    kinds = {s.column.name: s for s in shapes}
    selected = ", ".join(_selected(name, kinds.get(name)) for name in table.column_names)
    # Bloom filters would lie outside the column chunks, and readers open only those and the footer.
    # Version 2 has delta encodings: a slot takes .7 to .9 bytes instead of 4, and is decoded as fast.
    options = "FORMAT parquet, COMPRESSION lz4_raw, USE_TMP_FILE false, WRITE_BLOOM_FILTER false"
    options += f", PARQUET_VERSION V2, ROW_GROUP_SIZE {ROW_GROUP}"
    try:
        with duckdb.connect(":memory:", config={"threads": 1, "preserve_insertion_order": True}) as engine:
            for setting in (
                "SET temp_directory = ''",
                "SET autoinstall_known_extensions = false",
                "SET autoload_known_extensions = false",
                f"SET allowed_paths = ['{path}']",
                "SET enable_external_access = false",
                "SET lock_configuration = true",
            ):
                engine.execute(setting)
            engine.register("stored", table)
            engine.execute(f"COPY (SELECT {selected} FROM stored) TO '{path}' ({options})")  # noqa: S608  # names are ours
    except duckdb.Error:
        raise DependencyFailed("parquet_failed") from None


def _selected(name: str, shape: Shape | None) -> str:
    """A column as it is stored: BIGINT in grid units, VARCHAR for texts; names are checked by the manifest."""
    if shape is None:
        return f'"{name}"'
    if shape.kind == "integer":
        return f'nullif("{name}", {shape.null})::BIGINT AS "{name}"'
    return f'"{name}"::VARCHAR AS "{name}"'


def _layout(descriptor: int) -> tuple[dict[str, tuple[tuple[int, int], ...]], int]:
    """Each column's (offset, length) in each row group, and where the footer begins."""
    size = os.fstat(descriptor).st_size
    footer = size - _TAIL - int.from_bytes(os.pread(descriptor, 4, size - _TAIL), "little")
    with open(descriptor, "rb", closefd=False) as file:
        metadata = pq.ParquetFile(file).metadata
    chunks: dict[str, list[tuple[int, int]]] = {name: [] for name in metadata.schema.names}
    for group in range(metadata.num_row_groups):
        for number, name in enumerate(metadata.schema.names):
            column = metadata.row_group(group).column(number)
            starts = [o for o in (column.dictionary_page_offset, column.data_page_offset) if o is not None]
            chunks[name].append((min(starts), column.total_compressed_size))
    return {name: tuple(ranges) for name, ranges in chunks.items()}, footer
