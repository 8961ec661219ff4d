"""Rows of a bucket in blocks of whole units, small enough for a core's own cache, and runs of equal values.

Arrays of a whole bucket cost more in fresh memory than in arithmetic, so work on single units goes block by block.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any, Final, TypeVar

import numpy as np
import numpy.typing as npt

from sandbox.flow import Ints
from sandbox.query.kernel.sums import Column, Units

_BLOCK: Final = 1 << 16
"""Rows of a block."""
_RUNS: Final = 64
"""More runs than this are not tiers: the rows are in no order."""

A = TypeVar("A", bound=npt.NDArray[Any])


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """All rows of the units in [low, high): as slices, or as places where rows are in no order."""

    low: int
    high: int
    rows: tuple[slice, ...] | Ints

    def of(self, values: A) -> A:
        """The block's part of a column."""
        if isinstance(self.rows, np.ndarray):
            return values[self.rows]  # type: ignore[return-value]  # numpy keeps the type
        if len(self.rows) == 1:
            return values[self.rows[0]]  # type: ignore[return-value]
        return np.concatenate([values[some] for some in self.rows])  # type: ignore[return-value]

    def column(self, column: Column) -> Column:
        """The block's part of a measure."""
        return replace(
            column,
            values=None if column.values is None else self.of(column.values),
            valid=None if column.valid is None else self.of(column.valid),
        )


def unit_blocks(unit: Units) -> Iterator[Block]:
    """Part a bucket's rows into blocks of whole units; at least one block.

    Rows come as a few runs that are sorted by unit, as tiers do, or in any order, as joins do. Memory: 8 bytes a row in
    any order, nothing to speak of otherwise.
    """
    rows = len(unit)
    units = int(unit.max()) + 1 if rows else 0
    if rows <= _BLOCK:
        yield Block(low=0, high=units, rows=(slice(0, rows),))
        return
    bounds = np.flatnonzero(unit[1:] < unit[:-1]) + 1
    # Units a block takes, if all had the same number of rows: a power of two.
    bits = max((units * _BLOCK // rows).bit_length() - 1, (units - 1).bit_length() - 16, 0)
    lows = range(0, units, 1 << bits)
    if len(bounds) >= _RUNS:
        # Up to 16 bits sort by radix, in two walks over the rows.
        which = (unit >> np.uint32(bits)).astype(np.uint16)
        order = np.argsort(which, kind="stable")
        ends = np.cumsum(np.bincount(which, minlength=len(lows)))
        for i, low in enumerate(lows):
            some = order[int(ends[i - 1]) if i else 0 : int(ends[i])]
            if len(some):
                yield Block(low=low, high=min(low + (1 << bits), units), rows=some)
        return
    edges = [0, *bounds.tolist(), rows]
    cuts = [np.searchsorted(unit[a:b], np.array([*lows, units], np.int64)) + a for a, b in pairwise(edges)]
    for i, low in enumerate(lows):
        slices = tuple(slice(int(c[i]), int(c[i + 1])) for c in cuts if c[i] < c[i + 1])
        if slices:
            yield Block(low=low, high=min(low + (1 << bits), units), rows=slices)


def sorted_blocks(unit: Units, least: int = 0) -> Iterator[slice]:
    """Part rows that are sorted by unit into blocks of whole units, each of `least` rows or more where it can be."""
    low, size = 0, max(_BLOCK, least)
    while low < len(unit):
        high = low + size
        if high < len(unit):
            # A unit that is cut goes to the next block, unless it is all there is.
            cut = int(np.searchsorted(unit, unit[high], side="left"))
            high = cut if cut > low else int(np.searchsorted(unit, unit[high], side="right"))
        yield slice(low, high)
        low = high


def run_starts(value: npt.NDArray[Any]) -> Ints:
    """Where each run of equal values begins; shape (runs,)."""
    if not len(value):
        return np.zeros(0, np.int64)
    starts = np.empty(len(value), np.bool_)
    starts[0] = True
    np.not_equal(value[1:], value[:-1], out=starts[1:])
    return np.flatnonzero(starts)


def run_lengths(start: Ints, rows: int) -> Ints:
    """How long each run is that `run_starts` found among `rows`."""
    return np.diff(start, append=rows)


def run_sums(values: Ints, start: Ints) -> Ints:
    """Sum each run, in integers: differences of one running sum, which may wrap as long as no run's own sum does."""
    if not len(start):
        return np.zeros(0, np.int64)
    running = np.cumsum(values)
    ends = np.append(start[1:], len(values)) - 1
    totals: Ints = np.diff(running[ends], prepend=0)
    return totals


def run_places(value: npt.NDArray[Any]) -> Ints:
    """Each row's place in its run of equal values, from 0."""
    start = run_starts(value)
    return np.arange(len(value)) - np.repeat(start, run_lengths(start, len(value)))
