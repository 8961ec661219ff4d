"""Opened objects: the segments of files that plans need, and sidecars, decrypted once into memory, bounded in size."""

from __future__ import annotations

import os
import threading
from collections import OrderedDict
from collections.abc import Callable, Collection, Hashable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Final, TypeVar

import numpy as np
import numpy.typing as npt
import pyarrow.parquet as pq

from sandbox.catalog import SealedFile, Sidecar, Version
from sandbox.crypto.stream import SegmentReader
from sandbox.errors import IntegrityFailed
from sandbox.objects.sidecars import Slots, sidecar_aad, unpack
from sandbox.ports import ObjectStore

_WHOLE: Final = 1 << 20
"""Sealed bytes up to which an object is fetched whole; beyond, its header, its end and the runs that are needed."""


@dataclass(slots=True)
class _Held:
    """What is held of one sealed object; `checked` are the things that were found true of it."""

    lock: threading.Lock = field(default_factory=threading.Lock)
    resident: int = 0
    checked: set[Hashable] = field(default_factory=set)
    users: int = 0
    forgotten: bool = False

    def drop(self) -> None:
        """Give the memory back."""


@dataclass(slots=True)
class _Opened(_Held):
    """One sealed file: an anonymous memory file of its plaintext size, with only the loaded columns in it."""

    fd: int = -1
    loaded: set[str] = field(default_factory=set)

    def drop(self) -> None:
        os.close(self.fd)


@dataclass(slots=True)
class _OpenedSlots(_Held):
    """One sidecar, whole, and the memory that it lies in."""

    slots: Slots | None = None
    memory: Sequence[npt.NDArray[np.uint8]] = ()

    def drop(self) -> None:
        for piece in self.memory:
            piece.fill(0)  # nobody may find it where the next one allocates


Kind = TypeVar("Kind", bound=_Held)


class OpenedFiles:
    """Keeps opened files and sidecars up to `limit` bytes, the least recently used goes first; none touches a disk."""

    def __init__(self, objects: ObjectStore, *, limit: int = 400_000_000) -> None:
        self._objects = objects
        self._limit = limit
        self._lock = threading.Lock()
        self._held: OrderedDict[str, _Held] = OrderedDict()

    @contextmanager
    def lease(self, file: SealedFile, *, key: bytes, aad: bytes, columns: Iterable[str]) -> Iterator[int]:
        """A descriptor of the file with these columns readable; valid inside the block.

        Raises:
            IntegrityFailed: the object is missing, or is not what was sealed.
        """
        with self._using(file.key, lambda: _Opened(fd=_sparse(file.size))) as opened:
            with opened.lock:
                self._load(opened, file, key, aad, [c for c in columns if c not in opened.loaded])
            yield opened.fd

    @contextmanager
    def slots(self, version: Version, bucket: int, column: str, *, key: bytes) -> Iterator[Slots]:
        """What a bucket's slots of a column stand for; valid inside the block, and wiped some time behind it.

        Raises:
            IntegrityFailed: the object is missing, or is not what was sealed; `version_incomplete`, there is none.
        """
        sidecar = next((s for s in version.sidecars if (s.bucket, s.column) == (bucket, column)), None)
        if sidecar is None:
            raise IntegrityFailed("version_incomplete", version=version.id)
        with self._using(sidecar.key, _OpenedSlots) as opened:
            with opened.lock:
                if opened.slots is None:
                    self._load_slots(opened, sidecar, key, sidecar_aad(version.id, bucket, column))
                found: Slots = opened.slots  # type: ignore[assignment]  # loaded just now, or before
            yield found

    def check(self, file: SealedFile, fd: int, bounds: Mapping[str, tuple[int, int]]) -> None:
        """Check, once a file and bound, that all values of these columns lie within: by the file's own statistics.

        They were written from the rows themselves, and opened with the file's seal: they are as good as a scan.

        Raises:
            IntegrityFailed: `values_out_of_bounds`, also where a file has no statistics.
        """
        asked = {(name, *limits) for name, limits in bounds.items()}
        with self._lock:
            opened = self._held[file.key]
            if asked <= opened.checked or not file.rows:
                return
        footer = pq.read_metadata(f"/proc/self/fd/{fd}")
        places = {footer.schema.column(i).name: i for i in range(footer.num_columns)}
        groups = [footer.row_group(g) for g in range(footer.num_row_groups)]
        for group in groups:
            for name, low, high in asked:
                chunk = group.column(places[name])
                known = chunk.statistics
                nothing = known is not None and known.null_count == chunk.num_values
                if not nothing and (known is None or not known.has_min_max or known.min < low or known.max > high):
                    raise IntegrityFailed("values_out_of_bounds", key=file.key, column=name)
        whole = {n for n in bounds if all(g.column(places[n]).statistics.null_count == 0 for g in groups)}
        with self._lock:
            opened.checked |= asked | {("complete", name) for name in whole}

    def complete(self, file: SealedFile) -> frozenset[str]:
        """Of the columns that were checked, those without NULL in a leased file."""
        found = self.checked(file)
        return frozenset(c[1] for c in found if isinstance(c, tuple) and c[0] == "complete" and len(c) == 2)

    def checked(self, file: SealedFile) -> set[Hashable]:
        """What was found true of a file that is leased; a check adds to it, so that it is made once a file."""
        with self._lock:
            return self._held[file.key].checked

    def held(self) -> set[str]:
        """The versions that there are opened files of."""
        with self._lock:
            return {version_of(key) for key in self._held}

    def forget(self, versions: Collection[str]) -> None:
        """Drop what was opened of these versions: what nobody uses at once, the rest when its last user lets it go."""
        with self._lock:
            for key, opened in self._held.items():
                opened.forgotten |= version_of(key) in versions
            self._evict()

    def close(self) -> None:
        """Forget all that nobody uses."""
        with self._lock:
            limit, self._limit = self._limit, -1
            self._evict()
            self._limit = limit

    @contextmanager
    def _using(self, key: str, make: Callable[[], Kind]) -> Iterator[Kind]:
        """The object's place in memory, which stays while it is used."""
        with self._lock:
            if key not in self._held:
                self._held[key] = make()
            opened: Kind = self._held[key]  # type: ignore[assignment]  # a key is of one kind: its name tells which
            self._held.move_to_end(key)
            opened.users += 1
        try:
            yield opened
        finally:
            with self._lock:
                opened.users -= 1
                self._evict()

    def _load(self, opened: _Opened, file: SealedFile, key: bytes, aad: bytes, columns: list[str]) -> None:
        ranges = [chunk for c in columns for chunk in file.chunks[c]]
        if not opened.resident:
            if self._objects.size(file.key) not in {file.sealed_size, None}:  # a missing one is told by reading it
                raise IntegrityFailed("object_corrupt", key=file.key)
            ranges += [(0, 4), (file.footer, file.size - file.footer)]
        if not ranges:
            return

        reader = SegmentReader(self._reads(file), sealed_size=file.sealed_size, key=key, aad=aad)
        for offset, plain in reader.segments(ranges):
            os.pwrite(opened.fd, plain, offset)
            opened.resident += len(plain)
        opened.loaded.update(columns)

    def _load_slots(self, opened: _OpenedSlots, sidecar: Sidecar, key: bytes, aad: bytes) -> None:
        if self._objects.size(sidecar.key) not in {sidecar.sealed_size, None}:
            raise IntegrityFailed("object_corrupt", key=sidecar.key)
        reader = SegmentReader(self._reads(sidecar), sealed_size=sidecar.sealed_size, key=key, aad=aad)
        opened.slots, opened.memory = unpack(reader.read(0, reader.size), sidecar)
        opened.resident = sum(piece.nbytes for piece in opened.memory)

    def _reads(self, file: SealedFile | Sidecar) -> Callable[[int, int], bytes]:
        """How to read a sealed object: a small one whole and at once, since every request to a store has its price."""
        if file.sealed_size > _WHOLE:
            return lambda start, length: self._objects.read(file.key, start, length)
        whole = self._objects.read(file.key, 0, file.sealed_size)
        return lambda start, length: whole[start : start + length]

    def _evict(self) -> None:
        total = sum(o.resident for o in self._held.values())
        idle = [name for name, opened in self._held.items() if not opened.users]
        for name in sorted(idle, key=lambda n: not self._held[n].forgotten):
            if total <= self._limit and not self._held[name].forgotten:
                return
            opened = self._held.pop(name)
            total -= opened.resident
            opened.drop()


def _sparse(size: int) -> int:
    descriptor = os.memfd_create("opened", os.MFD_CLOEXEC)
    os.ftruncate(descriptor, size)
    return descriptor


def version_of(key: str) -> str:
    """The version that an object key `v1/ver_…/…` belongs to."""
    return key.partition("/")[2].partition("/")[0]
