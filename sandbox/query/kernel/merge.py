"""Merging: the buckets' exact integers as one, each bucket once, none missing."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from sandbox.flow import Ints, Labels
from sandbox.query.kernel.labels import label_rows
from sandbox.query.kernel.task import Part, Task


def merged(task: Task, parts: Sequence[Part]) -> tuple[tuple[Ints, ...], Labels | None]:
    """The stage's arrays, and the labels of private keys where it is about them, in order of their values."""
    if task.stage == "keys":
        weights, labels = _weights(task, [p.table for p in parts if p.table is not None])
        return (weights,), labels
    totals = [sum((p.arrays[i] for p in parts), np.zeros_like(a)) for i, a in enumerate(parts[0].arrays)]
    for number in parts[0].sets:
        totals[number] = united(task, [p.sets[number] for p in parts])
    return tuple(totals), task.labels


def united(task: Task, sets: Sequence[pa.Table]) -> Ints:
    """How many distinct values each group's buckets show together; shape (groups, 1)."""
    together = pa.concat_tables(sets, promote_options="permissive")
    once = together.group_by(["group", "value"]).aggregate([])
    return np.bincount(np.asarray(once.column("group"), np.int64), minlength=task.groups).reshape(-1, 1)


def _weights(task: Task, tables: Sequence[pa.Table]) -> tuple[Ints, Labels]:
    names = [f"k{i}" for i in range(len(task.keys))]
    together = pa.concat_tables(tables, promote_options="permissive")
    summed = together.group_by(names).aggregate([("weight", "sum")])
    # Ordered by label, so that nothing of how keys were coded is told.
    summed = summed.take(pc.sort_indices(summed, sort_keys=[(n, "ascending") for n in names]))
    weights = np.asarray(summed.column("weight_sum"), np.int64).reshape(-1, 1)
    return weights, label_rows(task.keys, summed)
