"""Sorting a part in memory: ordinals, the cut at R_max, unit indexes, and each tier's rows ready to be written."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from sandbox.ingest.columns import Held, Shape
from sandbox.ingest.order import RowOrder


@dataclass(frozen=True, slots=True, kw_only=True)
class Piece:
    """A part's rows of one tier, by (pseudonym, ordinal); `unit` counts the part's units."""

    pseudonym: npt.NDArray[np.uint64]
    ordinal: npt.NDArray[np.uint32]
    unit: npt.NDArray[np.uint32]
    columns: Mapping[str, Held]


@dataclass(frozen=True, slots=True, kw_only=True)
class SortedPart:
    """A part's rows by tier; `cut` rows of units with more than R_max are gone."""

    pieces: tuple[Piece, ...]
    units: int
    cut: int


def sort_part(
    batches: list[pa.RecordBatch], order: RowOrder, shapes: Sequence[Shape], tiers: Sequence[int]
) -> SortedPart:
    """Number the rows of each unit and deal them out to the tiers: ordinals in [0, t0), [t0, t1) and so on.

    Privacy: what is kept of a unit, and in which order, depends on the key and that unit's rows alone (P2.3, P2.4).
    """
    if not batches:
        return SortedPart(pieces=tuple(_empty(shapes) for _ in tiers), units=0, cut=0)
    table = pa.Table.from_batches(batches).combine_chunks()
    pseudonyms = table.column("pseudonym").to_numpy()
    columns = {s.column.name: _held(table.column(s.column.name), s) for s in shapes}
    numbered = order.number(pseudonyms, columns)
    pieces = []
    low = 0
    for high in tiers:
        here = np.flatnonzero((numbered.ordinal >= low) & (numbered.ordinal < high))
        rows = numbered.rows[here]
        pieces.append(
            Piece(
                pseudonym=pseudonyms[rows],
                ordinal=numbered.ordinal[here].astype(np.uint32),
                unit=numbered.unit[here].astype(np.uint32),
                columns={name: _taken(held, rows) for name, held in columns.items()},
            )
        )
        low = high
    kept = sum(len(p.ordinal) for p in pieces)
    return SortedPart(pieces=tuple(pieces), units=numbered.units, cut=len(pseudonyms) - kept)


def stored_table(pieces: Sequence[Piece], first_units: Sequence[int], shapes: Sequence[Shape]) -> pa.Table:
    """One file's rows as a table: the parts of a bucket one behind the other, their units counted through.

    `first_units`: how many units the parts before each have.
    """
    fields: dict[str, pa.ChunkedArray] = {
        "pseudonym": pa.chunked_array([pa.array(p.pseudonym) for p in pieces], pa.uint64()),
        "ordinal": pa.chunked_array([pa.array(p.ordinal) for p in pieces], pa.uint32()),
        "ui": pa.chunked_array(
            [pa.array(p.unit + np.uint32(first)) for p, first in zip(pieces, first_units, strict=True)], pa.uint32()
        ),
    }
    for shape in shapes:
        fields[shape.column.name] = stored_column([p.columns[shape.column.name] for p in pieces], shape)
    return pa.table(fields)


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


def _empty(shapes: Sequence[Shape]) -> Piece:
    return Piece(
        pseudonym=np.zeros(0, np.uint64),
        ordinal=np.zeros(0, np.uint32),
        unit=np.zeros(0, np.uint32),
        columns={
            s.column.name: pa.array([], pa.string()) if s.kind == "text" else np.zeros(0, s.dtype) for s in shapes
        },
    )
