"""Weights of quantiles, tops and private keys equal exact arithmetic and keep a unit within its bound."""

from __future__ import annotations

import math
from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandbox.query.kernel import weights
from sandbox.query.kernel.groups import keep_groups, pairs
from sandbox.query.kernel.weights import (
    key_weights,
    positions,
    private_key_sums,
    quantile_histogram,
    top_counts,
    units_by_group,
)
from tests.promises import promise
from tests.unit.query.kernel.bucket import BUCKETS, LABELS, Bucket

MARKS = st.lists(st.integers(-1100, 1100), min_size=1, max_size=6, unique=True).map(sorted)
SCALE = 101


def histogram(bucket: Bucket, marks: list[int], most: int) -> dict[str, list[int]]:
    there = bucket.valid
    got = quantile_histogram(
        bucket.unit[there],
        bucket.group[there],
        len(LABELS),
        bucket.values[there],
        np.array(marks),
        most=most,
        scale=SCALE,
    )
    return dict(zip(bucket.labels, got.tolist(), strict=True))


@given(bucket=BUCKETS, marks=MARKS, most=st.integers(1, 5), table=st.sampled_from([0, 1 << 20]))
def test_quantile_weights_equal_brute_force(bucket: Bucket, marks: list[int], most: int, table: int) -> None:
    number = Counter((p, g) for p, g, v in bucket.rows if v is not None)
    wanted = {g: [0] * (2 * len(marks) + 1) for g in LABELS}
    for p, g, v in bucket.rows:
        if v is not None:
            below = sum(m < v for m in marks)
            wanted[g][2 * below + (v in marks)] += min(SCALE, SCALE * most // number[p, g])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(weights, "_TABLE", table)
        patch.setattr(weights, "_SPARSE", 1 << 40 if table else 0)
        assert histogram(bucket, marks, most) == wanted


@given(bucket=BUCKETS.filter(lambda b: b.rows), marks=MARKS, most=st.integers(1, 3), data=st.data())
def test_one_unit_weighs_at_most_its_bound_in_a_group(
    bucket: Bucket, marks: list[int], most: int, data: st.DataObject
) -> None:
    gone = data.draw(st.sampled_from(bucket.pseudonyms))
    one, two = histogram(bucket, marks, most), histogram(bucket.without(gone), marks, most)
    for g in LABELS:
        assert sum(abs(a - b) for a, b in zip(one[g], two[g], strict=True)) <= most * SCALE


def test_positions_at_the_ends_of_the_integers() -> None:
    least, greatest = -(1 << 63), (1 << 63) - 1
    values = np.array([least, least + 1, 0, greatest])
    assert positions(values, np.array([least, greatest])).tolist() == [1, 2, 2, 3]
    assert positions(values, np.array([0])).tolist() == [0, 0, 1, 2]


@given(bucket=BUCKETS)
def test_top_counts_each_unit_once_a_value(bucket: Bucket) -> None:
    there = bucket.valid
    value = bucket.values[there] % 3
    got = top_counts(bucket.unit[there], bucket.group[there], len(LABELS), value, 3)
    seen = {(p, g, v % 3) for p, g, v in bucket.rows if v is not None}
    for i, g in enumerate(bucket.labels):
        assert got[i].tolist() == [sum((h, w) == (g, v) for _, h, w in seen) for v in range(3)]
    units = Counter(g for _, g in {(p, g) for p, g, _ in bucket.rows})
    assert bucket.by_label(units_by_group(bucket.unit, bucket.group, len(LABELS))) == {g: units[g] for g in LABELS}


@given(scale=st.integers(1, 1 << 40))
def test_key_weights_are_exact_floors(scale: int) -> None:
    for t, w in enumerate(key_weights(100, scale).tolist()):
        assert w * w * t <= scale * scale
        assert t == 0 or (w + 1) ** 2 * t > scale * scale


@promise("P4.3", "P5.3")
@given(bucket=BUCKETS.filter(lambda b: b.rows), most=st.integers(1, 5), data=st.data())
def test_private_keys_share_one_weight_a_unit(bucket: Bucket, most: int, data: st.DataObject) -> None:
    gone = data.draw(st.sampled_from(bucket.pseudonyms))
    answers = []
    for b in (bucket, bucket.without(gone)):
        found = pairs(b.unit, b.group, len(LABELS), ())
        keep = keep_groups(found.unit, found.group, most, b.hash_of)
        answers.append(b.by_label(private_key_sums(found.unit, found.group, keep, len(LABELS), most=most, scale=1000)))
        wanted: Counter[str] = Counter()
        kept = b.kept(most)
        for p, g in kept:
            t = sum(q == p for q, _ in kept)
            wanted[g] += math.isqrt(1000 * 1000 // t)
        assert answers[-1] == {g: wanted[g] for g in LABELS}
    assert sum((answers[0][g] - answers[1][g]) ** 2 for g in LABELS) <= 1000 * 1000
