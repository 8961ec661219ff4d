"""Cells to stored values: bounds, domains, NULLs, and the counts that the steward sees."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from sandbox.catalog import Column, ColumnType, Text
from sandbox.errors import RequestError
from sandbox.ingest.canonical import Canonical
from sandbox.ingest.columns import Shape
from tests.promises import promise


def declared(kind: ColumnType, **fields: Any) -> Column:
    return Column(name="x", type=kind, meaning=Text(en="", zh=""), level="core", provenance={}, **fields)


def stored(column: Column, cells: pa.Array) -> tuple[list[Any], dict[str, int]]:
    canonical = Canonical(column, "f.csv")
    held = canonical.of(cells)
    if isinstance(held, np.ndarray):
        null = canonical.shape.null
        values = [None if v == null else v for v in held.tolist()]
        if canonical.shape.kind == "code":
            values = [None if v is None else (column.domain or ())[v] for v in values]
        return values, canonical.counts.as_report()
    return held.to_pylist(), canonical.counts.as_report()


@promise("P3.5")
def test_numbers_are_clamped_to_the_grids_inside_and_counted() -> None:
    column = declared(ColumnType.DECIMAL, grid=Decimal("0.5"), lower=-4, upper=10)
    cells = pa.array(["-99", "-2", "0.24", "0.26", "5", "5.1", "1e300", "NaN", "inf", "-inf", "x", "", None])
    values, counts = stored(column, cells)
    assert values == [-4, -4, 0, 1, 10, 10, 10, None, None, None, None, None, None]
    assert counts == {"null": 3, "unparsable": 3, "clamped": 2, "out_of_domain": 0}
    floats = pa.array([-99.0, -2.0, 0.24, 0.26, 5.0, 5.3, 1e300, float("nan"), float("inf"), None])
    assert stored(column, floats)[0] == [-4, -4, 0, 1, 10, 10, 10, None, None, None]


@promise("P3.5")
def test_a_value_outside_a_domain_is_null_and_not_its_nearest_neighbour() -> None:
    column = declared(ColumnType.INTEGER, lower=1, upper=12, domain=(1, 2, 5, 12))
    values, counts = stored(column, pa.array(["1", "3", "13", "0", "12", "5.4"]))
    assert values == [1, None, None, None, 12, 5]
    assert counts["out_of_domain"] == 3
    assert counts["clamped"] == 0


@promise("P3.5")
def test_texts_are_nfc_and_valid_or_null() -> None:
    column = declared(ColumnType.TEXT)
    raw = ["cafe\u0301".encode(), b"\xff\xfe", b"a\x00b", b"", None, "好".encode(), b"x" * 5000]
    values, counts = stored(column, pa.array(raw, pa.binary()).view(pa.string()))
    assert values == ["caf\u00e9", None, None, "", None, "好", None]
    assert counts == {"null": 1, "unparsable": 3, "clamped": 0, "out_of_domain": 0}


def test_texts_of_a_domain() -> None:
    column = declared(ColumnType.TEXT, domain=("b", "caf\u00e9"))
    values, counts = stored(column, pa.array(["b", "cafe\u0301", "B", None, ""]))
    assert values == ["b", "caf\u00e9", None, None, None]
    assert counts["out_of_domain"] == 2
    coded = pa.array(["b", "z", None, "b"]).dictionary_encode()
    assert stored(column, coded)[0] == ["b", None, None, "b"]


def test_dates_that_do_not_exist_are_null_and_counted() -> None:
    column = declared(ColumnType.DATE, lower=0, upper=20_000)
    cells = pa.array(["1970-01-02", "2013-02-30", "2013-13-01", "1969-12-31", "2100-01-01", "2013-1-1", "2013-01-01T25:00:00", None])
    values, counts = stored(column, cells)
    assert values == [1, None, None, 0, 20_000, None, None, None]
    assert counts == {"null": 1, "unparsable": 4, "clamped": 2, "out_of_domain": 0}
    assert stored(column, pa.array([dt.date(1970, 1, 3), None]))[0] == [2, None]
    assert stored(column, pa.array([dt.datetime(1970, 1, 3, 23)]))[0] == [2]


def test_timestamps_are_utc_on_their_grid() -> None:
    column = declared(ColumnType.TIMESTAMP, grid=Decimal(60), lower=0, upper=10**8)
    texts = ["1970-01-01T00:01:00Z", "1970-01-01 00:01:30", "1970-01-01T08:02:31+08:00", "1970-01-01", "1970-01-01T00:00:60", "x"]
    assert stored(column, pa.array(texts))[0] == [1, 2, 3, 0, None, None]
    typed = pa.array([90_000, 150_000, None], pa.timestamp("ms"))
    assert stored(column, typed)[0] == [2, 2, None]


def test_booleans() -> None:
    column = declared(ColumnType.BOOLEAN, lower=0, upper=1)
    assert stored(column, pa.array(["true", "F", "1", "0", "是", "否", "maybe", None]))[0] == [1, 0, 1, 0, 1, 0, None, None]
    assert stored(column, pa.array([True, False, None]))[0] == [1, 0, None]
    assert stored(column, pa.array([0, 1, 2]))[0] == [0, 1, None]


def test_a_dictionary_counts_cells_and_not_words() -> None:
    column = declared(ColumnType.INTEGER, lower=0, upper=9)
    coded = pa.array(["3", "99", "99", None, "x", "99"]).dictionary_encode()
    values, counts = stored(column, coded)
    assert values == [3, 9, 9, None, None, 9]
    assert counts == {"null": 1, "unparsable": 1, "clamped": 3, "out_of_domain": 0}


@pytest.mark.parametrize(
    ("kind", "cells"),
    [
        (ColumnType.DATE, pa.array([1, 2])),
        (ColumnType.INTEGER, pa.array([dt.date(2020, 1, 1)])),
        (ColumnType.BOOLEAN, pa.array([dt.datetime(2020, 1, 1)])),
    ],
)
def test_a_type_that_means_nothing_here_is_refused(kind: ColumnType, cells: pa.Array) -> None:
    with pytest.raises(RequestError) as caught:
        Canonical(declared(kind, lower=0, upper=1), "f").of(cells)
    assert (caught.value.code, caught.value.params["column"]) == ("source_column_type", "x")


@pytest.mark.parametrize(
    ("lower", "upper", "width"), [(0, 126, 1), (-127, 5, 1), (-128, 5, 2), (0, 200, 2), (0, 40_000, 4), (0, 2**40, 8)]
)
def test_held_values_are_as_narrow_as_the_declared_bounds_allow(lower: int, upper: int, width: int) -> None:
    shape = Shape.of(declared(ColumnType.INTEGER, lower=lower, upper=upper))
    assert shape.dtype.itemsize == width
    assert (shape.null, np.iinfo(shape.dtype).min <= lower - 1) == (lower - 1, True)


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        (4, pa.uint64()), (4, pa.int8()), (4.0, pa.float32()), (Decimal(4), pa.decimal128(9, 2)),
        ("4", pa.large_string()), ("4", pa.string_view()), (b"4", pa.binary()), (b"4", pa.large_binary()),
    ],
)  # fmt: skip
def test_every_plain_type_of_parquet_is_read(value: Any, kind: pa.DataType) -> None:
    column = declared(ColumnType.INTEGER, lower=0, upper=9)
    assert stored(column, pa.array([value, None], kind))[0] == [4, None]


def test_a_column_of_nothing_is_null() -> None:
    assert stored(declared(ColumnType.INTEGER, lower=0, upper=9), pa.nulls(2))[0] == [None, None]
    assert stored(declared(ColumnType.TEXT), pa.nulls(2))[0] == [None, None]


def test_integers_beyond_int64_are_only_large() -> None:
    column = declared(ColumnType.INTEGER, lower=0, upper=9)
    assert stored(column, pa.array([2**64 - 1, 3], pa.uint64()))[0] == [9, 3]
