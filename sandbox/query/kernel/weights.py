"""Counts beside sums: rows by the place of their value, distinct units of each value, and votes for private keys."""

from __future__ import annotations

from typing import Final

import numpy as np

from sandbox.flow import Ints
from sandbox.query.kernel.blocks import run_lengths, run_starts
from sandbox.query.kernel.groups import pairs, units_of
from sandbox.query.kernel.sums import Codes, Mask, Units, sum_by

_TABLE: Final = 1 << 20
"""Widest span of candidates for which a table of positions is made."""


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


def place_counts(group: Codes, groups: int, place: Ints, width: int) -> Ints:
    """Count rows by group and place; shape (groups, width).

    Args:
        group: code in [0, groups) of each row, whose unit is bounded already.
        groups: number of group codes.
        place: where its value stands, in [0, width).
        width: number of places.

    Privacy: k rows of a unit move the counts by at most k in L1.
    """
    cell = np.asarray(group, np.int64) * width + place
    return np.bincount(cell, minlength=groups * width).reshape(groups, width)


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


def vote_sums(unit: Units, group: Codes, keep: Mask, groups: int, votes: Ints) -> Ints:
    """Sum the votes of each key's units, t being how many keys a unit keeps; shape (groups,).

    Args:
        unit: unit of each (unit, key) pair, non-decreasing.
        group: code of its key in [0, groups).
        keep: at most len(votes) - 1 pairs of each unit (`keep_first`, `keep_groups`).
        groups: number of codes.
        votes: what a unit with t keys gives to each of them, at index t (`privacy.keys.weights`).

    Privacy: one unit moves the sums by its own votes: `privacy.keys.VOTE` at most in its mechanism's norm.
    """
    kept = unit[keep]
    length = run_lengths(run_starts(kept), len(kept))
    return sum_by(group[keep], groups, np.repeat(votes[length], length), int(votes.max()))
