"""Sums by cell, where a cell is a slot or a (unit, group): by counting into all cells, or by sorting packed words.

Both ways give the same integers; only time and memory tell them apart. Memory of a call: counting takes 8 or 16 bytes a
cell and 24 bytes a row, sorting 24 to 40 bytes a row, both beside 16 bytes a found cell and measure.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Literal, TypeAlias

import numpy as np
import numpy.typing as npt

from sandbox.flow import Ints
from sandbox.query.kernel.blocks import run_lengths, run_starts, run_sums
from sandbox.query.kernel.sums import Codes, Column, Places, Totals, checked, packed, packing, part, totals_of, unpacked

Words: TypeAlias = npt.NDArray[np.uint64]

_SPARSE: Final = 4
"""Counting walks all cells: with fewer rows than a quarter of them, sorting the rows is quicker."""
_SPARSE_SEEN: Final = 16
"""The same where a cell is one byte."""
_STEP: Final = 1 << 16
"""Rows that are packed into words at a time."""


def cell_totals(
    cell: Codes, size: int, columns: Sequence[Column], *, most: int | None = None, spread: int = 256
) -> tuple[Ints, tuple[Totals, ...]]:
    """The cells that have rows, ascending, and each column's totals over them.

    Args:
        cell: a number in [0, size) for each row, in any order.
        size: number of cells.
        columns: the measures, each as long as `cell`.
        most: no cell has more rows than this (a declared fact); None: it may have all.
        spread: by how many cells neighbouring rows lie apart while rows are as good as sorted: a unit's cells.

    Raises:
        IntegrityFailed: `values_exceed_bound`.
    """
    if not columns:
        return distinct_cells(cell, size, spread=spread), ()
    most = len(cell) if most is None else min(most, len(cell))
    if len(cell) * _SPARSE >= size:
        return _by_counting(cell, size, columns, most)
    return _by_sorting(cell, size, columns, spread)


def distinct_cells(cell: Codes, size: int, *, spread: int = 256) -> Ints:
    """The cells that have rows, ascending."""
    if len(cell) * _SPARSE_SEEN >= size:
        seen = np.zeros(size, np.bool_)
        seen[cell] = True
        return np.flatnonzero(seen)
    ordered = np.sort(cell, kind=sort_kind(cell, spread))
    return ordered[run_starts(ordered)].astype(np.int64)


def sort_kind(cell: Codes, spread: int) -> Literal["stable", "quicksort"]:
    """Merging is five times quicker on a few runs that are sorted but for a unit's own rows, and slower otherwise."""
    falls = np.count_nonzero(cell[1:] + cell.dtype.type(spread) < cell[:-1])
    return "stable" if falls * 32 < len(cell) else "quicksort"


def _by_counting(cell: Codes, size: int, columns: Sequence[Column], most: int) -> tuple[Ints, tuple[Totals, ...]]:
    place = np.asarray(cell, np.intp)
    # A column without NULL, if there is one, comes first: its counts tell which cells have rows.
    turns = sorted(range(len(columns)), key=lambda i: columns[i].valid is not None)
    found = None if columns[turns[0]].valid is None else distinct_cells(cell, size)
    totals: dict[int, Totals] = {}
    for turn in turns:
        whole, bit = _counted(place, size, columns[turn], most)
        found = np.flatnonzero(whole[0]) if found is None else found
        # Where no cell is empty nothing needs to be picked out.
        some = whole if len(found) == size else [w[found] for w in whole]
        counts, sums = unpacked(some[0], bit) if bit is not None else (some[0], some[1] if len(some) > 1 else None)
        totals[turn] = Totals(counts=counts, sums=sums)
    return np.zeros(0, np.int64) if found is None else found, tuple(totals[i] for i in range(len(columns)))


def _counted(place: Places, size: int, column: Column, most: int) -> tuple[list[Ints], int | None]:
    """Counts and sums over all cells: packed above a bit, or one by one."""
    bit = None if column.values is None else packing(most, column.bound)
    if bit is not None:
        return [packed(place, size, column, bit)], bit
    counts, sums = totals_of(place, size, column, most)
    return [counts] if sums is None else [counts, sums], None


def _by_sorting(cell: Codes, size: int, columns: Sequence[Column], spread: int) -> tuple[Ints, tuple[Totals, ...]]:
    kind = sort_kind(cell, spread)
    widths = [_width(c) for c in columns]
    if size.bit_length() + sum(widths) > 64:
        return _by_order(cell, columns, np.argsort(cell, kind=kind))
    words = np.empty(len(cell), np.uint64)
    for low in range(0, len(cell), _STEP):
        some = slice(low, low + _STEP)
        words[some] = _words(cell[some], [part(c, some) for c in columns], widths)
    words.sort(kind=kind)
    ordered = words >> np.uint64(sum(widths))
    start = run_starts(ordered)
    totals, shift = [], sum(widths)
    for column, width in zip(columns, widths, strict=True):
        shift -= width
        totals.append(_unpack(column, words, shift, width, start))
    return ordered[start].astype(np.int64), tuple(totals)


def _words(cell: Codes, columns: Sequence[Column], widths: Sequence[int]) -> Words:
    """Each row in one word: its cell, then each column's payload."""
    words = cell.astype(np.uint64)
    for column, width in zip(columns, widths, strict=True):
        if width:
            words <<= np.uint64(width)
            words |= _payload(column)
    return words


def _width(column: Column) -> int:
    """Bits of a row's payload: nothing, NULL or not, or the value above its lower bound with NULL as 0."""
    if column.values is None:
        return 0 if column.valid is None else 1
    return (2 * column.bound + 1).bit_length()


def _payload(column: Column) -> Words:
    if column.values is None:
        return np.asarray(column.valid, np.uint64)
    payload = (checked(column) + (column.bound + 1)).view(np.uint64)
    return payload if column.valid is None else np.where(column.valid, payload, np.uint64(0))


def _unpack(column: Column, words: Words, shift: int, width: int, start: Ints) -> Totals:
    counts = run_lengths(start, len(words))
    if not width:
        return Totals(counts=counts, sums=None)
    payload = ((words >> np.uint64(shift)) & np.uint64((1 << width) - 1)).view(np.int64)
    if column.valid is not None:
        counts = run_sums((payload != 0).astype(np.int64), start)
    if column.values is None:
        return Totals(counts=counts, sums=None)
    return Totals(counts=counts, sums=run_sums(payload, start) - counts * (column.bound + 1))


def _by_order(cell: Codes, columns: Sequence[Column], order: Ints) -> tuple[Ints, tuple[Totals, ...]]:
    """Where cell and values do not fit one word: sort the rows' places, then fetch."""
    ordered = cell[order]
    start = run_starts(ordered)
    totals = []
    for column in columns:
        counts = run_lengths(start, len(order))
        if column.valid is not None:
            counts = run_sums(column.valid[order].astype(np.int64), start)
        sums = None
        if column.values is not None:
            sums = run_sums(checked(column)[order], start)
        totals.append(Totals(counts=counts, sums=sums))
    return ordered[start].astype(np.int64), tuple(totals)
