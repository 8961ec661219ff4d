"""One table of all that was measured, as Markdown."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Sequence
from typing import Any, Final

from benchmarks.peers.spoken import QUESTIONS

NAMES: Final = {
    "duckdb": "bare DuckDB, nothing private",
    "ours": "this sandbox",
    "smartnoise": "SmartNoise SQL (pandas)",
    "opendp": "OpenDP with Polars",
    "tumult": "Tumult Analytics (Spark)",
    "pipelinedp": "PipelineDP (local)",
}
HEAD: Final = (
    "question", "rows", "library", "time, s", "kernel, s", "with hold, s", "x bare", "once, s", "peak, MB", "groups",
    "error, %", "drawn, %",
)  # fmt: skip


def steady(seconds: Sequence[float]) -> float:
    """The median of the runs after the first, which warms up; of the first if it is alone."""
    return statistics.median(seconds[1:] or seconds)


def table(results: Iterable[dict[str, Any]]) -> str:
    """Results in the order of questions, sizes and libraries; a cell that was not measured is empty."""
    found = list(results)
    floors = {(r["question"], r["rows"]): steady(r["seconds"]) for r in found if r["peer"] == "duckdb" and r["seconds"]}
    order = {name: i for i, name in enumerate([*QUESTIONS, *NAMES])}
    found.sort(key=lambda r: (order[r["question"]], r["rows"], order[r["peer"]]))
    lines = [_row(HEAD), "|" + "---|" * len(HEAD)]
    lines += [_row(_cells(r, floors.get((r["question"], r["rows"])))) for r in found]
    return "\n".join(lines) + "\n"


def _cells(r: dict[str, Any], floor: float | None) -> list[str]:
    first = [QUESTIONS[r["question"]].title, f"{r['rows']:,}", NAMES[r["peer"]]]
    if not r["seconds"]:
        return [*first, r["why"] or "no answer", *[""] * (len(HEAD) - 4)]
    fast = r.get("kernel") or r["seconds"]
    return [
        *first,
        _time(steady(r["seconds"])),
        *(_time(steady(r[part])) if r.get(part) else "" for part in ("kernel", "held")),
        f"{steady(fast) / floor:.3g}" if floor else "",
        _time(r["loaded"]),
        f"{r['peak_mb']:,.0f}",
        f"{r['keys']:,.0f}" if QUESTIONS[r["question"]].key else "",
        "" if r["peer"] == "duckdb" else _percent(r["whole"]),
        "" if r["peer"] == "duckdb" else _percent(r["drawn"]),
    ]


def _row(cells: Iterable[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "/") for cell in cells) + " |"


def _time(seconds: float) -> str:
    return f"{seconds:.4f}" if seconds < 0.1 else f"{seconds:.3g}" if seconds < 100 else f"{seconds:.0f}"


def _percent(values: Sequence[float] | None) -> str:
    return " / ".join("-" if math.isnan(v) else f"{100 * v:.3g}" for v in values or ())
