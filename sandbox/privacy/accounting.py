"""The ledger's arithmetic: what a cap certifies, whether a cost still fits under it, what is left; integers only."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TypeAlias

from sandbox.flow import Cost

UNIT = 10**12
"""Ledger units in an epsilon, or a rho, of 1."""

DELTA_UNIT = 10**18
"""Ledger units in a delta of 1."""

POINTS = 8
"""Gaussian points of a frontier; one more is purely Laplace."""

Conversion: TypeAlias = Callable[[int, int], int]
"""(rho, delta) -> epsilon, all in ledger units, rounded up: `mechanisms.epsilon_of_rho`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cap:
    """A cap (E, D) and the points (eps_p, rho) that it certifies, frozen when it is opened.

    A history may go on while *one* point covers its totals. `conversion` is the part of `delta` that the points
    together need; it is set aside from the start.
    """

    epsilon: int
    delta: int
    conversion: int
    frontier: tuple[tuple[int, int], ...]

    def first_share(self) -> int:
        """The conversion delta of the point without any pure part: what an epsilon asked for in rho is priced at."""
        return self.conversion // 2


def open_cap(*, epsilon: int, delta: int, conversion: int, epsilon_of_rho: Conversion, pure: int | None = None) -> Cap:
    """A cap with its frontier: e_j = jE/8 for j = 0..7 beside the largest rho that fits, and the pure point (E, 0).

    Point 0 converts at half of `conversion`, each of the other seven at a fourteenth: together the whole of it. With
    `pure`, no point goes beyond that much eps_p (a point below a certified point is certified).

    Raises:
        ValueError: a negative budget, or a `conversion` that is not inside `delta`.

    Source: P1.2 and its proof in docs/privacy.md.
    """
    limit = epsilon if pure is None else min(epsilon, pure)
    if limit < 0 or not 0 <= conversion <= delta:
        raise ValueError("a cap needs epsilon >= 0 and 0 <= conversion <= delta")
    points = _frontier(epsilon, limit, conversion, epsilon_of_rho)
    return Cap(epsilon=epsilon, delta=delta, conversion=conversion, frontier=points)


@lru_cache(maxsize=256)
def _frontier(epsilon: int, limit: int, conversion: int, epsilon_of_rho: Conversion) -> tuple[tuple[int, int], ...]:
    # The pure point comes first, so that a Gaussian point at the same eps_p replaces it.
    points = {limit: 0}
    for j in range(POINTS):
        pure = min(j * epsilon // POINTS, limit)
        share = conversion // 2 if j == 0 else conversion // (2 * (POINTS - 1))
        rho = largest_rho(epsilon_of_rho, epsilon=epsilon - pure, delta=share)
        points[pure] = max(rho, points.get(pure, 0))
    return tuple(sorted(points.items()))


def largest_rho(epsilon_of_rho: Conversion, *, epsilon: int, delta: int) -> int:
    """The largest rho that converts to at most `epsilon` at `delta`, by bisection on integers; 0 if there is none.

    A conversion takes 2 ms, so a secant search in logarithms finds the neighbourhood first. Only a value that
    `epsilon_of_rho` itself has allowed is returned.
    """
    target = epsilon

    def epsilon_of(rho: int) -> int:
        return epsilon_of_rho(rho, delta)

    if target <= 0 or epsilon_of(1) > target:
        return 0
    low, step = _near(epsilon_of, target), 1
    if epsilon_of(low) <= target:
        while epsilon_of(low + step) <= target:
            low, step = low + step, step * 4
        high = low + step
    else:
        high = low
        while (low := max(high - step, 1)) > 1 and epsilon_of(low) > target:
            high, step = low, step * 4
    while high - low > 1:
        middle = (low + high) // 2
        if epsilon_of(middle) <= target:
            low = middle
        else:
            high = middle
    return low


def _near(epsilon_of: Callable[[int], int], target: int) -> int:
    """A rho >= 1 whose epsilon is close to `target`. Floats are good enough: the caller's bisection decides."""
    wanted = math.log(target)
    at, slope = max(target // 64, 1), 0.5
    x, y = math.log(at), math.log(max(epsilon_of(at), 1))
    for _ in range(12):
        # Epsilon grows like a power of rho between 1/2 and 1; a slope outside that comes from rounding.
        x_next = min(max(x + (wanted - y) / slope, 0.0), math.log(target) + 3)
        following = max(round(math.exp(x_next)), 1)
        if abs(following - at) <= 1:
            return following
        y_next = math.log(max(epsilon_of(following), 1))
        if x_next != x and y_next != y:
            slope = min(max((y_next - y) / (x_next - x), 0.2), 1.5)
        at, x, y = following, x_next, y_next
    return at


def fits(spent: Cost, cost: Cost, cap: Cap) -> bool:
    """Whether `cost` may be added to `spent`: the deltas stay inside, and one point covers both totals.

    A negative counter never fits: there are no refunds. Monotone: what fits, fits with less spent or at less cost.

    Source: P1.2 in docs/privacy.md.
    """
    if min(cost.eps_p, cost.rho, cost.delta) < 0:
        return False
    total = spent + cost
    return total.delta + cap.conversion <= cap.delta and any(
        total.eps_p <= pure and total.rho <= rho for pure, rho in cap.frontier
    )


def left(caps: Sequence[tuple[Cost, Cap]]) -> tuple[int, int]:
    """What one more purely Laplace, or purely Gaussian, charge could cost under all (spent, cap) pairs: (eps_p, rho).

    At least 0, also where nothing fits any more. Two ways to spend the same remainder, not two remainders.
    """
    pure = [_most((e - spent.eps_p for e, r in cap.frontier if spent.rho <= r), spent, cap) for spent, cap in caps]
    rho = [_most((r - spent.rho for e, r in cap.frontier if spent.eps_p <= e), spent, cap) for spent, cap in caps]
    return min(pure, default=0), min(rho, default=0)


def _most(remainders: Iterable[int], spent: Cost, cap: Cap) -> int:
    return max((0, *remainders)) if spent.delta + cap.conversion <= cap.delta else 0


def delta_0(n_ids: int) -> int:
    """What every cap opens with as spent: the chance that one unit shares its 64-bit pseudonym, rounded up.

    Source: P2.2 in docs/privacy.md (a union bound over the other identifiers).
    """
    return -(-n_ids * DELTA_UNIT // 2**64)


def default_delta(registered: int) -> int:
    """A population's D unless it declares one: a tenth of one over the registered number of units, rounded down."""
    return DELTA_UNIT // (10 * registered)


def decimal(units: int) -> str:
    """Units of 1e-12 as an exact decimal without trailing zeros: 1500000000000 is "1.5"."""
    whole, rest = divmod(abs(units), UNIT)
    digits = f"{whole}.{rest:012d}".rstrip("0").rstrip(".")
    return f"-{digits}" if units < 0 else digits
