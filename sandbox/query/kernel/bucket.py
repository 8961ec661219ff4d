"""One bucket: its files opened, the statement run, and the exact integers of a stage; what every executor runs."""

from __future__ import annotations

import numpy as np

from sandbox.flow import Ints
from sandbox.query.kernel import bounded, slotted, statement
from sandbox.query.kernel.files import Files, opened
from sandbox.query.kernel.labels import declared_codes
from sandbox.query.kernel.relation_sql import Own
from sandbox.query.kernel.rows import heads, place_of, ranked, read_rows, rows_of
from sandbox.query.kernel.task import Bench, Keys, Part, Task
from sandbox.query.planning.sizes import is_filtered


def part_of(task: Task, bucket: int, bench: Bench) -> Part:
    """The exact integers of one bucket.

    Privacy: exact; only a merge and then `noise` take it.

    Raises:
        IntegrityFailed: a stored object is missing, changed, or holds what its manifest excludes.
    """
    keys = Keys.of(task, bench.root_key)
    with opened(task, bucket, bench, keys) as files:
        if not statement.needs_rows(task):
            return _summed(task, files)
        if files.slots is not None:
            return slotted.part(task, files)
        if statement.is_ranked_in_part(task) and files.dense:
            return _ranked(task, files, keys)
        return bounded.part(task, read_rows(task, files, keys))


def _ranked(task: Task, files: Files, keys: Keys) -> Part:
    """Bounded by passing rows (P4.2): all of those in tiers below the bound count, and of later ones the first.

    Where every row passes, none of a later tier does: the engine adds up the rest by itself.
    """
    head = heads(task, files)
    if head == len(files.edges) or (task.bound.rows in files.edges and not is_filtered(task.relation)):
        return _summed(task, files, slice(head))
    arrays = [np.zeros((task.groups, m.width), np.int64) for m in task.measures]
    for chunk in ranked(task, files, Own(dense=True, tier=True)):
        part = bounded.part(task, rows_of(task, chunk, keys))
        for into, found in zip(arrays, part.arrays, strict=True):
            np.add(into, found, out=into)
    return Part(arrays=tuple(arrays))


def _summed(task: Task, files: Files, tiers: slice = slice(None)) -> Part:
    table = files.run(statement.additive(task, files.complete), tiers)
    codes = declared_codes(task.keys, table)
    arrays: list[Ints] = []
    for i, measure in enumerate(task.measures):
        values = np.zeros((task.groups, measure.width), dtype=np.int64)
        if measure.kind in statement.COUNTED:
            found = files.run(statement.counted(task, i), tiers)
            group, x = declared_codes(task.keys, found), np.asarray(found.column("x"), np.int64)
            place, times = place_of(measure, x), np.asarray(found.column("n"), np.int64)
            inside = place >= 0
            # Each value of a group is one row here: several of them may share a place.
            np.add.at(values.reshape(-1), group[inside] * measure.width + place[inside], times[inside])
        else:
            values[codes, 0] = table.column(f"m{i}").to_numpy()
        arrays.append(values)
    return Part(arrays=tuple(arrays))
