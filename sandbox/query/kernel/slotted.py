"""Cells of slots: exact sums of every stored (unit, value) pair, added up as rows come by and bounded block by block.

Nothing is sorted or hashed: the slot says whose a row is and which group it is in, and slots stand by unit and, within
a unit, in keyed order (P2.4).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import pyarrow as pa

from sandbox.flow import Ints
from sandbox.objects.sidecars import Slots
from sandbox.query.kernel import bounded, statement
from sandbox.query.kernel.blocks import sorted_blocks
from sandbox.query.kernel.files import Files
from sandbox.query.kernel.groups import Pairs, keep_first
from sandbox.query.kernel.labels import positions
from sandbox.query.kernel.relation_sql import Own
from sandbox.query.kernel.rows import column_of
from sandbox.query.kernel.sums import Column, Units, checked
from sandbox.query.kernel.task import Part, Task
from sandbox.query.planning.sizes import is_filtered, most_rows, scans_of

_WORD: Final = 63
"""Bits of a word that lanes use: its sign stays clear."""
_NOTHING: Final = pa.chunked_array([pa.array([], pa.int64())])


@dataclass(frozen=True, slots=True, kw_only=True)
class Lane:
    """What one measure adds up in each cell, in bits of its own of a word that several share.

    `offset` is added to every row's number, so that none is negative; a lane with `bits` of 0 has a word to itself and
    adds up signed numbers.
    """

    word: int
    shift: int
    bits: int
    offset: int = 0


class Cells:
    """Sums by slot, several in one 64-bit word. Memory: 8 bytes a slot and word.

    Proof that lanes do not run over: a cell has at most `most` rows (declared, and checked in the stored ordinals), and
    a row adds at most 1, `bound`, or `bound + offset = 2 * bound` to its lane, which has bits for `most` times that.
    The first lane counts a cell's rows, which also says how often an offset went in.

    Args:
        slots: how many slots the bucket has.
        columns: what each measure's rows look like; only their bounds are read.
        most: no cell has more rows than this.
    """

    def __init__(self, slots: int, columns: Sequence[Column], *, most: int) -> None:
        self._used = [most.bit_length()]
        self._rows = Lane(word=0, shift=0, bits=most.bit_length())
        self._lanes = [self._lane(c, most) for c in columns]
        self._words = [np.zeros(slots, np.int64) for _ in self._used]

    def _lane(self, column: Column, most: int) -> Lane:
        if column.values is None and column.valid is None:
            return self._rows
        offset = column.bound if column.values is not None and not column.square else 0
        bits = (most * (offset + (column.bound if column.values is not None else 1))).bit_length()
        if bits > _WORD:
            self._used.append(_WORD)
            return Lane(word=len(self._used) - 1, shift=0, bits=0)
        for word, used in enumerate(self._used):
            if used + bits <= _WORD:
                self._used[word] += bits
                return Lane(word=word, shift=used, bits=bits, offset=offset)
        self._used.append(bits)
        return Lane(word=len(self._used) - 1, shift=0, bits=bits, offset=offset)

    def add(self, slot: Units, columns: Sequence[Column]) -> None:
        """Add rows up.

        Raises:
            IntegrityFailed: `values_exceed_bound`.
        """
        place = slot.astype(np.intp)
        for word, into in enumerate(self._words):
            total = np.full(len(slot), 1 if word == 0 else 0, np.int64)
            for column, lane in zip(columns, self._lanes, strict=True):
                if lane.word == word and lane is not self._rows:
                    number = column.valid.astype(np.int64) if column.values is None and column.valid is not None else (
                        checked(column)
                    )  # fmt: skip
                    total += (number + lane.offset) << lane.shift
            np.add.at(into, place, total)

    def pairs(self, some: slice, unit: Units, group: Ints) -> Pairs:
        """The pairs of some slots that have rows, and what each measure adds up in them.

        Args:
            some: which slots.
            unit: whose each of these is.
            group: which group each of these is; negative where it does not count at all.
        """
        rows = self._field(self._rows, some)
        sums = [self._field(lane, some) for lane in self._lanes]
        sums = [s - lane.offset * rows if lane.offset else s for s, lane in zip(sums, self._lanes, strict=True)]
        present = (rows > 0) & (group >= 0)
        if present.all():
            return Pairs(unit=unit, group=group, sums=tuple(sums))
        return Pairs(unit=unit[present], group=group[present], sums=tuple(s[present] for s in sums))

    def _field(self, lane: Lane, some: slice) -> Ints:
        word = self._words[lane.word][some]
        if not lane.bits:
            return word
        return (word >> lane.shift) & ((1 << lane.bits) - 1)


def part(task: Task, files: Files) -> Part:
    """A stage's exact integers of one bucket, by the slots of its only key."""
    slots = files.slots
    if slots is None:
        raise TypeError("no slots were opened")
    places = _places(task, slots)
    if task.stage == "keys" or _units_alone(task):
        return _seen(task, files, slots, places)
    return _summed(task, files, slots, places)


def _places(task: Task, slots: Slots) -> Ints:
    """Which of the task's groups each value of the bucket is; -1 for one that was not released.

    Raises:
        IntegrityFailed: `key_outside_domain`.
    """
    if task.stage == "keys":
        return np.arange(len(slots.values))
    known = task.labels if task.labels is not None else tuple((v,) for v in task.keys[0].domain or ())
    # By the bucket's values, of which each is one of the task's or none.
    found = positions([label[0] for label in known], pa.chunked_array([slots.values]), strict=task.labels is None)
    return np.asarray(found, np.int64)


def _units_alone(task: Task) -> bool:
    plain = task.stage == "values" and task.bound.form == "ingest"
    return plain and all(m.kind == "units" and m.expr is None for m in task.measures)


def _seen(task: Task, files: Files, slots: Slots, places: Ints) -> Part:
    """Distinct units of each group, or votes for private keys: only which slots have rows is asked."""
    if is_filtered(task.relation) or not _whole(task, files):
        seen = np.zeros(len(slots.owner), np.bool_)
        for chunk in files.chunks(statement.rows(task, Own(slot=files.slot), keyed=False)):
            seen[_slot(chunk).astype(np.intp)] = True
        unit, group = slots.owner[seen], places[slots.places[seen]]
    else:  # every row passes, and every slot has rows
        unit, group = slots.owner, places[slots.places]
    unit, group = (unit, group) if int(places.min(initial=0)) >= 0 else (unit[group >= 0], group[group >= 0])
    if task.stage == "keys":
        found, keep = Pairs(unit=unit, group=group, sums=()), keep_first(unit, len(task.votes) - 1)
        return bounded.votes(task, found, keep, tuple((v,) for v in slots.values.to_pylist()))
    counts = np.bincount(group, minlength=task.groups).reshape(-1, 1)
    return Part(arrays=tuple(counts for _ in task.measures))


def _summed(task: Task, files: Files, slots: Slots, places: Ints) -> Part:
    cells = Cells(
        len(slots.owner), [column_of(m, None if m.expr is None else _NOTHING) for m in task.measures],
        most=most_rows(task.relation, task.tables),
    )  # fmt: skip
    for chunk in files.chunks(statement.rows(task, Own(slot=files.slot), keyed=False)):
        read = [None if m.expr is None else chunk.column(f"m{i}") for i, m in enumerate(task.measures)]
        cells.add(_slot(chunk), [column_of(m, values) for m, values in zip(task.measures, read, strict=True)])
    arrays: list[Ints] = []
    for some in sorted_blocks(slots.owner, 8 * task.groups) if len(slots.owner) else [slice(0)]:
        pairs = cells.pairs(some, slots.owner[some], places[slots.places[some]])
        keep = keep_first(pairs.unit, task.bound.groups) if task.bound.form == "groups" else None
        found = bounded.of_pairs(task, pairs, keep)
        arrays = [a + b for a, b in zip(arrays, found, strict=True)] if arrays else found
    return Part(arrays=tuple(arrays))


def _whole(task: Task, files: Files) -> bool:
    """Whether all rows of the table are read."""
    return files.edges == task.tables[0].spec.tiers and scans_of(task.relation)[0].rows is None


def _slot(chunk: pa.Table) -> Units:
    return np.asarray(chunk.column("s").to_numpy(), np.uint32)
