"""Ordinals: a unit's own rows and the key decide, and nothing else."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandbox.catalog import Column, ColumnType, Text
from sandbox.crypto.suite import INTL
from sandbox.ingest.columns import Shape
from sandbox.ingest.order import RowOrder, _by_unit_and_tag
from tests.promises import promise

Row = tuple[int, int | None, str | None, str | None]
"""Unit, number, text of a domain, any text."""

KINDS = ("a", "b")


def shapes() -> list[Shape]:
    def column(name: str, kind: ColumnType, **fields: Any) -> Column:
        return Column(name=name, type=kind, meaning=Text(en="", zh=""), level="core", provenance={}, **fields)

    number = column("number", ColumnType.INTEGER, lower=0, upper=9)
    return [Shape.of(c) for c in (number, column("kind", ColumnType.TEXT, domain=KINDS), column("note", ColumnType.TEXT))]


def order(rows: Sequence[Row], key: bytes = b"k" * 32, reverse_columns: bool = False) -> list[tuple[int, Row]]:
    """(ordinal, row), in stored order."""
    number, kind, note = shapes()
    columns = {
        "number": np.array([number.null if r[1] is None else r[1] for r in rows], number.dtype),
        "kind": np.array([-1 if r[2] is None else KINDS.index(r[2]) for r in rows], kind.dtype),
        "note": pa.array([r[3] for r in rows], pa.string()),
    }
    given_shapes = [note, number, kind] if reverse_columns else [number, kind, note]
    pseudonyms = np.array([r[0] * 0x9E3779B97F4A7C15 % 2**64 for r in rows], np.uint64)
    numbered = RowOrder(INTL, key, given_shapes).number(pseudonyms, columns)
    assert numbered.units == len({r[0] for r in rows})
    assert (np.diff(numbered.unit) >= 0).all()
    return [(int(o), rows[int(i)]) for o, i in zip(numbered.ordinal, numbered.rows, strict=True)]


def by_unit(ordered: list[tuple[int, Row]]) -> dict[int, list[Row]]:
    units: dict[int, list[Row]] = defaultdict(list)
    for ordinal, row in ordered:
        assert ordinal == len(units[row[0]]), "ordinals of a unit are 0, 1, 2, …"
        units[row[0]].append(row)
    return units


some_rows = st.lists(
    st.tuples(
        st.integers(0, 4), st.one_of(st.none(), st.integers(0, 2)), st.sampled_from([None, *KINDS]),
        st.sampled_from([None, "", "x", "y"]),
    ),
    max_size=40,
)  # fmt: skip


@promise("P2.4")
@given(some_rows, st.randoms(use_true_random=False))
def test_the_order_of_the_source_does_not_matter(rows: list[Row], random: Any) -> None:
    shuffled = list(rows)
    random.shuffle(shuffled)
    assert order(shuffled) == order(rows)


@promise("P2.4")
@given(some_rows, st.integers(0, 4))
def test_other_units_do_not_matter(rows: list[Row], gone: int) -> None:
    whole, without = by_unit(order(rows)), by_unit(order([r for r in rows if r[0] != gone]))
    whole.pop(gone, None)
    assert without == whole


@promise("P2.4")
@given(some_rows)
def test_only_the_key_and_content_matter(rows: list[Row]) -> None:
    assert order(rows, reverse_columns=True) == order(rows)


@promise("P2.4")
def test_the_order_is_keyed() -> None:
    rows: list[Row] = [(1, n, k, t) for n in range(10) for k in KINDS for t in ("x", "y")]
    assert order(rows) != order(rows, key=b"q" * 32)
    assert order(rows) != [(i, r) for i, r in enumerate(rows)]


@promise("P2.4")
def test_null_is_a_value_of_its_own() -> None:
    """NULL, zero and the empty text are different contents, so their rows do not count as repeated."""
    rows: list[Row] = [(1, None, None, None), (1, 0, None, None), (1, None, None, ""), (1, None, "a", None)]
    assert len({tuple(r) for _, r in order(rows)}) == 4


def test_frequent_content_is_not_favoured() -> None:
    """A unit with 30 equal rows and one other: the other is not always last, nor first."""
    places = set()
    for unit in range(200):
        rows: list[Row] = [(unit, 1, "a", None)] * 30 + [(unit, 2, "b", None)]
        places.add([r[1] for _, r in order(rows)].index(2))
    assert len(places) > 20


@given(
    st.lists(
        st.tuples(st.sampled_from([5, 6, 6 << 40, (6 << 40) + 1, 2**63 + 7]), st.sampled_from([0, 1, 7 << 40, 7 << 41]), st.integers(0, 2)),
        max_size=30,
    )
)
def test_units_and_tags_that_begin_alike_are_told_apart_by_the_rest(rows: list[tuple[int, int, int]]) -> None:
    pseudonyms = np.array([r[0] for r in rows], np.uint64)
    tags = np.array([r[1:] for r in rows], np.uint64).reshape(-1, 2)
    ordered, tied = _by_unit_and_tag(pseudonyms, tags)
    assert [rows[i] for i in ordered] == sorted(rows)
    repeated = {i for i, row in enumerate(sorted(rows)) if sorted(rows).count(row) > 1}
    assert repeated <= set(tied.tolist())


@pytest.mark.parametrize("count", [0, 1])
def test_no_rows_and_one_row(count: int) -> None:
    rows: list[Row] = [(3, 1, "a", "x")] * count
    assert order(rows) == [(0, r) for r in rows]
