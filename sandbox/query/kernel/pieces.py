"""Pieces: a part cut by a hash of its rows, so that workers merge large key sets, each its share of the keys."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from sandbox.query.kernel.merge import united
from sandbox.query.kernel.task import Part, Task


@dataclass(frozen=True, slots=True)
class PartMerging:
    """Implements `ports.Merging`: tables of private keys and sets of distinct values, by a hash of their rows."""

    def spreads(self, task: Task) -> bool:
        """Where results grow with the rows, not with declared groups."""
        return task.stage == "keys" or (task.stage == "values" and any(m.kind == "distinct" for m in task.measures))

    def weight(self, part: Part) -> int:
        """Rows of its tables."""
        return sum(table.num_rows for table in _tables(part))

    def split(self, task: Task, part: Part, ways: int) -> list[Part]:
        """Arrays go into the first piece; rows of tables by the hash of what they are merged by."""
        del task
        tables = [{}] * ways if part.table is None else [{"table": t} for t in _spread(part.table, "weight", ways)]
        sets = {number: _spread(table, "", ways) for number, table in part.sets.items()}
        return [
            Part(
                arrays=part.arrays if way == 0 else tuple(np.zeros_like(array) for array in part.arrays),
                sets={number: spread[way] for number, spread in sets.items()},
                **tables[way],
            )
            for way in range(ways)
        ]

    def join(self, task: Task, pieces: Sequence[Part]) -> Part:
        """One piece of all buckets. Sets of different pieces have nothing in common, so counts of them add up."""
        arrays = [sum(found[1:], start=found[0].copy()) for found in zip(*(p.arrays for p in pieces), strict=True)]
        for number in pieces[0].sets:
            arrays[number] = united(task, [p.sets[number] for p in pieces])
        found = [p.table for p in pieces if p.table is not None]
        return Part(arrays=tuple(arrays), table=_summed(found) if found else None)


def _tables(part: Part) -> list[pa.Table]:
    return [*part.sets.values(), *([] if part.table is None else [part.table])]


def _summed(tables: Sequence[pa.Table]) -> pa.Table:
    together = pa.concat_tables(tables, promote_options="permissive")
    names = [name for name in together.column_names if name != "weight"]
    return together.group_by(names).aggregate([("weight", "sum")]).rename_columns([*names, "weight"])


def _spread(table: pa.Table, but: str, ways: int) -> list[pa.Table]:
    """The table's rows by a hash of their values in all columns but one; equal rows go the same way in every bucket."""
    mixed = np.zeros(table.num_rows, np.uint64)
    for name in table.column_names:
        if name != but:
            mixed = (mixed ^ _hashed(table.column(name))) * np.uint64(0x9E3779B97F4A7C15)
            mixed ^= mixed >> np.uint64(29)
    way = mixed % np.uint64(ways)
    return [table.filter(pa.array(way == number)) for number in range(ways)]


def _hashed(column: pa.ChunkedArray) -> npt.NDArray[np.uint64]:
    """By value alone: neither by the width of an integer's type, nor by how a text is held."""
    if pa.types.is_boolean(column.type) or pa.types.is_integer(column.type) or pa.types.is_null(column.type):
        numbers = column.cast(pa.int64())
        null = np.asarray(numbers.is_null().to_numpy(), np.bool_)
        values = np.asarray(numbers.fill_null(0).to_numpy(), np.int64).view(np.uint64)
        return np.where(null, np.uint64(0x5DEECE66D), values * np.uint64(0xBF58476D1CE4E5B9))
    coded = pc.dictionary_encode(column.cast(pa.large_string()).combine_chunks(), null_encoding="encode")
    texts = coded.dictionary.to_pylist()
    known = np.array([0x5DEECE66D if t is None else zlib.crc32(t.encode()) for t in texts], np.uint64)
    return known[np.asarray(coded.indices, np.int64)] if texts else np.zeros(0, np.uint64)
