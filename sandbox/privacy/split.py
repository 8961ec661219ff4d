"""Dividing one loss among a plan's measures, in integers, never more than there is."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Final

from sandbox.privacy.mechanisms import Mechanism

FINE: Final = 2**20
"""Steps of a share per unit of the formula: what rounding shares to integers can lose is under a millionth."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Need:
    """What a measure asks of the budget, in declared facts.

    `groups` numbers are released, one unit moves them by `reach` (L1 for Laplace, L2 for Gaussian), an error of `unit`
    counts as 1 (for a sum: what one row may add), and errors of this measure weigh `weight`.
    """

    groups: int
    reach: float
    unit: int = 1
    weight: int = 1


def shares(mechanism: Mechanism, needs: Sequence[Need]) -> list[int]:
    """Integer weights that make the total error least: rho_i in proportion to (G_i T_i)^(2/3), eps_i to its root.

    The noise's mean absolute error over a measure is proportional to a_i = G_i T_i weight_i / unit_i over sqrt(rho_i)
    (over eps_i for Laplace). Minimising the sum of a_i rho_i^(-1/2) under a fixed sum of rho_i gives rho_i ~
    a_i^(2/3), and with a_i / eps_i it gives eps_i ~ a_i^(1/2), by Lagrange multipliers. Exact integer roots, so that
    every machine splits alike; no share is 0.

    Raises:
        ValueError: a need without groups, reach, unit or weight.
    """
    return [_share(mechanism, need) for need in needs]


def _share(mechanism: Mechanism, need: Need) -> int:
    if min(need.groups, need.unit, need.weight) < 1 or not 0 < need.reach < math.inf:
        raise ValueError("a need has groups, a reach, a unit and a weight")
    size = Fraction(need.reach) * need.groups * need.weight / need.unit
    if mechanism == "laplace":
        return math.isqrt(int(size * FINE**2)) + 1
    return _cube_root(int(size * size * FINE**3)) + 1


def _cube_root(value: int) -> int:
    """The largest integer whose cube is at most `value`, by Newton's way from above."""
    if value == 0:
        return 0
    root = 1 << -(-value.bit_length() // 3)
    while (following := (2 * root + value // (root * root)) // 3) < root:
        root = following
    return root


def split(loss: int, shares: Sequence[int]) -> list[int]:
    """`loss` divided in proportion to `shares`, each part rounded down: their sum is at most `loss`.

    Basic composition makes the parts add up, for eps_p (Dwork and Roth 2014, theorem 3.14) as for rho (Bun and
    Steinke 2016, lemma 1.7).

    Raises:
        ValueError: a negative loss or share, or no share above 0.
    """
    whole = sum(shares)
    if loss < 0 or whole <= 0 or min(shares) < 0:
        raise ValueError("shares must be at least 0, and one of them more")
    return [loss * share // whole for share in shares]
