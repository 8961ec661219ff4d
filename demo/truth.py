"""The truth beside the answers: the demo's data being public, plain DuckDB may compute it. The product never does."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import duckdb


def beside(sql: str, source: Path, table: str, answer: dict[str, Any], keys: int) -> None:
    """Print each answered number, its interval, and the true, unbounded value of the same question."""
    reader = "read_parquet" if source.suffix == ".parquet" else "read_csv"
    options = "" if reader == "read_parquet" else ", nullstr=['NA', '']"
    connection = duckdb.connect()
    connection.execute(f"CREATE VIEW source AS SELECT * FROM {reader}('{source}'{options})")
    truth = {tuple(str(v) for v in row[:keys]): row[keys:] for row in connection.execute(sql.replace(table, "source")).fetchall()}
    labels = [c["label"] for c in answer["columns"]]
    out = sys.stdout
    out.write("   the truth beside it (the demo's own computation on public data; the product never shows it):\n")
    for row, low, high in list(zip(answer["rows"], answer["low"], answer["high"], strict=True))[:8]:
        true = truth.get(tuple(str(v) for v in row[:keys]))
        cells = []
        for i in range(keys, len(labels)):
            real = "-" if true is None or true[i - keys] is None else f"{float(true[i - keys]):,.2f}"
            inside = true is not None and true[i - keys] is not None and low[i] <= float(true[i - keys]) <= high[i]
            cells.append(f"{labels[i]} {row[i]:,.2f} in [{low[i]:,.2f}, {high[i]:,.2f}], true {real}{'' if inside else ' *'}")
        out.write(f"     {', '.join('null' if v is None else str(v) for v in row[:keys]) or 'all'}: {'; '.join(cells)}\n")
    out.write("     (* outside: one number in twenty, or a bound that bites: intervals are of the bounded aggregate)\n")
