"""Low bits of floats: a textbook sampler can reach a number from one of two neighbouring totals, and not from the other."""

from __future__ import annotations

import math
from collections import Counter

import numpy as np

from tests.privacy.attacks.desk import Desk, Found, main, pipelines
from tests.trips import some_rows

SQL = "SELECT count(*) FROM city.trips"
SCALE = 3.0
STEPS = 2**32
NEAR = 30
"""A number that one state gave so often, the other would have given too."""


def textbook(total: int, draws: int) -> list[float]:
    """The break: total + Laplace noise by inverting its distribution, in floating point."""
    at = np.random.default_rng().integers(1, STEPS, draws)
    side = np.random.default_rng().choice([-1.0, 1.0], draws)
    return [total + s * -SCALE * math.log(k / STEPS) for k, s in zip(at.tolist(), side.tolist(), strict=True)]


def reachable(y: float, total: int) -> bool:
    """Whether the textbook sampler can give y over this total."""
    near = round(math.exp(-abs(y - total) / SCALE) * STEPS)
    side = 1.0 if y >= total else -1.0
    return any(total + side * -SCALE * math.log(k / STEPS) == y for k in range(near - 2, near + 3) if 0 < k < STEPS)


def attack(draws: int = 4_000) -> Found:
    """The share of numbers that only one of two neighbouring totals can give."""
    told = [y for y in textbook(101, draws // 4) if reachable(y, 100) != reachable(y, 101)]
    with pipelines() as pipeline:
        desks = [Desk(pipeline=pipeline, known=pipeline.ingest(some_rows(units))[0]) for units in (21, 20)]
        numbers = [Counter(int(d[0, 0]) for d in desk.draws(SQL, draws, rows=1)) for desk in desks]
    first, other = numbers
    alone = sum(n for v, n in first.items() if n >= NEAR and v not in other)
    return Found(
        attack="low bits of floats", broken=len(told) / (draws // 4), real=alone / draws, limit=0.0,
        says="of textbook float noise {broken:.0%} of the numbers betray the total they were drawn over, on the real path "
        "{real:.0%}: all are integers, each within reach of both",
    )  # fmt: skip


if __name__ == "__main__":
    main(attack())
