"""Bounding by groups: slots and sorting keep the same pairs and give equal integers; one unit moves what is promised."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandbox.errors import IntegrityFailed
from sandbox.query.kernel import blocks, cells
from sandbox.query.kernel.groups import Pairs, clamped_sums, keep_first, keep_groups, pairs, units_of
from sandbox.query.kernel.slotted import Cells
from sandbox.query.kernel.sums import Column
from tests.promises import promise
from tests.unit.query.kernel.bucket import BOUND, BUCKETS, LABELS, Bucket

WAYS = ("counting", "sorting", "by order")
CLAMPS = (2, 1, 1500)


@pytest.fixture(params=WAYS, scope="module")
def way(request: pytest.FixtureRequest) -> Iterator[str]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cells, "_SPARSE", 1 << 40 if request.param == "counting" else 0)
        patch.setattr(cells, "_SPARSE_SEEN", 1 << 40 if request.param == "counting" else 0)
        # Blocks of a few rows, as slices of runs and as places; one block last.
        if request.param == "by order":
            patch.setattr(cells, "_width", lambda column: 64)
        else:
            patch.setattr(blocks, "_BLOCK", 3)
            patch.setattr(blocks, "_RUNS", 0 if request.param == "sorting" else 64)
        yield str(request.param)


def both_forms(bucket: Bucket, most: int) -> list[tuple[Pairs, np.ndarray]]:
    slotted, found = bucket.slot_pairs(), bucket.group_pairs()
    return [
        (slotted, keep_first(slotted.unit, most)),
        (found, keep_groups(found.unit, found.group, most, bucket.hash_of)),
    ]


def named(bucket: Bucket, found: Pairs, keep: np.ndarray) -> dict[tuple[int, str], tuple[int, ...]]:
    """Each kept pair's sums, under names that no code enters."""
    return {
        (bucket.pseudonyms[found.unit[i]], bucket.labels[found.group[i]]): tuple(int(n[i]) for n in found.sums)
        for i in np.flatnonzero(keep)
    }


@promise("P4.2")
@given(bucket=BUCKETS, most=st.integers(0, 6))
def test_each_form_equals_brute_force(way: str, bucket: Bucket, most: int) -> None:
    expected = {}
    for p, g in bucket.kept(most):
        theirs = [v for q, h, v in bucket.rows if (q, h) == (p, g)]
        present = [v for v in theirs if v is not None]
        expected[p, g] = (len(theirs), len(present), sum(present))
    clamped: list[Counter[str]] = [Counter() for _ in range(3)]
    for (_, g), numbers in expected.items():
        for total, number, clamp in zip(clamped, numbers, CLAMPS, strict=True):
            total[g] += max(-clamp, min(number, clamp))
    for found, keep in both_forms(bucket, most):
        assert named(bucket, found, keep) == expected
        sums = clamped_sums(found, keep, len(LABELS), CLAMPS)
        for wanted, got in zip(clamped, sums, strict=True):
            assert bucket.by_label(got) == {g: wanted[g] for g in LABELS}
        units = Counter(g for _, g in expected)
        assert bucket.by_label(units_of(found, keep, len(LABELS))) == {g: units[g] for g in LABELS}


@promise("P4.2", "P4.3")
@given(bucket=BUCKETS.filter(lambda b: b.rows), most=st.integers(1, 4), data=st.data())
def test_a_unit_moves_at_most_its_bound_and_no_other_unit(bucket: Bucket, most: int, data: st.DataObject) -> None:
    gone = data.draw(st.sampled_from(bucket.pseudonyms))
    other = bucket.without(gone)
    for (found, keep), (fewer, kept) in zip(both_forms(bucket, most), both_forms(other, most), strict=True):
        left = {k: v for k, v in named(bucket, found, keep).items() if k[0] != gone}
        assert left == named(other, fewer, kept)
        before = clamped_sums(found, keep, len(LABELS), CLAMPS)
        after = clamped_sums(fewer, kept, len(LABELS), CLAMPS)
        for clamp, one, two in zip(CLAMPS, before, after, strict=True):
            check_distance(bucket.by_label(one), other.by_label(two), most, clamp)


def check_distance(one: dict[str, int], two: dict[str, int], most: int, clamp: int) -> None:
    moves = [abs(one[g] - two[g]) for g in LABELS]
    assert sum(moves) <= most * clamp
    assert sum(m * m for m in moves) <= most * clamp * clamp


def test_hashes_are_asked_only_for_units_that_have_more_groups() -> None:
    bucket = Bucket([(1, "a", 1), (1, "b", 1), (2, "a", 1), (3, "a", 1), (3, "b", 1), (3, "c", 1)])
    asked: list[int] = []

    def listen(unit: np.ndarray, code: np.ndarray) -> np.ndarray:
        asked.extend(unit.tolist())
        return bucket.hash_of(unit, code)

    found = pairs(bucket.unit, bucket.group, len(LABELS), ())
    assert keep_groups(found.unit, found.group, 2, listen).sum() == 5
    assert asked == [2, 2, 2]


@given(
    words=st.lists(
        st.lists(st.tuples(st.integers(0, 1), st.integers(0, 99)), min_size=1, max_size=9, unique=True), max_size=6
    ),
    most=st.integers(1, 4),
)
def test_hashes_that_begin_alike_are_told_apart_by_their_later_words(
    words: list[list[tuple[int, int]]], most: int
) -> None:
    unit = np.repeat(np.arange(len(words), dtype=np.uint32), [len(w) for w in words])
    flat = np.array([w for theirs in words for w in theirs], np.uint64).reshape(-1, 2)
    keep = keep_groups(unit, np.arange(len(unit)), most, lambda _, places: flat[places])
    assert keep.tolist() == [w in sorted(theirs)[:most] for theirs in words for w in theirs]


@pytest.mark.parametrize("bound", [BOUND, 1 << 30, (1 << 62) - 1])
def test_ways_agree_on_many_rows(bound: int) -> None:
    rng = np.random.default_rng(bound % 97)
    rows, groups, units = 50_000, 7, 3_000
    unit = rng.integers(0, units, rows).astype(np.uint32)
    for unit_, group in ((unit, rng.integers(0, groups, rows)), (np.sort(unit), rng.integers(0, groups, rows))):
        values = rng.integers(-(bound // rows), bound // rows + 1, rows)
        values[:3] = (bound // 4, -(bound // 4), 0)
        columns = (Column(values=values, bound=bound), Column(), Column(values=values, valid=values > 0, bound=bound))
        answers: list[tuple[list[int], ...]] = []
        for sparse, block in ((0, 1 << 16), (1 << 40, 1 << 16), (0, 1 << 10), (4, 1 << 10)):
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(cells, "_SPARSE", sparse)
                patch.setattr(blocks, "_BLOCK", block)
                found = pairs(unit_, group, groups, columns)
            answers.append(tuple(a.tolist() for a in (found.unit, found.group, *found.sums)))
        assert answers[0] == answers[1] == answers[2] == answers[3]
        assert sum(answers[0][2]) == int(values.sum())


@pytest.mark.parametrize("bound", [1, 1 << 20, 1 << 52, 1 << 61])
def test_lanes_share_words_and_do_not_run_over(bound: int) -> None:
    """Each cell is filled to what is declared, with the largest values of either sign and with NULLs."""
    most = max(1, min(1000, (1 << 61) // bound))
    slot = np.repeat(np.arange(3, dtype=np.uint32), most)
    ends = np.repeat(np.array([bound, -bound, bound]), most)
    valid = slot != 2
    columns = (
        Column(), Column(valid=valid), Column(values=ends, bound=bound), Column(values=ends, valid=valid, bound=bound),
        Column(values=ends % 3, bound=4, center=2, square=True),
    )  # fmt: skip
    cells = Cells(3, columns, most=most)
    cells.add(slot, columns)
    found = cells.pairs(slice(None), np.arange(3, dtype=np.uint32), np.array([0, 1, -1]))
    squares = [most * (int(e) % 3 - 2) ** 2 for e in (bound, -bound)]
    assert found.group.tolist() == [0, 1]
    expected = [[most, most], [most, most], [most * bound, -most * bound], [most * bound, -most * bound], squares]
    assert [s.tolist() for s in found.sums] == expected


@pytest.mark.usefixtures("way")
def test_nothing_and_values_outside_their_bound() -> None:
    empty = Bucket([], extra=[(1, "a")])
    for found, keep in both_forms(empty, 3):
        assert len(found.unit) == len(keep) == 0
        assert [t.tolist() for t in clamped_sums(found, keep, 5, CLAMPS)] == [[0] * 5] * 3
    wrong = Bucket([(1, "a", BOUND + 1)])
    with pytest.raises(IntegrityFailed) as caught:
        wrong.slot_pairs()
    assert caught.value.code == "values_exceed_bound"
