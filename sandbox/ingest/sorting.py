"""Sorting a part in memory: ordinals, the cut at R_max, unit indexes, slots, and each tier's rows to be written."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from sandbox.ingest.columns import Held, Shape
from sandbox.ingest.order import RowOrder
from sandbox.ingest.slots import PartSlots, SlotOrder
from sandbox.objects.sidecars import slot_column


@dataclass(frozen=True, slots=True, kw_only=True)
class Piece:
    """A part's rows of a tier by (pseudonym, ordinal); `unit` counts the part's units, `slots` each column's slots."""

    pseudonym: npt.NDArray[np.uint64]
    ordinal: npt.NDArray[np.uint32]
    unit: npt.NDArray[np.uint32]
    slots: Mapping[str, npt.NDArray[np.uint32]]
    columns: Mapping[str, Held]


@dataclass(frozen=True, slots=True, kw_only=True)
class SortedPart:
    """A part's rows by tier; `cut` rows of units with more than R_max are gone, and no slot is theirs alone."""

    pieces: tuple[Piece, ...]
    slots: Mapping[str, PartSlots]
    units: int
    cut: int


def sort_part(
    batches: list[pa.RecordBatch], order: RowOrder, slots: Sequence[SlotOrder], tiers: Sequence[int],
    shapes: Sequence[Shape],
) -> SortedPart:  # fmt: skip
    """Number the rows of each unit and deal them out to the tiers: ordinals in [0, t0), [t0, t1) and so on.

    Privacy: what is kept of a unit, and in which order, depends on the key and that unit's rows alone (P2.3, P2.4).
    """
    if not batches:
        nothing = {s.column: s.empty() for s in slots}
        return SortedPart(pieces=tuple(_empty(shapes, nothing) for _ in tiers), slots=nothing, units=0, cut=0)
    table = pa.Table.from_batches(batches).combine_chunks()
    pseudonyms = table.column("pseudonym").to_numpy()
    columns = {s.column.name: _held(table.column(s.column.name), s) for s in shapes}
    numbered = order.number(pseudonyms, columns)
    kept = np.flatnonzero(numbered.ordinal < tiers[-1])
    rows, unit, ordinal = numbered.rows[kept], numbered.unit[kept], numbered.ordinal[kept]
    ordered = pseudonyms[rows]
    numbers = {s.column: s.number(ordered, unit, _taken(columns[s.column], rows)) for s in slots}
    pieces = []
    low = 0
    for high in tiers:
        here = np.flatnonzero((ordinal >= low) & (ordinal < high))
        pieces.append(
            Piece(
                pseudonym=ordered[here],
                ordinal=ordinal[here].astype(np.uint32),
                unit=unit[here].astype(np.uint32),
                slots={name: found.rows[here] for name, found in numbers.items()},
                columns={name: _taken(held, rows[here]) for name, held in columns.items()},
            )
        )
        low = high
    return SortedPart(pieces=tuple(pieces), slots=numbers, units=numbered.units, cut=len(pseudonyms) - len(rows))


def stored_table(parts: Sequence[SortedPart], tier: int, shapes: Sequence[Shape]) -> pa.Table:
    """One file's rows as a table: the parts of a bucket one behind the other, their units and slots counted through."""
    pieces = [part.pieces[tier] for part in parts]
    fields: dict[str, pa.ChunkedArray] = {
        "pseudonym": pa.chunked_array([pa.array(p.pseudonym) for p in pieces], pa.uint64()),
        "ordinal": pa.chunked_array([pa.array(p.ordinal) for p in pieces], pa.uint32()),
        "ui": _counted([p.unit for p in pieces], [part.units for part in parts]),
    }
    for name in parts[0].slots:
        of_parts = [len(part.slots[name].values) for part in parts]
        fields[slot_column(name)] = _counted([p.slots[name] for p in pieces], of_parts)
    for shape in shapes:
        fields[shape.column.name] = stored_column([p.columns[shape.column.name] for p in pieces], shape)
    return pa.table(fields)


def _counted(numbers: Sequence[npt.NDArray[np.uint32]], of_parts: Sequence[int]) -> pa.ChunkedArray:
    """Numbers of each part as numbers of the bucket: `of_parts` says how many each part has."""
    before = accumulate(of_parts, initial=0)
    return pa.chunked_array([pa.array(n + np.uint32(b)) for n, b in zip(numbers, before, strict=False)], pa.uint32())


def stored_column(held: Sequence[Held], shape: Shape) -> pa.ChunkedArray:
    """Held arrays as Arrow has them: NULL still a number for integers (the writer's SQL makes it NULL)."""
    if shape.kind == "text":
        return pa.chunked_array(held, pa.string())
    if shape.kind == "integer":
        return pa.chunked_array([pa.array(h) for h in held], pa.from_numpy_dtype(shape.dtype))
    words = pa.array([str(v) for v in shape.column.domain or ()], pa.string())
    codes = pa.from_numpy_dtype(shape.dtype)
    coded = [pa.DictionaryArray.from_arrays(pa.array(h, codes, mask=np.asarray(h) < 0), words) for h in held]
    return pa.chunked_array(coded, pa.dictionary(codes, pa.string()))


def _held(column: pa.ChunkedArray, shape: Shape) -> Held:
    if shape.kind == "text":
        return pa.concat_arrays(column.chunks) if column.num_chunks != 1 else column.chunk(0)
    return np.asarray(column.to_numpy())


def _taken(held: Held, rows: npt.NDArray[np.int64]) -> Held:
    return held[rows] if isinstance(held, np.ndarray) else held.take(pa.array(rows))


def _empty(shapes: Sequence[Shape], slots: Mapping[str, PartSlots]) -> Piece:
    return Piece(
        pseudonym=np.zeros(0, np.uint64),
        ordinal=np.zeros(0, np.uint32),
        unit=np.zeros(0, np.uint32),
        slots={name: found.rows for name, found in slots.items()},
        columns={
            s.column.name: pa.array([], pa.string()) if s.kind == "text" else np.zeros(0, s.dtype) for s in shapes
        },
    )
