"""The trips that tests ride: a population, a manifest, and rows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

POPULATION = """\
population: riders
title: {en: Riders, zh: 乘客}
unit: rider
identifier: {kind: text, case: upper}
identifiers_max: 1000000
registered:
  count: 10000
  provenance: {documented: test}
"""

MANIFEST = """\
dataset: city.trips
title: {en: Trips, zh: 行程}
owner: bureau
population: riders
unit: rider
consent: false
other_persons: none
source: {connector: csv, path: trips.csv}
limits:
  rows: 5000
  rows_per_unit: 10
  default_rows: 3
  tiers: [1, 3, 10]
  provenance: {others: {documented: test}}
columns:
  rider: {type: text, meaning: {en: rider, zh: 乘客}, level: general-2, provenance: {others: {documented: test}}}
  line:
    {type: text, meaning: {en: line, zh: 线路}, level: general-1, domain: [A, B, C], provenance: {others: {documented: test}}}
  hour:
    type: integer
    meaning: {en: hour, zh: 小时}
    level: general-1
    bounds: [0, 23]
    required: true
    provenance: {others: {documented: test}}
  delay: {type: integer, meaning: {en: delay, zh: 延误}, level: general-1, bounds: [-60, 1300], provenance: {others: {documented: test}}}
  fare:
    type: decimal
    meaning: {en: fare, zh: 票价}
    level: general-1
    bounds: ["-5", "200"]
    grid: "0.01"
    provenance: {others: {documented: test}}
  paid: {type: boolean, meaning: {en: paid, zh: 已付}, level: general-1, provenance: {others: {documented: test}}}
  day:
    type: date
    meaning: {en: day, zh: 日期}
    level: general-1
    bounds: ["2013-01-01", "2013-12-31"]
    provenance: {others: {documented: test}}
"""

HEADER = "rider,line,hour,delay,fare,paid,day"
Row = tuple[Any, ...]


def csv_of(rows: Sequence[Row]) -> str:
    """Rows of (rider, line, hour, delay, fare, paid, day) as the source file."""
    return HEADER + "\n" + "".join(",".join("" if v is None else str(v) for v in row) + "\n" for row in rows)


def some_rows(units: int = 40, most: int = 14) -> list[Row]:
    """A small heavy-tailed table."""
    rows: list[Row] = []
    for u in range(units):
        for i in range(1 + u * 7 % most):
            day = f"2013-{1 + (u + i) % 12:02d}-{1 + i % 28:02d}"
            delay = None if (u + i) % 11 == 0 else (u * 37 + i * 13) % 1500 - 80
            rows.append((f"r{u}", "ABC"[(u + i) % 3], (u + 3 * i) % 24, delay, f"{(u * i) % 230}.{i % 100:02d}", (u + i) % 2, day))
    return rows
