"""Status, size and rung: what is seen of an answer besides its numbers, with a heavy person and without."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from unittest import mock

from sandbox.errors import SandboxError
from sandbox.flow import Plan, Released
from sandbox.query.planning.rung import CostModel
from sandbox.query.release import stored
from tests.privacy.attacks.desk import Desk, Found, main, pipelines
from tests.privacy.town import both, heavy, settle, town

ASKED = [
    "SELECT count(*) FROM city.trips",
    "SELECT line, count(*), avg(fare) FROM city.trips WHERE hour > 22 GROUP BY line",
    "SELECT sum(delay) FROM city.trips WHERE delay > 1299",
    "SELECT median(delay) FROM city.trips",
    "SELECT count(*) FROM city.trips t JOIN city.stops s ON t.line = s.line",
    "SELECT sum(delay / 0) FROM city.trips",
]
SLOW = [CostModel(row_column=2 ** (i / 8), row_node=1e-3, number=1e-6, fixed=0.02, threads=1) for i in range(8)]
"""Machines so slow that on one of them a few rows more would be another rung."""


def by_rows(self: CostModel, plan: Plan) -> float:
    """The break: as long as the rows that are there will take."""
    return self.fixed + self.row_column * sum(f.rows for t in plan.tables for f in t.version.files)


def as_text(released: Released) -> bytes:
    """The break: numbers as they are written."""
    return json.dumps([v.tolist() for v in released.values]).encode()


@contextmanager
def breaks(*, broken: bool) -> Iterator[None]:
    """Rungs by true rows, sizes by what numbers look like."""
    with ExitStack() as stack:
        if broken:
            stack.enter_context(mock.patch.object(CostModel, "seconds", by_rows))
            stack.enter_context(mock.patch.object(stored, "pack", as_text))
        yield


def looks(desk: Desk) -> list[tuple[object, ...]]:
    """What is seen of each question."""
    seen: list[tuple[object, ...]] = []
    for sql in ASKED:
        try:
            priced = desk.priced(sql, 0.3)
            noisy = desk.ask(sql, 0.3)
        except SandboxError as error:
            seen.append((error.code,))
            continue
        size = len(stored.pack(Released(values=noisy.values)))
        seen.append(("answered", size, *(slow.rung(priced.plan) for slow in SLOW)))
    return seen


def attack() -> Found:
    """Of how many questions something besides the numbers differs."""
    rows = both(town(12), heavy(10))
    told = []
    with pipelines() as pipeline:
        known = [settle(pipeline, r) for r in (rows, rows.without("HEAVY"))]
        for broken in (True, False):
            with breaks(broken=broken):
                first, other = (looks(Desk(pipeline=pipeline, known=k)) for k in known)
            told.append(sum(a != b for a, b in zip(first, other, strict=True)))
    return Found(
        attack="status, size and rung", broken=told[0], real=told[1], limit=0.0,
        says=f"with rungs by true rows and sizes by digits {{broken:.0f}} of {len(ASKED)} questions look different without "
        "the person, on the real path {real:.0f}",
    )  # fmt: skip


if __name__ == "__main__":
    main(attack())
