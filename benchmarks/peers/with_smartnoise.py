"""SmartNoise SQL over a pandas frame in memory: user-level by `max_ids` rows a unit, sampled."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pandas as pd
from snsql import Privacy, from_connection

from benchmarks.peers.spoken import LOWER, UPPER, Answer, Asked, Unsupported, answer, asked

RENAMED = {"month": "moon"}
"""MONTH is a word of its grammar."""
MEASURES = {"count": "COUNT(*)", "sum": "SUM(value)", "avg": "AVG(value)", "units": "COUNT(DISTINCT unit)"}


def _declared(task: Asked, rows: int) -> dict[str, Any]:
    """Its metadata: bounds, the private identifier, and whether rare keys are censored."""
    kinds: dict[str, dict[str, Any]] = {
        "unit": {"type": "int", "private_id": True},
        "month": {"type": "int", "lower": 1, "upper": 12},
        "dest": {"type": "string"},
        "flight": {"type": "string"},
        "value": {"type": "int", "lower": LOWER, "upper": UPPER},
    }
    table: dict[str, Any] = {
        "max_ids": task.question.rows, "row_privacy": False, "sample_max_ids": True, "clamp_counts": False,
        "clamp_columns": True, "censor_dims": not task.question.public, "rows": rows,
    }  # fmt: skip
    table |= {RENAMED.get(column, column): kinds[column] for column in task.columns}
    return {"": {"bench": {"rows": table}}}


def _reader(frame: pd.DataFrame, task: Asked, sql: str) -> Any:
    """A reader whose whole answer costs (epsilon, delta): its own parameters are for each noisy column."""
    metadata = _declared(task, len(frame))

    def at(epsilon: float, delta: float) -> Any:
        return from_connection(frame, privacy=Privacy(epsilon=epsilon, delta=delta), metadata=metadata)

    epsilon, delta = at(task.epsilon, task.delta).get_privacy_cost(sql)
    return at(task.epsilon * task.epsilon / epsilon, task.delta * min(1.0, task.delta / delta))


def open_(task: Asked) -> Callable[[], Answer]:
    if "median" in task.question.measures:
        raise Unsupported("has no private median")
    frame = pd.read_parquet(task.parquet, columns=list(task.columns)).rename(columns=RENAMED)
    key = task.question.key and RENAMED.get(task.question.key, task.question.key)
    columns = ", ".join([*([key] if key else []), *(f"{MEASURES[m]} AS {m}_" for m in task.question.measures)])
    where = "" if task.question.below is None else f" WHERE value < {task.question.below}"
    sql = f"SELECT {columns} FROM bench.rows{where}" + (f" GROUP BY {key}" if key else "")
    reader = _reader(frame, task, sql)

    def ask() -> Answer:
        rows: Answer = reader.execute(sql)[1:]
        return rows

    return ask


if __name__ == "__main__":
    answer(asked(), open_)
