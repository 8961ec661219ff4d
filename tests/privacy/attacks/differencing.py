"""Differencing: everybody is counted, then everybody but the cell that one person would be alone in."""

from __future__ import annotations

from unittest import mock

import numpy as np

from sandbox.flow import Ints
from sandbox.query.release import noise
from tests.privacy import audits
from tests.privacy.attacks.desk import Desk, Found, main, pipelines
from tests.trips import Row, some_rows

ALL = "SELECT count(*) FROM city.trips WHERE hour >= 0"
REST = "SELECT count(*) FROM city.trips WHERE NOT (line = 'C' AND hour = 23)"
EACH = 0.5
TRIALS = 400


def towns() -> tuple[list[Row], list[Row]]:
    """The rows with the person, who is alone in a cell, and without."""
    others = [r for r in some_rows(30) if (r[1], r[2]) != ("C", 23)]
    return [*others, *[("target", "C", 23, i, "1", 1, "2013-01-01") for i in range(3)]], others


def same_for_all(seed: int) -> mock._patch[object]:
    """The break: one source of noise that begins anew with each question, as if it were seeded by the day."""

    def seeded(_mechanism: str, *, scale: float, values: Ints) -> Ints:
        return values + np.rint(np.random.default_rng(seed).laplace(0, scale, values.shape)).astype(np.int64)

    return mock.patch.object(noise.mechanisms, "add_noise", seeded)


def attack(trials: int = TRIALS) -> Found:
    """How often the difference says rightly whether the person is there."""
    shares = {}
    with pipelines() as pipeline:
        known = [pipeline.ingest(rows)[0] for rows in towns()]
        desks = [Desk(pipeline=pipeline, known=k) for k in known]
        moved = 3
        for broken in (True, False):
            hits = 0
            for there, desk in zip((True, False), desks, strict=True):
                if broken:
                    pairs = []
                    for seed in range(trials // 10):
                        with same_for_all(seed):
                            pairs.append((desk.draws(ALL, 1, EACH)[0], desk.draws(REST, 1, EACH)[0]))
                else:
                    pairs = list(zip(desk.draws(ALL, trials, EACH), desk.draws(REST, trials, EACH), strict=True))
                said = [int(a[0, 0] - b[0, 0]) > moved / 2 for a, b in pairs]
                hits += sum(s == there for s in said) * trials // len(said)
            shares[broken] = hits / (2 * trials)
    return Found(
        attack="differencing", broken=shares[True], real=shares[False], limit=audits.guesses(2 * EACH),
        says="with noise that is the same for two questions the guess is right {broken:.0%} of the time, "
        "on the real path {real:.0%}, where {limit:.0%} is what epsilon 1 allows",
    )  # fmt: skip


if __name__ == "__main__":
    main(attack())
