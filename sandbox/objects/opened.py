"""Opened files: the segments that plans need, decrypted once into sparse memory files, bounded in size."""

from __future__ import annotations

import os
import threading
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field

import pyarrow.parquet as pq

from sandbox.catalog import SealedFile
from sandbox.crypto.stream import SegmentReader
from sandbox.errors import IntegrityFailed
from sandbox.ports import ObjectStore


@dataclass(slots=True)
class _Opened:
    """One sealed file: an anonymous memory file of its plaintext size, with only the loaded columns in it."""

    fd: int
    lock: threading.Lock = field(default_factory=threading.Lock)
    loaded: set[str] = field(default_factory=set)
    resident: int = 0
    checked: set[tuple[str, int, int]] = field(default_factory=set)
    users: int = 0


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

        def read(start: int, length: int) -> bytes:
            return self._objects.read(file.key, start, length)

        reader = SegmentReader(read, sealed_size=file.sealed_size, key=key, aad=aad)
        for offset, plain in reader.segments(ranges):
            os.pwrite(opened.fd, plain, offset)
            opened.resident += len(plain)
        opened.loaded.update(columns)

    def _evict(self) -> None:
        total = sum(o.resident for o in self._files.values())
        for name in [n for n, o in self._files.items() if not o.users]:
            if total <= self._limit:
                return
            opened = self._files.pop(name)
            total -= opened.resident
            os.close(opened.fd)
