"""Bare DuckDB, the floor: two threads, the same grouping, no bounding and no noise."""

from __future__ import annotations

from collections.abc import Callable

import duckdb

from benchmarks.peers.spoken import Answer, Asked, answer, asked

MEASURES = {
    "count": "count(*)",
    "sum": "sum(value)",
    "avg": "avg(value)",
    "units": "count(DISTINCT unit)",
    "median": "median(value)",
}


def statement(task: Asked) -> str:
    """The question as plain SQL over the Parquet file."""
    question = task.question
    columns = ", ".join([*([question.key] if question.key else []), *(MEASURES[m] for m in question.measures)])
    group = f" GROUP BY {question.key}" if question.key else ""
    where = "" if question.below is None else f" WHERE value < {question.below}"
    return f"SELECT {columns} FROM read_parquet('{task.parquet}'){where}{group}"


def open_(task: Asked) -> Callable[[], Answer]:
    connection = duckdb.connect(config={"threads": 2})
    sql = statement(task)
    connection.execute(sql).fetchall()
    return lambda: connection.execute(sql).fetchall()


if __name__ == "__main__":
    answer(asked(), open_)
