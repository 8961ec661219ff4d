"""Numbers to their grid, exactly: whole columns at once where they are plain, value by value where they are not.

Every way gives the same integer for the same text, so a stored value depends on its own cell alone and not on what
else stood in the batch (P2.4); the tests hold the ways to each other.
"""

from __future__ import annotations

import re
from decimal import Decimal
from fractions import Fraction
from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from sandbox.ingest.columns import GOOD, MISSING, UNREADABLE, Ints, Parsed, flags, present

FAR: Final = 2**61
"""Stands for every value beyond all bounds, which are below 2^53."""

_DIGITS: Final = 18
_POWERS: Final = 10 ** np.arange(_DIGITS + 1, dtype=np.int64)
_NUMBER: Final = re.compile(rb"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d{1,4})?")
_SPACE: Final = b" \t\r\n\v\f"
_LONGEST: Final = 400


class NumberGrid:
    """Reads numbers into units of `grid`, half to even; the caller clamps.

    `reach` is the greatest magnitude of a bound, in grid units. The manifest holds it so small that a bound has at most
    16 digits: 18 are then enough for the digits behind the point that the grid needs.
    """

    def __init__(self, grid: Decimal, reach: int) -> None:
        self.grid = Fraction(grid)
        self._decimals = max(0, -int(grid.as_tuple().exponent))
        whole = len(str(int((reach + 1) * self.grid))) + 1
        # Plain decimals with so many digits before and behind the point fit int64 as they are.
        self._behind = _DIGITS - whole
        self._before = 10**whole

    def of_text(self, column: pa.Array) -> Parsed:
        """Cells that are text (UTF-8 or not)."""
        state = np.full(len(column), GOOD, np.uint8)
        units = np.zeros(len(column), np.int64)
        if column.null_count == 0:
            return self._plain(column) or self._mixed(column)
        there = present(column)
        state[~there] = MISSING
        cells = column.drop_null()
        parsed = self._plain(cells) or self._mixed(cells)
        units[there], state[there] = parsed.units, parsed.state
        return Parsed(units, state)

    def of_floats(self, values: npt.NDArray[np.float64], there: npt.NDArray[np.bool_]) -> Parsed:
        """Binary floats: their own value, rounded once. NaN is a missing value, infinity is none."""
        inverse = 1 / self.grid
        with np.errstate(over="ignore", invalid="ignore"):
            scaled = values * float(inverse) if inverse.denominator == 1 else values / float(self.grid)
        state = np.where(there & ~np.isnan(values), np.uint8(GOOD), np.uint8(MISSING))
        state[np.isinf(values) & there] = UNREADABLE
        clean = np.where(state == GOOD, np.clip(np.nan_to_num(scaled), -float(FAR), float(FAR)), 0.0)
        return Parsed(np.rint(clean).astype(np.int64), state)

    def of_ints(self, values: Ints, there: npt.NDArray[np.bool_]) -> Parsed:
        """Integers as they are."""
        if there.all():
            return Parsed(self._scaled(values, 0), np.zeros(len(values), np.uint8))
        units = self._scaled(np.where(there, values, 0), 0)
        return Parsed(units, np.where(there, np.uint8(GOOD), np.uint8(MISSING)))

    def _scaled(self, mantissas: Ints, behind: int) -> Ints:
        """Units of the grid, half to even, of `mantissas` times 10^-behind; beyond all bounds it stays beyond them."""
        step = self.grid * 10**behind
        if step.denominator != 1:
            # A grid finer than the mantissas: exact after scaling up what is within reach.
            up = 10 ** (self._decimals - behind)
            most = FAR // up
            mantissas = np.clip(mantissas, -most, most) * up
            step = self.grid * 10**self._decimals
        size = int(step)
        if size == 1:
            return np.clip(mantissas, -FAR, FAR)
        low, rest = np.divmod(mantissas, size)
        twice = rest - (size - rest)
        return np.asarray(low + ((twice > 0) | ((twice == 0) & (low % 2 != 0))), np.int64)

    def _plain(self, cells: pa.Array) -> Parsed | None:
        """All cells at once, if each is a plain integer or a plain decimal; else None."""
        if len(cells) == 0:
            return Parsed(np.zeros(0, np.int64), np.zeros(0, np.uint8))
        body = _body(cells)
        if ((body | 0x20) == ord("x")).any():
            return None  # Arrow reads 0x1F as 31, and we do not
        good = np.full(len(cells), GOOD, np.uint8)
        # A failed cast writes a message for every cell, so what cannot succeed is not tried.
        first = self._points if (body == ord(".")).any() else self._integers
        for way in (first, self._decimals_of):
            try:
                units = way(cells)
            except pa.ArrowInvalid:
                continue
            if units is not None:
                return Parsed(units, good)
        return None

    def _integers(self, cells: pa.Array) -> Ints:
        return self._scaled(_int64(pc.cast(cells, pa.int64())), 0)

    def _points(self, cells: pa.Array) -> Ints | None:
        """Digits with at most one point: the integer without it, times ten to what stood behind it."""
        if pc.any(pc.match_substring(cells, ".-")).as_py():
            return None  # without its point this would be a negative number
        digits = _int64(pc.cast(pc.replace_substring(cells, ".", "", max_replacements=1), pa.int64()))
        point = np.asarray(pc.find_substring(cells, "."), np.int64)
        behind = np.where(point < 0, 0, np.asarray(pc.binary_length(cells), np.int64) - point - 1)
        if behind.max() > self._behind:
            return None
        most = self._before * _POWERS[behind]
        return self._scaled(np.clip(digits, -most, most) * _POWERS[self._behind - behind], self._behind)

    def _decimals_of(self, cells: pa.Array) -> Ints:
        column = pc.cast(cells, pa.decimal128(_DIGITS, self._behind))
        return self._scaled(_low_words(column), self._behind)

    def _mixed(self, cells: pa.Array) -> Parsed:
        """Some cells are not plain: those that are go together, the others one by one (each distinct text once)."""
        coded = cells.dictionary_encode()
        words = coded.dictionary
        units = np.zeros(len(words), np.int64)
        state = np.full(len(words), GOOD, np.uint8)
        pattern = rf"^[+-]?[0-9]{{1,{_DIGITS - self._behind}}}(\.[0-9]{{1,{self._behind}}})?$"
        plain = flags(pc.match_substring_regex(words, pattern))
        together = self._plain(words.filter(pa.array(plain)))
        if together is None:
            plain = np.zeros(len(words), np.bool_)
        else:
            units[plain] = together.units
        rest = np.flatnonzero(~plain)
        for place, cell in zip(rest.tolist(), words.take(pa.array(rest)).view(pa.binary()).to_pylist(), strict=True):
            units[place], state[place] = self.one(cell)
        places = np.asarray(coded.indices, np.int64)
        return Parsed(units[places], state[places])

    def one(self, cell: bytes) -> tuple[int, int]:
        """(units, state) of one text: the definition that the fast ways keep to."""
        cell = cell.strip(_SPACE)
        if not cell or cell.lower() == b"nan":
            return 0, MISSING
        if len(cell) > _LONGEST or not _NUMBER.fullmatch(cell):
            return 0, UNREADABLE
        value = Decimal(cell.decode("ascii"))
        size = value.adjusted()
        if not value or size < -40:
            return 0, GOOD
        if size > 40:
            return (FAR if value > 0 else -FAR), GOOD
        units = round(Fraction(value) / self.grid)
        return max(-FAR, min(FAR, units)), GOOD


def _int64(column: pa.Array) -> Ints:
    return np.asarray(column.to_numpy(zero_copy_only=False), np.int64)


def _low_words(column: pa.Array) -> Ints:
    """The values of a decimal128 column that has at most 18 digits, as the lower halves of its 128-bit integers."""
    words = np.frombuffer(column.buffers()[1], np.int64)
    return words[2 * column.offset : 2 * (column.offset + len(column)) : 2]


def _body(cells: pa.Array) -> npt.NDArray[np.uint8]:
    """The bytes under a string array (those of its neighbours in the batch, too)."""
    body = cells.buffers()[2]
    return np.zeros(0, np.uint8) if body is None else np.frombuffer(body, np.uint8)
