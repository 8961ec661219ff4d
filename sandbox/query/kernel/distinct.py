"""Distinct counts: the values that units show, few of them each."""

from __future__ import annotations

import numpy as np

from sandbox.flow import Ints
from sandbox.query.kernel.blocks import run_starts
from sandbox.query.kernel.cells import sort_kind
from sandbox.query.kernel.groups import KeyedOrder, keep_groups, pair_cells
from sandbox.query.kernel.sums import Codes, Units


def distinct_values(
    unit: Units, group: Codes, groups: int, value: Codes, values: int, *, most: int, hash_of: KeyedOrder
) -> tuple[Ints, Ints]:
    """The distinct (group, value) that units show, each unit at most `most` values in a group.

    Args:
        unit: dense unit index of each row, in any order; rows whose value is NULL are left out.
        group: code in [0, groups).
        groups: number of group codes.
        value: code of the value in [0, values); equal values have equal codes.
        values: number of value codes.
        most: l; a unit shows its l distinct values of lowest keyed order in each group.
        hash_of: keyed order of (unit, value code).

    Returns:
        Group codes and value codes of the distinct pairs, by (group, code). Buckets unite theirs by canonical value.

    Privacy: removing a unit takes at most l values out of a group's union, and puts none in (P4.3).
    """
    whose, cell, shown = shows(unit, group, groups, value, values)
    keep = keep_groups(
        whose, np.arange(len(whose)), most, lambda _, at: hash_of((cell[at] // groups).astype(np.uint32), shown[at])
    )
    both = np.sort((cell[keep] % groups) * values + shown[keep])
    both = both[run_starts(both)]
    return both // values, both % values


def shows(unit: Units, group: Codes, groups: int, value: Codes, values: int) -> tuple[Units, Ints, Ints]:
    """The distinct (unit, group, value): a dense number of each (unit, group), its cell, and the value's code."""
    cell, size = pair_cells(unit, group, groups)
    code = np.asarray(value, np.int64)
    if size * values < 1 << 63:
        cell *= values
        cell += code
        cell.sort(kind=sort_kind(cell, min(groups * values, 1 << 62)))
        cell = cell[run_starts(cell)]
        code = cell % values
        cell //= values
    else:
        order = np.lexsort([code, cell])
        cell, code = cell[order], code[order]
        new = np.ones(len(cell), np.bool_)
        new[1:] = (cell[1:] != cell[:-1]) | (code[1:] != code[:-1])
        cell, code = cell[new], code[new]
    first = np.zeros(len(cell), np.bool_)
    first[run_starts(cell)] = True
    whose = (np.cumsum(first) - 1).astype(np.uint32)
    return whose, cell, code
