"""Bounding by groups: sums of each (unit, group) pair, the choice of a unit's groups, and the clamp of each pair.

Here by the group's code of each row; `slotted` finds the same pairs by stored slots, with the same integers. Memory as
in `cells`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from sandbox.flow import Ints
from sandbox.query.kernel.blocks import Block, run_lengths, run_places, run_starts, sorted_blocks, unit_blocks
from sandbox.query.kernel.cells import cell_totals
from sandbox.query.kernel.sums import Codes, Column, Mask, Units, sum_by

KeyedOrder: TypeAlias = Callable[[Units, Ints], npt.NDArray[np.uint64]]
"""Keyed order of a unit's values: units and codes of n pairs -> uint64 of shape (n, words), most significant first.

A function of the key, the unit's pseudonym and the canonical value behind the code, never of index or code (P2.4);
distinct values of one unit get distinct words.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pairs:
    """The (unit, group) pairs that have rows: by unit, then by group code or by slot; and what each measure adds up.

    `sums`: of each measure its sum in the pair, or how many rows of it are not NULL where it has no values.
    """

    unit: Units
    group: Ints
    sums: tuple[Ints, ...]


def pairs(unit: Units, group: Codes, groups: int, columns: Sequence[Column], *, most: int | None = None) -> Pairs:
    """Sum each column by (unit, group), for rows in any order.

    Args:
        unit: dense unit index of each row.
        group: a code in [0, groups) for each row.
        groups: number of codes.
        columns: the measures' rows.
        most: no unit has more rows than this (a declared fact); None: it may have all.

    Returns:
        The pairs by (unit, group code): the code only gives the array its order, the choice of groups is by hash.

    Raises:
        IntegrityFailed: `values_exceed_bound`.
    """
    return _joined([_block_pairs(b, unit, group, groups, columns, most=most) for b in unit_blocks(unit)])


def _block_pairs(
    block: Block, unit: Units, group: Codes, groups: int, columns: Sequence[Column], *, most: int | None
) -> Pairs:
    cell = block.of(unit).astype(np.int64)
    cell -= block.low
    cell *= groups
    cell += block.of(group)
    size = (block.high - block.low) * groups
    found, totals = cell_totals(cell, size, [block.column(c) for c in columns], most=most, spread=groups)
    whose = found // groups
    sums = tuple(t.counts if t.sums is None else t.sums for t in totals)
    return Pairs(unit=(whose + block.low).astype(np.uint32), group=found - whose * groups, sums=sums)


def _joined(parts: Sequence[Pairs]) -> Pairs:
    """Pairs of blocks of ascending units."""
    if len(parts) == 1:
        return parts[0]
    return Pairs(
        unit=np.concatenate([p.unit for p in parts]),
        group=np.concatenate([p.group for p in parts]),
        sums=tuple(np.concatenate(sums) for sums in zip(*(p.sums for p in parts), strict=True)),
    )


def pair_cells(unit: Units, group: Codes, groups: int) -> tuple[Ints, int]:
    """Each row's cell unit * groups + group, and the number of cells up to the last unit seen."""
    cell = unit.astype(np.int64)
    last = int(unit.max()) if len(unit) else -1
    cell *= groups
    cell += group
    return cell, (last + 1) * groups


def keep_first(unit: Units, most: int) -> Mask:
    """Mark each unit's `most` first pairs, for pairs by unit and within it in keyed order, as slots stand."""
    keep = np.ones(len(unit), np.bool_)
    if most < 1:
        keep[:] = False
    elif len(unit) > most:
        # Pairs of a unit stand together: one is too many if the pair `most` places before is of the same unit.
        np.not_equal(unit[most:], unit[:-most], out=keep[most:])
    return keep


def keep_groups(unit: Units, group: Ints, most: int, hash_of: KeyedOrder) -> Mask:
    """Mark each unit's `most` pairs of lowest keyed order, for pairs by unit and within it in any order (`pairs`).

    `hash_of` is asked only for units that have more than `most` pairs. Keeps the same pairs as `keep_first` on slots.

    Privacy: which pairs a unit keeps depends on the key and its own rows alone (P4.3).
    """
    keep = np.zeros(len(unit), np.bool_)
    if most < 1:
        return keep
    for some in sorted_blocks(unit):
        keep[some] = _keep_block(unit[some], group[some], most, hash_of)
    return keep


def _keep_block(unit: Units, group: Ints, most: int, hash_of: KeyedOrder) -> Mask:
    keep = keep_first(unit, most)
    if bool(keep.all()):
        return keep
    start = run_starts(unit)
    length = run_lengths(start, len(unit))
    among = np.flatnonzero(np.repeat(length > most, length))
    theirs = unit[among]
    keep[among] = _lowest(theirs, hash_of(theirs, group[among]), most)
    return keep


def _lowest(unit: Units, words: npt.NDArray[np.uint64], most: int) -> Mask:
    """Mark the `most` lowest words of each unit, for pairs by unit, of which each unit has more than `most`.

    One word of (unit's place, first bits of the hash) is sorted, and all below a unit's bar kept; a unit whose bar is
    tied in those bits is sorted again in full.
    """
    start = run_starts(unit)
    length = run_lengths(start, len(unit))
    bits = np.uint64(64 - len(start).bit_length())
    short = np.repeat(np.arange(len(start), dtype=np.uint64) << bits, length)
    short |= words[:, 0] >> (np.uint64(64) - bits)
    ordered = np.sort(short, kind="stable")
    bar = ordered[start + (most - 1)]
    keep: Mask = short <= np.repeat(bar, length)
    tied = ordered[start + most] == bar
    if tied.any():
        again = np.flatnonzero(np.repeat(tied, length))
        order = keyed_places(unit[again], words[again])
        keep[again[order]] = run_places(unit[again][order]) < most
    return keep


def keyed_places(unit: Units, words: npt.NDArray[np.uint64]) -> Ints:
    """Places of pairs by (unit, words)."""
    return np.lexsort((*words.T[::-1], unit))


def clamped_sums(found: Pairs, keep: Mask | None, groups: int, clamps: Sequence[int]) -> list[Ints]:
    """Clamp each kept pair's sums and add them up by group.

    Args:
        found: the pairs.
        keep: which of them count; None: all.
        groups: number of group codes.
        clamps: for each measure what a pair may add, in absolute value.

    Returns:
        Sums of shape (groups,) for each measure.

    Privacy: with g pairs kept a unit, one unit moves a measure by at most g * clamp in L1 and sqrt(g) * clamp in L2: it
    adds to at most g groups, at most the clamp to each.
    """
    clamped = [np.zeros(groups, np.int64) for _ in clamps]
    for some in sorted_blocks(found.unit, 8 * groups):
        kept = None if keep is None else np.flatnonzero(keep[some])
        group = _picked(found.group[some], kept)
        for into, sums, clamp in zip(clamped, found.sums, clamps, strict=True):
            np.add(into, sum_by(group, groups, np.clip(_picked(sums[some], kept), -clamp, clamp), clamp), out=into)
    return clamped


def _picked(values: Ints, places: Ints | None) -> Ints:
    return values if places is None else values[places]


def units_of(found: Pairs, keep: Mask | None, groups: int) -> Ints:
    """Count the kept pairs of each group: its distinct units; shape (groups,).

    Privacy: with g pairs kept a unit, one unit moves this by at most g in L1 and sqrt(g) in L2.
    """
    return np.bincount(found.group if keep is None else found.group[keep], minlength=groups)
