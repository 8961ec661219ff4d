"""Overflow: a sum that one person's rows push past 64 bits fails, and failing says that they are there."""

from __future__ import annotations

from unittest import mock

import duckdb

from sandbox.errors import SandboxError
from sandbox.query.planning import price
from tests.privacy.attacks.desk import Desk, Found, main, pipelines
from tests.trips import MANIFEST, Row

BIG = MANIFEST.replace("bounds: [-60, 1300]", "bounds: [0, 900000000000000]")
SQL = "SELECT sum(delay * 30) FROM city.trips"


def status(desk: Desk) -> str:
    """What becomes of the question: the code of a refusal, the class of a failure, or an answer."""
    try:
        desk.ask(SQL, 2.999, rows=1)
    except SandboxError as error:
        return error.code
    except (duckdb.Error, OverflowError) as error:
        return type(error).__name__
    return "answered"


def attack() -> Found:
    """In how many of the two ways the states end differently."""
    most = 900_000_000_000_000
    others: list[Row] = [(f"u{i}", "A", 1, most, "1", 1, "2013-01-01") for i in range(341)]
    target: list[Row] = [("target", "A", 1, most, "1", 1, "2013-01-01")]
    told = []
    with pipelines(manifest=BIG) as pipeline:
        known = [pipeline.ingest(rows)[0] for rows in ([*others, *target], others)]
        for broken in (True, False):
            with mock.patch.object(price, "_check_range", (lambda _plan: None) if broken else price._check_range):
                first, other = (status(Desk(pipeline=pipeline, known=k)) for k in known)
            told.append((float(first != other), first, other))
    (broken_, *seen), (real, refused, _) = told
    return Found(
        attack="overflow", broken=broken_, real=real, limit=0.0,
        says=f"without a check of the range: {seen[0]} with the person, {seen[1]} without; on the real path "
        f"{refused} in both",
    )  # fmt: skip


if __name__ == "__main__":
    main(attack())
