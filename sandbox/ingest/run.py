"""One attempt at an ingest, from the source to uploaded files and their manifest object; what it commits is its result.

Privacy: sections 2 and 3 of docs/privacy.md. Raw identifiers end in `identifiers.Pseudonyms`; rows lie on disks sealed
only; the report and the progress depend on the data and are for people cleared for it.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from typing import Final, TypeAlias

import pyarrow as pa

from sandbox import crash
from sandbox.catalog import DatasetSpec, SealedFile, Sidecar, Version, bucket_bits
from sandbox.clock import Clock
from sandbox.crypto.keys import RootKey, wrap
from sandbox.crypto.suite import INTL, KEY_SIZE, suite
from sandbox.errors import DependencyFailed, RequestError
from sandbox.ingest.columns import Report, Shape
from sandbox.ingest.earlier import Earlier, unseen
from sandbox.ingest.files import Destination
from sandbox.ingest.identifiers import Pseudonyms
from sandbox.ingest.order import RowOrder
from sandbox.ingest.reading import Reader, Rows, located
from sandbox.ingest.slots import SlotOrder
from sandbox.ingest.sorting import SortedPart, sort_part, stored_column, stored_table
from sandbox.ingest.spill import MOST_BUFFERED, Spill, part_bits
from sandbox.objects.versions import FORMAT, manifest_key, seal_manifest
from sandbox.ports import Connector, ObjectStore
from sandbox.store.datasets import StoredPopulation
from sandbox.store.sessions import Sessions

Tick: TypeAlias = Callable[[str, int], None]
"""Called with the phase and its rows so far; renews the lease."""

MOST_THREADS: Final = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """What ingests work with. `source_dirs` are the folders that manifests may read."""

    sessions: Sessions
    clock: Clock
    objects: ObjectStore
    root_key: RootKey
    connectors: Mapping[str, Connector]
    source_dirs: tuple[Path, ...]
    work_dir: Path
    worker_id: str
    threads: int = field(default_factory=lambda: min(os.cpu_count() or 1, MOST_THREADS))
    lease_seconds: float = 120.0
    most_buffered: int = MOST_BUFFERED
    """Bytes of rows in memory before they are spilled."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Built:
    """A version whose objects are uploaded; nobody sees it before its rows are committed."""

    version: Version
    manifest_object: str
    manifest_sha256: str
    report: Report


@dataclass(frozen=True, slots=True, kw_only=True)
class Names:
    """The ids that an attempt gives."""

    version: str
    dataset: str
    number: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Objects:
    """The sealed objects of a version beside its manifest's own."""

    files: tuple[SealedFile, ...]
    sidecars: tuple[Sidecar, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Base:
    """What an update begins with: the dataset's newest version; an append keeps its rows."""

    earlier: Earlier
    append: bool


def build(
    parts: Parts, spec: DatasetSpec, population: StoredPopulation | None, names: Names, tick: Tick, *,
    base: Base | None = None,
) -> Built:  # fmt: skip
    """Make one version: read, canonicalise, route, sort, write, seal, upload, and say so in a manifest object.

    Every bucket is written anew under the version's own key, also one that an append adds nothing to: no version needs
    another one's objects, and which buckets grew shows nowhere.

    Raises:
        RequestError: `connector_unknown`, `source_…`, `ingest_too_many_rows`.
        IntegrityFailed: an object of the version before is missing or changed.
        DependencyFailed: a full or failing disk or object store.
    """
    connector = parts.connectors.get(spec.source.connector)
    if connector is None:
        raise RequestError("connector_unknown", connector=spec.source.connector, known=sorted(parts.connectors))
    path = str(located(parts.source_dirs, spec.owner, spec.source.path))
    key = INTL.random(KEY_SIZE)
    wrapped = _wrapped(parts.root_key, population, key, names.version)
    report = Report()
    destination = Destination(objects=parts.objects, version_id=names.version, key=key)
    with ThreadPoolExecutor(parts.threads) as threads:
        attempt = _Attempt(
            parts=parts, spec=spec, report=report, destination=destination, threads=threads, tick=tick, base=base
        )
        if population is None:
            bits, objects = 0, attempt.public(connector, path)
        else:
            # The lineage's width, whatever N_max an update declares (P2.3).
            bits = bucket_bits(spec.n_max) if base is None else base.earlier.version.bits
            population_key = parts.root_key.unwrap(population.wrapped_key, population.id)
            objects = attempt.protected(connector, path, population, population_key, bits)
    version = Version(
        id=names.version, dataset_id=names.dataset, number=names.number, suite=INTL.id, format=FORMAT, bits=bits,
        tiers=spec.tiers, wrapped_key=wrapped, files=objects.files, sidecars=objects.sidecars,
        slots=tuple(dict.fromkeys(s.column for s in objects.sidecars)),
    )  # fmt: skip
    sealed = seal_manifest(version, spec, key)
    object_key, sha256 = manifest_key(version.id), INTL.digest(sealed).hex()
    parts.objects.put(object_key, BytesIO(sealed), size=len(sealed), sha256=sha256)
    crash.point("ingest.manifest")
    return Built(version=version, manifest_object=object_key, manifest_sha256=sha256, report=report)


def _wrapped(root_key: RootKey, population: StoredPopulation | None, key: bytes, version_id: str) -> bytes:
    """The version's key under the population's; under the root's for a public table."""
    if population is None:
        return root_key.wrap(key, version_id)
    return wrap(INTL, root_key.unwrap(population.wrapped_key, population.id), key, version_id)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Attempt:
    parts: Parts
    spec: DatasetSpec
    report: Report
    destination: Destination
    threads: ThreadPoolExecutor
    tick: Tick
    base: Base | None

    def public(self, connector: Connector, path: str) -> Objects:
        """A public table: one file, in the source's order."""
        reader = Reader(self.spec, None, self.report, threads=self.threads)
        batches = []
        for rows in self._rows(reader, connector, path):
            batches.append(rows.columns)
            self.report.rows_stored += rows.count
        crash.point("ingest.read")
        table = pa.table(
            {s.column.name: stored_column([b[s.column.name] for b in batches], s) for s in reader.shapes}
        )
        return Objects(files=(self.destination.store(table, reader.shapes, bucket=0, tier=0),))

    def protected(
        self, connector: Connector, path: str, population: StoredPopulation, population_key: bytes, bits: int
    ) -> Objects:
        """A protected table: every (bucket, tier) is a file, every (bucket, slot column) a sidecar, also empty ones."""
        chosen = suite(population.suite)
        # Pseudonyms are the population's: its datasets join on them. Orders are the lineage's own.
        pseudonym_key = chosen.kdf(population_key, b"sandbox pseudonyms v1")
        order_key = chosen.kdf(population_key, b"sandbox orders v1\n" + self.spec.name.encode())
        pseudonyms = Pseudonyms(chosen, pseudonym_key, population.spec.identifier)
        reader = Reader(self.spec, pseudonyms, self.report, threads=self.threads)
        order = RowOrder(chosen, order_key, reader.shapes)
        shapes, tiers = reader.shapes, self.spec.tiers
        slots = [SlotOrder(chosen, order_key, s) for s in shapes if s.column.name in self.spec.slots]
        self.report.slots = len(slots)
        routed = part_bits(self.spec.n_max, bits)
        spill = Spill(self.parts.work_dir, routed, most_buffered=self.parts.most_buffered)
        try:
            self._route(reader, connector, path, spill)
            crash.point("ingest.read")
            per_bucket = 1 << (routed - bits)
            buckets = [range(b * per_bucket, (b + 1) * per_bucket) for b in range(1 << bits)]

            def sort(part: int) -> SortedPart:
                return sort_part(spill.part(part), order, slots, tiers, shapes)

            return self._buckets(buckets, sort, shapes, slots)
        finally:
            spill.close()

    def _route(self, reader: Reader, connector: Connector, path: str, spill: Spill) -> None:
        """Read all rows into the spill; a batch is routed while the next one is made canonical."""
        routing = None
        for rows in self._rows(reader, connector, path):
            if routing is not None:
                routing.result()
            routing = self.threads.submit(spill.add, rows.as_batch())
        if routing is not None:
            routing.result()

    def _rows(self, reader: Reader, connector: Connector, path: str) -> Iterator[Rows]:
        """The rows to store: those that an append keeps, then the source's."""
        if self.base is not None and self.base.append:
            for rows in reader.earlier(self.base.earlier.rows(reader.shapes)):
                yield rows
                self.tick("earlier", self.report.rows_earlier)
        for rows in reader.rows(connector, path):
            yield rows
            self.tick("read", self.report.rows_read)

    def _buckets(
        self, buckets: Sequence[Sequence[int]], sort: Callable[[int], SortedPart], shapes: Sequence[Shape],
        slots: Sequence[SlotOrder],
    ) -> Objects:  # fmt: skip
        """Sort and store bucket by bucket; the next one's parts are sorted beside the writing of this one's objects."""
        files: list[SealedFile] = []
        sidecars: list[Sidecar] = []
        sorting = [self.threads.submit(sort, number) for number in buckets[0]]
        for bucket in range(len(buckets)):
            parts = [self._sorted(future.result()) for future in sorting]
            self._count_new(parts, bucket)
            crash.point("ingest.sorted")
            storing = [
                self.threads.submit(self._store, parts, shapes, bucket, tier) for tier in range(len(self.spec.tiers))
            ]
            packing = [self.threads.submit(self._pack, parts, order, bucket, n) for n, order in enumerate(slots)]
            following = buckets[bucket + 1] if bucket + 1 < len(buckets) else ()
            sorting = [self.threads.submit(sort, number) for number in following]
            for future in storing:
                files.append(future.result())
                self.tick("store", sum(f.rows for f in files))
            sidecars += [future.result() for future in packing]
            del parts, storing, packing
        return Objects(files=tuple(files), sidecars=tuple(sidecars))

    def _count_new(self, parts: Sequence[SortedPart], bucket: int) -> None:
        """Units that come under the population's key for the first time by this dataset (P2.2)."""
        if self.base is None:
            self.report.units_new += sum(part.units for part in parts)
            return
        known = self.base.earlier.units(bucket)
        self.report.units_new += sum(unseen(part.pieces[0].pseudonym, known) for part in parts)

    def _sorted(self, part: SortedPart) -> SortedPart:
        self.report.units += part.units
        self.report.rows_over_unit_limit += part.cut
        self.report.rows_stored += sum(len(piece.ordinal) for piece in part.pieces)
        self.tick("sort", self.report.rows_stored)
        return part

    def _store(self, parts: Sequence[SortedPart], shapes: Sequence[Shape], bucket: int, tier: int) -> SealedFile:
        return self.destination.store(stored_table(parts, tier, shapes), shapes, bucket=bucket, tier=tier)

    def _pack(self, parts: Sequence[SortedPart], order: SlotOrder, bucket: int, number: int) -> Sidecar:
        slots = order.joined([part.slots[order.column] for part in parts])
        return self.destination.store_slots(slots, bucket=bucket, column=order.column, number=number)


def prepare(work_dir: Path) -> None:
    """Make the work folder, for this process's owner alone.

    Raises:
        DependencyFailed: `work_folder_failed`.
    """
    try:
        work_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError:
        raise DependencyFailed("work_folder_failed") from None
