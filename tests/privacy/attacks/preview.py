"""Free previews: explanations cost nothing, so whatever of them follows rows can be asked for without end."""

from __future__ import annotations

from typing import Any
from unittest import mock

from sandbox.flow import Priced
from sandbox.privacy.accounting import UNIT
from sandbox.query.planning.offers import Purse
from sandbox.query.release import render
from tests.privacy.attacks.desk import Desk, Found, main, pipelines
from tests.privacy.town import both, heavy, settle, town
from tests.unit.query.test_price import CAP, PURSE

CELLS = [(line, hour) for line in "ABC" for hour in range(24)]
expected = render.expected


def by_rows(priced: Priced, *more: Any) -> Any:
    """The break: an expected error in parts of what is really there."""
    rows = sum(f.rows for t in priced.plan.tables for f in t.version.files)
    return [{**told, "relative": 1 / rows} for told in expected(priced, *more)]


def previews(desk: Desk) -> list[dict[str, Any]]:
    """A preview of each cell, without a charge."""
    made = []
    for line, hour in CELLS:
        priced = desk.priced(f"SELECT count(*) FROM city.trips WHERE line = '{line}' AND hour = {hour}", 0.01)
        shown = render.explanation(priced, Purse(cap=CAP, spent=PURSE.spent))
        made.append({k: v for k, v in shown.items() if k != "version"})
    return made


def attack() -> Found:
    """The share of previews that a person changes."""
    rows = both(town(12), heavy(10))
    told = []
    with pipelines() as pipeline:
        desks = [Desk(pipeline=pipeline, known=settle(pipeline, r)) for r in (rows, rows.without("HEAVY"))]
        for broken in (True, False):
            with mock.patch.object(render, "expected", by_rows if broken else expected):
                first, other = (previews(desk) for desk in desks)
            told.append(sum(a != b for a, b in zip(first, other, strict=True)) / len(CELLS))
        assert all(desk.spent.eps_p < UNIT // 10**9 for desk in desks), "previews are free"
    return Found(
        attack="free previews", broken=told[0], real=told[1], limit=0.0,
        says="with errors relative to true rows {broken:.0%} of free previews change without the person, on the real path "
        "{real:.0%}",
    )  # fmt: skip


if __name__ == "__main__":
    main(attack())
