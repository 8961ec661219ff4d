"""The generated table: ten million rows, a million units, a heavy tail of rows a unit."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

ROWS = 10_000_000
UNITS = 1_000_000
MOST = 1_000
GROUPS = [f"g{i:02d}" for i in range(13)]


def write(folder: Path) -> Path:
    """Write the source as plain Parquet, rows in no order; the same bytes every time."""
    rng = np.random.default_rng(7)
    weights = np.minimum(rng.pareto(1.3, UNITS) + 0.5, 300)
    counts = np.minimum(np.maximum(1, np.round(weights * ROWS / weights.sum())), MOST).astype(np.int64)
    units = np.repeat(np.arange(UNITS, dtype=np.int64), counts)
    units = np.concatenate([units, rng.integers(0, UNITS, max(0, ROWS - len(units)))])[:ROWS]
    rng.shuffle(units)
    n = len(units)
    table = pa.table(
        {
            "unit": pa.array(units + 10**9),
            "grp": pa.array(GROUPS).take(pa.array(rng.integers(0, len(GROUPS), n))),
            "day": pa.array(rng.integers(0, 365, n)),
            "amount": pa.array(rng.integers(0, 1001, n)),
        }
    )
    path = folder / "bench.parquet"
    pq.write_table(table, path, row_group_size=1_000_000)
    return path


POPULATION = """\
population: bench-units
title: {en: Benchmark units, zh: 基准单位}
unit: unit
"""
