"""Intervals: exact coverage from the noise's probabilities, and Fieller's set for averages at any count."""

from __future__ import annotations

import math
from statistics import NormalDist

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sandbox.errors import RequestError
from sandbox.privacy.intervals import Ratio, _laplace_tail, deviation, half_width, ratio_interval, scale_within
from sandbox.privacy.mechanisms import Mechanism
from tests.promises import promise
from tests.unit.privacy import formulas

BOTH: tuple[Mechanism, ...] = ("laplace", "gaussian")
SCALES = (0.05, 0.1, 0.3, 0.7, 1.0, 1.7, 3.0, 7.3, 20.0, 111.1)
Z = NormalDist().inv_cdf(0.975)


def quantile(mechanism: Mechanism, a: float, b: float) -> float:
    """The 95 % quantile of |X + Y| for continuous noises of scales a and b."""
    if mechanism == "gaussian":
        return Z * math.hypot(a, b)
    low, high = 0.0, 60 * (a + b)
    for _ in range(80):
        middle = (low + high) / 2
        tail = _laplace_tail(np.array([middle]), a, np.array([b]))[0]
        low, high = (middle, high) if tail > 0.05 else (low, middle)
    return high


def average(
    mechanism: Mechanism, total: list[int], count: list[int], scales: tuple[float, float] = (30.0, 2.0)
) -> Ratio:
    return ratio_interval(
        mechanism=mechanism, total=np.array(total), total_scale=scales[0], count=np.array(count), count_scale=scales[1],
        center=50, lower=0, upper=100,
    )  # fmt: skip


# --- counts and sums --------------------------------------------------------------------------------------------------


@promise("P5.4")
@pytest.mark.parametrize("mechanism", BOTH)
@pytest.mark.parametrize("width", SCALES)
@pytest.mark.parametrize("level", [0.5, 0.95, 0.999])
def test_the_half_width_covers_and_is_hardly_wider_than_needed(
    mechanism: Mechanism, width: float, level: float
) -> None:
    x, p = formulas.discrete(mechanism, width)
    half = half_width(mechanism, width, level)
    assert p[np.abs(x) <= half].sum() >= level - 1e-12
    if half > 0:
        spare = 1 if mechanism == "laplace" else 2
        assert p[np.abs(x) <= half - spare].sum() < level


@pytest.mark.parametrize("mechanism", BOTH)
@pytest.mark.parametrize("width", SCALES)
def test_the_deviation_is_not_less_than_the_noise_has(mechanism: Mechanism, width: float) -> None:
    x, p = formulas.discrete(mechanism, width)
    assert deviation(mechanism, width) >= math.sqrt(np.sum(p * x * x)) - 1e-9
    if width >= 3:
        assert deviation(mechanism, width) == pytest.approx(math.sqrt(np.sum(p * x * x)), rel=0.02)


@promise("P6.6")
@given(st.sampled_from(BOTH), st.floats(1, 1e12))
def test_an_asked_accuracy_gives_the_widest_noise_that_keeps_it(mechanism: Mechanism, width: float) -> None:
    found = scale_within(mechanism, width)
    assert half_width(mechanism, found) <= width
    assert half_width(mechanism, found * (1 + 1e-9) + 1e-9) >= math.floor(width)


@pytest.mark.parametrize("width", [0.0, 0.99, -3.0])
def test_an_accuracy_under_one_step_is_refused(width: float) -> None:
    with pytest.raises(RequestError, match="within_too_small"):
        scale_within("laplace", width)


# --- averages ---------------------------------------------------------------------------------------------------------


@promise("P5.4")
@pytest.mark.parametrize("mechanism", BOTH)
@pytest.mark.parametrize("a", [0.1, 0.5, 1.0, 3.0, 20.0])
@pytest.mark.parametrize("b", [0.1, 0.5, 1.0, 3.0, 20.0])
def test_the_widened_quantile_covers_the_discrete_noise_exactly(mechanism: Mechanism, a: float, b: float) -> None:
    """By summing probabilities, not by drawing: P(|X - tY| > q(t) + (1 + |t|) / 2) <= 5 % at every t tried."""
    (x, p), (y, r) = formulas.discrete(mechanism, a), formulas.discrete(mechanism, b)
    joint = p[:, None] * r[None, :]
    for t in (0.0, 0.1, 0.37, 0.5, 1.0, 1.5, 2.71, 10.0, 33.3):
        bound = quantile(mechanism, a, t * b) + (1 + t) / 2
        assert joint[np.abs(x[:, None] - t * y[None, :]) > bound + 1e-9].sum() <= 0.05


@promise("P5.4")
@pytest.mark.parametrize(("a", "b"), [(1.0, 1.0), (1.0, 0.1), (5.0, 1.0), (1.0, 20.0), (1.0, 1.0 + 1e-9)])
def test_the_laplace_quantile_is_convex_in_t(a: float, b: float) -> None:
    """What finding an end by halving rests on."""
    q = np.array([quantile("laplace", a, abs(t) * b) for t in np.linspace(-5, 5, 201)])
    assert np.all(q[2:] - 2 * q[1:-1] + q[:-2] > -1e-9)


@pytest.mark.parametrize(("a", "b"), [(1.0, 0.0), (1.0, 1.0), (2.0, 1.0), (1.0, 1.0 + 1e-7), (3.0, 50.0)])
def test_the_laplace_tail_is_the_integral_of_its_density(a: float, b: float) -> None:
    rng = np.random.default_rng(7)
    drawn = np.abs(rng.laplace(0, a, 400_000) + (rng.laplace(0, b, 400_000) if b else 0))
    for w in (0.0, 0.5, 2.0, 6.0):
        tail = _laplace_tail(np.array([w]), a, np.array([b]))[0]
        assert tail == pytest.approx(np.mean(drawn > w), abs=0.004)


@promise("P5.4")
def test_gaussian_averages_get_fiellers_interval() -> None:
    """Against the roots of Fieller's quadratic, at counts so large that discreteness is nothing."""
    sums, count, ss, sn = 4_000_000.0, 200_000.0, 90_000.0, 9_000.0
    a, b, c = count**2 - (Z * sn) ** 2, -2 * sums * count, sums**2 - (Z * ss) ** 2
    roots = sorted((-b + sign * math.sqrt(b * b - 4 * a * c)) / (2 * a) for sign in (-1, 1))
    got = average("gaussian", [int(sums)], [int(count)], (ss, sn))
    assert got.low[0] == pytest.approx(50 + roots[0], abs=1e-4)
    assert got.high[0] == pytest.approx(50 + roots[1], abs=1e-4)
    assert got.estimate[0] == pytest.approx(70)
    assert not got.flagged[0]


@promise("P5.4")
@pytest.mark.parametrize("mechanism", BOTH)
@pytest.mark.parametrize("scales", [(0.1, 0.1), (0.3, 0.5), (0.7, 0.2), (3.0, 1.3), (1.7, 3.0)])
@pytest.mark.parametrize(("n", "total"), [(0, 0), (1, 21), (3, -150), (8, 168), (12, 0), (60, 2970), (1000, 250)])
def test_averages_are_covered_at_every_count(
    mechanism: Mechanism, scales: tuple[float, float], n: int, total: int
) -> None:
    """The chance of a release whose interval holds the truth, summed over every pair of noises."""
    (x, p), (y, r) = formulas.discrete(mechanism, scales[0]), formulas.discrete(mechanism, scales[1])
    every = np.meshgrid(x, y, indexing="ij")
    got = ratio_interval(
        mechanism=mechanism, total=(total + every[0]).ravel(), total_scale=scales[0],
        count=(n + every[1]).ravel(), count_scale=scales[1], center=50, lower=0, upper=100,
    )  # fmt: skip
    mean = 50 + (total / n if n else 0)
    covered = (got.low <= mean + 1e-9) & (mean - 1e-9 <= got.high)
    assert np.outer(p, r).ravel()[covered].sum() >= 0.95


@promise("P5.4")
@pytest.mark.parametrize("mechanism", BOTH)
def test_a_count_under_its_noise_is_flagged_and_says_nothing(mechanism: Mechanism) -> None:
    limit = 2 * deviation(mechanism, 2.0)
    got = average(mechanism, [900, 900, -7, 20], [-40, 0, 3, math.ceil(limit)])
    assert got.flagged.tolist() == [True, True, True, False]
    assert got.estimate[:3].tolist() == [50, 50, 50]
    assert got.low[:3].tolist() == [0, 0, 0]
    assert got.high[:3].tolist() == [100, 100, 100]


@promise("P5.4")
@pytest.mark.parametrize("mechanism", BOTH)
def test_a_set_outside_the_declared_bounds_is_no_certainty(mechanism: Mechanism) -> None:
    """Noise carried the average far over its bound: not a point at the bound, but the whole range, flagged."""
    got = average(mechanism, [90_000], [100])
    assert got.flagged.tolist() == [True]
    assert (got.estimate[0], got.low[0], got.high[0]) == (50, 0, 100)


@promise("P5.4")
@settings(deadline=None)
@given(
    mechanism=st.sampled_from(BOTH),
    total=st.integers(-(10**9), 10**9),
    count=st.integers(-(10**7), 10**7),
    scales=st.tuples(st.floats(0.01, 1e6), st.floats(0.01, 1e6)),
)
def test_averages_stay_inside_the_declared_bounds(
    mechanism: Mechanism, total: int, count: int, scales: tuple[float, float]
) -> None:
    got = average(mechanism, [total], [count], scales)
    assert 0 <= got.low[0] <= got.estimate[0] <= got.high[0] <= 100


@pytest.mark.parametrize("mechanism", BOTH)
def test_more_budget_never_widens_an_average(mechanism: Mechanism) -> None:
    wide, narrow = (average(mechanism, [2000], [400], (s * 30, s * 2)) for s in (2.0, 1.0))
    assert wide.low[0] < narrow.low[0] < 55 < narrow.high[0] < wide.high[0]


def test_groups_are_independent_of_each_other() -> None:
    rng = np.random.default_rng(3)
    totals, counts = rng.integers(-9000, 9000, 50).tolist(), rng.integers(-5, 300, 50).tolist()
    together = average("laplace", totals, counts)
    for i in range(50):
        alone = average("laplace", totals[i : i + 1], counts[i : i + 1])
        assert (alone.low[0], alone.estimate[0], alone.high[0]) == (
            together.low[i],
            together.estimate[i],
            together.high[i],
        )
