"""Key existence: a group whose key one person alone has says that they are there by being shown at all."""

from __future__ import annotations

from unittest import mock

import numpy as np

from sandbox.flow import Ints
from sandbox.privacy import keys
from sandbox.query.release.noise import noise
from tests.privacy.attacks.desk import Desk, Found, main, pipelines
from tests.privacy.town import Town, settle, town

SQL = "SELECT note, count(*) FROM city.trips GROUP BY note"
TRIALS = 300


def all_shown(_mechanism: str, *, scale: float, threshold: int, sums: Ints) -> tuple[keys.Flags, Ints]:
    """The break: no threshold."""
    del scale, threshold
    return np.ones(len(sums), np.bool_), sums


def attack(trials: int = TRIALS) -> Found:
    """How often the person's key is shown."""
    others = town(12)
    target = ("TARGET", "A", 1, 1, "1", 1, "2013-01-01", None, "rare illness")
    shares = []
    with pipelines() as pipeline:
        desk = Desk(pipeline=pipeline, known=settle(pipeline, Town(trips=[*others.trips, target], stays=others.stays)))
        exact = desk.exact(desk.pay(desk.priced(SQL)))
        for broken in (True, False):
            with mock.patch.object(keys, "release", all_shown if broken else keys.release):
                shown = [("rare illness",) in (noise(exact).labels or ()) for _ in range(trials)]
            shares.append(sum(shown) / trials)
    return Found(
        attack="key existence", broken=shares[0], real=shares[1], limit=0.0,
        says="without a threshold a key of one person is shown {broken:.0%} of the time, on the real path {real:.0%}",
    )  # fmt: skip


if __name__ == "__main__":
    main(attack())
