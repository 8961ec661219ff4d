"""Weights of quantiles, tops and private keys equal exact arithmetic and keep a unit within its bound."""

from __future__ import annotations

import math
from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandbox.privacy import keys
from sandbox.query.kernel import weights
from sandbox.query.kernel.groups import keep_groups, pairs
from sandbox.query.kernel.weights import place_counts, positions, top_counts, units_by_group, vote_sums
from tests.promises import promise
from tests.unit.query.kernel.bucket import BUCKETS, LABELS, Bucket

MARKS = st.lists(st.integers(-1100, 1100), min_size=1, max_size=6, unique=True).map(sorted)

def histogram(bucket: Bucket, marks: list[int]) -> dict[str, list[int]]:
    there = bucket.valid
    place = positions(bucket.values[there], np.array(marks))
    got = place_counts(bucket.group[there], len(LABELS), place, 2 * len(marks) + 1)
    return dict(zip(bucket.labels, got.tolist(), strict=True))


@given(bucket=BUCKETS, marks=MARKS, table=st.sampled_from([0, 1 << 20]))
def test_places_of_values_equal_brute_force(bucket: Bucket, marks: list[int], table: int) -> None:
    wanted = {g: [0] * (2 * len(marks) + 1) for g in LABELS}
    for _, g, v in bucket.rows:
        if v is not None:
            wanted[g][2 * sum(m < v for m in marks) + (v in marks)] += 1
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(weights, "_TABLE", table)
        assert histogram(bucket, marks) == wanted


@given(bucket=BUCKETS.filter(lambda b: b.rows), marks=MARKS, data=st.data())
def test_one_unit_moves_places_by_its_own_rows(bucket: Bucket, marks: list[int], data: st.DataObject) -> None:
    gone = data.draw(st.sampled_from(bucket.pseudonyms))
    one, two = histogram(bucket, marks), histogram(bucket.without(gone), marks)
    moved = sum(abs(a - b) for g in LABELS for a, b in zip(one[g], two[g], strict=True))
    assert moved == sum(p == gone and v is not None for p, _, v in bucket.rows)


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


@promise("P4.3", "P5.3")
@given(bucket=BUCKETS.filter(lambda b: b.rows), most=st.integers(1, 5), data=st.data())
def test_private_keys_share_one_weight_a_unit(bucket: Bucket, most: int, data: st.DataObject) -> None:
    gone = data.draw(st.sampled_from(bucket.pseudonyms))
    answers, votes = [], keys.weights("gaussian", most)
    for b in (bucket, bucket.without(gone)):
        found = pairs(b.unit, b.group, len(LABELS), ())
        keep = keep_groups(found.unit, found.group, most, b.hash_of)
        answers.append(b.by_label(vote_sums(found.unit, found.group, keep, len(LABELS), votes)))
        wanted: Counter[str] = Counter()
        kept = b.kept(most)
        for p, g in kept:
            t = sum(q == p for q, _ in kept)
            wanted[g] += math.isqrt(keys.VOTE**2 // t)
        assert answers[-1] == {g: wanted[g] for g in LABELS}
    assert sum((answers[0][g] - answers[1][g]) ** 2 for g in LABELS) <= keys.VOTE**2
