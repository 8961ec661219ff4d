"""Tumult Analytics on local Spark: `AddRowsWithID`, rows a unit by `MaxRowsPerID`."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Callable
from typing import Any

from pyspark.sql import SparkSession
from tmlt.analytics import (
    AddRowsWithID,
    ApproxDPBudget,
    KeySet,
    MaxGroupsPerID,
    MaxRowsPerGroupPerID,
    MaxRowsPerID,
    QueryBuilder,
    Session,
)

from benchmarks.peers.spoken import LOWER, UPPER, Answer, Asked, answer, asked

PIECES = 8


def _session(task: Asked, frame: Any) -> Session:
    """A session whose whole budget is one answer's."""
    return Session.from_dataframe(
        privacy_budget=ApproxDPBudget(task.epsilon, task.delta), source_id="rows", dataframe=frame,
        protected_change=AddRowsWithID("unit"),
    )  # fmt: skip


def _keyed(session: Session, task: Asked, keys: KeySet) -> Answer:
    """Count, and sum where asked, each with half of what is spent; the average is their quotient."""
    key = str(task.question.key)
    below = task.question.below
    asked_for = QueryBuilder("rows") if below is None else QueryBuilder("rows").filter(f"value < {below}")
    bounded = asked_for.enforce(MaxRowsPerID(task.question.rows)).groupby(keys)
    if "sum" not in task.question.measures:
        found = session.evaluate(bounded.count(name="n"), ApproxDPBudget(task.epsilon, 0)).collect()
        return [(row[key], row["n"]) for row in found]
    half = ApproxDPBudget(task.epsilon / 2, 0)
    counts = {row[key]: row["n"] for row in session.evaluate(bounded.count(name="n"), half).collect()}
    sums = session.evaluate(bounded.sum("value", LOWER, UPPER, name="s"), half).collect()
    return [(row[key], counts[row[key]], row["s"], row["s"] / max(counts[row[key]], 1)) for row in sums]


def _private(session: Session, task: Asked) -> Answer:
    """Half of the budget finds the keys, half counts them."""
    groups, one = MaxGroupsPerID("flight", task.question.rows), MaxRowsPerGroupPerID("flight", 1)
    bounded = QueryBuilder("rows").enforce(groups).enforce(one)
    found = session.evaluate(bounded.get_groups(["flight"]), ApproxDPBudget(task.epsilon / 2, task.delta))
    keys = KeySet.from_dataframe(found)
    counts = session.evaluate(bounded.groupby(keys).count(name="n"), ApproxDPBudget(task.epsilon / 2, 0)).collect()
    return [(row["flight"], row["n"]) for row in counts]


def _single(session: Session, task: Asked) -> Answer:
    """One number over all units."""
    rows = QueryBuilder("rows").enforce(MaxRowsPerID(task.question.rows))
    query = rows.count(name="x") if task.name == "units" else rows.median("value", LOWER, UPPER, name="x")
    return [(row["x"],) for row in session.evaluate(query, ApproxDPBudget(task.epsilon, 0)).collect()]


def open_(task: Asked) -> Callable[[], Answer]:
    os.environ.setdefault("PYSPARK_PYTHON", sys.executable)
    spark = (
        SparkSession.builder.master("local[2]")
        .config("spark.driver.memory", "10g")
        .config("spark.sql.shuffle.partitions", PIECES)
        .config("spark.sql.warehouse.dir", tempfile.mkdtemp(prefix="warehouse-", dir="."))
        .config("spark.ui.enabled", "false")
        .config("spark.ui.showConsoleProgress", "false")
        .getOrCreate()
    )
    spark.sparkContext.setLogLevel("ERROR")
    frame = spark.read.parquet(task.parquet).select(*task.columns)

    def ask() -> Answer:
        session = _session(task, frame)
        if task.name == "flights":
            return _private(session, task)
        if task.question.key is None:
            return _single(session, task)
        return _keyed(session, task, KeySet.from_dict({task.question.key: list(task.domain)}))

    return ask


if __name__ == "__main__":
    answer(asked(), open_)
