"""From a source's columns to stored ones: parsed, put on the grid, clamped or kept to the domain, counted (P3.5)."""

from __future__ import annotations

import unicodedata
from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from sandbox.catalog import Column, ColumnType
from sandbox.errors import RequestError
from sandbox.ingest import moments
from sandbox.ingest.columns import GOOD, MISSING, UNREADABLE, Counts, Held, Parsed, Shape, present
from sandbox.ingest.grids import MOST_TEXT
from sandbox.ingest.numbers import FAR, NumberGrid

_NUMBERS: Final = frozenset({ColumnType.INTEGER, ColumnType.DECIMAL})
_OUTSIDE: Final = 3
"""Beside the states of a cell: a text that the domain does not have."""

_NANOS: Final = {"s": 1_000_000_000, "ms": 1_000_000, "us": 1_000, "ns": 1}


class Canonical:
    """Turns one column's cells into what is stored. A stored value depends on its cell and declared facts alone."""

    def __init__(self, column: Column, file: str) -> None:
        self.shape = Shape.of(column)
        self.counts = Counts()
        self._column = column
        self._file = file
        self._grid = NumberGrid(column.grid, max(abs(column.lower or 0), abs(column.upper or 0)))
        known = column.domain or ()
        self._points = np.sort(np.array([v for v in known if isinstance(v, int)], np.int64))
        self._places = {v: i for i, v in enumerate(known) if isinstance(v, str)}

    def of(self, cells: pa.Array) -> Held:
        """The stored form of some cells.

        Raises:
            RequestError: `source_column_type`, the source's type has no meaning for this column.
        """
        cells = _simple(cells)
        if self._column.type is ColumnType.TEXT:
            return self._texts(cells)
        if pa.types.is_signed_integer(cells.type) and self._as_they_are(cells):
            return np.asarray(cells.to_numpy(), self.shape.dtype)
        if pa.types.is_dictionary(cells.type):
            found = present(cells)
            places = np.asarray(cells.indices.fill_null(0).to_numpy(zero_copy_only=False), np.int64)
            return self._bounded(self._parsed(_simple(cells.dictionary)).taken(places, found))
        return self._bounded(self._parsed(cells))

    # --- numbers, dates, timestamps, booleans ---

    def _as_they_are(self, cells: pa.Array) -> bool:
        """True for integers of which none is missing, off the grid or out of bounds: the common case, at once."""
        column = self._column
        if column.type not in _NUMBERS or column.grid != 1 or len(self._points) or cells.null_count or not len(cells):
            return False
        values = cells.to_numpy()
        lower, upper = column.lower, column.upper
        return lower is not None and upper is not None and lower <= values.min() and int(values.max()) <= upper

    def _parsed(self, cells: pa.Array) -> Parsed:
        kind = self._column.type
        if pa.types.is_null(cells.type):
            return Parsed(np.zeros(len(cells), np.int64), np.full(len(cells), MISSING, np.uint8))
        if pa.types.is_temporal(cells.type) or pa.types.is_boolean(cells.type):
            return self._typed(cells)
        if not pa.types.is_string(cells.type):
            return self._measured(cells)
        if kind in _NUMBERS:
            return self._grid.of_text(cells)
        if kind is ColumnType.TIMESTAMP:
            return self._from_micros(moments.each(cells, moments.micros))
        return moments.each(cells, moments.day if kind is ColumnType.DATE else moments.truth)

    def _measured(self, cells: pa.Array) -> Parsed:
        """Integers and floats of the source."""
        kind, there = self._column.type, present(cells)
        if kind not in _NUMBERS | {ColumnType.BOOLEAN}:
            raise self._refused()
        if pa.types.is_floating(cells.type):
            values = cells.cast(pa.float64()).fill_null(0.0).to_numpy(zero_copy_only=False)
            parsed = self._grid.of_floats(np.asarray(values, np.float64), there)
        elif pa.types.is_integer(cells.type):
            values = (cells.fill_null(0) if cells.null_count else cells).to_numpy(zero_copy_only=False)
            if values.dtype == np.uint64:
                values = np.minimum(values, np.uint64(FAR))
            parsed = self._grid.of_ints(values.astype(np.int64, copy=False), there)
        else:
            raise self._refused()
        if kind is ColumnType.BOOLEAN:
            parsed.state[(parsed.state == GOOD) & (parsed.units != 0) & (parsed.units != 1)] = UNREADABLE
        return parsed

    def _typed(self, cells: pa.Array) -> Parsed:
        """Booleans, dates and timestamps of the source."""
        kind, found, there = self._column.type, cells.type, present(cells)
        state = np.where(there, np.uint8(GOOD), np.uint8(MISSING))
        if pa.types.is_boolean(found) and kind in _NUMBERS | {ColumnType.BOOLEAN}:
            values = np.asarray(cells.fill_null(False).cast(pa.int64()).to_numpy(zero_copy_only=False), np.int64)
            return self._grid.of_ints(values, there)
        if pa.types.is_date(found) and kind is ColumnType.DATE:
            days = cells.cast(pa.date32()).cast(pa.int32()).fill_null(0)
            return Parsed(np.asarray(days.to_numpy(zero_copy_only=False), np.int64), state)
        if pa.types.is_timestamp(found) and kind in {ColumnType.DATE, ColumnType.TIMESTAMP}:
            values = np.asarray(cells.cast(pa.int64()).fill_null(0).to_numpy(zero_copy_only=False), np.int64)
            tick = _NANOS[found.unit]
            if kind is ColumnType.DATE:
                return Parsed(values // (86_400_000_000_000 // tick), state)
            return Parsed(self._from_ticks(values, 1_000_000_000 // tick), state)
        raise self._refused()

    def _from_micros(self, parsed: Parsed) -> Parsed:
        return Parsed(self._from_ticks(parsed.units, moments.MICRO), parsed.state)

    def _from_ticks(self, values: npt.NDArray[np.int64], per_second: int) -> npt.NDArray[np.int64]:
        """Ticks to the grid of seconds, half to even."""
        size = int(self._column.grid) * per_second
        low, rest = np.divmod(values, size)
        twice = rest - (size - rest)
        return np.asarray(low + ((twice > 0) | ((twice == 0) & (low % 2 != 0))), np.int64)

    def _refused(self) -> RequestError:
        return RequestError("source_column_type", file=self._file, column=self._column.name)

    def _bounded(self, parsed: Parsed) -> Held:
        """Keep to the domain, or clamp to the grid's inside; then narrow. Only columns without a domain are clamped."""
        shape, counts, units = self.shape, self.counts, parsed.units
        lower = shape.null + 1
        upper = lower if self._column.upper is None else self._column.upper
        clean = not parsed.state.any()
        if clean and not len(self._points) and len(units) and lower <= units.min() and units.max() <= upper:
            return units.astype(shape.dtype)
        good = parsed.state == GOOD
        counts.null += int(np.count_nonzero(parsed.state == MISSING))
        counts.unparsable += int(np.count_nonzero(parsed.state == UNREADABLE))
        if len(self._points):
            outside = good & ~self._in_domain(units)
            counts.out_of_domain += int(np.count_nonzero(outside))
            good &= ~outside
        else:
            counts.clamped += int(np.count_nonzero(good & ((units < lower) | (units > upper))))
        return np.where(good, np.clip(units, lower, upper), shape.null).astype(shape.dtype)

    def _in_domain(self, units: npt.NDArray[np.int64]) -> npt.NDArray[np.bool_]:
        first, last = self._points[0], self._points[-1]
        if last - first == len(self._points) - 1:
            return np.asarray((units >= first) & (units <= last))
        place = np.minimum(np.searchsorted(self._points, units), len(self._points) - 1)
        return np.asarray(self._points[place] == units)

    # --- texts ---

    def _texts(self, cells: pa.Array) -> Held:
        """NFC, valid UTF-8, without NUL, not too long; of the domain where one is declared."""
        if not pa.types.is_dictionary(cells.type):
            cells = self._as_text(cells).dictionary_encode()
        words = _simple(cells.dictionary)
        if not pa.types.is_string(words.type):
            words = self._as_text(words)
        clean = [_clean(word) for word in words.view(pa.binary()).to_pylist()]
        # The last entries stand for a missing cell.
        texts = [None if c is None else c[0] for c in clean] + [None]
        state = np.array([MISSING if c is None else c[1] for c in clean] + [MISSING], np.uint8)
        places = (cells.indices.fill_null(len(clean)) if cells.null_count else cells.indices).to_numpy()
        if self.shape.kind == "text":
            self._count(state, np.bincount(places, minlength=len(state)))
            return pa.array(texts, pa.string()).take(pa.array(places))
        codes = np.array([-1 if text is None else self._places.get(text, -1) for text in texts], self.shape.dtype)
        state[(state == GOOD) & (codes < 0)] = _OUTSIDE
        if state[:-1].any() or cells.null_count:
            self._count(state, np.bincount(places, minlength=len(state)))
        return codes[places]

    def _count(self, state: npt.NDArray[np.uint8], cells: npt.NDArray[np.int64]) -> None:
        """Add what became of each distinct text, as often as it stands in the column."""
        self.counts.null += int(cells[state == MISSING].sum())
        self.counts.unparsable += int(cells[state == UNREADABLE].sum())
        self.counts.out_of_domain += int(cells[state == _OUTSIDE].sum())

    def _as_text(self, cells: pa.Array) -> pa.Array:
        """A source's numbers and dates as text, where the column is declared as text."""
        if pa.types.is_string(cells.type):
            return cells
        try:
            return pc.cast(cells, pa.string())
        except pa.ArrowException:
            raise self._refused() from None


def _clean(word: bytes | None) -> tuple[str | None, int] | None:
    """(text, state) of one distinct text; None for a missing one."""
    if word is None:
        return None
    if len(word) > MOST_TEXT:
        return None, UNREADABLE
    try:
        text = word.decode("utf-8")
    except UnicodeDecodeError:
        return None, UNREADABLE
    if "\x00" in text:
        return None, UNREADABLE
    if not text.isascii():
        text = unicodedata.normalize("NFC", text)
    # NFC can make a text longer; the bound is on what is stored.
    return (text, GOOD) if len(text.encode()) <= MOST_TEXT else (None, UNREADABLE)


def _simple(cells: pa.Array) -> pa.Array:
    """One Arrow type for each meaning: strings of 32-bit offsets, decimals as their text, dictionaries as they are."""
    kind = cells.type
    if pa.types.is_dictionary(kind):
        return cells
    if pa.types.is_binary(kind):
        return cells.view(pa.string())
    if pa.types.is_large_binary(kind):
        return cells.cast(pa.binary()).view(pa.string())
    if pa.types.is_decimal(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind):
        return cells.cast(pa.string())
    return cells
