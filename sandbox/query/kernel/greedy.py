"""Greedy assignment for COUNT(DISTINCT x): each unit covers a few of its values, together as many as greed finds."""

from __future__ import annotations

from typing import Final

import numpy as np

from sandbox.flow import Ints
from sandbox.query.kernel.blocks import run_lengths, run_starts
from sandbox.query.kernel.distinct import shows
from sandbox.query.kernel.groups import KeyedOrder, keyed_places
from sandbox.query.kernel.sums import Codes, Units

_FREE: Final = np.iinfo(np.int64).max
_COVERED: Final = -1
_FEW: Final = 32
"""With fewer units left to place, one by one is quicker than array by array."""


def greedy_values(
    unit: Units, group: Codes, groups: int, value: Codes, values: int, *, most: int, hash_of: KeyedOrder
) -> tuple[Ints, Ints]:
    """The (group, value) that units cover when each covers up to `most` of its values in a group.

    In each of `most` rounds the units take turns, those with the fewest values first and among them by pseudonym; in
    its turn a unit covers that value of its own that comes first in its keyed order among those not covered yet.

    Args:
        unit: dense unit index of each row, in any order, increasing with the pseudonym; rows of NULL are left out.
        group: code in [0, groups).
        groups: number of group codes.
        value: code of the value in [0, values).
        values: number of value codes.
        most: l, the values that a unit may cover in a group.
        hash_of: keyed order of (unit, value code).

    Returns:
        Group codes and value codes of what is covered, by (group, code). Buckets unite theirs by canonical value.

    Privacy: one unit u moves the number covered in a group by at most l (P4.3's named exception). Proof: the turns'
    order and each unit's preferences are functions of the key and of single units, so without u the others take the
    same turns in the same order. Let S and S' be what is covered with and without u, after the same turns. Claim:
    S' is within S, and |S - S'| <= turns that u has had. A turn of u adds at most one value to S alone. In a turn of
    another unit w that covers v' in S': if v' is not in S, it is also w's first choice outside S, being the first
    outside the smaller S', and both cover it. If v' is in S, then S - S' loses v' and gains at most what w covers in S.
    If w covers nothing in S', all its values lie in S', hence in S, and it covers nothing there. After l rounds
    |S| - |S'| lies in [0, l]. Groups are apart. A union over buckets changes by no more than the bucket of u does.
    Source: Knop and Steinke 2023, the greedy approximation of bipartite matching.
    """
    whose, cell, shown = shows(unit, group, groups, value, values)
    if not len(whose):
        return np.zeros(0, np.int64), np.zeros(0, np.int64)
    order = keyed_places(whose, hash_of((cell // groups).astype(np.uint32), shown))
    wanted = (cell % groups)[order] * values + shown[order]
    targets = np.sort(wanted)
    targets = targets[run_starts(targets)]
    covered = targets[_covered(whose, np.searchsorted(targets, wanted), len(targets), most)]
    return covered // values, covered % values


def _covered(whose: Units, wanted: Ints, targets: int, most: int) -> Ints:
    """Which targets are covered, for wishes by owner and in order of preference; ascending."""
    turn = _turns(whose)
    holder = np.full(targets, _FREE, np.int64)
    for _ in range(most):
        open_ = np.flatnonzero(holder[wanted] == _FREE)
        if not len(open_):
            break
        turn, wanted = turn[open_], wanted[open_]
        _round(turn, wanted, holder)
        holder[holder != _FREE] = _COVERED
    return np.flatnonzero(holder == _COVERED)


def _turns(whose: Units) -> Ints:
    """Each wish's owner by its turn: fewest values first, then as they stand."""
    start = run_starts(whose)
    length = run_lengths(start, len(whose))
    turn = np.empty(len(start), np.int64)
    turn[np.argsort(length, kind="stable")] = np.arange(len(start))
    return np.repeat(turn, length)


def _round(turn: Ints, wanted: Ints, holder: Ints) -> None:
    """One round of turns; `holder` gets each target's owner.

    Units taking turns is what deferred acceptance ends in when every target prefers the earlier turn (the stable
    matching is then unique), and that runs for all units at once: all ask for their next wish, each target keeps the
    earliest asker, the others go on.
    """
    start = run_starts(turn)
    end = start + run_lengths(start, len(turn))
    owner = turn[start]
    owners = int(owner.max()) + 1
    at, stop = np.zeros(owners, np.int64), np.zeros(owners, np.int64)
    at[owner], stop[owner] = start, end
    asking = np.sort(owner)[::-1]
    while len(asking) > _FEW:
        target = wanted[at[asking]]
        before = holder[target]
        # A repeated index keeps what is assigned last: the earliest turn, as askers stand from last to first.
        wins = before > asking
        holder[target[wins]] = asking[wins]
        after = holder[target]
        # Who was put off a target goes on from there.
        put_off = before[(before != after) & (before != _FREE)]
        lost = asking[after != asking]
        asking = np.sort(np.concatenate([lost, put_off]))
        asking = asking[run_starts(asking)][::-1]
        at[asking] += 1
        asking = asking[at[asking] < stop[asking]]
    _one_by_one(asking, at, stop, wanted, holder)


def _one_by_one(asking: Ints, at: Ints, stop: Ints, wanted: Ints, holder: Ints) -> None:
    waiting = asking.tolist()
    while waiting:
        unit = waiting.pop()
        place, end = int(at[unit]), int(stop[unit])
        while place < end and holder[wanted[place]] < unit:
            place += 1
        at[unit] = place
        if place < end:
            other = int(holder[wanted[place]])
            holder[wanted[place]] = unit
            if other != _FREE:
                at[other] += 1
                waiting.append(other)
