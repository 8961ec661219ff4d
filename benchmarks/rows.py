"""The table that peers are compared on: ten rows a unit on average with a heavy tail, keys from 12 to 5,700 values wide."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks.peers.spoken import LOWER, UPPER

ROWS_A_UNIT: Final = 10
MOST: Final = 1_000
"""No unit has more rows: declared, so that every peer may rest on it."""
MONTHS: Final = tuple(range(1, 13))
DESTINATIONS: Final = tuple(f"D{i:03d}" for i in range(104))
CARRIERS: Final = tuple(f"C{i:02d}" for i in range(14))
FLIGHTS: Final = 5_700
SEED: Final = 7

_GROUP: Final = 1_000_000


def _rows_of_units(rng: np.random.Generator, rows: int) -> npt.NDArray[np.int32]:
    """The unit of each row, in no order; `rows` entries."""
    units = max(1, rows // ROWS_A_UNIT)
    weights = np.minimum(rng.pareto(1.3, units) + 0.3, 300)
    counts = np.clip(np.round(weights * rows / weights.sum()), 1, MOST).astype(np.int64)
    owners = np.repeat(np.arange(units, dtype=np.int32), counts)
    if len(owners) < rows:  # rounding and the cut left some out: they go to small units, which stay small
        small = np.flatnonzero(counts < MOST // 2).astype(np.int32)
        owners = np.concatenate([owners, rng.choice(small, rows - len(owners))])
    rng.shuffle(owners)
    return owners[:rows]


def _skewed(values: int, power: float) -> npt.NDArray[np.float64]:
    """Cumulative shares of values, the first the most frequent."""
    shares = 1.0 / np.arange(1, values + 1) ** power
    return np.cumsum(shares / shares.sum())


def _drawn(rng: np.random.Generator, cumulative: npt.NDArray[np.float64], rows: int) -> npt.NDArray[np.int32]:
    return np.minimum(np.searchsorted(cumulative, rng.random(rows)), len(cumulative) - 1).astype(np.int32)


def write(path: Path, rows: int) -> Path:
    """Write `rows` rows as plain Parquet, in row groups of a million; the same table every time."""
    rng = np.random.default_rng(SEED)
    owners = _rows_of_units(rng, rows)
    to, by, flown = (_skewed(n, p) for n, p in ((len(DESTINATIONS), 0.7), (len(CARRIERS), 0.8), (FLIGHTS, 0.5)))
    flights = pa.array([f"F{i:04d}" for i in range(FLIGHTS)])
    draft = path.with_suffix(".draft")
    writer = None
    for start in range(0, rows, _GROUP):
        unit = owners[start : start + _GROUP]
        n = len(unit)
        value = np.clip(rng.gamma(2.0, 400.0, n).astype(np.int64), LOWER, UPPER)
        cost = pa.array(value * 3 + rng.integers(0, 100, n)).cast(pa.decimal128(21, 0)).cast(pa.decimal128(21, 2))
        table = pa.table(
            {
                "unit": pa.array(unit.astype(np.int64) + 10**9),
                "unit_text": pa.array(np.char.add("N", unit.astype("U9"))),
                "month": pa.array(rng.integers(1, 13, n)),
                "dest": pa.array(DESTINATIONS).take(pa.array(_drawn(rng, to, n))),
                "carrier": pa.array(CARRIERS).take(pa.array(_drawn(rng, by, n))),
                "flight": flights.take(pa.array(_drawn(rng, flown, n))),
                "value": pa.array(value),
                "cost": cost,
            }
        )
        writer = writer or pq.ParquetWriter(draft, table.schema)
        writer.write_table(table)
    if writer is not None:
        writer.close()
    return draft.rename(path)
