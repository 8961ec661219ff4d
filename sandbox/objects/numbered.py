"""Numbered rows: the checks, once a stored file, that order, ordinals, unit indexes and slots are what they must be.

The bound on one unit rests on them (P2.3, P2.4): an ordinal that repeats, or an index that two units share, would let
a unit give more than the plan says, or take what is another's.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import Final, TypeAlias

import numpy as np
import numpy.typing as npt
import pyarrow.parquet as pq

from sandbox.catalog import SealedFile, Version
from sandbox.errors import IntegrityFailed
from sandbox.objects.opened import OpenedFiles
from sandbox.objects.sidecars import Slots, slot_column

Words: TypeAlias = npt.NDArray[np.uint64]
Rows: TypeAlias = Mapping[str, npt.NDArray[np.int64]]

INDEX: Final = ("pseudonym", "ordinal", "ui")
"""Stored columns that every protected file has besides the declared ones and slots."""

_ORDER: Final = ("order",)


def check_rows(
    opened: OpenedFiles, version: Version, bucket: int, tiers: Collection[int], *, key: bytes,
    slots: Mapping[str, Slots],
) -> None:  # fmt: skip
    """Check the files of a bucket's tiers, and the columns of slots that a plan reads, each once while it is opened.

    In every tier: rows stand by (pseudonym, ordinal), inside the bucket; a unit's ordinals run from the tier's lower
    edge on without a gap and stay below the upper one. In the first tier the unit index runs from 0 and steps by one
    exactly where the pseudonym does; in another it is the one that the first tier gives the pseudonym. A row's slot is
    one of its unit's.

    Raises:
        IntegrityFailed: `stored_rows_wrong`, naming the object; `version_incomplete`; what opening raises.
    """
    wanted = {_ORDER, *(("slot", column) for column in slots)}
    units: Words | None = None
    for tier in sorted(tiers):
        file = next((f for f in version.files if (f.bucket, f.tier) == (bucket, tier)), None)
        if file is None:
            raise IntegrityFailed("version_incomplete", version=version.id)
        aad = f"{version.id}/{bucket}/{tier}".encode()
        columns = (*INDEX, *map(slot_column, slots))
        with opened.lease(file, key=key, aad=aad, columns=()) as fd:
            if wanted <= opened.checked(file):
                continue
            if tier and units is None:
                units = _units(opened, version, bucket, key)
            with opened.lease(file, key=key, aad=aad, columns=columns):
                found = _Check(version, file, units, slots).run(fd)
            units = found if not tier else units
            opened.checked(file).update(wanted)


def _units(opened: OpenedFiles, version: Version, bucket: int, key: bytes) -> Words:
    """The bucket's pseudonyms by unit index, from its first tier."""
    file = next(f for f in version.files if (f.bucket, f.tier) == (bucket, 0))
    with opened.lease(file, key=key, aad=f"{version.id}/{bucket}/0".encode(), columns=INDEX) as fd:
        return _Check(version, file, None, {}).run(fd)


class _Check:
    """One file's check, row group by row group; `units` are the pseudonyms by index, for a tier but the first."""

    def __init__(self, version: Version, file: SealedFile, units: Words | None, slots: Mapping[str, Slots]) -> None:
        self._file = file
        self._bits = version.bits
        self._low = version.tiers[file.tier - 1] if file.tier else 0
        self._high = version.tiers[file.tier]
        self._units = units
        self._slots = slots
        self._last: tuple[int, int, int] | None = None
        self._found: list[Words] = []

    def run(self, fd: int) -> Words:
        """Check all rows; gives the pseudonyms that occur, ascending."""
        count = 0
        for pseudonym, rows in self._groups(fd):
            self._check(pseudonym, rows)
            count += len(pseudonym)
        found = np.concatenate([np.zeros(0, np.uint64), *self._found])
        self._require(count == self._file.rows)
        if not self._file.tier:
            self._require(all(s.units == len(found) for s in self._slots.values()))
        return found

    def _groups(self, fd: int) -> Iterator[tuple[Words, Rows]]:
        columns = [*INDEX, *map(slot_column, self._slots)]
        with pq.ParquetFile(f"/proc/self/fd/{fd}") as file:
            for group in range(file.metadata.num_row_groups):
                table = file.read_row_group(group, columns=columns, use_threads=False)
                if table.num_rows:
                    rest = {name: table.column(name).to_numpy().astype(np.int64) for name in columns[1:]}
                    yield table.column(INDEX[0]).to_numpy(), rest

    def _check(self, pseudonym: Words, rows: Rows) -> None:
        ordinal, unit = rows["ordinal"], rows["ui"]
        first = self._last is None
        before = self._last or (0, 0, 0)
        new = np.concatenate([[first or int(pseudonym[0]) != before[0]], pseudonym[1:] != pseudonym[:-1]])
        rises = np.concatenate([[first or int(pseudonym[0]) >= before[0]], pseudonym[1:] >= pseudonym[:-1]])
        self._require(bool(rises.all()))
        self._require(self._bits == 0 or bool((pseudonym >> np.uint64(64 - self._bits) == self._file.bucket).all()))
        # What an ordinal must be: the tier's lower edge at a new unit, else one more than in the row before.
        expected = np.where(new, self._low, np.concatenate([[before[1]], ordinal[:-1]]) + 1)
        self._require(bool((ordinal == expected).all()) and int(ordinal.max()) < self._high)
        if self._file.tier == 0:
            steps = np.diff(unit, prepend=-1 if first else before[2])
            self._require(bool((steps == new).all()))
        elif self._units is not None:
            inside = bool(((unit >= 0) & (unit < len(self._units))).all())
            self._require(inside and bool((self._units[unit] == pseudonym).all()))
        for column, slots in self._slots.items():
            self._check_slots(unit, rows[slot_column(column)], slots)
        self._found.append(pseudonym[new])
        self._last = (int(pseudonym[-1]), int(ordinal[-1]), int(unit[-1]))

    def _check_slots(self, unit: npt.NDArray[np.int64], slot: npt.NDArray[np.int64], slots: Slots) -> None:
        self._require(int(unit.max()) < slots.units)
        self._require(bool(((slot >= slots.first[unit]) & (slot < slots.first[unit + 1])).all()))

    def _require(self, holds: bool) -> None:
        if not holds:
            raise IntegrityFailed("stored_rows_wrong", key=self._file.key)
