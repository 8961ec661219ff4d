"""Clipping never enlarges, ends at norm T in exact integers, and moves nobody else."""

from __future__ import annotations

import math
from collections import Counter

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from sandbox.query.kernel import blocks
from sandbox.query.kernel.clip import Clip, ceil_root, clipped, clipped_sums, fixed, fixed_bits
from sandbox.query.kernel.sums import Column
from tests.promises import promise
from tests.unit.query.kernel.bucket import BOUND, BUCKETS, LABELS, Bucket

LARGEST = 60 * BOUND
NORMS = st.one_of(st.integers(0, 3 * BOUND), st.just(LARGEST))


def toward_zero(numerator: int, denominator: int) -> int:
    whole = abs(numerator) // denominator
    return whole if numerator >= 0 else -whole


def brute(vector: list[int], norm: int, bits: int) -> list[int]:
    scaled = [toward_zero(v << max(bits, 0), 1 << max(-bits, 0)) for v in vector]
    square = sum(v * v for v in scaled)
    if square <= norm * norm:
        return scaled
    root = math.isqrt(square - 1) + 1
    return [toward_zero(v * norm, root) for v in scaled]


@promise("P4.2")
@given(
    vectors=st.lists(st.lists(st.integers(-LARGEST, LARGEST), min_size=1, max_size=6), max_size=8),
    norm=NORMS,
    drop=st.integers(0, 14),
)
def test_clipping_equals_exact_arithmetic_and_ends_within_t(vectors: list[list[int]], norm: int, drop: int) -> None:
    bound = max([math.isqrt(sum(v * v for v in w)) + 1 for w in vectors], default=1)
    bits = fixed_bits(bound, norm, len(vectors)) - drop
    limit = norm << bits if bits >= 0 else norm >> -bits
    unit = np.repeat(np.arange(len(vectors), dtype=np.uint32), [len(w) for w in vectors])
    values = np.array([v for w in vectors for v in w], np.int64)
    got = clipped(unit, values, limit, bits)
    assert got.tolist() == [v for w in vectors for v in brute(w, limit, bits)]
    for u in range(len(vectors)):
        mine = got[unit == u].tolist()
        assert sum(v * v for v in mine) <= limit * limit
    assert (np.abs(got) <= np.abs(fixed(values, bits))).all()


@given(
    n=st.one_of(
        st.integers(0, (1 << 62) - 1),
        st.integers(0, (1 << 31) - 1).flatmap(lambda q: st.sampled_from([q * q, q * q + 1, max(q * q - 1, 0)])),
    )
)
@example(n=((1 << 31) - 1) ** 2 + 1)
@example(n=(1 << 62) - 1)
def test_the_root_is_the_least_that_is_not_below(n: int) -> None:
    assert ceil_root(np.array([n]))[0] == (math.isqrt(n - 1) + 1 if n else 0)


@given(bound=st.integers(0, 1 << 61), norm=st.integers(0, 1 << 61), units=st.integers(1, 1 << 33))
def test_fixed_point_leaves_room_for_squares_products_and_totals(bound: int, norm: int, units: int) -> None:
    bits = fixed_bits(bound, norm, units)
    top, limit = (-(-(n << max(bits, 0)) // (1 << max(-bits, 0))) for n in (bound, norm))
    assert top * top < 1 << 62
    assert top * limit < 1 << 62
    assert units * limit < 1 << 62
    more = bits + 2
    assert (
        bits == 10
        or max(bound, norm) ** 2 << max(2 * more, 0) >= 1 << (60 + max(-2 * more, 0))
        or units * norm << max(more, 0) >= 1 << (60 + max(-more, 0))
    )


def test_values_at_the_widest_bound_do_not_wrap() -> None:
    bound = 1 << 61
    bits = fixed_bits(bound, 1 << 60, 10)
    limit = (1 << 60) >> -bits
    unit = np.array([0, 0, 1], np.uint32)
    got = clipped(unit, np.array([bound // 2, -bound // 2, 5]), limit, bits).tolist()
    assert got[0] == -got[1] > 0
    assert limit - 2 <= math.isqrt(2 * got[0] ** 2) <= limit
    assert got[2] == 0


@promise("P4.2", "P4.3")
@pytest.mark.parametrize("block", [2, 1 << 16])
@given(bucket=BUCKETS.filter(lambda b: b.rows), norm=st.integers(1, 2 * BOUND), data=st.data())
def test_one_unit_moves_sums_by_at_most_t(block: int, bucket: Bucket, norm: int, data: st.DataObject) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(blocks, "_BLOCK", block)
        check_one_unit(bucket, norm, data.draw(st.sampled_from(bucket.pseudonyms)))


def check_one_unit(bucket: Bucket, norm: int, gone: int) -> None:
    other = bucket.without(gone)
    bits = fixed_bits(LARGEST, norm, 20)
    clips = [Clip(norm=2 << bits, bits=bits), Clip(norm=norm << bits, bits=bits)]
    answers = []
    for b in (bucket, other):
        columns = (Column(), Column(values=b.values, valid=b.valid, bound=BOUND))
        slotted = clipped_sums(b.slot_pairs(columns), len(LABELS), clips)
        coded = clipped_sums(b.group_pairs(columns), len(LABELS), clips)
        assert [s.tolist() for s in slotted] == [s.tolist() for s in coded]
        answers.append([b.by_label(s) for s in slotted])
    for one, two, clip in zip(*answers, clips, strict=True):
        assert sum((one[g] - two[g]) ** 2 for g in LABELS) <= clip.norm**2
    counts: Counter[str] = Counter()
    for p in bucket.pseudonyms:
        mine = Counter(g for q, g, _ in bucket.rows if q == p)
        for g, n in zip(mine, brute(list(mine.values()), 2 << bits, bits), strict=True):
            counts[g] += n
    assert answers[0][0] == {g: counts[g] for g in LABELS}
