"""The generated table: ten million rows (or BENCH_ROWS), a tenth as many units, a heavy tail of rows a unit; and its declaration."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

ROWS = int(os.environ.get("BENCH_ROWS", "10000000"))
UNITS = ROWS // 10
MOST = 1_000
GROUPS = [f"g{i:02d}" for i in range(13)]


def write(folder: Path) -> Path:
    """Write the source as plain Parquet, rows in no order; the same table every time."""
    rng = np.random.default_rng(7)
    weights = np.minimum(rng.pareto(1.3, UNITS) + 0.3, 300)
    counts = np.clip(np.round(weights * ROWS / weights.sum()), 1, MOST).astype(np.int64)
    units = np.repeat(np.arange(UNITS, dtype=np.int64), counts)
    units = np.concatenate([units, rng.integers(0, UNITS, max(0, ROWS - len(units)))])
    rng.shuffle(units)
    units = units[:ROWS]
    table = pa.table(
        {
            "unit": pa.array(units + 10**9),
            "grp": pa.array(GROUPS).take(pa.array(rng.integers(0, len(GROUPS), ROWS))),
            "day": pa.array(rng.integers(0, 365, ROWS)),
            "amount": pa.array(rng.integers(0, 1001, ROWS)),
        }
    )
    path = folder / "bench.parquet"
    pq.write_table(table, path, row_group_size=1_000_000)
    return path


POPULATION = """\
population: bench
title: {en: Generated units, zh: 生成单位}
unit: unit
identifier: {kind: digits}
identifiers_max: 1000000000
registered: {count: 1000000, provenance: {documented: generated}}
"""

MANIFEST = f"""\
dataset: bench.rows
title: {{en: Generated rows, zh: 生成行}}
owner: owner
population: bench
unit: unit
consent: false
other_persons: none
source: {{connector: parquet, path: bench.parquet}}
limits:
  rows: {ROWS}
  rows_per_unit: {MOST}
  default_rows: 10
  tiers: [1, 3, 10, 100, {MOST}]
  provenance: {{others: {{documented: generated}}}}
slots: [grp]
columns:
  unit: {{type: integer, meaning: {{en: unit, zh: 单位}}, level: general-1, provenance: {{others: {{documented: generated}}}}}}
  grp:
    type: text
    meaning: {{en: group, zh: 组}}
    level: general-1
    domain: [{", ".join(GROUPS)}]
    required: true
    provenance: {{others: {{documented: generated}}}}
  day:
    type: integer
    meaning: {{en: day, zh: 日}}
    level: general-1
    bounds: [0, 364]
    required: true
    provenance: {{others: {{documented: generated}}}}
  amount:
    type: integer
    meaning: {{en: amount, zh: 金额}}
    level: general-1
    bounds: [0, 1000]
    provenance: {{others: {{documented: generated}}}}
"""

TINY_MANIFEST = (
    MANIFEST.replace("bench.rows", "bench.tiny").replace("bench.parquet", "tiny.parquet").replace(f"rows: {ROWS}", "rows: 2000")
)
