"""Shapes that several routes share: from the catalogue's and the ledger's values to what stands on the wire."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Final

from sandbox import schemas
from sandbox.catalog import Column, ColumnType, Text

_DAY: Final = date(1970, 1, 1)
_SECOND: Final = datetime(1970, 1, 1, tzinfo=UTC)


def text_shape(text: Text) -> schemas.Both:
    """A text in both languages."""
    return schemas.Both(en=text.en, zh=text.zh)


def column_shape(column: Column) -> schemas.Column:
    """A declared column, its bounds and domain as people write them."""
    return schemas.Column(
        name=column.name,
        type=column.type.value,
        meaning=text_shape(column.meaning),
        level=column.level,
        grid=format(column.grid, "f"),
        lower=None if column.lower is None else value_text(column, column.lower),
        upper=None if column.upper is None else value_text(column, column.upper),
        domain=None if column.domain is None else [value_text(column, value) for value in column.domain],
        required=column.required,
        provenance={
            fact: schemas.Provenance(kind=said.kind, source=said.source) for fact, said in column.provenance.items()
        },
    )


def value_text(column: Column, value: int | str) -> str:
    """A stored value (grid units, or text) as people write it."""
    if isinstance(value, str):
        return value
    if column.type is ColumnType.BOOLEAN:
        return "true" if value else "false"
    if column.type is ColumnType.DATE:
        return (_DAY + timedelta(days=value)).isoformat()
    scaled = value * column.grid
    if column.type is ColumnType.TIMESTAMP:
        return (_SECOND + timedelta(seconds=int(scaled))).isoformat().replace("+00:00", "Z")
    return format(scaled.normalize() if scaled else Decimal(0), "f")


def delta_text(units: int) -> str:
    """A delta of the ledger (units of 1e-18) as a decimal in scientific form."""
    return f"{Decimal(units).scaleb(-18).normalize():E}" if units else "0"
