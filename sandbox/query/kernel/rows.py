"""Passing rows as arrays: whose they are, which group they are in, and what each measure reads of them."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from sandbox.errors import IntegrityFailed
from sandbox.flow import Ints, Labels
from sandbox.plans import Measure, Scalar
from sandbox.query.kernel import statement, weights
from sandbox.query.kernel.files import Files
from sandbox.query.kernel.groups import Slots
from sandbox.query.kernel.labels import declared_codes, label_rows, local_codes, positions, released_codes
from sandbox.query.kernel.ranks import first_rows, tail_rank
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
    slot: npt.NDArray[np.uint32] | None = None
    slots: Slots | None = None
    places: Ints | None = None
    """Where groups are those of a bucket's slots: which of the task's groups each is; -1 for none of them."""
    all_groups: int = 0

    def column(self, task: Task, number: int) -> Column:
        """What an additive measure sums."""
        measure = task.measures[number]
        if measure.kind in {"rows", "units"} and measure.expr is None:
            return Column()
        if measure.kind in {"present", "units"}:
            return Column(valid=self.valid(number))
        values, valid = self.integers(number)
        values = values - measure.center
        if measure.kind == "square":
            values = np.where(valid, values, 0) ** 2
        return Column(values=values, valid=None if valid.all() else valid, bound=measure.row_bound)

    def valid(self, number: int) -> Mask:
        """Where a measure that counts has something to count."""
        return np.asarray(self.values[number].to_numpy(), np.bool_)

    def integers(self, number: int) -> tuple[Ints, Mask]:
        """A measure's values, and where they are not NULL."""
        column = self.values[number]
        if not column.null_count:
            return np.asarray(column.to_numpy(), np.int64), np.ones(len(column), np.bool_)
        return np.asarray(column.fill_null(0).to_numpy(), np.int64), np.asarray(column.is_valid().to_numpy(), np.bool_)


def read_rows(task: Task, files: Files, keys: Keys) -> Rows:
    """Run the statement, and cut each unit's rows to those that count."""
    hashed = task.stage == "keys" or task.bound.form == "groups" or any(m.kind == "distinct" for m in task.measures)
    ordered = task.bound.form == "rows"
    pseudonyms_too = (hashed and files.slot is None) or any(m.kind == "distinct" for m in task.measures)
    units_too = pseudonyms_too or any(m.kind == "top" for m in task.measures)
    own = Own(
        unit=not files.dense or pseudonyms_too, dense=files.dense and (files.slot is None or units_too),
        slot=files.slot, order=ordered,
    )  # fmt: skip
    sql = statement.rows(task, own, keyed=files.slot is None)
    along = ordered and files.dense and keeps_order(task.relation)
    table = _ranked(task, files, sql) if along else files.run(sql)
    if files.dense and not own.dense:
        unit, pseudonyms = np.zeros(0, np.uint32), np.zeros(0, np.uint64)  # the slot says whose a row is
    elif files.dense:
        unit = np.asarray(table.column("d").to_numpy(), np.uint32)
        pseudonyms = _by_unit(table, unit) if own.unit else np.zeros(0, np.uint64)
    else:
        pseudonyms, places = np.unique(table.column("u").to_numpy(), return_inverse=True)
        unit = places.reshape(-1).astype(np.uint32)
    if ordered and not along:
        order = [_int(table.column(f"o{i}")) for i in range(statement.order_columns(task))]
        keep = first_rows(unit, order, task.bound.rows)
        table, unit = _kept(table, keep), unit[keep]
    rows = Rows(
        unit=unit, pseudonyms=pseudonyms, group=np.zeros(0, np.int64), groups=0, labels=(), keys=keys,
        values={int(n[1:]): table.column(n) for n in table.column_names if n[0] == "m"},
    )  # fmt: skip
    return _grouped(task, files, table, rows, labelled=hashed)


def rows_of(task: Task, files: Files, table: pa.Table, keys: Keys) -> Rows:
    """Rows of one stored table that are cut already, as a table with d."""
    unit = np.asarray(table.column("d").to_numpy(), np.uint32)
    rows = Rows(
        unit=unit, pseudonyms=np.zeros(0, np.uint64), group=np.zeros(0, np.int64), groups=0, labels=(), keys=keys,
        values={int(n[1:]): table.column(n) for n in table.column_names if n[0] == "m"},
    )  # fmt: skip
    return _grouped(task, files, table, rows, labelled=False)


def _ranked(task: Task, files: Files, sql: str) -> pa.Table:
    """Each unit's first rows that pass, tier by tier: rows of the tail count on from those before (P4.2)."""
    tiers = [files.run(sql, slice(tier, tier + 1)) for tier in range(len(files.edges))]
    masks = ranked(task, files, tiers)
    return pa.concat_tables([_kept(t, mask) for t, mask in zip(tiers, masks, strict=True)])


def ranked(task: Task, files: Files, tiers: Sequence[pa.Table]) -> list[Mask]:
    """Which rows of each tier are among their unit's first `rows` passing ones; d and o0 of every tier are given."""
    units = [np.asarray(t.column("d").to_numpy(), np.uint32) for t in tiers]
    return tail_rank(
        units, first_tail=heads(task, files), k=task.bound.rows,
        units=1 + max((int(u.max()) for u in units if len(u)), default=-1),
        ordinals=[_int(t.column("o0")) for t in tiers],
    )  # fmt: skip


def heads(task: Task, files: Files) -> int:
    """How many tiers lie below the bound: every passing row of theirs counts."""
    return sum(edge <= task.bound.rows for edge in files.edges)


def _by_unit(table: pa.Table, unit: npt.NDArray[np.uint32]) -> Words:
    words = np.zeros(1 + int(unit.max()) if len(unit) else 0, np.uint64)
    words[unit] = table.column("u").to_numpy()
    return words


def _kept(table: pa.Table, mask: Mask) -> pa.Table:
    return table if mask.all() else table.filter(pa.array(mask))


def _int(column: pa.ChunkedArray) -> Ints:
    return np.asarray(column.to_numpy(), np.int64)


# --- groups -----------------------------------------------------------------------------------------------------------


def _grouped(task: Task, files: Files, table: pa.Table, rows: Rows, *, labelled: bool) -> Rows:
    """The rows with their groups; those in groups that were not released go."""
    if files.slots is not None:
        return _by_slots(task, files, table, rows)
    if task.labels is not None:
        group = released_codes(task.keys, table, task.labels)
        return _only(replace(rows, group=group, groups=len(task.labels), labels=task.labels), group >= 0)
    if task.stage == "keys":
        group, local = local_codes(task.keys, table)
        return replace(rows, group=group, groups=local.num_rows, labels=label_rows(task.keys, local))
    labels = tuple(itertools.product(*(k.domain or () for k in task.keys))) if labelled else ()
    return replace(rows, group=declared_codes(task.keys, table), groups=task.groups, labels=labels)


def _by_slots(task: Task, files: Files, table: pa.Table, rows: Rows) -> Rows:
    """Groups are the values that the bucket has; `places` says which of the task's groups they are."""
    stored = files.slots
    if stored is None:
        raise TypeError("no slots were opened")
    values: list[Scalar] = stored.values.to_pylist()
    labels: Labels = tuple((v,) for v in values)
    slots = Slots(owner=stored.owner, code=stored.places)
    slot = np.asarray(table.column("s").to_numpy(), np.uint32)
    rows = replace(rows, groups=len(values), labels=labels, slot=slot, slots=slots)
    if task.stage == "keys":
        return rows
    known = task.labels if task.labels is not None else tuple((v,) for v in task.keys[0].domain or ())
    places = positions([label[0] for label in known], pa.chunked_array([stored.values]), strict=False)
    rows = replace(rows, places=places, all_groups=len(known))
    if not len(places) or int(places.min()) >= 0:
        return rows
    if task.labels is None:
        raise IntegrityFailed("key_outside_domain")
    return _only(rows, places[slots.code[slot]] >= 0)  # what was not released is not counted, nor bounded


def spread(rows: Rows, array: Ints) -> Ints:
    """An array over the bucket's own groups as one over the task's."""
    if rows.places is None:
        return array
    whole = np.zeros((rows.all_groups, array.shape[1]), np.int64)
    known = rows.places >= 0
    whole[rows.places[known]] = array[known]
    return whole


def _only(rows: Rows, mask: Mask) -> Rows:
    if mask.all():
        return rows
    some = pa.array(mask)
    return replace(
        rows, unit=rows.unit[mask] if len(rows.unit) else rows.unit,
        group=rows.group[mask] if len(rows.group) else rows.group,
        values={i: v.filter(some) for i, v in rows.values.items()},
        slot=None if rows.slot is None else rows.slot[mask],
    )  # fmt: skip


def place_of(measure: Measure, values: Ints) -> Ints:
    """Where each value stands in a measure's row of integers; -1 for one that has no place."""
    marks = np.asarray(measure.marks, dtype=np.int64)
    if measure.kind == "quantile":
        return weights.positions(values, marks)
    place = np.searchsorted(marks, values, side="right") - 1
    return np.where((place < 0) | (place >= measure.width), -1, place)
