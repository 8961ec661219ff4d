"""What an update may change: a dataset keeps its name, population and unit, and an append also what its rows are."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields
from typing import Final

from sandbox.catalog import BUCKET_ROWS, Column, DatasetSpec
from sandbox.errors import Position, RequestError
from sandbox.ingest.places import place_of

WIDER: Final = 8
"""Buckets may grow to so many times their planned rows: their number is the lineage's for ever (P2.3)."""

_NAMES: Final = {"name": "dataset", "n_max": "limits.rows", "r_max": "limits.rows_per_unit"}
_LIMITS: Final = ("default_rows", "tiers", "provenance")


def check_update(old: DatasetSpec, new: DatasetSpec, mode: str, *, bits: int, text: str, file: str) -> list[str]:
    """The fields of the manifest (`text`) that differ from what was accepted last, if all of them may.

    Raises:
        RequestError: `update_field_fixed`, `update_rows_wide`, with the place of the field.
    """
    for field in _fixed(old, new, mode):
        raise RequestError("update_field_fixed", field=field, mode=mode, position=_place(text, file, field))
    most = BUCKET_ROWS if new.public else WIDER * BUCKET_ROWS << bits
    if new.n_max > most:
        raise RequestError("update_rows_wide", most=most, position=_place(text, file, "limits.rows"))
    return _changed(old, new)


def _fixed(old: DatasetSpec, new: DatasetSpec, mode: str) -> Iterator[str]:
    """Fields that differ and may not."""
    if old.public != new.public:
        yield "public"
    for field in ("name", "owner", "population", "unit"):
        if getattr(old, field) != getattr(new, field):
            yield _NAMES.get(field, field)
    if mode != "append":
        return
    if not new.public and old.r_max != new.r_max:
        yield "limits.rows_per_unit"
    for name in sorted({c.name for c in old.columns} ^ {c.name for c in new.columns}):
        yield f"columns.{name}"
    for column in new.columns:
        before = old.column(column.name)
        if before is not None and column.name != new.unit:
            yield from (f"columns.{column.name}.{field}" for field in _narrowed(before, column))


def _narrowed(old: Column, new: Column) -> Iterator[str]:
    """What of a column's rows, as they are stored, would not be as the new manifest says."""
    for field in ("type", "grid", "required"):
        if getattr(old, field) != getattr(new, field):
            yield field
    bounds = (old.lower, old.upper, new.lower, new.upper)
    if None not in bounds and not (new.lower <= old.lower and old.upper <= new.upper):  # type: ignore[operator]
        yield "bounds"
    if (old.domain is None) != (new.domain is None) or not set(old.domain or ()) <= set(new.domain or ()):
        yield "domain"


def _changed(old: DatasetSpec, new: DatasetSpec) -> list[str]:
    """Every field that differs, as the manifest calls it."""
    names = [f.name for f in fields(DatasetSpec) if f.name != "columns"]
    whole = [name for name in names if getattr(old, name) != getattr(new, name)]
    columns = dict.fromkeys(c.name for c in (*old.columns, *new.columns))
    return [
        *(_NAMES.get(field, f"limits.{field}" if field in _LIMITS else field) for field in whole),
        *(f"columns.{name}" for name in columns if old.column(name) != new.column(name)),
    ]


def _place(text: str, file: str, field: str) -> Position:
    return place_of(text, file, field.split("."))
