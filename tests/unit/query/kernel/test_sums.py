"""Sums by group are exact at every bound, whatever way is taken."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandbox.errors import IntegrityFailed
from sandbox.query.kernel import sums
from sandbox.query.kernel.sums import Column, group_sums, packing, sum_by

BOUNDS = [0, 1, 1000, 1 << 21, 1 << 33, 1 << 45, 1 << 62, 1 << 63]


@given(data=st.data(), bound=st.sampled_from(BOUNDS), groups=st.integers(1, 5), step=st.sampled_from([3, 1 << 15]))
def test_many_measures_equal_python_s_integers(data: st.DataObject, bound: int, groups: int, step: int) -> None:
    most = min(bound, (1 << 63) - 1)
    value = st.one_of(st.none(), st.sampled_from([-bound, most, most - 1, 0]), st.integers(-bound, most))
    rows = data.draw(st.lists(st.tuples(st.integers(0, groups - 1), value), max_size=40))
    group = np.array([g for g, _ in rows], np.uint32)
    valid = np.array([v is not None for _, v in rows], np.bool_)
    values = np.array([-7 if v is None else v for _, v in rows], np.int64)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sums, "_STEP", step)
        columns = [Column(), Column(valid=valid), Column(values=values, valid=valid, bound=max(bound, 7))]
        every, present, total = group_sums(group, groups, columns)
        alone = sum_by(group, groups, values, max(bound, 7), valid)
    for g in range(groups):
        theirs = [v for h, v in rows if h == g and v is not None]
        assert every.counts[g] == sum(h == g for h, _ in rows)
        assert present.counts[g] == total.counts[g] == len(theirs)
        # Sums are exact modulo 2**64: whoever proves |sum| < 2**63 has them exact.
        assert total.sums is not None
        assert (int(total.sums[g]) - sum(theirs)) % (1 << 64) == 0
        assert alone[g] == total.sums[g]


@pytest.mark.parametrize("bound", [1000, 1 << 20, 1 << 38, 1 << 43])
def test_long_columns_at_their_bound_stay_exact(bound: int) -> None:
    rows = 200_003
    group = np.arange(rows) % 3
    values = np.where(np.arange(rows) % 2 == 0, bound, bound - 1)
    (total,) = group_sums(group, 3, [Column(values=values, bound=bound)])
    for g in range(3):
        theirs = values[group == g].tolist()
        assert total.sums is not None
        assert (total.counts[g], total.sums[g]) == (len(theirs), sum(theirs))


def test_more_rows_than_halves_can_hold_are_parted() -> None:
    rows = (1 << 21) + 5
    total = sum_by(np.zeros(rows, np.int64), 1 << 19, np.full(rows, (1 << 41) - 1), 1 << 41)
    assert total[0] == rows * ((1 << 41) - 1)


@given(most=st.integers(1, 1 << 40), bound=st.integers(0, 1 << 60))
def test_packing_proves_what_it_says(most: int, bound: int) -> None:
    bit = packing(most, bound)
    if bit is not None:
        assert most * bound < 1 << (bit - 1) if bit else bound == 0
        assert (most << bit) + most * bound < 1 << 53


@pytest.mark.parametrize("value", [11, -11, -(1 << 63)])
def test_a_value_outside_its_bound_is_refused(value: int) -> None:
    with pytest.raises(IntegrityFailed) as caught:
        group_sums(np.zeros(2, np.int64), 1, [Column(values=np.array([1, value]), bound=10)])
    assert caught.value.code == "values_exceed_bound"


def test_no_rows_give_zeros() -> None:
    (total,) = group_sums(np.zeros(0, np.int64), 2, [Column(values=np.zeros(0, np.int64), bound=1)])
    assert total.sums is not None
    assert (total.counts.tolist(), total.sums.tolist()) == ([0, 0], [0, 0])
