"""A town for the engine's tests: two protected tables of one population, two public ones, and heavy-tailed rows."""

from __future__ import annotations

import random
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from sandbox.ingest.manifest import parse_manifest
from sandbox.query.planning.plan import Known
from tests.privacy.pipeline import Pipeline

LIMITS = "  rows: {rows}\n  rows_per_unit: {most}\n  default_rows: {default}\n  tiers: {tiers}\n  provenance: {{others: {{documented: test}}}}\n"


def _column(name: str, **declared: str) -> str:
    facts = "".join(f"    {k}: {v}\n" for k, v in declared.items())
    return (
        f"  {name}:\n{facts}    meaning: {{en: {name}, zh: 列}}\n    level: general-1\n"
        "    provenance: {others: {documented: test}}\n"
    )


def _protected(name: str, columns: Iterable[str], *, most: int, default: int, tiers: str) -> str:
    limits = LIMITS.format(rows=5000, most=most, default=default, tiers=tiers)
    return (
        f"dataset: {name}\ntitle: {{en: T, zh: 表}}\nowner: bureau\npopulation: riders\nunit: rider\nconsent: false\n"
        f"other_persons: none\nsource: {{connector: csv, path: x.csv}}\nlimits:\n{limits}columns:\n{''.join(columns)}"
    )


def _public(name: str, columns: Iterable[str]) -> str:
    return (
        f"dataset: {name}\ntitle: {{en: T, zh: 表}}\nowner: bureau\npublic: true\n"
        "source: {connector: csv, path: x.csv}\nlimits:\n  rows: 100\n  provenance: {documented: test}\n"
        f"columns:\n{''.join(columns)}"
    )


TRIPS: Final = _protected(
    "city.trips",
    [
        _column("rider", type="text"),
        _column("line", type="text", domain="[A, B, C]"),
        _column("hour", type="integer", bounds="[0, 23]", required="true"),
        _column("delay", type="integer", bounds="[-60, 1300]"),
        _column("fare", type="decimal", bounds='["-5", "200"]', grid='"0.01"'),
        _column("paid", type="boolean"),
        _column("day", type="date", bounds='["2013-01-01", "2013-12-31"]'),
        _column("at", type="timestamp", bounds='["2013-01-01T00:00:00Z", "2013-12-31T23:59:59Z"]', grid='"1"'),
        _column("note", type="text"),
    ],
    most=10, default=3, tiers="[1, 3, 10]",
)  # fmt: skip
STAYS: Final = _protected(
    "city.stays",
    [
        _column("rider", type="text"),
        _column("line", type="text", domain="[A, B, C]"),
        _column("nights", type="integer", bounds="[0, 9]", required="true"),
    ],
    most=4, default=2, tiers="[1, 2, 4]",
)  # fmt: skip
LINES: Final = _public(
    "city.lines",
    [_column("code", type="text"), _column("zone", type="text"), _column("length", type="integer", bounds="[0, 100]")],
)
STOPS: Final = _public(
    "city.stops", [_column("line", type="text"), _column("stop", type="text"), _column("place", type="integer", bounds="[1, 9]")]
)
LINE_ROWS: Final = [("A", "north", 12), ("B", "south", 30), ("D", "north", 7)]
"""C has no line here, and D no trips."""
STOP_ROWS: Final = [("A", "a1", 1), ("A", "a2", 2), ("A", "a3", 3), ("B", "b1", 1), ("B", "b2", 2), ("E", "e1", 1)]

Row = tuple[Any, ...]
TRIP_HEADER: Final = "rider,line,hour,delay,fare,paid,day,at,note"
STAY_HEADER: Final = "rider,line,nights"


def text_of(header: str, rows: Sequence[Row]) -> str:
    """Rows as CSV: None is an empty cell."""
    cells = ('"' + str(v).replace('"', '""') + '"' if v is not None else "" for row in rows for v in row)
    width = header.count(",") + 1
    found = list(cells)
    return "\n".join([header, *(",".join(found[i : i + width]) for i in range(0, len(found), width))]) + "\n"


@dataclass(frozen=True, slots=True, kw_only=True)
class Town:
    """The rows of the two protected tables."""

    trips: Sequence[Row]
    stays: Sequence[Row]

    def without(self, unit: str) -> Town:
        """The neighbour without one unit."""
        return Town(trips=[r for r in self.trips if r[0] != unit], stays=[r for r in self.stays if r[0] != unit])

    def alone(self, unit: str) -> Town:
        """That unit and nobody else."""
        return Town(trips=[r for r in self.trips if r[0] == unit], stays=[r for r in self.stays if r[0] == unit])


NOTES: Final = (None, "x", "y", "Late", "late again", "%", "é", "")


def town(units: int = 25, most: int = 10, *, seed: int = 7, stays: int = 4) -> Town:
    """Units of one to `most` rows with values inside their bounds, some NULL."""
    at = random.Random(seed)  # noqa: S311  # rows for tests
    trips: list[Row] = []
    nights: list[Row] = []
    for u in range(units):
        for _ in range(1 + u * 7 % most):
            day = f"2013-{at.randint(1, 12):02}-{at.randint(1, 28):02}"
            trips.append((
                f"R{u}", at.choice(["A", "B", "C", "C", None]), at.randint(0, 23), at.choice([None, at.randint(-60, 1300)]),
                at.choice([None, f"{at.randint(-500, 20000) / 100:.2f}"]), at.choice([None, 0, 1, 1]),
                at.choice([None, day]), at.choice([None, f"{day}T{at.randint(0, 23):02}:{at.randint(0, 59):02}:07Z"]),
                at.choice(NOTES),
            ))  # fmt: skip
        nights += [(f"R{u}", at.choice(["A", "B", "C", None]), at.randint(0, 9)) for _ in range(u % (stays + 1))]
    return Town(trips=trips, stays=nights)


def heavy(rows: int = 60) -> Town:
    """A unit whose rows sit in every group, at the ends of every range."""
    trips = [
        (
            "HEAVY", "ABC"[i % 3], i % 24, 1300 if i % 5 else -60, "200" if i % 2 else "-5", i % 2, f"2013-{1 + i % 12:02}-01",
            f"2013-{1 + i % 12:02}-01T{i % 24:02}:00:00Z", f"n{i % 13}",
        )
        for i in range(rows)
    ]  # fmt: skip
    return Town(trips=trips, stays=[("HEAVY", "ABC"[i % 3], 9) for i in range(rows)])


def both(a: Town, b: Town) -> Town:
    """Two towns' rows together."""
    return Town(trips=[*a.trips, *b.trips], stays=[*a.stays, *b.stays])


SLOTS: Final = "slots: [line, hour, day, note]\ncolumns:"
"""Columns whose values ingest numbers for each unit."""


def settle(pipeline: Pipeline, rows: Town, *, bits: int | None = None, slots: bool = True) -> Known:
    """All four tables as a planner knows them; the second protected one keeps its own number of buckets."""
    given: Mapping[str, tuple[str, str, int | None]] = {
        TRIPS.replace("columns:", SLOTS) if slots else TRIPS: (TRIP_HEADER, text_of(TRIP_HEADER, rows.trips), bits),
        STAYS: (STAY_HEADER, text_of(STAY_HEADER, rows.stays), None if bits is None else bits // 2),
        LINES: ("", text_of("code,zone,length", LINE_ROWS), None),
        STOPS: ("", text_of("line,stop,place", STOP_ROWS), None),
    }
    tables = {}
    for manifest, (header, text, wide) in given.items():
        # A source without rows is refused: one row whose required cell is missing is none.
        nobody = ",".join(["NOBODY", *[""] * header.count(",")]) + "\n" if header else ""
        table, _ = pipeline.stored(parse_manifest(manifest, "m.yaml"), text + nobody, bits=wide)
        tables[table.spec.name] = table
    return pipeline.known(tables)
