"""The k first rows of each unit: by sorting in any order of the rows, or by counting along runs that are sorted."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from sandbox.errors import IntegrityFailed
from sandbox.flow import Ints
from sandbox.query.kernel.blocks import run_lengths, run_places, run_starts
from sandbox.query.kernel.cells import sort_kind
from sandbox.query.kernel.sums import Mask, Units


def first_rows(unit: Units, order: Sequence[Ints], k: int) -> Mask:
    """Mark the k rows of lowest order of each unit; rows may come in any order.

    Args:
        unit: dense unit index of each row.
        order: keyed order of a unit's rows, most significant first; it orders a unit's rows totally.
        k: rows a unit keeps.

    Returns:
        A mask over the rows. Memory: 40 bytes for each row of a unit that has more than k, 2 bytes for any other.

    Privacy: whether a row is kept depends on its unit's own rows alone (P4.3).
    """
    keep = np.ones(len(unit), np.bool_)
    if not len(unit):
        return keep
    # Only units with more than k rows have anything to lose.
    over = np.bincount(unit) > k
    among = np.flatnonzero(over[unit])
    if not len(among):
        return keep
    theirs = unit[among]
    sorted_ = _sorted_places(theirs, [o[among] for o in order])
    keep[among[sorted_]] = run_places(theirs[sorted_]) < k
    return keep


class Ranks:
    """Which rows are among their unit's first k passing ones, as passing rows come tier by tier (P4.2).

    A passing row's rank among its unit's passing rows is at most its ordinal, so every row of a tier below k survives:
    `count` takes those. A row of a later tier survives while its place in its unit's run, plus the unit's rows before,
    is below k: `keep` takes those, each tier by (unit, ordinal), tiers ascending, in chunks that may end anywhere.
    Memory: 8 bytes a unit, and 40 bytes a run of a chunk.

    Args:
        k: rows a unit keeps.
        units: how many units the bucket has.

    Privacy: equals `first_rows` over all of the rows; a row's fate depends on its unit's own rows alone (P4.2, P4.3).
    """

    def __init__(self, k: int, units: int) -> None:
        self._left = np.full(units, k, np.int64)
        self._last = (-1, -1)

    def count(self, unit: Units) -> None:
        """Take rows that all survive, in any order."""
        np.subtract.at(self._left, unit.astype(np.intp), 1)

    def keep(self, unit: Units, tier: int) -> Mask:
        """Take rows of one tier of the tail, and mark those that survive.

        Raises:
            IntegrityFailed: `rows_unsorted`: places in runs would mean nothing.
        """
        if not len(unit):
            return np.ones(0, np.bool_)
        if (tier, int(unit[0])) < self._last or not (unit[1:] >= unit[:-1]).all():
            raise IntegrityFailed("rows_unsorted")
        self._last = tier, int(unit[-1])
        start = run_starts(unit)
        length = run_lengths(start, len(unit))
        whose = unit[start].astype(np.intp)
        kept = np.clip(self._left[whose], 0, length)
        self._left[whose] -= kept
        keep: Mask = np.arange(len(unit)) < np.repeat(start + kept, length)
        return keep


def _sorted_places(unit: Units, order: Sequence[Ints]) -> Ints:
    """The rows by (unit, order): in one word where both fit, which sorts several times quicker."""
    if len(order) == 1:
        low, high = int(order[0].min()), int(order[0].max())
        bits = (high - low).bit_length()
        if bits + int(unit.max()).bit_length() <= 64:
            word = unit.astype(np.uint64) << np.uint64(bits) if bits < 64 else np.zeros(len(unit), np.uint64)
            word |= order[0].view(np.uint64) - np.uint64(low % (1 << 64))
            return np.argsort(word, kind=sort_kind(word, 1 << min(bits, 62)))
    keys: list[npt.NDArray[np.integer]] = [*reversed(order), unit]
    return np.lexsort(keys)
