"""The k first rows of a unit: both forms keep exactly those of lowest order, and runs that are not sorted are refused."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandbox.errors import IntegrityFailed
from sandbox.query.kernel.ranks import Ranks, first_rows
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


def kept_of(
    head: list[np.ndarray], tail: list[np.ndarray], *, k: int, units: int, chunk: int = 1 << 16
) -> list[np.ndarray]:
    """Each tail tier's mask, of rows that come a few at a time."""
    ranks = Ranks(k, units)
    for unit in head:
        ranks.count(unit)
    masks = []
    for tier, unit in enumerate(tail):
        parts = [ranks.keep(unit[low : low + chunk], tier) for low in range(0, len(unit), chunk)]
        masks.append(np.concatenate([np.zeros(0, np.bool_), *parts]))
    return masks


@promise("P4.2")
@given(
    counts=COUNTS, share=st.sampled_from([0.02, 0.2, 0.6, 1.0]), seed=st.integers(0, 99), head=st.integers(0, 3),
    chunk=st.integers(1, 40),
)  # fmt: skip
def test_ranks_keep_what_sorting_keeps(counts: list[int], share: float, seed: int, head: int, chunk: int) -> None:
    rng = np.random.default_rng(seed)
    unit = np.repeat(np.arange(len(counts), dtype=np.uint32), counts)
    ordinal = np.concatenate([np.arange(n) for n in counts])
    passing = rng.random(len(unit)) < share
    k = (0, *EDGES)[head]
    tiers = [passing & (ordinal >= low) & (ordinal < high) for low, high in zip((0, *EDGES), EDGES, strict=False)]
    runs = [unit[t] for t in tiers]
    shuffled = [rng.permutation(np.concatenate([unit[:0], *runs[:head]]))]
    masks = kept_of(shuffled, runs[head:], k=k, units=len(counts), chunk=chunk)
    kept = np.zeros(len(unit), np.bool_)
    for tier, mask in zip(tiers, [np.ones(len(r), np.bool_) for r in runs[:head]] + masks, strict=True):
        kept[np.flatnonzero(tier)[mask]] = True
    expected = np.zeros(len(unit), np.bool_)
    expected[np.flatnonzero(passing)[first_rows(unit[passing], [ordinal[passing]], k)]] = True
    assert kept.tolist() == expected.tolist()


@promise("P4.2")
@pytest.mark.parametrize("chunks", [[[1, 0]], [[0, 0, 1, 0]], [[0], [1], [0]]])
def test_a_tier_that_is_not_sorted_is_refused(chunks: list[list[int]]) -> None:
    ranks = Ranks(3, 2)
    for unit in chunks[:-1]:
        ranks.keep(np.array(unit, np.uint32), 1)
    with pytest.raises(IntegrityFailed) as caught:
        ranks.keep(np.array(chunks[-1], np.uint32), 1)
    assert caught.value.code == "rows_unsorted"


def test_a_tier_that_comes_after_a_later_one_is_refused() -> None:
    ranks = Ranks(3, 2)
    assert ranks.keep(np.array([1], np.uint32), 2).all()
    with pytest.raises(IntegrityFailed):
        ranks.keep(np.array([1], np.uint32), 1)


def test_one_unit_with_every_row_and_one_row_each() -> None:
    many = np.zeros(1000, np.uint32)
    assert kept_of([many[:10]], [many], k=10, units=1)[0].sum() == 0
    assert kept_of([many[:3]], [many], k=10, units=1)[0].sum() == 7
    each = np.arange(1000, dtype=np.uint32)
    assert first_rows(each, [np.zeros(1000, np.int64)], 1).all()
    assert not first_rows(each, [np.zeros(1000, np.int64)], 0).any()
