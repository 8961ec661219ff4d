"""Each unit's influence bounded (P4.1, P4.2): by rows cut before, by groups, or by its whole vector's norm."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pyarrow as pa

from sandbox.flow import Ints
from sandbox.plans import ADDITIVE, Measure
from sandbox.privacy import norms
from sandbox.query.kernel import clip, distinct, greedy, weights
from sandbox.query.kernel.blocks import run_starts, run_sums
from sandbox.query.kernel.fixed import clip_bits, scaled
from sandbox.query.kernel.groups import (
    Clamp,
    Pairs,
    clamped_sums,
    keep_first,
    keep_groups,
    pairs,
    slot_pairs,
    units_of,
)
from sandbox.query.kernel.labels import order_of_groups, order_of_values, positions
from sandbox.query.kernel.rows import Mask, Rows, place_of, spread
from sandbox.query.kernel.sums import Column, Totals, group_sums
from sandbox.query.kernel.task import Part, Task
from sandbox.query.planning.sizes import most_rows


def part(task: Task, rows: Rows) -> Part:
    """A stage's exact integers of the rows of one bucket."""
    if task.stage == "keys":
        return _votes(task, rows)
    if task.stage == "norms":
        return Part(arrays=tuple(_norms(task, rows)))
    if task.bound.form == "clip":
        return Part(arrays=tuple(spread(rows, a) for a in _clipped(task, rows)))
    if task.bound.form == "groups":
        return Part(arrays=tuple(spread(rows, a) for a in _by_groups(task, rows)))
    return _by_rows(task, rows)


# --- rows that are cut already ----------------------------------------------------------------------------------------


def _by_rows(task: Task, rows: Rows) -> Part:
    if rows.slots is not None and rows.slot is not None:
        rows = replace(rows, group=rows.slots.code[rows.slot]) if _groups_rows(task) else rows
    arrays: list[Ints] = []
    sets: dict[int, pa.Table] = {}
    summed = [i for i, m in enumerate(task.measures) if m.kind in ADDITIVE]
    totals = dict(zip(summed, group_sums(rows.group, rows.groups, [rows.column(task, i) for i in summed]), strict=True))
    for i, measure in enumerate(task.measures):
        if i in totals:
            arrays.append(_of(measure, totals[i]).reshape(-1, 1))
        elif measure.kind == "distinct":
            sets[i] = _shown_values(task, rows, i)
            arrays.append(np.zeros((task.groups, 0), np.int64))
        else:
            arrays.append(_other(rows, measure, i))
    return Part(arrays=tuple(spread(rows, a) if a.shape[1] else a for a in arrays), sets=sets)


def _groups_rows(task: Task) -> bool:
    """Whether a row's own group is asked for: distinct units by slot are counted without."""
    return any(m.kind != "units" for m in task.measures)


def _of(measure: Measure, total: Totals) -> Ints:
    return total.counts if total.sums is None or measure.kind in {"rows", "present"} else total.sums


def _other(rows: Rows, measure: Measure, number: int) -> Ints:
    """Units, units of each value, and how many values stand in each place."""
    if measure.kind == "units":
        return _units(rows, measure, number).reshape(-1, 1)
    if measure.kind == "top":
        place = positions(measure.marks, rows.values[number], strict=False)
        inside, width = place >= 0, len(measure.marks)
        found = weights.top_counts(rows.unit[inside], rows.group[inside], rows.groups, place[inside], width)
        return found.reshape(rows.groups, width)
    values, valid = rows.integers(number)
    place = place_of(measure, values)
    valid &= place >= 0
    return weights.place_counts(rows.group[valid], rows.groups, place[valid], measure.width)


def _units(rows: Rows, measure: Measure, number: int) -> Ints:
    valid = None if measure.expr is None else rows.valid(number)
    if rows.slot is not None and rows.slots is not None:
        return distinct.units_by_slot(rows.slot if valid is None else rows.slot[valid], rows.slots, rows.groups)
    if valid is None:
        return weights.units_by_group(rows.unit, rows.group, rows.groups)
    return weights.units_by_group(rows.unit[valid], rows.group[valid], rows.groups)


def _shown_values(task: Task, rows: Rows, number: int) -> pa.Table:
    """The (group, value) that this bucket's units show together, each of them few."""
    measure, column = task.measures[number], rows.values[number]
    valid = np.asarray(column.is_valid().to_numpy(), np.bool_)
    coded = column.filter(pa.array(valid)).combine_chunks().dictionary_encode()
    coded = coded.combine_chunks() if isinstance(coded, pa.ChunkedArray) else coded
    values = coded.dictionary.to_pylist()
    hash_of = order_of_values(rows.keys, task, number, rows.pseudonyms, values)
    choose = greedy.greedy_values if measure.greedy else distinct.distinct_values
    group, code = choose(
        rows.unit[valid], rows.group[valid], rows.groups, np.asarray(coded.indices, np.int64), len(values),
        most=measure.most, hash_of=hash_of,
    )  # fmt: skip
    if rows.places is not None:
        group = rows.places[group]
    return pa.table({"group": pa.array(group, pa.int64()), "value": coded.dictionary.take(pa.array(code))})


# --- (unit, group) ----------------------------------------------------------------------------------------------------


def _pairs(task: Task, rows: Rows, columns: list[Column]) -> Pairs:
    most = most_rows(task.relation, task.tables)
    if rows.slot is not None and rows.slots is not None:
        return slot_pairs(rows.slot, rows.slots, columns, most=most)
    return pairs(rows.unit, rows.group, max(rows.groups, 1), columns, most=most)


def _kept(task: Task, rows: Rows, found: Pairs, most: int) -> Mask:
    """Each unit's `most` groups of lowest keyed order: slots stand in it, other pairs are put into it."""
    if rows.slot is not None:
        return keep_first(found.unit, most)
    return keep_groups(found.unit, found.group, most, order_of_groups(task, rows.keys, rows.pseudonyms, rows.labels))


def _measured(task: Task, rows: Rows) -> Pairs:
    return _pairs(task, rows, [rows.column(task, i) for i in range(len(task.measures))])


def _by_groups(task: Task, rows: Rows) -> Iterator[Ints]:
    bound, found = task.bound, _measured(task, rows)
    keep = _kept(task, rows, found, bound.groups)
    clamps = [Clamp(count=bound.per_group, sum=bound.per_group * m.row_bound) for m in task.measures]
    totals = clamped_sums(found, keep, rows.groups, clamps)
    for i, (measure, total) in enumerate(zip(task.measures, totals, strict=True)):
        if measure.kind == "units":
            yield units_of(found, keep & (found.totals[i].counts > 0), rows.groups).reshape(-1, 1)
        else:
            yield _of(measure, total).reshape(-1, 1)


def _clipped(task: Task, rows: Rows) -> list[Ints]:
    bits = clip_bits(task.relation, task.tables, task.measures, task.norms)
    clips = [
        clip.Clip(of="counts" if m.kind in {"rows", "present"} else "sums", norm=scaled(t, bits), bits=bits)
        for m, t in zip(task.measures, task.norms, strict=True)
    ]
    return [a.reshape(-1, 1) for a in clip.clipped_sums(_measured(task, rows), rows.groups, clips)]


def _norms(task: Task, rows: Rows) -> Iterator[Ints]:
    """How many units have a norm of each half octave, by measure; (R_max b)^2 fits 62 bits, or nothing is clipped."""
    found, most = _measured(task, rows), most_rows(task.relation, task.tables)
    starts = run_starts(found.unit)
    for measure, total in zip(task.measures, found.totals, strict=True):
        maximum, values = most * measure.row_bound, _of(measure, total)
        squares = run_sums(values * values, starts) if len(starts) else np.zeros(0, np.int64)
        yield np.bincount(norms.bin_of(squares, maximum), minlength=len(norms.edges(maximum))).reshape(1, -1)


def _votes(task: Task, rows: Rows) -> Part:
    """Votes for private keys: a unit gives as much to each key that it is counted for as their number allows."""
    found = _pairs(task, rows, [])
    keep = _kept(task, rows, found, len(task.votes) - 1)
    votes = np.asarray(task.votes, np.int64)
    sums = weights.vote_sums(found.unit, found.group, keep, max(rows.groups, 1), votes)
    # A key that no unit is counted for gets no noise and is never shown (P5.3).
    some = np.flatnonzero(sums > 0) if rows.groups else np.zeros(0, np.int64)
    columns = {f"k{i}": [rows.labels[g][i] for g in some] for i in range(len(task.keys))}
    kinds = {f"k{i}": pa.string() if k.type.value == "text" else pa.int64() for i, k in enumerate(task.keys)}
    table = pa.table({n: pa.array(v, kinds[n]) for n, v in columns.items()})
    return Part(table=table.append_column("weight", pa.array(sums[some], pa.int64())))
