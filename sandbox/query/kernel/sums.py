"""Exact int64 counts and sums by group, many measures in one walk over the rows.

Float64 adds whole numbers exactly while every partial sum stays under 2**53; each way taken here rests on such a proof
from declared bounds alone. Memory of a call: some 20 bytes a row of one step, and 24 bytes a group and measure.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final, TypeAlias

import numpy as np
import numpy.typing as npt

from sandbox.errors import IntegrityFailed
from sandbox.flow import Ints

Units: TypeAlias = npt.NDArray[np.uint32]
Codes: TypeAlias = npt.NDArray[np.integer]
Mask: TypeAlias = npt.NDArray[np.bool_]
Places: TypeAlias = npt.NDArray[np.intp]

_EXACT: Final = 1 << 53
_STEP: Final = 1 << 15
"""Rows of a step: its arrays stay in a core's own cache."""
_LOW: Final = 32
"""Bits of the lower half, where a sum is taken in two halves."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """One measure's rows: `values` (None: rows are only counted), `valid` (None: no NULL), and what is added up.

    That is each value less `center`, or the square of it; `bound` is its largest size. Values come in any integer type,
    and may be anything where `valid` is false.
    """

    values: npt.NDArray[np.integer] | None = None
    valid: Mask | None = None
    bound: int = 0
    center: int = 0
    square: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Totals:
    """A measure by group: how many rows are not NULL, and the sum of their values (None where there are none)."""

    counts: Ints
    sums: Ints | None


def group_sums(group: Codes, groups: int, columns: Sequence[Column]) -> list[Totals]:
    """Count and sum each column by group, reading the group codes once.

    Args:
        group: a code in [0, groups) for each row.
        groups: number of codes.
        columns: the measures, each as long as `group`.

    Returns:
        Totals of shape (groups,) for each column, exact while |sum| < 2**63.

    Raises:
        IntegrityFailed: `values_exceed_bound`: a value lies outside its column's bound.

    Privacy: additive over rows: the result for two disjoint sets of rows is the sum of their results.
    """
    totals = [
        Totals(counts=np.zeros(groups, np.int64), sums=None if c.values is None else np.zeros(groups, np.int64))
        for c in columns
    ]
    step = max(_STEP, 8 * groups)
    for low in range(0, len(group), step):
        place = np.asarray(group[low : low + step], np.intp)
        for column, total in zip(columns, totals, strict=True):
            counts, sums = totals_of(place, groups, part(column, slice(low, low + step)), len(place))
            np.add(total.counts, counts, out=total.counts)
            if sums is not None and total.sums is not None:
                np.add(total.sums, sums, out=total.sums)
    return totals


def sum_by(group: Codes, groups: int, values: Ints, bound: int, valid: Mask | None = None) -> Ints:
    """Sum values by group without counting them; shape (groups,), exact while |sum| < 2**63.

    Raises:
        IntegrityFailed: `values_exceed_bound`.
    """
    total = np.zeros(groups, np.int64)
    step = max(_STEP, 8 * groups)
    for low in range(0, len(group), step):
        some = part(Column(values=values, valid=valid, bound=bound), slice(low, low + step))
        place = np.asarray(group[low : low + step], np.intp)
        total += _summed(place, groups, checked(some), bound, len(place))
    return total


def part(column: Column, rows: slice) -> Column:
    """Some of a column's rows."""
    return replace(
        column,
        values=None if column.values is None else column.values[rows],
        valid=None if column.valid is None else column.valid[rows],
    )


def packing(most: int, bound: int) -> int | None:
    """Where a count stands above a sum in one float64: its bit, or None where both do not fit.

    Proof: `most` rows of |v| <= bound sum to less than 2**(bit - 1) in absolute value, so count * 2**bit + sum
    determines both; every partial sum is at most most * (2**bit + bound) < 2**53, so each addition is exact.
    """
    bit = (2 * most * bound).bit_length()
    return bit if most * ((1 << bit) + bound) < _EXACT else None


def packed(place: Places, groups: int, column: Column, bit: int) -> Ints:
    """Count and sum of each group in one number, count * 2**bit + sum; `unpacked` parts them."""
    values = checked(column)
    weights = values.astype(np.float64)
    if column.valid is None:
        weights += float(1 << bit)
    else:
        weights += column.valid * float(1 << bit)
    return np.bincount(place, weights=weights, minlength=groups).astype(np.int64)


def unpacked(both: Ints, bit: int) -> tuple[Ints, Ints]:
    """Counts and sums from `packed` numbers, whose array becomes that of the sums."""
    counts = both + ((1 << bit) >> 1)
    counts >>= bit
    both -= counts << bit
    return counts, both


def totals_of(place: Places, groups: int, column: Column, most: int) -> tuple[Ints, Ints | None]:
    """Counts and sums of one column over all rows at once, where no group has more than `most` rows."""
    if column.values is None:
        return _counted(place, groups, column.valid), None
    bit = packing(most, column.bound)
    if bit is not None:
        return unpacked(packed(place, groups, column, bit), bit)
    sums = _summed(place, groups, checked(column), column.bound, most)
    return _counted(place, groups, column.valid), sums


def _counted(place: Places, groups: int, valid: Mask | None) -> Ints:
    if valid is None:
        return np.bincount(place, minlength=groups)
    # Weighted counting takes no branch on a row, and 2**53 rows do not exist.
    return np.bincount(place, weights=valid, minlength=groups).astype(np.int64)


def checked(column: Column) -> Ints:
    """What the column's rows add, with 0 for NULL, within the bound that every proof here rests on."""
    if column.values is None:
        return np.zeros(0, np.int64)
    values = np.asarray(column.values, np.int64)
    if column.center:
        values = values - column.center
    if column.valid is not None:
        values = np.where(column.valid, values, 0)
    if column.square:
        values = values * values
    if len(values) and (int(values.max()) > column.bound or int(values.min()) < -column.bound):
        raise IntegrityFailed("values_exceed_bound", bound=column.bound)
    return values


def _summed(place: Places, groups: int, values: Ints, bound: int, most: int) -> Ints:
    """Sum by group, in two halves where one float64 would not be exact.

    Proof: each half of a value is at most 2**32 in absolute value, and fewer than 2**21 rows of a group are added at a
    time. The high half's shift wraps only where the sum itself does.
    """
    if most * bound < _EXACT:
        return np.bincount(place, weights=values, minlength=groups).astype(np.int64)
    if most >= 1 << 21 and len(place) >= 1 << 21:
        middle = len(place) // 2
        low = _summed(place[:middle], groups, values[:middle], bound, most)
        return low + _summed(place[middle:], groups, values[middle:], bound, most)
    low = np.bincount(place, weights=values & ((1 << _LOW) - 1), minlength=groups).astype(np.int64)
    high = np.bincount(place, weights=values >> _LOW, minlength=groups).astype(np.int64)
    return (high << _LOW) + low
