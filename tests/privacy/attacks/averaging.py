"""Averaging: the same question again and again, until the mean of its noise is nothing."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np

from tests.house import city
from tests.privacy.attacks.desk import Desk, Found, main, pipelines
from tests.trips import some_rows

SQL = "SELECT count(*) FROM city.trips"
AGAIN = ["select COUNT( * )\nfrom city.trips", "SELECT count(*) FROM city.trips -- again", 'SELECT count(*) FROM "city"."trips"']
"""The same question for whoever reads it: the first answer once more."""
OTHER = ["SELECT count(*) FROM city.trips WHERE hour >= 0", "SELECT count(*) FROM city.trips WHERE hour < 99"]
"""Questions that are the same in meaning alone: each is paid for."""
TIMES = 2_000


def fresh_each_time(units: int) -> float:
    """The break: a repeat is free and drawn afresh. How far from the truth the mean is."""
    with pipelines() as pipeline:
        rows = some_rows(units)
        desk = Desk(pipeline=pipeline, known=pipeline.ingest(rows)[0])
        true = int(desk.exact(desk.pay(desk.priced(SQL))).values[0][0, 0])
        return abs(float(np.mean([d[0, 0] for d in desk.draws(SQL, TIMES)])) - true)


def attack() -> Found:
    """How many different answers there are to be averaged, unpaid."""
    off = fresh_each_time(20)
    with tempfile.TemporaryDirectory() as folder, city(Path(folder)) as town:
        town.load(some_rows(20))
        town.grant(epsilon="3")

        def asked(sql: str, key: str) -> tuple[int, str]:
            body = town.ok("POST", "/v1/queries", {"sql": sql, "epsilon": "0.5"}, Idempotency_Key=f"averaging-{key}")
            return body["rows"][0][0], str(body["left"])

        first, left = asked(SQL, "first")
        same = [asked(sql, f"again-{i}") for i, sql in enumerate([SQL, *AGAIN] * 3)]
        unpaid = {number for number, after in same if after == left}
        lefts = [left, *(asked(sql, f"other-{i}")[1] for i, sql in enumerate(OTHER))]
    real = len(unpaid | {first}) - 1 + sum(after != left for _, after in same)
    real += len(lefts) - len(set(lefts))  # another spelling that was not charged
    return Found(
        attack="averaging", broken=TIMES, real=real, limit=0.0,
        says=f"{TIMES:,} fresh free answers have a mean {off:.2f} from the truth; on the real path {len(same)} repeats gave "
        "{real:.0f} further numbers, and each of two other wordings was charged",
    )  # fmt: skip


if __name__ == "__main__":
    main(attack())
