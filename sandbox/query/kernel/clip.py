"""Whole-vector clipping: each unit's vector over its groups is shortened to a norm T, in integers; and norms counted.

Memory of a call: 40 bytes a pair of one block, 8 bytes a group and measure.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from sandbox.flow import Ints
from sandbox.query.kernel.blocks import run_lengths, run_starts, run_sums, sorted_blocks
from sandbox.query.kernel.groups import Pairs
from sandbox.query.kernel.sums import Units, sum_by

_WIDE: Final = 1 << 62
_EXACT: Final = 1 << 53
FINEST: Final = 10
"""Most fractional bits of a clipped value: finer shows in no answer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Clip:
    """A measure's T: `norm` in units of 2**-bits (`fixed_bits`)."""

    norm: int
    bits: int


def clipped_sums(found: Pairs, groups: int, clips: Sequence[Clip]) -> list[Ints]:
    """Shorten each unit's vector to T and add up by group, each measure by itself.

    Args:
        found: the pairs.
        groups: number of group codes.
        clips: T for each measure.

    Returns:
        Sums of shape (groups,) in units of 2**-bits, for each measure.

    Privacy: one unit moves a measure's sums by at most T in L2 (`clipped`).
    """
    sums = [np.zeros(groups, np.int64) for _ in clips]
    for some in sorted_blocks(found.unit, 8 * groups):
        unit, group = found.unit[some], found.group[some]
        start = run_starts(unit)
        for i, (values, clip) in enumerate(zip(found.sums, clips, strict=True)):
            sums[i] += sum_by(group, groups, _clipped(start, values[some], clip.norm, clip.bits), clip.norm)
    return sums


def fixed_bits(bound: int, norm: int, units: int) -> int:
    """How many fractional bits clipping has room for (negative: how many low bits it drops), from declared facts.

    Args:
        bound: largest norm that a unit's vector can have, such as rows per unit times row bound.
        norm: T, in whole units.
        units: most units there can be.

    Proof: with x fixed, |x| <= bound * 2**bits, so the squares of a unit sum to at most (bound * 2**bits)**2 < 2**62, a
    product x * T to less than 2**62, and a group's total over all units stays under units * T * 2**bits < 2**62.
    """
    for bits in range(FINEST, -63, -1):
        top = _shifted(bound, bits) + 1
        limit = _shifted(norm, bits) + 1
        if top * max(top, limit) < _WIDE and units * limit < _WIDE:
            return bits
    return -62


def _shifted(value: int, bits: int) -> int:
    return value << bits if bits >= 0 else value >> -bits


def fixed(values: Ints, bits: int) -> Ints:
    """Values in units of 2**-bits, truncated toward zero: never larger than they were."""
    if bits >= 0:
        return values << bits
    whole: Ints = np.sign(values) * (np.abs(values) >> -bits)
    return whole


def clipped(unit: Units, values: Ints, norm: int, bits: int) -> Ints:
    """Shorten each unit's vector to the norm T: v * T // ceil(|v|), toward zero, where |v| > T.

    Args:
        unit: unit of each pair, non-decreasing.
        values: one measure's total of each pair, in whole units; sum of squares within `fixed_bits`' bound.
        norm: T in units of 2**-bits.
        bits: fractional bits of the result.

    Returns:
        The shortened values in units of 2**-bits, one for each pair.

    Privacy: one unit changes the sums over groups by at most T in L2. Proof: if |v| <= T the vector stays. Otherwise
    r = ceil(|v|) >= |v| and each component is at most |v_i| T / r in absolute value, so the norm is at most
    |v| T / r <= T; truncation toward zero only shortens. Nothing grows, since T < |v| <= r. Source: clipping of a
    user's whole contribution, as in Abadi et al. 2016, here in integers.
    """
    return _clipped(run_starts(unit), values, norm, bits)


def _clipped(start: Ints, values: Ints, norm: int, bits: int) -> Ints:
    values = fixed(values, bits)
    squares = run_sums(values * values, start)
    over = squares > norm * norm
    if not over.any():
        return values
    # v * T // T is v: units that need no clipping need no case of their own.
    root = np.where(over, ceil_root(squares), max(norm, 1))
    return _shortened(values, norm, np.repeat(root, run_lengths(start, len(values))))


def _shortened(values: Ints, norm: int, root: Ints) -> Ints:
    """Give v * norm // root, toward zero, in floating point where that is exact.

    Proof: let p = |v| * norm, n = p // root, and p + root < 2**53. Then p and root are exact as floats, and p / root
    lies at least 1 / root below n + 1: more than half of what floats near n + 1 lie apart, since root * (n + 1)
    <= p + root: the rounded quotient stays below n + 1.
    """
    largest = max(int(values.max()), -int(values.min()))
    if largest * norm + int(root.max()) < _EXACT:
        return (values.astype(np.float64) * norm / root).astype(np.int64)
    short = ((np.abs(values) * norm).view(np.uint64) // root.view(np.uint64)).view(np.int64)
    return np.where(values < 0, -short, short)


def ceil_root(squares: Ints) -> Ints:
    """The least r with r * r >= n, for 0 <= n < 2**62; the float root is corrected in integers."""
    root = np.ceil(np.sqrt(squares.astype(np.float64))).astype(np.int64)
    root += root * root < squares
    root -= (root > 0) & ((root - 1) * (root - 1) >= squares)
    return root
