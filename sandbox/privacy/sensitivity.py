"""How far one unit can move a measure, from the plan's bound; and the proof that the exact integers do not overflow."""

from __future__ import annotations

from typing import Final

from sandbox.errors import RequestError
from sandbox.flow import Bound, Measure

ROOM: Final = 2**62
"""Exact aggregates stay under this: half of what 64 bits hold, so that noise has room."""


def sensitivity(measure: Measure, bound: Bound) -> int:
    """An integer that the L1 and the L2 norm of one unit's contribution over all groups never exceed; at least 1.

    Proof, for a bound at ingest of k rows: the plan reads ordinals below k, and a unit's ordinals are numbered
    without gaps by its own rows alone (P2.4), so at most k of its rows are read, and the rows of other units are the
    same with and without it. Each stored row yields at most one row of the plan (P4.1) and falls into one group; it
    adds at most `row_bound` there (P3.5). So the unit's vector c over the groups has |c|_2 <= |c|_1 <= k row_bound,
    with equality when all k rows fall into one group. The measure is a sum over units, so removing one unit moves it
    by exactly c. COUNT(DISTINCT unit) reads ordinal 0 without a key (P4.5): the unit adds at most 1.

    It is the largest contribution, not the width of its range: a sum over [100, 110] moves by 110.
    A measure that is always 0 still gets 1: no noise has scale 0.
    """
    if measure.kind == "units":
        return 1
    return max(bound.rows * _row_bound(measure), 1)


def _row_bound(measure: Measure) -> int:
    # What the plan says, or what its clamp and centre say, whichever is larger.
    clamp = max(abs(measure.lower - measure.center), abs(measure.upper - measure.center))
    return max(abs(measure.row_bound), clamp)


def check_range(measure: Measure, n_max: int, rows: int) -> None:
    """Prove from declared facts that the measure, in every group and on the way there, fits 64 bits with room.

    At most `n_max` rows exist, each adding at most `row_bound`, and before the centre is taken off at most the clamp;
    every partial sum is a sum of some of them. A sum that could overflow would tell how many rows there are.

    Raises:
        RequestError: `plan_overflows`, max(n_max, rows) times the largest summand is 2^62 or more.
    """
    largest = max(_row_bound(measure), abs(measure.lower), abs(measure.upper), abs(measure.center))
    if max(n_max, rows) * largest >= ROOM:
        raise RequestError("plan_overflows", rows=max(n_max, rows), row_bound=str(largest))
