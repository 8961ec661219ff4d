"""How a column is held between reading and writing: narrow integers on the grid, NULL as one of them."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from typing import Final, TypeAlias

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from sandbox.catalog import Column, ColumnType

Ints: TypeAlias = npt.NDArray[np.int64]
Narrow: TypeAlias = npt.NDArray[np.signedinteger]
Held: TypeAlias = "Narrow | pa.Array"
"""A narrow array for all but texts without a declared domain, which are Arrow strings."""

_WIDTHS: Final = (np.int8, np.int16, np.int32, np.int64)


@dataclass(frozen=True, slots=True)
class Shape:
    """A column's form in memory and in spilled runs, from its declared facts alone.

    `kind`: `integer` (grid units), `code` (a text of the declared domain, by its place there), `text` (any text). NULL
    is `null`, one below the least value.
    """

    column: Column
    kind: str
    dtype: np.dtype[np.signedinteger]
    null: int

    @classmethod
    def of(cls, column: Column) -> Shape:
        """The narrowest form that holds every declared value and NULL."""
        if column.type is ColumnType.TEXT:
            known = len(column.domain or ())
            return cls(column, "code" if known else "text", _narrowest(-1, known), -1)
        lower, upper = column.lower, column.upper
        if lower is None or upper is None:
            raise ValueError("a column that is not text has bounds")
        return cls(column, "integer", _narrowest(lower - 1, upper), lower - 1)


def _narrowest(low: int, high: int) -> np.dtype[np.signedinteger]:
    for width in _WIDTHS[:-1]:
        if np.iinfo(width).min <= low and high <= np.iinfo(width).max:
            return np.dtype(width)
    return np.dtype(np.int64)


@dataclass(slots=True)
class Counts:
    """What became of a column's cells: missing, unreadable, moved to a bound, not in the domain. For the steward."""

    null: int = 0
    unparsable: int = 0
    clamped: int = 0
    out_of_domain: int = 0

    def as_report(self) -> dict[str, int]:
        """The counts by name."""
        return {name: getattr(self, name) for name in ("null", "unparsable", "clamped", "out_of_domain")}


@dataclass(slots=True)
class Parsed:
    """Values on the grid before bounds: `units` where `state` is GOOD; the state says why the others have none."""

    units: Ints
    state: npt.NDArray[np.uint8]

    def taken(self, places: npt.NDArray[np.int64], present: npt.NDArray[np.bool_]) -> Parsed:
        """The values at `places`; missing where not `present`."""
        safe = np.where(present, places, 0)
        if not len(self.units):
            return Parsed(np.zeros(len(places), np.int64), np.full(len(places), MISSING, np.uint8))
        return Parsed(self.units[safe], np.where(present, self.state[safe], np.uint8(MISSING)))


GOOD: Final = 0
MISSING: Final = 1
UNREADABLE: Final = 2


@dataclass(slots=True)
class Report:
    """What the steward sees of an ingest. Data-dependent throughout: for people cleared for the data."""

    rows_earlier: int = 0
    """Of the version that was appended to; they stand beside the source's in what follows."""
    rows_read: int = 0
    rows_without_id: int = 0
    rows_missing_required: int = 0
    rows_over_unit_limit: int = 0
    rows_stored: int = 0
    units: int = 0
    units_new: int = 0
    """Of them, those that the dataset's version before did not have."""
    slots: int = 0
    """Key columns that have slots: declared, not counted. The keys of a version's objects rest on it."""
    columns: dict[str, Counts] = field(default_factory=dict)

    @property
    def rows_new(self) -> int:
        """Rows of the source that could be stored."""
        return self.rows_read - self.rows_without_id - self.rows_missing_required

    def plain(self) -> dict[str, object]:
        """The report as JSON has it."""
        columns = {name: counts.as_report() for name, counts in self.columns.items()}
        return {**{f.name: getattr(self, f.name) for f in fields(self)}, "columns": columns}


def flags(column: pa.Array) -> npt.NDArray[np.bool_]:
    """An Arrow boolean array without nulls as numpy has it (its own conversion goes cell by cell)."""
    return np.asarray(column.cast(pa.uint8()).to_numpy(zero_copy_only=False)).view(np.bool_)


def present(column: pa.Array) -> npt.NDArray[np.bool_]:
    """Where a column has a value."""
    return np.ones(len(column), np.bool_) if column.null_count == 0 else flags(column.is_valid())
