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


def tail_rank(
    tiers: Sequence[Units],
    *,
    first_tail: int,
    k: int,
    units: int,
    ordinals: Sequence[npt.NDArray[np.integer]] | None = None,
) -> list[Mask]:
    """Mark the k rows of lowest ordinal of each unit among passing rows that lie in tiers of ascending ordinals.

    A passing row's rank among its unit's passing rows is at most its ordinal, so every row of a tier below k survives.
    A row of a later tier survives while its place in its unit's run, plus the unit's rows in all tiers before, is
    below k.

    Args:
        tiers: each tier's units; tier t's ordinals all lie below those of tier t + 1. Tiers from `first_tail` on are
            by (unit, ordinal); those before are only counted, so that their order, and how they are parted, is free.
        first_tail: the first tier whose ordinals are not all below k; k is the lower edge of this tier.
        k: rows a unit keeps.
        units: number of units in the bucket.
        ordinals: each tier's ordinals, to check the tail strictly; None checks the order of units alone.

    Returns:
        A mask for each tier. Memory: 16 bytes a unit, 40 bytes a run of the tail, 1 byte a row.

    Raises:
        IntegrityFailed: `rows_unsorted`: a tail tier is not sorted, so places in runs would mean nothing.

    Privacy: equals `first_rows` over the tiers; a row's fate depends on its unit's own rows alone (P4.2, P4.3).
    """
    _check_sorted(tiers[first_tail:], None if ordinals is None else ordinals[first_tail:])
    masks = [np.ones(len(unit), np.bool_) for unit in tiers[:first_tail]]
    if all(len(unit) == 0 for unit in tiers[first_tail:]):
        return masks + [np.ones(0, np.bool_) for _ in tiers[first_tail:]]
    left = np.full(units, k, np.int64)
    for unit in tiers[:first_tail]:
        left -= np.bincount(unit, minlength=units)
    for unit in tiers[first_tail:]:
        start = run_starts(unit)
        length = run_lengths(start, len(unit))
        whose = unit[start]
        kept = np.clip(left[whose], 0, length)
        left[whose] -= kept
        kept_then_not = np.stack([kept, length - kept], axis=1).ravel()
        masks.append(np.repeat(np.tile([True, False], len(start)), kept_then_not))
    return masks


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


def _check_sorted(tiers: Sequence[Units], ordinals: Sequence[npt.NDArray[np.integer]] | None) -> None:
    for t, unit in enumerate(tiers):
        if ordinals is None:
            fine = bool((unit[1:] >= unit[:-1]).all())
        else:
            word = unit.astype(np.uint64) << np.uint64(32) | ordinals[t].astype(np.uint64)
            fine = bool((word[1:] > word[:-1]).all())
        if not fine:
            raise IntegrityFailed("rows_unsorted")
