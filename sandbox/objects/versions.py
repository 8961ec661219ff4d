"""Versions in the object store: the sealed manifest object, read back with its digests checked; whole public tables."""

from __future__ import annotations

import json
import threading
from collections import OrderedDict
from collections.abc import Collection
from io import BytesIO
from typing import Final, Protocol

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import rfc8785

from sandbox.catalog import Column, ColumnType, DatasetSpec, SealedFile, Version, plain, restored
from sandbox.crypto.keys import RootKey, unwrap
from sandbox.crypto.stream import SegmentReader
from sandbox.crypto.suite import suite
from sandbox.errors import Denied, IntegrityFailed
from sandbox.ports import ObjectStore

FORMAT: Final = 2
"""The format of versions that this release writes."""

_READ: Final = frozenset({1, FORMAT})
"""Formats that it reads. Format 1 has no slots."""


def manifest_key(version_id: str) -> str:
    """The object key of a version's manifest."""
    return f"v1/{version_id}/manifest"


def seal_manifest(version: Version, spec: DatasetSpec, key: bytes) -> bytes:
    """The manifest object: canonical JSON of version and declared facts, sealed under the version's key.

    Source: RFC 8785 (canonical JSON).
    """
    body = rfc8785.dumps({"version": plain(version), "spec": plain(spec)})
    return suite(version.suite).seal(key, body, _aad(version.id))


class VersionRecord(Protocol):
    """What the store knows of a version."""

    @property
    def id(self) -> str: ...  # noqa: D102  # as the column is called
    @property
    def suite(self) -> str: ...  # noqa: D102
    @property
    def wrapped_key(self) -> bytes: ...  # noqa: D102
    @property
    def manifest_object(self) -> str: ...  # noqa: D102
    @property
    def manifest_sha256(self) -> str: ...  # noqa: D102


class PopulationRecord(Protocol):
    """What the store knows of a population."""

    @property
    def id(self) -> str: ...  # noqa: D102
    @property
    def wrapped_key(self) -> bytes: ...  # noqa: D102


class Versions:
    """Opens versions and remembers the newest of them: they never change."""

    def __init__(self, objects: ObjectStore, root_key: RootKey, *, most: int = 256) -> None:
        self._objects = objects
        self._root = root_key
        self._most = most
        self._lock = threading.Lock()
        self._known: OrderedDict[str, tuple[DatasetSpec, Version]] = OrderedDict()

    def key(self, record: VersionRecord, population: PopulationRecord | None) -> bytes:
        """The key of the version's objects: root over population over version; root over version if it is public.

        Raises:
            IntegrityFailed: `wrapping_key_differs` or `sealed_open_failed`.
        """
        if population is None:
            return self._root.unwrap(record.wrapped_key, record.id)
        population_key = self._root.unwrap(population.wrapped_key, population.id)
        return unwrap(suite(record.suite), population_key, record.wrapped_key, record.id)

    def open(self, record: VersionRecord, population: PopulationRecord | None) -> tuple[DatasetSpec, Version]:
        """A version as its manifest object tells it.

        Raises:
            IntegrityFailed: `version_manifest_differs`, not what the record names; `version_format_unknown`,
                `version_incomplete`; and what a missing, changed or swapped object raises.
            DependencyFailed: `object_store_failed`.
        """
        with self._lock:
            if record.id in self._known:
                self._known.move_to_end(record.id)
                return self._known[record.id]
        loaded = load_version(self._objects, record, self.key(record, population))
        with self._lock:
            self._known[record.id] = loaded
            while len(self._known) > self._most:
                self._known.popitem(last=False)
        return loaded

    def held(self) -> set[str]:
        """The versions that are remembered."""
        with self._lock:
            return set(self._known)

    def forget(self, versions: Collection[str]) -> None:
        """Remember these versions no more."""
        with self._lock:
            for version in versions:
                self._known.pop(version, None)

    def stored_rows(self, record: VersionRecord) -> pa.Table:
        """All rows of a public table as they are stored, in grid units.

        Privacy: a public table protects nobody; another is refused.

        Raises:
            Denied: `dataset_protected`.
            IntegrityFailed: a stored object is missing or changed.
        """
        spec, version = self.open(record, None)
        if not spec.public:
            raise Denied("dataset_protected", dataset=spec.name)
        key = self.key(record, None)
        return pa.concat_tables([_read_file(self._objects, version, file, key) for file in version.files])

    def table(self, record: VersionRecord) -> pa.Table:
        """All rows of a public table, with values as people write them (decimals, dates), not in grid units.

        Privacy: a public table protects nobody; another is refused.

        Raises:
            Denied: `dataset_protected`.
            IntegrityFailed: a stored object is missing or changed.
        """
        rows = self.stored_rows(record)
        spec, _ = self.open(record, None)
        return pa.table({c.name: _natural(rows.column(c.name), c) for c in spec.columns})


def load_version(objects: ObjectStore, record: VersionRecord, key: bytes) -> tuple[DatasetSpec, Version]:
    """Read and check a version's manifest object; see `Versions.open`.

    Raises:
        IntegrityFailed: as there.
        DependencyFailed: `object_store_failed`.
    """
    chosen = suite(record.suite)
    size = objects.size(record.manifest_object)
    if size is None:
        raise IntegrityFailed("object_missing", key=record.manifest_object)
    sealed = objects.read(record.manifest_object, 0, size)
    if chosen.digest(sealed).hex() != record.manifest_sha256:
        raise IntegrityFailed("version_manifest_differs", version=record.id)
    try:
        body = json.loads(chosen.open(key, sealed, _aad(record.id)))
        version, spec = restored(Version, body["version"]), restored(DatasetSpec, body["spec"])
    except (ValueError, KeyError, TypeError):
        raise IntegrityFailed("version_manifest_differs", version=record.id) from None
    if version.format not in _READ:
        raise IntegrityFailed("version_format_unknown", version=record.id, format=version.format)
    _check_files(version, spec)
    return spec, version


def _check_files(version: Version, spec: DatasetSpec) -> None:
    """Every (bucket, tier) once, the tiers as declared, and every (bucket, slot column) once (P2.3)."""
    expected = {(bucket, tier) for bucket in range(1 << version.bits) for tier in range(len(version.tiers))}
    found = [(f.bucket, f.tier) for f in version.files]
    if set(found) != expected or len(found) != len(expected) or version.tiers != spec.tiers:
        raise IntegrityFailed("version_incomplete", version=version.id)
    pairs = sorted((bucket, column) for bucket in range(1 << version.bits) for column in version.slots)
    if sorted((s.bucket, s.column) for s in version.sidecars) != pairs:
        raise IntegrityFailed("version_incomplete", version=version.id)


def _aad(version_id: str) -> bytes:
    return f"{version_id}/manifest".encode()


def _read_file(objects: ObjectStore, version: Version, file: SealedFile, key: bytes) -> pa.Table:
    reader = SegmentReader(
        lambda start, length: objects.read(file.key, start, length),
        sealed_size=file.sealed_size,
        key=key,
        aad=f"{version.id}/{file.bucket}/{file.tier}".encode(),
    )
    return pq.read_table(BytesIO(reader.read(0, reader.size)))


def _natural(column: pa.ChunkedArray, declared: Column) -> pa.ChunkedArray:
    """Grid units back to values: int64 or float64, booleans, dates, timestamps; text as it is."""
    kind = declared.type
    if kind is ColumnType.TEXT:
        return column
    if kind is ColumnType.BOOLEAN:
        return column.cast(pa.bool_())
    if kind is ColumnType.DATE:
        return column.cast(pa.int32()).cast(pa.date32())
    null = np.asarray(column.is_null().to_numpy(), np.bool_)
    units = np.asarray(column.fill_null(0).to_numpy(), np.int64)
    if kind is ColumnType.TIMESTAMP:
        seconds = pa.array(units * int(declared.grid), pa.int64(), mask=null)
        return pa.chunked_array([seconds.cast(pa.timestamp("s", "UTC"))])
    if declared.grid == declared.grid.to_integral_value():
        return pa.chunked_array([pa.array(units * int(declared.grid), pa.int64(), mask=null)])
    numerator, denominator = declared.grid.as_integer_ratio()
    return pa.chunked_array([pa.array(units * numerator / denominator, pa.float64(), mask=null)])
