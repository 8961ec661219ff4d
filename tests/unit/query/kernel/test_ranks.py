"""The k first rows of a unit: both forms keep exactly those of lowest order, and runs that are not sorted are refused."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandbox.errors import IntegrityFailed
from sandbox.query.kernel.ranks import first_rows, tail_rank
from tests.promises import promise

LEAST, GREATEST = -(1 << 63), (1 << 63) - 1
ORDER = st.one_of(st.integers(-3, 3), st.sampled_from([LEAST, GREATEST, LEAST + 1, 0]))


def lowest(unit: list[int], order: list[tuple[int, ...]], k: int) -> list[bool]:
    kept = set()
    for u in set(unit):
        theirs = sorted((i for i in range(len(unit)) if unit[i] == u), key=lambda i: order[i])
        kept |= set(theirs[:k])
    return [i in kept for i in range(len(unit))]


@given(
    rows=st.lists(st.tuples(st.integers(0, 5), ORDER, ORDER), max_size=50, unique=True),
    k=st.integers(0, 6),
    width=st.integers(1, 2),
)
def test_first_rows_are_the_lowest_in_any_order_of_rows(rows: list[tuple[int, int, int]], k: int, width: int) -> None:
    rows = list({(u, *o[:width]): (u, *o) for u, *o in rows}.values())  # type: ignore[misc]
    unit = np.array([r[0] for r in rows], np.uint32)
    order = [np.array([r[1 + w] for r in rows], np.int64) for w in range(width)]
    keep = first_rows(unit, order, k)
    assert keep.tolist() == lowest([r[0] for r in rows], [r[1 : 1 + width] for r in rows], k)


EDGES = (1, 3, 10, 100)
COUNTS = st.lists(st.one_of(st.integers(0, 30), st.just(100)), min_size=1, max_size=6)


@promise("P4.2")
@given(counts=COUNTS, share=st.sampled_from([0.02, 0.2, 0.6, 1.0]), seed=st.integers(0, 99), head=st.integers(0, 3))
def test_tail_rank_keeps_what_sorting_keeps(counts: list[int], share: float, seed: int, head: int) -> None:
    rng = np.random.default_rng(seed)
    unit = np.repeat(np.arange(len(counts), dtype=np.uint32), counts)
    ordinal = np.concatenate([np.arange(n) for n in counts])
    passing = rng.random(len(unit)) < share
    k = (0, *EDGES)[head]
    tiers = [passing & (ordinal >= low) & (ordinal < high) for low, high in zip((0, *EDGES), EDGES, strict=False)]
    runs = [unit[t] for t in tiers]
    for ordinals in (None, [ordinal[t] for t in tiers]):
        masks = tail_rank(runs, first_tail=head, k=k, units=len(counts), ordinals=ordinals)
        kept = np.zeros(len(unit), np.bool_)
        if head:
            shuffled = [rng.permutation(np.concatenate(runs[:head])), *runs[head:]]
            again = tail_rank(shuffled, first_tail=1, k=k, units=len(counts))
            assert [m.tolist() for m in again[1:]] == [m.tolist() for m in masks[head:]]
        for tier, mask in zip(tiers, masks, strict=True):
            kept[np.flatnonzero(tier)[mask]] = True
        expected = np.zeros(len(unit), np.bool_)
        expected[np.flatnonzero(passing)[first_rows(unit[passing], [ordinal[passing]], k)]] = True
        assert kept.tolist() == expected.tolist()


@promise("P4.2")
@pytest.mark.parametrize(
    ("tier", "ordinals"),
    [([1, 0], None), ([0, 0, 1, 0], None), ([0, 0], [4, 3]), ([0, 0], [3, 3]), ([1, 0], [3, 4])],
)
def test_a_run_that_is_not_sorted_is_refused(tier: list[int], ordinals: list[int] | None) -> None:
    for place in (1, 2):
        tiers = [np.zeros(0, np.uint32) for _ in range(3)]
        numbers = [np.zeros(0, np.uint32) for _ in range(3)]
        tiers[place] = np.array(tier, np.uint32)
        numbers[place] = np.array(ordinals or [], np.uint32)
        with pytest.raises(IntegrityFailed) as caught:
            tail_rank(tiers, first_tail=1, k=3, units=2, ordinals=None if ordinals is None else numbers)
        assert caught.value.code == "rows_unsorted"


def test_one_unit_with_every_row_and_one_row_each() -> None:
    many = np.zeros(1000, np.uint32)
    assert tail_rank([many[:10], many], first_tail=1, k=10, units=1)[1].sum() == 0
    assert tail_rank([many[:3], many], first_tail=1, k=10, units=1)[1].sum() == 7
    each = np.arange(1000, dtype=np.uint32)
    assert first_rows(each, [np.zeros(1000, np.int64)], 1).all()
    assert not first_rows(each, [np.zeros(1000, np.int64)], 0).any()
