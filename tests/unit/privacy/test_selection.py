"""Selection: exact scores that know ties, their sensitivity, a price that covers the choice, ranks that hold."""

from __future__ import annotations

import math
from fractions import Fraction
from itertools import pairwise, permutations

import numpy as np
import opendp.prelude as dp
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import chi2

from sandbox.errors import IntegrityFailed, RequestError
from sandbox.privacy import selection
from sandbox.privacy.accounting import UNIT
from sandbox.privacy.selection import (
    Selection,
    candidates,
    check_scores,
    choose,
    loss,
    rank_half_width,
    scale,
    score_gap,
    score_sensitivity,
    scores,
    top_k,
)
from tests.promises import promise

BOTH: tuple[Selection, ...] = ("exponential", "gumbel")
FRACTIONS = st.sampled_from([(0, 1), (1, 10), (1, 4), (1, 2), (3, 4), (95, 100), (1, 1)])
PLACES = st.lists(st.tuples(st.integers(0, 10), st.integers(0, 50)), max_size=12)


def histogram(values: list[tuple[int, int]], width: int) -> np.ndarray:
    """Weighted values, given as places 0..2m of the histogram itself."""
    out = np.zeros((1, width), dtype=np.int64)
    for place, weight in values:
        out[0, place] += weight
    return out


# --- candidates -------------------------------------------------------------------------------------------------------


@given(
    lower=st.integers(-(2**62), 2**62),
    width=st.one_of(st.integers(0, 5000), st.integers(0, 2**61)),
    limit=st.integers(2, 4096),
)
def test_candidates_are_even_ascending_and_have_both_ends(lower: int, width: int, limit: int) -> None:
    grid = [int(c) for c in candidates(lower, lower + width, limit)]
    assert (grid[0], grid[-1]) == (lower, lower + width)
    assert len(grid) == min(width + 1, limit)
    gaps = {b - a for a, b in pairwise(grid)}
    assert all(gap >= 1 for gap in gaps)
    assert not gaps or max(gaps) - min(gaps) <= 1


@pytest.mark.parametrize(("lower", "upper", "limit"), [(3, 2, 10), (0, 9, 1)])
def test_senseless_candidates_are_refused(lower: int, upper: int, limit: int) -> None:
    with pytest.raises(ValueError, match="candidates"):
        candidates(lower, upper, limit)


# --- scores -----------------------------------------------------------------------------------------------------------


@given(values=PLACES, fraction=FRACTIONS)
def test_scores_are_the_definition(values: list[tuple[int, int]], fraction: tuple[int, int]) -> None:
    p, q = fraction
    got = scores(histogram(values, 11), p=p, q=q)[0]
    whole = sum(w for _, w in values)
    for i in range(5):
        at_most = sum(w for place, w in values if place <= 2 * i + 1)
        less = sum(w for place, w in values if place < 2 * i + 1)
        assert got[i] == -max(p * whole - q * at_most, q * less - p * whole, 0)


@promise("P4.2")
@given(values=PLACES, unit=PLACES, fraction=FRACTIONS)
def test_no_unit_moves_a_score_by_more(
    values: list[tuple[int, int]], unit: list[tuple[int, int]], fraction: tuple[int, int]
) -> None:
    p, q = fraction
    moved = scores(histogram(values + unit, 11), p=p, q=q) - scores(histogram(values, 11), p=p, q=q)
    assert np.abs(moved).max() <= score_sensitivity(p, q, sum(w for _, w in unit))


@promise("P4.2")
@pytest.mark.parametrize(("p", "q"), [(1, 2), (1, 10), (9, 10), (0, 1), (1, 1)])
def test_the_worst_unit_reaches_it(p: int, q: int) -> None:
    worst = 0
    for before in range(11):
        for place in range(11):
            values = [(before, 7)]
            moved = scores(histogram([*values, (place, 3)], 11), p=p, q=q) - scores(histogram(values, 11), p=p, q=q)
            worst = max(worst, int(np.abs(moved).max()))
    assert worst == score_sensitivity(p, q, 3)


def test_a_value_that_most_rows_share_is_right_for_every_quantile_in_its_share() -> None:
    """OpenDP's own score ignores ties and prefers a value that no row has."""
    tied = np.array([[0, 5, 0, 90, 0, 5, 0]], dtype=np.int64)
    for p in (10, 50, 90):
        assert scores(tied, p=p, q=100)[0].tolist()[1] == 0
        assert max(scores(tied, p=p, q=100)[0][[0, 2]]) < 0


@pytest.mark.parametrize("wrong", [np.zeros((2, 4), np.int64), np.zeros(3, np.int64)])
def test_a_histogram_of_the_wrong_width_is_refused(wrong: np.ndarray) -> None:
    with pytest.raises(ValueError, match="histogram"):
        scores(wrong, p=1, q=2)


@promise("P5.2")
def test_scores_that_might_not_fit_are_refused_and_the_last_that_fit_are_exact() -> None:
    total = (2**62 - 1) // 99
    check_scores(99, 100, total)
    with pytest.raises(RequestError, match="plan_overflows"):
        check_scores(99, 100, total + 1)
    assert scores(np.array([[0, 0, total]]), p=99, q=100).tolist() == [[-99 * total]]
    with pytest.raises(ValueError, match="fraction"):
        check_scores(3, 2, 1)
    with pytest.raises(ValueError, match="fraction"):
        scores(np.array([[0, 1, 0]]), p=3, q=2)


# --- price ------------------------------------------------------------------------------------------------------------


@promise("P5.1")
@pytest.mark.parametrize("noise", BOTH)
@settings(deadline=None)
@given(
    sensitivity=st.integers(1, 2**40), width=st.floats(1e-2, 2.0**55), picks=st.integers(1, 50), monotonic=st.booleans()
)
def test_the_price_is_the_formula_rounded_up(
    noise: Selection, sensitivity: int, width: float, picks: int, monotonic: bool
) -> None:
    e = (1 if monotonic else 2) * Fraction(sensitivity) / Fraction(width)
    exact = picks * UNIT * (e if noise == "exponential" else e * e / 8)
    paid = loss(noise, sensitivity=sensitivity, scale=width, picks=picks, monotonic=monotonic)
    assert exact <= paid <= exact * (1 + Fraction(1, 10**12)) + 1


@promise("P5.1")
@pytest.mark.parametrize("noise", BOTH)
@settings(deadline=None)
@given(
    sensitivity=st.integers(1, 2**30),
    paid=st.integers(10**6, 100 * UNIT),
    picks=st.integers(1, 50),
    monotonic=st.booleans(),
)
def test_the_scale_costs_what_is_paid(
    noise: Selection, sensitivity: int, paid: int, picks: int, monotonic: bool
) -> None:
    try:
        found = scale(noise, sensitivity=sensitivity, loss=paid, picks=picks, monotonic=monotonic)
    except RequestError:
        assert 2 * sensitivity * picks * UNIT / paid > 2.0**55
        return
    assert (
        paid * (1 - 1e-9) - 1
        <= loss(noise, sensitivity=sensitivity, scale=found, picks=picks, monotonic=monotonic)
        <= paid
    )


@promise("P5.1")
@pytest.mark.parametrize("noise", BOTH)
def test_a_map_that_asks_too_little_raises_the_alarm(noise: Selection, monkeypatch: pytest.MonkeyPatch) -> None:
    real = dp.m.make_noisy_top_k
    monkeypatch.setattr(dp.m, "make_noisy_top_k", lambda *space, k, scale: real(*space, k=k, scale=2 * scale))
    with pytest.raises(IntegrityFailed, match="price_disagrees"):
        loss(noise, sensitivity=3, scale=17.03125)


@pytest.mark.parametrize("wrong", [{"sensitivity": 0}, {"scale": 0.0}, {"scale": math.inf}, {"picks": 0}])
def test_a_price_without_bounds_is_refused(wrong: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="selection"):
        loss("gumbel", **{"sensitivity": 1, "scale": 1.0, **wrong})  # type: ignore[arg-type]


@pytest.mark.parametrize("noise", BOTH)
@pytest.mark.parametrize("paid", [0, 1])
def test_too_small_a_budget_is_a_clear_error(noise: Selection, paid: int) -> None:
    with pytest.raises(RequestError, match="budget_too_small"):
        scale(noise, sensitivity=2**54, loss=paid)


def published(noise: Selection, quality: np.ndarray, width: float) -> np.ndarray:
    """Probabilities of one pick, written down apart: softmax, or permute and flip over all orders."""
    if noise == "gumbel":
        weight = np.exp((quality - quality.max()) / width)
        return weight / weight.sum()
    accept = np.exp((quality - quality.max()) / width)
    out = np.zeros(len(quality))
    orders = list(permutations(range(len(quality))))
    for order in orders:
        reached = 1.0
        for i in order:
            out[i] += reached * accept[i] / len(orders)
            reached *= 1 - accept[i]
    return out


@promise("P5.1")
@pytest.mark.parametrize("noise", BOTH)
@pytest.mark.parametrize(("offset", "grain"), [(0, 1), (-(2**61), 1), (0, 2**40)])
def test_the_choice_has_the_published_distribution(noise: Selection, offset: int, grain: int) -> None:
    """Chi-squared at a false alarm of 1e-9, also where floats could not tell the scores apart."""
    draws, quality = 4_000, np.array([0, -3, -7, -20, -1], dtype=np.int64)
    got = choose(noise, scale=5.0 * grain, scores=np.tile(offset + quality * grain, (draws, 1)))
    expected = published(noise, quality.astype(float), 5.0) * draws
    seen = np.bincount(got, minlength=5)
    assert np.sum((seen - expected) ** 2 / expected) < chi2.ppf(1 - 1e-9, 4)


@promise("P5.1", "P1.2")
@pytest.mark.parametrize("noise", BOTH)
@settings(deadline=None, max_examples=100)
@given(
    before=st.lists(st.integers(-20, 0), min_size=2, max_size=5),
    moves=st.lists(st.integers(-3, 3), min_size=5, max_size=5),
    width=st.floats(1, 20),
    monotonic=st.booleans(),
)
def test_no_neighbour_changes_a_probability_by_more_than_the_price(
    noise: Selection, before: list[int], moves: list[int], width: float, monotonic: bool
) -> None:
    """Exact probabilities: the largest log ratio is at most eps_p; for Gumbel every Renyi divergence at most a rho."""
    x = np.array(before, dtype=float)
    y = x + np.abs(moves[: len(before)]) if monotonic else x + np.array(moves[: len(before)])
    p, r = published(noise, x, width), published(noise, y, width)
    priced = loss(noise, sensitivity=3, scale=width, monotonic=monotonic) / UNIT
    if noise == "exponential":
        assert np.abs(np.log(p / r)).max() <= priced + 1e-9
        return
    for a in (1.01, 1.5, 2.0, 5.0, 20.0, 100.0):
        for u, v in ((p, r), (r, p)):
            assert math.log(np.sum(v * (u / v) ** a)) / (a - 1) <= a * priced + 1e-9


@promise("P5.1")
@pytest.mark.parametrize("noise", BOTH)
def test_the_worst_neighbours_come_near_the_price(noise: Selection) -> None:
    """The audit can fail: at half the sensitivity the same pair is over the price."""
    p = published(noise, np.array([0.0, 0, 0, 0, -40]), 10.0)
    r = published(noise, np.array([-6.0, -6, -6, -6, -34]), 10.0)
    ratio = np.abs(np.log(p / r)).max()
    e = loss("exponential", sensitivity=6, scale=10.0) / UNIT
    assert 0.9 * e < ratio <= e
    assert ratio > loss("exponential", sensitivity=3, scale=10.0) / UNIT


# --- top k ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("noise", BOTH)
def test_top_k_finds_what_stands_out_in_every_group_best_first(noise: Selection) -> None:
    counts = np.zeros((70, 40), dtype=np.int64)
    counts[:, 7], counts[:, 3], counts[:, 39] = 5000, 3000, 1000
    got = top_k(noise, scale=scale(noise, sensitivity=1, loss=UNIT, picks=3, monotonic=True), counts=counts, picks=3)
    assert got.shape == (70, 3)
    assert np.all(got == [7, 3, 39])


@pytest.mark.parametrize("noise", BOTH)
def test_more_picks_than_values_give_every_value_once(noise: Selection) -> None:
    got = top_k(noise, scale=3.0, counts=np.array([[5, 1, 9], [0, 0, 0]]), picks=10)
    assert [sorted(row) for row in got.tolist()] == [[0, 1, 2], [0, 1, 2]]
    assert top_k(noise, scale=3.0, counts=np.zeros((0, 4), np.int64), picks=2).shape == (0, 2)


# --- intervals --------------------------------------------------------------------------------------------------------


@promise("P5.4")
@pytest.mark.parametrize("noise", BOTH)
def test_the_rank_of_a_quantile_stays_inside_its_interval(noise: Selection) -> None:
    """1,000 medians of 300 different rows; a claim of a quarter of the width is exceeded far too often."""
    share, grid, rows = 64, candidates(0, 299), np.arange(300)
    bins = np.zeros(601, dtype=np.int64)
    np.add.at(bins, 2 * rows + 1, share)
    width = scale(noise, sensitivity=score_sensitivity(1, 2, share), loss=UNIT // 5)
    chosen = grid[choose(noise, scale=width, scores=scores(np.tile(bins, (1000, 1)), p=1, q=2))]
    low = np.array([np.sum(rows < c) for c in chosen])
    high = np.array([np.sum(rows <= c) for c in chosen])
    error = np.maximum(np.maximum(low - 150, 150 - high), 0)
    claim = rank_half_width(width, of=len(grid), q=2, share=share)
    assert np.mean(error <= claim) >= 0.95 - 3 * math.sqrt(0.05 * 0.95 / 1000)
    assert np.mean(error <= claim / 4) < 0.95


@promise("P5.4")
@pytest.mark.parametrize("noise", BOTH)
def test_chosen_counts_are_near_the_true_kth(noise: Selection) -> None:
    counts = np.random.default_rng(6).integers(0, 30, 30)
    width = scale(noise, sensitivity=1, loss=UNIT // 2, picks=5, monotonic=True)
    chosen = top_k(noise, scale=width, counts=np.tile(counts, (500, 1)), picks=5)
    gap = score_gap(width, of=30, picks=5)
    least = counts[chosen].min(axis=1)
    assert np.mean(least >= np.sort(counts)[-5] - gap) >= 0.95 - 3 * math.sqrt(0.05 * 0.95 / 500)
    assert np.mean(least >= np.sort(counts)[-5] - gap / 10) < 0.95


def test_strides_cover_every_group() -> None:
    wide = np.zeros((2 * selection.STRIDE + 1, 3), dtype=np.int64)
    wide[np.arange(len(wide)), np.arange(len(wide)) % 3] = 10**6
    assert choose("gumbel", scale=1.0, scores=wide).tolist() == [i % 3 for i in range(len(wide))]
