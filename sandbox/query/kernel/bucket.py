"""One bucket: its files opened, the statement run, and the exact integers of a stage; what every executor runs."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from sandbox.errors import IntegrityFailed
from sandbox.flow import Ints
from sandbox.query.kernel import bounded, statement
from sandbox.query.kernel.files import Files, opened
from sandbox.query.kernel.labels import declared_codes
from sandbox.query.kernel.relation_sql import Own
from sandbox.query.kernel.rows import Rows, heads, place_of, ranked, read_rows, rows_of
from sandbox.query.kernel.task import Bench, Keys, Part, Task


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
        if statement.is_ranked_in_part(task) and files.dense:
            return _head_and_tail(task, files, keys)
        rows: Rows = read_rows(task, files, keys)
        return bounded.part(task, rows)


def _head_and_tail(task: Task, files: Files, keys: Keys) -> Part:
    """Bounded by passing rows (P4.2): all of those in tiers below the bound count, so the engine adds them up itself.

    Of later tiers a row counts while its unit has fewer passing rows before it; where every row passes, none does.
    """
    head, whole = heads(task, files), len(files.edges)
    part = _summed(task, files, slice(head))
    if head == whole:
        return part
    where = Own(dense=True, order=True)
    tiers = [files.run(statement.places(task, where), slice(t, t + 1)) for t in range(whole)]
    masks = ranked(task, files, tiers)
    some = [t for t in range(head, whole) if masks[t].any()]
    if not some:
        return part
    sql = statement.rows(task, where)
    tables = [files.run(sql, slice(t, t + 1)) for t in some]
    for t, table in zip(some, tables, strict=True):
        if not table.column("d").equals(tiers[t].column("d")):
            raise IntegrityFailed("rows_unsorted")
    kept = [table.filter(pa.array(masks[t])) for t, table in zip(some, tables, strict=True)]
    tail = bounded.part(task, rows_of(task, files, pa.concat_tables(kept), keys))
    return Part(arrays=tuple(a + b for a, b in zip(part.arrays, tail.arrays, strict=True)))


def _summed(task: Task, files: Files, tiers: slice = slice(None)) -> Part:
    table = files.run(statement.additive(task), tiers)
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
