"""The rung: how long after the charge an answer leaves, from declared facts and a cost model made on synthetic rows."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from typing import Final

import duckdb
import numpy as np
import pyarrow as pa

from sandbox.flow import Plan
from sandbox.plans import Call, Expr
from sandbox.query.planning.reads import expressions_of
from sandbox.query.planning.sizes import all_rows, is_row_by_row, most_shown

FIRST: Final = 0.25
PER_UNIT: Final = 12
"""Bounding a row by its unit (sorted, ranked, added up) costs as much as reading so many columns of it."""
MARGIN: Final = 3.0
SAMPLE_ROWS: Final = 400_000
FIXED: Final = 0.1
"""Seconds for what does not grow: a turn for a busy processor, the commit of the answer, a sluggish disk. An overrun
loses a company its budget and counts against it, so this errs on the long side."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CostModel:
    """Seconds per row and column, per row and expression node, per released number; and the threads at work."""

    row_column: float
    row_node: float
    number: float
    fixed: float
    threads: int

    def seconds(self, plan: Plan) -> float:
        """The expected duration, as if every declared row were there, cold."""
        columns = len(plan.keys) + len(plan.measures) + 1
        nodes = sum(_nodes(e) for e in expressions_of(plan))
        rows = sum(t.spec.n_max for t in plan.tables) / max(1, min(self.threads, 1 << plan.version.bits))
        numbers = (plan.groups or most_shown(plan.measures)) * sum(m.width for m in plan.measures)
        scanned = rows * (columns * self.row_column + nodes * self.row_node)
        made = all_rows(plan.relation, plan.tables) / max(1, min(self.threads, 1 << plan.version.bits))
        whole = plan.bound.form == "ingest" and is_row_by_row(plan.relation)
        per_unit = 0.0 if whole else made * PER_UNIT * self.row_column
        return self.fixed + len(plan.stages) * (scanned + per_unit) + numbers * self.number

    def rung(self, plan: Plan) -> float:
        """0.25 s x 2^j, the first at or above three times the expected duration (P7.1)."""
        return _above(MARGIN * self.seconds(plan))

    def repeated(self, plan: Plan, releases: int) -> tuple[float, float]:
        """The rung of an answer by so many releases at most, and the seconds from one's charge to the next one's.

        All of them have their time, whether or not they will be needed: how many are is not told by the rung.
        """
        numbers = plan.groups * sum(m.width for m in plan.measures)
        tick = MARGIN * (self.fixed + numbers * self.number)
        return _above(MARGIN * self.seconds(plan) + releases * tick), tick


def _above(wanted: float) -> float:
    rung = FIRST
    while rung < wanted:
        rung *= 2
    return rung


def _nodes(expr: Expr | None) -> int:
    """Size of an expression; a list of constants weighs as its length's tenth."""
    if not isinstance(expr, Call):
        return 0
    if expr.name == "in":
        return 1 + len(expr.args) // 10 + _nodes(expr.args[0])
    return 1 + sum(_nodes(a) for a in expr.args)


def calibrate(threads: int) -> CostModel:
    """Measure this machine on generated rows: columns of 64-bit integers and of text, grouped and filtered.

    Reads nothing but what it makes, so the rung tells nothing about protected rows.
    """
    rng = np.arange(SAMPLE_ROWS, dtype=np.int64) * 2654435761 % 1_000_003
    text = pa.array([f"v{i}" for i in range(200)]).take(pa.array(rng % 200))
    sample = pa.table({"a": rng % 200, "b": rng, "c": rng * 7 % 10_007, "t": text})
    connection = duckdb.connect(":memory:", config={"threads": 1})
    fd = os.memfd_create("calibration", os.MFD_CLOEXEC)
    try:
        path = f"/proc/self/fd/{fd}"
        connection.register("sample", sample)
        connection.execute(f"COPY sample TO '{path}' (FORMAT parquet, COMPRESSION lz4_raw, USE_TMP_FILE false)")
        source = f"read_parquet('{path}')"
        fixed = _best(connection, f"SELECT count(*) FROM {source}")
        grouped = _best(connection, f"SELECT t, a, count(*), sum(b), sum(c) FROM {source} GROUP BY t, a")
        tested = _best(connection, f"SELECT count(*) FROM {source} WHERE lower(t) LIKE '%9' AND b % 7 = 3")
    finally:
        connection.close()
        os.close(fd)
    # Decryption and the copy into memory come on top of what DuckDB needs: together about as long again when cold.
    return CostModel(
        row_column=2 * grouped / (SAMPLE_ROWS * 4),
        row_node=2 * tested / (SAMPLE_ROWS * 4),
        number=4e-6,
        fixed=FIXED + fixed,
        threads=threads,
    )


def _best(connection: duckdb.DuckDBPyConnection, sql: str) -> float:
    times = []
    for _ in range(3):
        start = time.perf_counter()
        connection.execute(sql).fetchall()
        times.append(time.perf_counter() - start)
    return min(times)
