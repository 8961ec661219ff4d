"""Ours, before any question: a home with the table ingested, a grant that covers the benchmark, and who asks."""

from __future__ import annotations

import argparse
import json
import os
import shutil
import time
from pathlib import Path
from typing import Final

from benchmarks import rows
from benchmarks.peers.spoken import LOWER, UPPER, tell
from sandbox.ingest import duty
from tests.house import city

SAYS: Final = "provenance: {others: {documented: generated}}"
POPULATION: Final = """\
population: bench
title: {{en: Generated units, zh: 生成单位}}
unit: unit
identifier: {{kind: digits}}
identifiers_max: {most}
registered: {{count: {count}, provenance: {{documented: generated}}}}
cap: {{epsilon: 100, pure: 100}}
"""

MANIFEST: Final = """\
dataset: bench.rows
title: {{en: Generated rows, zh: 生成行}}
owner: bureau
population: bench
unit: unit
consent: false
other_persons: none
source: {{connector: parquet, path: rows.parquet}}
limits: {{rows: {n}, rows_per_unit: {most}, default_rows: 10, tiers: [1, 3, 10, 100, {most}], {says}}}
slots: [flight]
columns:
  unit: {{type: integer, meaning: {{en: unit, zh: 单位}}, level: general-1, {says}}}
  month: {{type: integer, meaning: {{en: month, zh: 月}}, level: general-1, domain: {{from: 1, to: 12}}, required: true, {says}}}
  dest: {{type: text, meaning: {{en: destination, zh: 目的地}}, level: general-1, domain: [{dests}], required: true, {says}}}
  carrier: {{type: text, meaning: {{en: carrier, zh: 承运人}}, level: general-1, domain: [{carriers}], required: true, {says}}}
  flight: {{type: text, meaning: {{en: flight, zh: 航班}}, level: general-1, {says}}}
  value: {{type: integer, meaning: {{en: value, zh: 值}}, level: general-1, bounds: [{lower}, {upper}], required: true, {says}}}
  cost: {{type: decimal, meaning: {{en: cost, zh: 费用}}, level: general-1, bounds: [0, 10000], grid: "0.01", {says}}}
"""


def home_of(parquet: Path) -> Path:
    """Where the home for a source lies: beside it."""
    return parquet.with_suffix(".house")


def manifest(n: int) -> str:
    """The declaration of `n` generated rows."""
    return MANIFEST.format(
        n=n, most=rows.MOST, says=SAYS, lower=LOWER, upper=UPPER, dests=", ".join(rows.DESTINATIONS),
        carriers=", ".join(rows.CARRIERS),
    )  # fmt: skip


def build(parquet: Path, n: int) -> float:
    """Make the home anew and ingest the file; gives the seconds of the ingest alone.

    Raises:
        RuntimeError: the ingest did not end well.
    """
    home = home_of(parquet)
    shutil.rmtree(home, ignore_errors=True)
    home.mkdir()
    units = max(1, n // rows.ROWS_A_UNIT)
    with city(home, population=POPULATION.format(count=units, most=10 * units)) as town:
        folder = town.house.home / "sources" / "bureau"
        folder.mkdir(exist_ok=True)
        os.link(parquet, folder / "rows.parquet")
        accepted = town.ok("POST", "/v1/datasets", {"file": "m.yaml", "text": manifest(n)}, part="steward")
        start = time.perf_counter()
        while duty.run_next(town.ingest_parts()):
            pass
        took = time.perf_counter() - start
        found = town.ok("GET", f"/v1/ingests/{accepted['ingest']}", part="steward")
        if found["state"] != "committed":
            raise RuntimeError(found)
        town.grant(["bench.rows"], epsilon="100")
        me = town.ok("GET", "/v1/me")
        (home / "me.json").write_text(json.dumps({"id": me["id"], "tenant": me["tenant"], "roles": me["roles"]}))
    return took


if __name__ == "__main__":
    line = argparse.ArgumentParser()
    line.add_argument("parquet", type=Path)
    line.add_argument("rows", type=int)
    told = line.parse_args()
    tell(loaded=build(told.parquet, told.rows))
