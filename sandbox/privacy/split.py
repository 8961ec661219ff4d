"""Dividing one loss among a plan's measures, in integers, never more than there is."""

from __future__ import annotations

from collections.abc import Sequence


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
