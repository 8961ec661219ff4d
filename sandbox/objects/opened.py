"""Opened files: the segments that plans need, decrypted once into sparse memory files, bounded in size."""

from __future__ import annotations

import os
import threading
from collections import OrderedDict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Final

import pyarrow.parquet as pq

from sandbox.catalog import SealedFile
from sandbox.crypto.stream import SegmentReader
from sandbox.errors import IntegrityFailed
from sandbox.ports import ObjectStore

_WHOLE: Final = 1 << 20
"""Sealed bytes up to which an object is fetched whole; beyond, its header, its end and the runs that are needed."""


@dataclass(slots=True)
class _Opened:
    """One sealed file: an anonymous memory file of its plaintext size, with only the loaded columns in it."""

    fd: int
    lock: threading.Lock = field(default_factory=threading.Lock)
    loaded: set[str] = field(default_factory=set)
    resident: int = 0
    checked: set[tuple[str, int, int]] = field(default_factory=set)
    users: int = 0
    forgotten: bool = False


class OpenedFiles:
    """Keeps opened files up to `limit` bytes; the least recently used goes first. No plaintext touches a disk."""

    def __init__(self, objects: ObjectStore, *, limit: int = 400_000_000) -> None:
        self._objects = objects
        self._limit = limit
        self._lock = threading.Lock()
        self._files: OrderedDict[str, _Opened] = OrderedDict()

    @contextmanager
    def lease(self, file: SealedFile, *, key: bytes, aad: bytes, columns: Iterable[str]) -> Iterator[int]:
        """A descriptor of the file with these columns readable; valid inside the block.

        Raises:
            IntegrityFailed: the object is missing, or is not what was sealed.
        """
        opened = self._take(file)
        try:
            with opened.lock:
                self._load(opened, file, key, aad, [c for c in columns if c not in opened.loaded])
            yield opened.fd
        finally:
            with self._lock:
                opened.users -= 1
                self._evict()

    def check(self, file: SealedFile, fd: int, bounds: Mapping[str, tuple[int, int]]) -> None:
        """Check, once a file and bound, that all values of these columns lie within: by the file's own statistics.

        They were written from the rows themselves, and opened with the file's seal: they are as good as a scan.

        Raises:
            IntegrityFailed: `values_out_of_bounds`, also where a file has no statistics.
        """
        asked = {(name, *limits) for name, limits in bounds.items()}
        with self._lock:
            opened = self._files[file.key]
            if asked <= opened.checked or not file.rows:
                return
        footer = pq.read_metadata(f"/proc/self/fd/{fd}")
        places = {footer.schema.column(i).name: i for i in range(footer.num_columns)}
        for group in (footer.row_group(g) for g in range(footer.num_row_groups)):
            for name, low, high in asked:
                chunk = group.column(places[name])
                known = chunk.statistics
                nothing = known is not None and known.null_count == chunk.num_values
                if not nothing and (known is None or not known.has_min_max or known.min < low or known.max > high):
                    raise IntegrityFailed("values_out_of_bounds", key=file.key, column=name)
        with self._lock:
            opened.checked |= asked

    def held(self) -> set[str]:
        """The versions that there are opened files of."""
        with self._lock:
            return {version_of(key) for key in self._files}

    def forget(self, versions: Collection[str]) -> None:
        """Drop what was opened of these versions: what nobody uses at once, the rest when its last user lets it go."""
        with self._lock:
            for key, opened in self._files.items():
                opened.forgotten |= version_of(key) in versions
            self._evict()

    def close(self) -> None:
        """Forget all that nobody uses."""
        with self._lock:
            limit, self._limit = self._limit, -1
            self._evict()
            self._limit = limit

    def _take(self, file: SealedFile) -> _Opened:
        with self._lock:
            opened = self._files.get(file.key)
            if opened is None:
                fd = os.memfd_create("opened", os.MFD_CLOEXEC)
                os.ftruncate(fd, file.size)
                opened = self._files[file.key] = _Opened(fd)
            self._files.move_to_end(file.key)
            opened.users += 1
            return opened

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

    def _reads(self, file: SealedFile) -> Callable[[int, int], bytes]:
        """How to read a sealed object: a small one whole and at once, since every request to a store has its price."""
        if file.sealed_size > _WHOLE:
            return lambda start, length: self._objects.read(file.key, start, length)
        whole = self._objects.read(file.key, 0, file.sealed_size)
        return lambda start, length: whole[start : start + length]

    def _evict(self) -> None:
        total = sum(o.resident for o in self._files.values())
        idle = [name for name, opened in self._files.items() if not opened.users]
        for name in sorted(idle, key=lambda n: not self._files[n].forgotten):
            if total <= self._limit and not self._files[name].forgotten:
                return
            opened = self._files.pop(name)
            total -= opened.resident
            os.close(opened.fd)


def version_of(key: str) -> str:
    """The version that an object key `v1/ver_…/…` belongs to."""
    return key.partition("/")[2].partition("/")[0]
