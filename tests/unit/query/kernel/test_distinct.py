"""Distinct counts: keyed choice and greedy assignment cover what brute force covers; one unit moves at most its l values."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandbox.query.kernel import greedy as greedy_module
from sandbox.query.kernel.distinct import distinct_values, shows
from sandbox.query.kernel.greedy import greedy_values
from tests.promises import promise
from tests.unit.query.kernel.bucket import LABELS, PSEUDONYMS, Bucket, keyed

GROUPS = ("x", "y")
ROWS = st.lists(st.tuples(PSEUDONYMS, st.sampled_from(LABELS), st.sampled_from([0, 1])), max_size=60)
Shown = set[tuple[str, str]]


def groups_of(bucket: Bucket) -> np.ndarray:
    """Which of two groups a row is in: here the row's value tells."""
    return (bucket.values + bucket.salt) % 2


def wants(bucket: Bucket) -> dict[tuple[int, str], list[str]]:
    """Each (unit, group)'s values in keyed order."""
    found: dict[tuple[int, str], set[str]] = {}
    for p, v, g in bucket.rows:
        found.setdefault((p, GROUPS[g or 0]), set()).add(v)
    return {k: sorted(vs, key=lambda v: keyed(k[0], v)) for k, vs in found.items()}


def got(bucket: Bucket, form: object, most: int) -> Shown:
    codes = form(bucket.unit, groups_of(bucket), 2, bucket.group, len(LABELS), most=most, hash_of=bucket.hash_of)  # type: ignore[operator]
    pairs = list(zip(*(c.tolist() for c in codes), strict=True))
    assert pairs == sorted(set(pairs))
    return {(GROUPS[(g + bucket.salt) % 2], bucket.labels[v]) for g, v in pairs}


def serial(bucket: Bucket, most: int) -> Shown:
    """Greedy as its definition says: turn by turn."""
    covered: Shown = set()
    lists = wants(bucket)
    turns = sorted(lists, key=lambda k: (len(lists[k]), k[0]))
    for _ in range(most):
        for p, g in turns:
            free = [v for v in lists[p, g] if (g, v) not in covered]
            if free:
                covered.add((g, free[0]))
    return covered


@pytest.mark.parametrize("few", [0, 32])
@promise("P4.3")
@given(rows=ROWS, salt=st.integers(0, 5), most=st.integers(1, 4), data=st.data())
def test_keyed_choice_and_greed_equal_brute_force_and_are_bounded(
    few: int, rows: list[tuple[int, str, int | None]], salt: int, most: int, data: st.DataObject
) -> None:
    bucket = Bucket(rows, salt=salt)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(greedy_module, "_FEW", few)
        keyed_, greedy = got(bucket, distinct_values, most), got(bucket, greedy_values, most)
        assert keyed_ == {(g, v) for (_, g), vs in wants(bucket).items() for v in vs[:most]}
        assert greedy == serial(bucket, most)
        assert len(greedy) >= len(keyed_) / 2
        if not rows:
            return
        other = bucket.without(data.draw(st.sampled_from(bucket.pseudonyms)))
        for one, two in ((keyed_, got(other, distinct_values, most)), (greedy, got(other, greedy_values, most))):
            assert two <= one
            for g in GROUPS:
                assert sum(h == g for h, _ in one - two) <= most


def test_greed_on_many_units_equals_turn_by_turn() -> None:
    rng = np.random.default_rng(5)
    units, values = 3000, 2500
    unit = np.sort(rng.zipf(1.6, 20_000) % units).astype(np.uint32)
    value = rng.zipf(1.3, 20_000) % values

    def mixed(u: np.ndarray, v: np.ndarray) -> np.ndarray:
        word = (u.astype(np.uint64) << np.uint64(32) | v.astype(np.uint64)) * np.uint64(0x9E3779B97F4A7C15)
        return np.stack([word ^ (word >> np.uint64(29)), word], axis=1)

    _, codes = greedy_values(unit, np.zeros(len(unit), np.int64), 1, value, values, most=3, hash_of=mixed)
    lists: dict[int, list[int]] = {}
    for u, v in sorted(set(zip(unit.tolist(), value.tolist(), strict=True))):
        lists.setdefault(u, []).append(v)
    for u, vs in lists.items():
        words = mixed(np.full(len(vs), u), np.array(vs)).tolist()
        lists[u] = [v for _, v in sorted(zip(words, vs, strict=True))]
    covered: set[int] = set()
    for _ in range(3):
        for u in sorted(lists, key=lambda u: (len(lists[u]), u)):
            covered |= set([v for v in lists[u] if v not in covered][:1])
    assert codes.tolist() == sorted(covered)


def test_codes_too_many_for_one_word_are_sorted_apart() -> None:
    unit, value = np.array([1, 0, 1, 1], np.uint32), np.array([7, 7, 5, 7])
    narrow = shows(unit, np.zeros(4, np.int64), 1, value, 8)
    wide = shows(unit, np.zeros(4, np.int64), 1, value, 1 << 62)
    assert [a.tolist() for a in narrow] == [a.tolist() for a in wide] == [[0, 1, 1], [0, 1, 1], [7, 5, 7]]
