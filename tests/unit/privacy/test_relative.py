"""Repeated releases: their mean, its interval, when they end, and what they cost beside the smallest possible price."""

from __future__ import annotations

import math
from statistics import NormalDist

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandbox.privacy import relative
from sandbox.privacy.accounting import UNIT
from sandbox.privacy.relative import Combined, Draw, combine, half_width, standing, wanted
from tests.promises import promise

G = NormalDist()


@promise("P5.5")
@pytest.mark.parametrize("scale", [0.2, 0.35, 0.5, 0.7, 1.0, 1.5, 3.0, 10.0])
def test_discrete_noise_is_at_most_continuous_noise_and_one(scale: float) -> None:
    """P(Z >= m) <= P(G >= m - 1) for every whole m, also below 0: the exact sums that the interval's proof rests on."""
    far = math.ceil(12 * scale) + 3
    at = np.arange(-far, far + 1)
    mass = np.exp(-((at / scale) ** 2) / 2)
    tail = np.cumsum(mass[::-1])[::-1] / mass.sum()
    for m, found in zip(at[1:], tail[1:], strict=True):
        assert found <= 1 - G.cdf((int(m) - 1) / scale) + 1e-12


@promise("P5.5")
@given(
    true=st.integers(-(2**62), 2**62), noises=st.lists(st.tuples(st.integers(-999, 999), st.floats(1, 500)), min_size=1, max_size=8)
)  # fmt: skip
def test_the_mean_is_weighted_by_inverse_variance_and_exact_for_large_numbers(
    true: int, noises: list[tuple[int, float]]
) -> None:
    draws = [Draw(values=np.array([[true + e]]), scale=s, loss=i + 1) for i, (e, s) in enumerate(noises)]
    found = combine(draws)
    weights = [1 / s**2 for _, s in noises]
    error = sum(w * e for w, (e, _) in zip(weights, noises, strict=True)) / sum(weights)
    assert abs(int(found.values[0, 0]) - true - error) <= 0.5 + 1e-6
    assert found.scale == pytest.approx(1 / math.sqrt(sum(weights)))
    assert found.loss == sum(range(1, len(noises) + 1))


def of(values: list[int], scale: float, loss: int = 1000) -> Combined:
    return Combined(values=np.array(values).reshape(-1, 1), scale=scale, loss=loss)


@promise("P5.5")
def test_numbers_are_reached_open_or_hopeless() -> None:
    found = of([10_000, -10_000, 1_000, 0], 100.0)
    judged = standing(found, share=0.05, left=10**6)
    assert judged.reached.tolist() == [True, True, False, False]
    assert judged.hopeless.tolist() == [False] * 4
    poor = standing(found, share=0.05, left=2000)
    assert poor.hopeless.tolist() == [False, False, True, True]
    assert poor.open.tolist() == [False] * 4
    assert wanted(found, poor, share=0.05, last=False) == found.loss
    more = wanted(of([1_000], 100.0), standing(of([1_000], 100.0), share=0.05, left=10**6), share=0.05, last=False)
    assert more == pytest.approx(1000 * (found.half / (0.05 * (1000 + found.half))) ** 2, abs=1)
    near = of([4_000], 100.0)
    assert wanted(near, standing(near, share=0.05, left=10**6), share=0.05, last=False) == 1100, "a tenth at least"
    least = wanted(near, standing(near, share=0.05, left=10**6), share=0.05, last=True)
    assert least > 1100


REACH, SHARE, RELEASES, PILOT = 3.0, 0.05, 8, 10_000


def asked(true: int, cap: int, rng: np.random.Generator) -> tuple[Combined, int]:
    """One question's releases, on continuous noise: what they come to, and how many they were."""
    draws, loss = list[Draw](), max(cap // PILOT, 1)
    for number in range(1, RELEASES + 1):
        scale = REACH / math.sqrt(2 * loss / UNIT)
        values = np.array([[true + round(rng.normal(0, scale))]])
        draws.append(Draw(values=values, scale=scale, loss=loss))
        found = combine(draws)
        left = cap - found.loss
        judged = standing(found, share=SHARE, left=left)
        loss = min(left, wanted(found, judged, share=SHARE, last=number == RELEASES - 1) - found.loss)
        if loss < 1:
            break
    return found, number


@promise("P5.5", "P5.4")
@pytest.mark.parametrize("true", [0, 40, 400, 630, 700, 800, 1_000, 1_130, 3_000, 10_000, 200_000])
def test_intervals_cover_although_the_releases_stop_when_a_number_looks_large(true: int) -> None:
    cap, trials, rng = UNIT // 20, 1500, np.random.default_rng(true)
    found = [asked(true, cap, rng) for _ in range(trials)]
    covered = sum(abs(int(c.values[0, 0]) - true) <= c.half for c, _ in found) / trials
    assert covered >= 0.95 - 3 * math.sqrt(0.05 * 0.95 / trials)
    assert all(c.loss <= cap for c, _ in found)
    quantile = G.inv_cdf((1 + relative.STOPPED) / 2)
    if 900 < true < 20_000:  # the first release is too little, and the cap enough
        least = (REACH * quantile / (SHARE * true)) ** 2 / 2 * UNIT
        assert sum(c.loss for c, _ in found) / trials < 1.3 * least
        assert all(c.half <= SHARE * int(c.values[0, 0]) for c, _ in found)
        assert sum(n for _, n in found) / trials < 6.5


def test_the_half_width_covers_whole_steps() -> None:
    assert half_width(100.0) == math.ceil(G.inv_cdf(0.98) * 100) + 2
