"""Weighted counts: quantile histograms, distinct units of each value, and the weights of private keys."""

from __future__ import annotations

import math
from typing import Final

import numpy as np

from sandbox.flow import Ints
from sandbox.query.kernel.blocks import run_lengths, run_starts
from sandbox.query.kernel.cells import sort_kind
from sandbox.query.kernel.groups import pair_cells, pairs, units_of
from sandbox.query.kernel.sums import Codes, Mask, Units, sum_by

_TABLE: Final = 1 << 20
"""Widest span of candidates for which a table of positions is made."""
_SPARSE: Final = 4
"""Rows are counted into (unit, group) cells while these are at most four times as many; otherwise sorted."""


def quantile_histogram(
    unit: Units, group: Codes, groups: int, values: Ints, marks: Ints, *, most: int, scale: int
) -> Ints:
    """Weigh the values at and between candidates, by group.

    Args:
        unit: dense unit index of each row, in any order; rows whose value is NULL are left out.
        group: code in [0, groups).
        groups: number of codes.
        values: what the quantile is of.
        marks: m candidates, strictly ascending, at least one.
        most: C, the values a unit counts in full in one group.
        scale: S, the weight of a value that counts in full.

    Returns:
        Shape (groups, 2 m + 1): column 2 j + 1 is the weight at candidate j, column 2 j that strictly between
        candidates j - 1 and j (the first is below all, the last above all).

    Privacy: a unit's n values in a group weigh floor(S min(1, C / n)) each, together at most C S, and depend on its own
    rows alone: one unit changes a group's histogram by at most C S in L1.
    """
    width = 2 * len(marks) + 1
    place = positions(values, marks)
    cell, size = pair_cells(unit, group, groups)
    if len(cell) * _SPARSE >= size:
        length = np.bincount(cell, minlength=size)
        weight = np.minimum(scale, scale * most // np.maximum(length, 1))[cell]
    else:
        order = np.argsort(cell, kind=sort_kind(cell, groups))
        start = run_starts(cell[order])
        length = run_lengths(start, len(cell))
        weight = np.repeat(np.minimum(scale, scale * most // length), length)
        place, group = place[order], group[order]
    place += np.asarray(group, np.int64) * width
    return sum_by(place, groups * width, weight, scale).reshape(groups, width)


def positions(values: Ints, marks: Ints) -> Ints:
    """Where each value stands: 2 j + 1 at candidate j, 2 j strictly between j - 1 and j."""
    low, high = int(marks[0]), int(marks[-1])
    if high - low > min(_TABLE, len(values)):
        return np.searchsorted(marks, values, side="left") + np.searchsorted(marks, values, side="right")
    every = np.arange(low, high + 1)
    table = np.searchsorted(marks, every, side="left") + np.searchsorted(marks, every, side="right")
    inside = table[np.clip(values, low, high) - low]
    inside -= values < low
    inside += values > high
    return inside


def top_counts(unit: Units, group: Codes, groups: int, value: Codes, values: int) -> Ints:
    """Count distinct units of each domain value, by group; shape (groups, values).

    Args:
        unit: dense unit index of each row, in any order; rows whose value is outside the domain are left out.
        group: code in [0, groups).
        groups: number of group codes.
        value: code in [0, values).
        values: size of the domain.

    Privacy: one unit changes each count by at most one, all in the same direction.
    """
    both = np.asarray(group, np.int64) * values
    both += value
    return units_by_group(unit, both, groups * values).reshape(groups, values)


def units_by_group(unit: Units, group: Codes, groups: int) -> Ints:
    """Count distinct units by group, for rows in any order and without slots; shape (groups,).

    Privacy: one unit changes each group by at most one.
    """
    return units_of(pairs(unit, group, groups, ()), None, groups)


def key_weights(most: int, scale: int) -> Ints:
    """floor(scale / sqrt(t)) for t in [0, most], 0 for t = 0: what a unit with t keys gives to each of them.

    Proof: floor(scale / sqrt t) = floor(sqrt(scale**2 / t)) = isqrt(floor(scale**2 / t)). The squares of t such weights
    sum to at most scale**2, so a unit's vector has norm at most `scale`. Source: Gopi et al. 2020 (weighted Gaussian).
    """
    return np.array([0] + [math.isqrt(scale * scale // t) for t in range(1, most + 1)], np.int64)


def private_key_sums(unit: Units, group: Codes, keep: Mask, groups: int, *, most: int, scale: int) -> Ints:
    """Sum floor(S / sqrt t) over the units of each key, t being how many keys the unit keeps; shape (groups,).

    Args:
        unit: unit of each (unit, key) pair, non-decreasing.
        group: code of its key in [0, groups).
        keep: at most `most` pairs a unit (`keep_first`, `keep_groups`).
        groups: number of codes: distinct keys of this bucket.
        most: g, the keys a unit keeps.
        scale: S.

    Privacy: one unit changes the vector by at most S in L2 and at most `most` entries of it (`key_weights`).
    """
    kept = unit[keep]
    length = run_lengths(run_starts(kept), len(kept))
    weight = np.repeat(key_weights(most, scale)[length], length)
    return sum_by(group[keep], groups, weight, scale)
