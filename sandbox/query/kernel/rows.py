"""Passing rows as arrays: whose they are, which group they are in, and what each measure reads of them."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from sandbox.flow import Ints, Labels
from sandbox.plans import Measure
from sandbox.query.kernel import statement, weights
from sandbox.query.kernel.files import Files
from sandbox.query.kernel.labels import declared_codes, label_rows, local_codes, released_codes
from sandbox.query.kernel.ranks import Ranks, first_rows
from sandbox.query.kernel.relation_sql import Own
from sandbox.query.kernel.sums import Column
from sandbox.query.kernel.task import Keys, Task
from sandbox.query.planning.sizes import keeps_order

Words: TypeAlias = npt.NDArray[np.uint64]
Mask: TypeAlias = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Rows:
    """Rows that pass, bounded where the plan bounds rows. `unit` is dense and grows with the pseudonym."""

    unit: npt.NDArray[np.uint32]
    pseudonyms: Words
    """By unit; empty where nothing is ordered by key."""
    group: Ints
    groups: int
    labels: Labels
    """What the group codes mean; empty where nobody asks."""
    values: dict[int, pa.ChunkedArray]
    keys: Keys

    def column(self, task: Task, number: int) -> Column:
        """What an additive measure sums."""
        return column_of(task.measures[number], self.values.get(number))

    def valid(self, number: int) -> Mask:
        """Where a measure that counts has something to count."""
        return np.asarray(self.values[number].to_numpy(), np.bool_)

    def integers(self, number: int) -> tuple[Ints, Mask]:
        """A measure's values, and where they are not NULL."""
        values, valid = _integers(self.values[number])
        return values.astype(np.int64), np.ones(len(values), np.bool_) if valid is None else valid


def column_of(measure: Measure, values: pa.ChunkedArray | None) -> Column:
    """What an additive measure sums of rows as the statement gives them."""
    if values is None or measure.kind == "rows":
        return Column()
    if measure.kind in {"present", "units"}:
        return Column(valid=np.asarray(values.to_numpy(), np.bool_))
    numbers, valid = _integers(values)
    square = measure.kind == "square"
    return Column(values=numbers, valid=valid, bound=measure.row_bound, center=measure.center, square=square)


def _integers(column: pa.ChunkedArray) -> tuple[npt.NDArray[np.signedinteger], Mask | None]:
    """In the type that they come in; without a mask where nothing is NULL."""
    if not column.null_count:
        return column.to_numpy(), None
    return column.fill_null(0).to_numpy(), np.asarray(column.is_valid().to_numpy(), np.bool_)


def read_rows(task: Task, files: Files, keys: Keys) -> Rows:
    """Run the statement, and cut each unit's rows to those that count."""
    distinct = any(m.kind == "distinct" for m in task.measures)
    hashed = task.stage == "keys" or task.bound.form == "groups" or distinct
    ordered = task.bound.form == "rows"
    along = ordered and files.dense and keeps_order(task.relation)
    own = Own(unit=not files.dense or hashed, dense=files.dense, tier=along, order=ordered and not along)
    table = pa.concat_tables(ranked(task, files, own)) if along else files.run(statement.rows(task, own))
    if files.dense:
        unit = units(table)
        pseudonyms = _by_unit(table, unit) if own.unit else np.zeros(0, np.uint64)
    else:
        pseudonyms, places = np.unique(table.column("u").to_numpy(), return_inverse=True)
        unit = places.reshape(-1).astype(np.uint32)
    if ordered and not along:
        order = [_int(table.column(f"o{i}")) for i in range(statement.order_columns(task))]
        keep = first_rows(unit, order, task.bound.rows)
        table, unit = _kept(table, keep), unit[keep]
    return _grouped(task, table, _rows(table, unit, pseudonyms, keys), labelled=hashed)


def rows_of(task: Task, table: pa.Table, keys: Keys) -> Rows:
    """Rows of one stored table that are cut already, as a table with d."""
    return _grouped(task, table, _rows(table, units(table), np.zeros(0, np.uint64), keys), labelled=False)


def ranked(task: Task, files: Files, own: Own) -> Iterator[pa.Table]:
    """Each unit's first rows that pass, a few at a time: those of the tail count on from those before (P4.2)."""
    head, whole = heads(task, files), len(files.edges)
    ranks = Ranks(task.bound.rows, files.rows[0])  # the first tier has one row of each unit
    for chunk in files.chunks(statement.rows(task, own)):
        unit, tier = units(chunk), np.asarray(chunk.column("t").to_numpy(), np.uint8)
        edges = [0, *np.searchsorted(tier, np.arange(head, whole), side="left").tolist(), len(tier)]
        ranks.count(unit[: edges[1]])
        keep = np.ones(len(unit), np.bool_)
        for number, (low, high) in enumerate(pairwise(edges[1:]), head):
            keep[low:high] = ranks.keep(unit[low:high], number)
        yield _kept(chunk, keep)


def units(table: pa.Table) -> npt.NDArray[np.uint32]:
    """The dense index of each row's unit."""
    return np.asarray(table.column("d").to_numpy(), np.uint32)


def heads(task: Task, files: Files) -> int:
    """How many tiers lie below the bound: every passing row of theirs counts."""
    return sum(edge <= task.bound.rows for edge in files.edges)


def _rows(table: pa.Table, unit: npt.NDArray[np.uint32], pseudonyms: Words, keys: Keys) -> Rows:
    return Rows(
        unit=unit, pseudonyms=pseudonyms, group=np.zeros(0, np.int64), groups=0, labels=(), keys=keys,
        values={int(n[1:]): table.column(n) for n in table.column_names if n[0] == "m"},
    )  # fmt: skip


def _by_unit(table: pa.Table, unit: npt.NDArray[np.uint32]) -> Words:
    words = np.zeros(1 + int(unit.max()) if len(unit) else 0, np.uint64)
    words[unit] = table.column("u").to_numpy()
    return words


def _kept(table: pa.Table, mask: Mask) -> pa.Table:
    return table if mask.all() else table.filter(pa.array(mask))


def _int(column: pa.ChunkedArray) -> Ints:
    return np.asarray(column.to_numpy(), np.int64)


# --- groups -----------------------------------------------------------------------------------------------------------


def _grouped(task: Task, table: pa.Table, rows: Rows, *, labelled: bool) -> Rows:
    """The rows with their groups; those in groups that were not released go."""
    if task.labels is not None:
        group = released_codes(task.keys, table, task.labels)
        return _only(replace(rows, group=group, groups=len(task.labels), labels=task.labels), group >= 0)
    if task.stage == "keys":
        group, local = local_codes(task.keys, table)
        return replace(rows, group=group, groups=local.num_rows, labels=label_rows(task.keys, local))
    labels = tuple(itertools.product(*(k.domain or () for k in task.keys))) if labelled else ()
    return replace(rows, group=declared_codes(task.keys, table), groups=task.groups, labels=labels)


def _only(rows: Rows, mask: Mask) -> Rows:
    if mask.all():
        return rows
    some = pa.array(mask)
    return replace(
        rows, unit=rows.unit[mask], group=rows.group[mask], values={i: v.filter(some) for i, v in rows.values.items()}
    )  # fmt: skip


def place_of(measure: Measure, values: Ints) -> Ints:
    """Where each value stands in a measure's row of integers; -1 for one that has no place."""
    marks = np.asarray(measure.marks, dtype=np.int64)
    if measure.kind == "quantile":
        return weights.positions(values, marks)
    place = np.searchsorted(marks, values, side="right") - 1
    return np.where((place < 0) | (place >= measure.width), -1, place)
