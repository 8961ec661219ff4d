"""Each unit's influence bounded (P4.1, P4.2): by rows cut before, by groups, or by its whole vector's norm."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pyarrow as pa

from sandbox.flow import Ints, Labels
from sandbox.plans import ADDITIVE, Measure
from sandbox.privacy import norms
from sandbox.query.kernel import clip, distinct, greedy, weights
from sandbox.query.kernel.blocks import run_starts, run_sums
from sandbox.query.kernel.fixed import clip_bits, scaled
from sandbox.query.kernel.groups import Pairs, clamped_sums, keep_groups, pairs, units_of
from sandbox.query.kernel.labels import order_of_groups, order_of_values, positions
from sandbox.query.kernel.rows import Mask, Rows, place_of
from sandbox.query.kernel.sums import group_sums
from sandbox.query.kernel.task import Part, Task
from sandbox.query.planning.sizes import most_rows


def part(task: Task, rows: Rows) -> Part:
    """A stage's exact integers of the rows of one bucket."""
    if task.stage == "values" and task.bound.form in {"ingest", "rows"}:
        return _by_rows(task, rows)
    found = _pairs(task, rows)
    if task.stage == "keys":
        return votes(task, found, _kept(task, rows, found, len(task.votes) - 1), rows.labels)
    return Part(arrays=tuple(of_pairs(task, found, _kept(task, rows, found, task.bound.groups))))


# --- rows that are cut already ----------------------------------------------------------------------------------------


def _by_rows(task: Task, rows: Rows) -> Part:
    arrays: list[Ints] = []
    sets: dict[int, pa.Table] = {}
    summed = [i for i, m in enumerate(task.measures) if m.kind in ADDITIVE]
    totals = dict(zip(summed, group_sums(rows.group, rows.groups, [rows.column(task, i) for i in summed]), strict=True))
    for i, measure in enumerate(task.measures):
        if i in totals:
            total = totals[i]
            arrays.append((total.counts if total.sums is None else total.sums).reshape(-1, 1))
        elif measure.kind == "distinct":
            sets[i] = _shown_values(task, rows, i)
            arrays.append(np.zeros((task.groups, 0), np.int64))
        else:
            arrays.append(_other(rows, measure, i))
    return Part(arrays=tuple(arrays), sets=sets)


def _other(rows: Rows, measure: Measure, number: int) -> Ints:
    """Units, units of each value, and how many values stand in each place."""
    if measure.kind == "units":
        valid = slice(None) if measure.expr is None else rows.valid(number)
        return weights.units_by_group(rows.unit[valid], rows.group[valid], rows.groups).reshape(-1, 1)
    if measure.kind == "top":
        place = positions(measure.marks, rows.values[number], strict=False)
        inside, width = place >= 0, len(measure.marks)
        found = weights.top_counts(rows.unit[inside], rows.group[inside], rows.groups, place[inside], width)
        return found.reshape(rows.groups, width)
    values, valid = rows.integers(number)
    place = place_of(measure, values)
    valid &= place >= 0
    return weights.place_counts(rows.group[valid], rows.groups, place[valid], measure.width)


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
    return pa.table({"group": pa.array(group, pa.int64()), "value": coded.dictionary.take(pa.array(code))})


# --- (unit, group) ----------------------------------------------------------------------------------------------------


def _pairs(task: Task, rows: Rows) -> Pairs:
    measured = range(len(task.measures)) if task.stage != "keys" else ()
    columns = [rows.column(task, i) for i in measured]
    return pairs(rows.unit, rows.group, max(rows.groups, 1), columns, most=most_rows(task.relation, task.tables))


def _kept(task: Task, rows: Rows, found: Pairs, most: int) -> Mask | None:
    """Each unit's `most` groups of lowest keyed order; None where groups are not what is bounded."""
    if task.stage == "norms" or (task.stage == "values" and task.bound.form != "groups"):
        return None
    return keep_groups(found.unit, found.group, most, order_of_groups(task, rows.keys, rows.pseudonyms, rows.labels))


def of_pairs(task: Task, found: Pairs, keep: Mask | None) -> list[Ints]:
    """A stage's arrays of pairs, of which `keep` count (None: all), in the task's groups."""
    if task.stage == "norms":
        return list(_norms(task, found))
    if task.bound.form == "clip":
        return _clipped(task, found)
    most = task.bound.per_group if task.bound.form == "groups" else task.bound.rows
    sums = clamped_sums(found, keep, task.groups, [most * m.row_bound for m in task.measures])
    for i, measure in enumerate(task.measures):
        if measure.kind == "units":
            counted = found.sums[i] > 0
            sums[i] = units_of(found, counted if keep is None else keep & counted, task.groups)
    return [s.reshape(-1, 1) for s in sums]


def _clipped(task: Task, found: Pairs) -> list[Ints]:
    bits = clip_bits(task.relation, task.tables, task.measures, task.norms)
    clips = [clip.Clip(norm=scaled(t, bits), bits=bits) for t in task.norms]
    return [a.reshape(-1, 1) for a in clip.clipped_sums(found, task.groups, clips)]


def _norms(task: Task, found: Pairs) -> Iterator[Ints]:
    """How many units have a norm of each half octave, by measure; (R_max b)^2 fits 62 bits, or nothing is clipped."""
    most, starts = most_rows(task.relation, task.tables), run_starts(found.unit)
    for measure, values in zip(task.measures, found.sums, strict=True):
        maximum = most * measure.row_bound
        squares = run_sums(values * values, starts) if len(starts) else np.zeros(0, np.int64)
        yield np.bincount(norms.bin_of(squares, maximum), minlength=len(norms.edges(maximum))).reshape(1, -1)


def votes(task: Task, found: Pairs, keep: Mask | None, labels: Labels) -> Part:
    """Votes for private keys: a unit gives as much to each key that it is counted for as their number allows."""
    kept = np.ones(len(found.unit), np.bool_) if keep is None else keep
    given = np.asarray(task.votes, np.int64)
    sums = weights.vote_sums(found.unit, found.group, kept, max(len(labels), 1), given)
    # A key that no unit is counted for gets no noise and is never shown (P5.3).
    some = np.flatnonzero(sums > 0) if labels else np.zeros(0, np.int64)
    columns = {f"k{i}": [labels[g][i] for g in some] for i in range(len(task.keys))}
    kinds = {f"k{i}": pa.string() if k.type.value == "text" else pa.int64() for i, k in enumerate(task.keys)}
    table = pa.table({n: pa.array(v, kinds[n]) for n, v in columns.items()})
    return Part(table=table.append_column("weight", pa.array(sums[some], pa.int64())))
