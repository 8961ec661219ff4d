"""How far answers lie from the truth: the whole error, and the part of it that differs from draw to draw."""

from __future__ import annotations

import itertools
import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb

from benchmarks.peers.spoken import Asked
from benchmarks.peers.with_duckdb import statement

Values = Mapping[Any, Sequence[float]]
"""Measures by key; None is the key of a question that has none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Errors:
    """By measure, relative to the exact answer of the group, means over groups and draws.

    `whole`: against the exact answer over all rows, so what the declared bound leaves out is in it. `drawn`: between
    draws, mean |x - y| / sqrt(2) over pairs (for Gaussian noise its mean size): noise, and a fresh choice of rows where
    the library makes one. None with fewer than two draws.
    """

    whole: tuple[float, ...]
    drawn: tuple[float, ...] | None
    keys: float
    """Groups an answer showed, on average."""


def values_of(task: Asked, rows: Sequence[Sequence[Any]]) -> dict[Any, tuple[float, ...]]:
    """An answer's rows by key."""
    if task.question.key is None:
        return {None: tuple(map(float, rows[0]))} if rows else {}
    return {row[0]: tuple(map(float, row[1:])) for row in rows}


def exact(task: Asked) -> dict[Any, tuple[float, ...]]:
    """The answer over all rows, without bounds or noise."""
    with duckdb.connect() as connection:
        connection.execute("SET temp_directory = ?", [str(Path(task.parquet).parent / "spilled")])
        return values_of(task, connection.execute(statement(task)).fetchall())


def errors(draws: Sequence[Values], true: Values) -> Errors:
    """Errors of several answers to one question; groups that an answer does not show are left out of its mean."""
    measures = range(len(next(iter(true.values()))))
    return Errors(
        whole=tuple(_mean([_apart(draw, true, true, m) for draw in draws]) for m in measures),
        drawn=None
        if len(draws) < 2
        else tuple(
            _mean([_apart(x, y, true, m) / math.sqrt(2) for x, y in itertools.combinations(draws, 2)]) for m in measures
        ),
        keys=statistics.fmean(len(draw) for draw in draws),
    )


def _apart(one: Values, other: Values, true: Values, measure: int) -> float:
    shared = [key for key in one if key in other and key in true]
    return _mean([abs(one[k][measure] - other[k][measure]) / max(abs(true[k][measure]), 1.0) for k in shared])


def _mean(values: Sequence[float]) -> float:
    return statistics.fmean(values) if values else math.nan
