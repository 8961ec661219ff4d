"""Sensitivity: never less than one unit can do, reached by the worst unit, proved not to overflow."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandbox.catalog import ColumnType
from sandbox.errors import RequestError
from sandbox.flow import Bound, Col, Measure
from sandbox.privacy.sensitivity import check_range, sensitivity
from sandbox.privacy.split import split
from tests.promises import promise


def bound(rows: int) -> Bound:
    return Bound(form="ingest", rows=rows, tiers=(0,))


def summed(lower: int, upper: int, center: int = 0, row_bound: int | None = None) -> Measure:
    largest = max(abs(lower - center), abs(upper - center))
    return Measure(
        kind="sum", expr=Col("x", ColumnType.INTEGER), lower=lower, upper=upper, center=center, scale=(1, 1),
        row_bound=largest if row_bound is None else row_bound, share=1,
    )  # fmt: skip


def counted(kind: str) -> Measure:
    return Measure(kind=kind, expr=None, lower=0, upper=1, center=0, scale=(1, 1), row_bound=1, share=1)  # type: ignore[arg-type]


def contribution(values: np.ndarray, groups: np.ndarray, center: int) -> np.ndarray:
    out = np.zeros(4, dtype=np.int64)
    np.add.at(out, groups, values - center)
    return out


@promise("P4.1")
@given(data=st.data(), lower=st.integers(-500, 500), width=st.integers(0, 500), k=st.integers(1, 12))
def test_no_unit_moves_a_sum_by_more(data: st.DataObject, lower: int, width: int, k: int) -> None:
    upper = lower + width
    center = data.draw(st.sampled_from([0, (lower + upper) // 2, lower, upper]))
    rows = data.draw(st.integers(0, k))
    values = np.array(data.draw(st.lists(st.integers(lower, upper), min_size=rows, max_size=rows)), dtype=np.int64)
    groups = np.array(data.draw(st.lists(st.integers(0, 3), min_size=rows, max_size=rows)), dtype=np.int64)
    moved = contribution(values, groups, center)
    claim = sensitivity(summed(lower, upper, center), bound(k))
    assert np.abs(moved).sum() <= claim
    assert np.sum(moved**2) <= claim**2


@promise("P4.1")
@pytest.mark.parametrize(("lower", "upper", "center"), [(0, 10, 0), (100, 110, 0), (-7, 3, 0), (0, 10, 5), (0, 9, 4)])
def test_the_worst_unit_reaches_it(lower: int, upper: int, center: int) -> None:
    """By enumeration over all units of up to three rows: the claim is not padded."""
    worst = 0
    for values in product(range(lower, upper + 1), repeat=3):
        for groups in product(range(2), repeat=3):
            worst = max(worst, int(np.abs(contribution(np.array(values), np.array(groups), center)).sum()))
    assert worst == sensitivity(summed(lower, upper, center), bound(3))


@promise("P4.1")
def test_a_sum_moves_by_its_largest_value_not_by_its_width() -> None:
    assert sensitivity(summed(100, 110), bound(1)) == 110
    assert sensitivity(summed(100, 110, center=105), bound(10)) == 50


@promise("P4.1")
@pytest.mark.parametrize("kind", ["rows", "present"])
def test_counts_move_by_the_rows_a_unit_gives(kind: str) -> None:
    assert [sensitivity(counted(kind), bound(k)) for k in (1, 3, 200)] == [1, 3, 200]


@promise("P4.5")
def test_distinct_units_move_by_one_whatever_the_row_bound() -> None:
    assert sensitivity(counted("units"), bound(200)) == 1


def test_a_plan_that_understates_its_row_bound_is_priced_by_its_clamp() -> None:
    assert sensitivity(summed(-50, 10, row_bound=10), bound(2)) == 100


def test_a_constant_measure_still_gets_noise() -> None:
    assert sensitivity(summed(5, 5, center=5), bound(10)) == 1


@promise("P5.2")
@pytest.mark.parametrize("kind_rows", [(2**31, 1), (1, 2**31)])
def test_sums_that_might_not_fit_are_refused_and_the_last_that_fit_are_not(kind_rows: tuple[int, int]) -> None:
    n_max, rows = kind_rows
    check_range(summed(0, 2**31 - 1), n_max, rows)
    with pytest.raises(RequestError, match="plan_overflows"):
        check_range(summed(-(2**31), 0), n_max, rows)


@given(loss=st.integers(0, 10**15), shares=st.lists(st.integers(0, 100), min_size=1, max_size=8).filter(any))
def test_a_split_never_spends_more_than_there_is(loss: int, shares: list[int]) -> None:
    parts = split(loss, shares)
    assert sum(parts) <= loss < sum(parts) + len(parts)
    assert all(part * sum(shares) <= loss * share for part, share in zip(parts, shares, strict=True))


@pytest.mark.parametrize(("loss", "shares"), [(-1, [1]), (5, []), (5, [0, 0]), (5, [2, -1])])
def test_senseless_splits_are_refused(loss: int, shares: list[int]) -> None:
    with pytest.raises(ValueError, match="shares"):
        split(loss, shares)
