"""Sensitivity of centred sums over drawn units, and the division of a loss."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandbox.privacy.sensitivity import reach
from sandbox.privacy.split import split
from tests.promises import promise


def contribution(values: np.ndarray, groups: np.ndarray, center: int) -> np.ndarray:
    out = np.zeros(4, dtype=np.int64)
    np.add.at(out, groups, values - center)
    return out


@promise("P4.1")
@given(data=st.data(), lower=st.integers(-500, 500), width=st.integers(0, 500), k=st.integers(1, 12))
def test_no_unit_moves_a_centred_sum_by_more(data: st.DataObject, lower: int, width: int, k: int) -> None:
    upper = lower + width
    center = data.draw(st.sampled_from([0, (lower + upper) // 2, lower, upper]))
    rows = data.draw(st.integers(0, k))
    values = np.array(data.draw(st.lists(st.integers(lower, upper), min_size=rows, max_size=rows)), dtype=np.int64)
    groups = np.array(data.draw(st.lists(st.integers(0, 3), min_size=rows, max_size=rows)), dtype=np.int64)
    moved = contribution(values, groups, center)
    row_bound = max(abs(lower - center), abs(upper - center))
    claim = reach(form="ingest", kind="sum", groups=4, rows=k, row_bound=row_bound)
    assert np.abs(moved).sum() <= claim.l1
    assert np.sum(moved**2) <= claim.l2**2


@promise("P4.1")
def test_a_sum_moves_by_its_largest_value_not_by_its_width() -> None:
    assert reach(form="ingest", kind="sum", groups=1, rows=1, row_bound=110).l1 == 110


@given(loss=st.integers(0, 10**15), shares=st.lists(st.integers(0, 100), min_size=1, max_size=8).filter(any))
def test_a_split_never_spends_more_than_there_is(loss: int, shares: list[int]) -> None:
    parts = split(loss, shares)
    assert sum(parts) <= loss < sum(parts) + len(parts)
    assert all(part * sum(shares) <= loss * share for part, share in zip(parts, shares, strict=True))


@pytest.mark.parametrize(("loss", "shares"), [(-1, [1]), (5, []), (5, [0, 0]), (5, [2, -1])])
def test_senseless_splits_are_refused(loss: int, shares: list[int]) -> None:
    with pytest.raises(ValueError, match="shares"):
        split(loss, shares)
