"""Join fan-out: each of a person's rows meets several rows of a public table, and all of them are counted."""

from __future__ import annotations

from unittest import mock

import numpy as np

from sandbox.query.kernel import rows as kernel
from tests.privacy import audits
from tests.privacy.attacks.desk import Desk, Found, main, pipelines, right
from tests.privacy.town import Town, settle, town

SQL = "SELECT count(*) FROM city.trips t JOIN city.stops s ON t.line = s.line"
TRIALS = 400


def all_kept(unit: np.ndarray, _order: object, _k: int) -> np.ndarray:
    """The break: rows were bounded where they were read, and not again."""
    return np.ones(len(unit), np.bool_)


def attack(trials: int = TRIALS) -> Found:
    """How often the count says rightly whether the person is there."""
    target = [("TARGET", "A", i, 1, "1", 1, "2013-01-01", None, None) for i in range(10)]
    others = town(12)
    both = Town(trips=[*others.trips, *target], stays=others.stays)
    shares, moved = [], []
    with pipelines() as pipeline:
        desks = [Desk(pipeline=pipeline, known=settle(pipeline, rows)) for rows in (both, others)]
        for broken in (True, False):
            with mock.patch.object(kernel, "first_rows", all_kept if broken else kernel.first_rows):
                a, b = (np.array([d[0, 0] for d in desk.draws(SQL, trials, rows=3)]) for desk in desks)
            moved.append(30 if broken else 3)
            shares.append(right(a, b, moved[-1]))
    return Found(
        attack="join fan-out", broken=shares[0], real=shares[1], limit=audits.guesses(1),
        says="with rows bounded before the join the guess is right {broken:.0%} of the time, on the real path {real:.0%}, "
        "where {limit:.0%} is what epsilon 1 allows",
    )  # fmt: skip


if __name__ == "__main__":
    main(attack())
