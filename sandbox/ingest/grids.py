"""From declared values to grid units: bounds, grids and domains of a column, exactly and with their places."""

from __future__ import annotations

import re
import unicodedata
from datetime import UTC, date, datetime
from decimal import Decimal
from fractions import Fraction
from typing import Final, TypeVar

from sandbox.catalog import ColumnType
from sandbox.ingest.places import MOST_ITEMS, Spot

EXACT: Final = 2**53 - 1
"""Grid units stay where floats and JSON are exact too."""

MOST_TEXT: Final = 4096
"""Bytes of one stored text; a longer one is NULL."""

V = TypeVar("V", int, str)

NUMERIC: Final = frozenset({ColumnType.INTEGER, ColumnType.DECIMAL})

_DATE: Final = re.compile(r"\d{4}-\d{2}-\d{2}", re.ASCII)
_EPOCH: Final = date(1970, 1, 1)


def grid_of(spot: Spot | None, kind: ColumnType) -> Decimal:
    """The grid of a column: 1 unless declared. A timestamp's is in whole seconds; other types than numbers have none.

    Raises:
        RequestError: `grid_not_for_type`, or `grid_range`.
    """
    if spot is None:
        return Decimal(1)
    if kind not in NUMERIC | {ColumnType.TIMESTAMP}:
        raise spot.wrong("grid_not_for_type", type=kind.value)
    grid = spot.decimal()
    whole = kind in {ColumnType.TIMESTAMP, ColumnType.INTEGER}
    if not Decimal("1e-12") <= grid <= Decimal("1e12") or (whole and grid != grid.to_integral_value()):
        raise spot.wrong("grid_range", type=kind.value)
    return grid.normalize() if grid != grid.to_integral_value() else grid.quantize(Decimal(1))


def bounds_of(spot: Spot, kind: ColumnType, grid: Decimal) -> tuple[int, int]:
    """Declared bounds as the grid's inside: the least and greatest grid units that lie within them.

    Raises:
        RequestError: `bounds_not_for_type`, `bounds_not_two`, `bounds_upside_down`, `bounds_hold_no_grid_point`,
            `bounds_too_large`, or a malformed value.
    """
    if kind in {ColumnType.TEXT, ColumnType.BOOLEAN}:
        raise spot.wrong("bounds_not_for_type", type=kind.value)
    parts = [*spot.fields(("from", "to")).values()] if spot.is_mapping() else spot.items()
    if len(parts) != 2:
        raise spot.wrong("bounds_not_two")
    named = spot.fields(("from", "to")) if spot.is_mapping() else {"from": parts[0], "to": parts[1]}
    low, high = value_of(named["from"], kind), value_of(named["to"], kind)
    if low > high:
        raise spot.wrong("bounds_upside_down")
    lower, upper = -((-low) // Fraction(grid)), high // Fraction(grid)
    if lower > upper:
        raise spot.wrong("bounds_hold_no_grid_point")
    mantissa = grid.scaleb(max(0, -int(grid.as_tuple().exponent)))
    if (max(abs(lower), abs(upper)) + 1) * max(1, int(mantissa)) >= EXACT:
        raise spot.wrong("bounds_too_large")
    return int(lower), int(upper)


def value_of(spot: Spot, kind: ColumnType) -> Fraction:
    """A declared value in the column's own units (days, seconds since 1970 for dates and timestamps).

    Raises:
        RequestError: `manifest_type`.
    """
    if kind is ColumnType.DATE:
        return Fraction(_day(spot))
    if kind is ColumnType.TIMESTAMP:
        return Fraction(_second(spot))
    return Fraction(spot.decimal())


def domain_of(spot: Spot, kind: ColumnType, grid: Decimal) -> tuple[int, ...] | tuple[str, ...]:
    """A declared domain in grid units or as text, in the order written; `{from, to}` stands for all whole steps.

    Raises:
        RequestError: `domain_not_for_type`, `domain_too_long`, `domain_empty`, `domain_off_grid`, `domain_value_twice`.
    """
    if kind is ColumnType.BOOLEAN:
        raise spot.wrong("domain_not_for_type", type=kind.value)
    if spot.is_mapping():
        if kind is ColumnType.TEXT:
            raise spot.wrong("domain_not_for_type", type=kind.value)
        lower, upper = bounds_of(spot, kind, grid)
        if upper - lower >= MOST_ITEMS:
            raise spot.wrong("domain_too_long", limit=MOST_ITEMS)
        return tuple(range(lower, upper + 1))
    values = spot.items()
    if not values:
        raise spot.wrong("domain_empty")
    if len(values) > MOST_ITEMS:
        raise spot.wrong("domain_too_long", limit=MOST_ITEMS)
    if kind is ColumnType.TEXT:
        return _distinct(values, [_text(v) for v in values])
    return _distinct(values, [_point(v, kind, grid) for v in values])


def _distinct(spots: list[Spot], values: list[V]) -> tuple[V, ...]:
    seen: set[V] = set()
    for spot, value in zip(spots, values, strict=True):
        if value in seen:
            raise spot.wrong("domain_value_twice")
        seen.add(value)
    return tuple(values)


def _text(spot: Spot) -> str:
    value = unicodedata.normalize("NFC", spot.text(MOST_TEXT))
    if len(value.encode("utf-8", "surrogatepass")) > MOST_TEXT or "\x00" in value:
        raise spot.wrong("manifest_text_long", limit=MOST_TEXT)
    return value


def _point(spot: Spot, kind: ColumnType, grid: Decimal) -> int:
    units = value_of(spot, kind) / Fraction(grid)
    if units.denominator != 1 or abs(units) >= EXACT:
        raise spot.wrong("domain_off_grid", grid=str(grid))
    return int(units)


def _day(spot: Spot) -> int:
    text = spot.text()
    try:
        if not _DATE.fullmatch(text):
            raise ValueError("not a date")
        return (date.fromisoformat(text) - _EPOCH).days
    except ValueError:
        raise spot.wrong("manifest_type", expected="date") from None


def _second(spot: Spot) -> int:
    text = spot.text()
    try:
        if not _DATE.match(text):
            raise ValueError("not a moment")
        at = datetime.fromisoformat(text)
    except ValueError:
        raise spot.wrong("manifest_type", expected="timestamp") from None
    at = at.replace(tzinfo=UTC) if at.tzinfo is None else at
    delta = at - datetime(1970, 1, 1, tzinfo=UTC)
    return delta.days * 86_400 + delta.seconds
