"""OpenDP over Polars: an identifier as the privacy unit, rows a unit by `truncate_per_group`, read lazily from the Parquet file."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import opendp.prelude as dp
import polars as pl

from benchmarks.peers.spoken import LOWER, UPPER, Answer, Asked, answer, asked

MARKS = [float(mark) for mark in range(LOWER, UPPER + 1)]


def _context(task: Asked) -> Any:
    """A fresh budget for one answer; the frame is the file, lazily."""
    return dp.Context.compositor(
        data=pl.scan_parquet(task.parquet).select(task.columns),
        privacy_unit=dp.unit_of(contributions=1, identifier="unit"),
        privacy_loss=dp.loss_of(epsilon=task.epsilon, delta=task.delta),
        split_evenly_over=1,
        margins=[dp.polars.Margin(max_length=task.rows)],
    )


def _asked(task: Asked) -> Any:
    query = _context(task).query()
    if task.question.below is not None:
        query = query.filter(pl.col("value") < task.question.below)
    value = pl.col("value")
    if task.name == "median":
        return query.truncate_per_group(task.question.rows).select(value.fill_null(0).dp.median(MARKS))
    if task.name == "units":
        return query.truncate_per_group(1).select(dp.len(signed=True))
    measures = [dp.len(signed=True)]
    if "sum" in task.question.measures:
        measures.append(value.fill_null(0).dp.sum((LOWER, UPPER)))
    grouped = query.truncate_per_group(task.question.rows).group_by(task.question.key).agg(*measures)
    return grouped.with_keys(pl.LazyFrame({task.question.key: list(task.domain)})) if task.question.public else grouped


def open_(task: Asked) -> Callable[[], Answer]:
    dp.enable_features("contrib")

    def ask() -> Answer:
        rows: list[tuple[Any, ...]] = _asked(task).release().collect().rows()
        if "avg" in task.question.measures:
            rows = [(key, count, total, total / max(count, 1)) for key, count, total in rows]
        return rows

    return ask


if __name__ == "__main__":
    answer(asked(), open_)
