"""Sidecars: what the slots of a bucket stand for, packed into the bytes that are sealed, and back into arrays.

A slot is the dense number of a (unit, value) pair of one key column in one bucket: it grows with the unit and, within a
unit, in a keyed order of the values (P2.4). Slots, codes and unit indexes depend on other units. They address arrays
only: they are never hashed, ordered by, displayed, priced or used to break ties.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from io import BytesIO
from typing import Final, TypeAlias

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from sandbox.catalog import Sidecar
from sandbox.errors import IntegrityFailed

Words: TypeAlias = npt.NDArray[np.uint32]

_WIDTHS: Final = (np.uint8, np.uint16, np.uint32)


@dataclass(frozen=True, slots=True, kw_only=True)
class Slots:
    """A bucket's slots of one column, in memory.

    `codes`: each slot's value, as its place in `values`. `first`: each unit's first slot, and behind the last unit the
    number of slots. `values`: every value that occurs, ascending (texts by their bytes), NULL last; int64 in grid
    units, or strings.

    Privacy: all of it is exact and depends on protected rows.
    """

    codes: Words = field(repr=False)
    first: Words = field(repr=False)
    values: pa.Array = field(repr=False)
    owner: Words = field(default_factory=lambda: np.zeros(0, np.uint32), repr=False)
    """Each slot's unit; only of opened ones."""
    places: npt.NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, np.int64), repr=False)
    """`codes` as arrays are addressed; only of opened ones."""

    @property
    def units(self) -> int:
        """How many units the bucket has."""
        return len(self.first) - 1


def slot_column(column: str) -> str:
    """The stored column that holds the slots of a key column; no declared name has a dot."""
    return f"slot.{column}"


def sidecar_name(bucket: int, number: int) -> str:
    """The last part of a sidecar's object key; `number` is the column's place among the version's slots."""
    return f"b{bucket:04d}.s{number:02d}"


def sidecar_aad(version_id: str, bucket: int, column: str) -> bytes:
    """What a sidecar is bound to by its seal."""
    return f"{version_id}/{bucket}/slot/{column}".encode()


def pack(slots: Slots) -> bytes:
    """One row of lists as an Arrow stream: slots of each unit, codes, values; integers as narrow as they fit."""
    counts = np.diff(slots.first)
    columns = {"counts": _narrow(counts), "codes": _narrow(slots.codes), "values": slots.values}
    row = pa.record_batch({name: _as_row(array) for name, array in columns.items()})
    out = BytesIO()
    with pa.ipc.new_stream(out, row.schema) as writer:
        writer.write_batch(row)
    return out.getvalue()


def unpack(packed: bytes, sidecar: Sidecar) -> tuple[Slots, Sequence[npt.NDArray[np.uint8]]]:
    """What `pack` packed, and the memory that it lies in, so that it can be wiped.

    Raises:
        IntegrityFailed: `object_corrupt`.
    """
    memory = np.frombuffer(packed, np.uint8).copy()
    try:
        with pa.ipc.open_stream(pa.py_buffer(memory)) as stream:
            row = stream.read_next_batch()
        counts, codes = (_numbers(row, name) for name in ("counts", "codes"))
        values = row.column("values").flatten()
    except (pa.ArrowException, KeyError, StopIteration):
        raise IntegrityFailed("object_corrupt", key=sidecar.key) from None
    first = np.zeros(len(counts) + 1, np.uint32)
    np.cumsum(counts, out=first[1:])
    if (counts == 0).any() or first[-1] != len(codes) or (len(codes) and int(codes.max()) >= len(values)):
        raise IntegrityFailed("object_corrupt", key=sidecar.key)
    owner = np.repeat(np.arange(len(counts), dtype=np.uint32), counts)
    found = Slots(
        codes=codes.astype(np.uint32), first=first, values=values, owner=owner, places=codes.astype(np.int64)
    )
    made = (found.codes, found.first, found.owner, found.places)
    return found, (memory, *(array.view(np.uint8) for array in made))


def _narrow(numbers: npt.NDArray[np.unsignedinteger]) -> pa.Array:
    most = int(numbers.max()) if len(numbers) else 0
    return pa.array(numbers.astype(next(w for w in _WIDTHS if most <= np.iinfo(w).max)))


def _as_row(array: pa.Array) -> pa.Array:
    return pa.LargeListArray.from_arrays(pa.array([0, len(array)], pa.int64()), array)


def _numbers(row: pa.RecordBatch, name: str) -> npt.NDArray[np.unsignedinteger]:
    return np.asarray(row.column(name).flatten().to_numpy(zero_copy_only=False))
