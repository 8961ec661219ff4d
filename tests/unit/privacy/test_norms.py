"""Automatic clipping: half-octave bins, one a unit, and a choice near the best that hindsight would make."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandbox.privacy import norms
from sandbox.privacy.accounting import UNIT
from sandbox.privacy.mechanisms import loss
from sandbox.privacy.norms import bin_of, choose, edges
from tests.promises import promise


@given(maximum=st.integers(1, 2**31), norm=st.integers(0, 2**31))
def test_a_bin_is_where_the_norm_is_between_its_edges(maximum: int, norm: int) -> None:
    limits = [int(e) for e in edges(maximum)]
    assert limits[-1] >= maximum**2
    assert len(limits) == 1 or limits[-2] < maximum**2
    assert all(b == 2 * a for a, b in itertools.pairwise(limits))
    at = int(bin_of(np.array([norm**2]), maximum)[0])
    assert norm**2 <= limits[at] or at == len(limits) - 1
    assert at == 0 or norm**2 > limits[at - 1]


@promise("P5.1")
def test_the_histogram_is_priced_for_one_bin_a_unit() -> None:
    width = norms.scale(rho=UNIT // 10)
    assert loss("gaussian", sensitivity=1, scale=width) <= UNIT // 10
    noisy = norms.release(scale=width, histogram=np.full(10_000, 50, dtype=np.int64))
    assert noisy.std() == pytest.approx(width, rel=0.1)


@given(
    noisy=st.lists(st.integers(-50, 50), min_size=11, max_size=11),
    groups=st.integers(1, 1000),
    sigma=st.floats(0.1, 100),
)
def test_the_choice_is_a_function_of_the_noisy_histogram_and_stays_in_bounds(
    noisy: list[int], groups: int, sigma: float
) -> None:
    got = {choose(np.array(noisy), scale=5.0, groups=groups, sigma=sigma, maximum=30) for _ in range(2)}
    assert len(got) == 1
    assert 1 <= got.pop() <= 30


def test_the_top_is_the_first_window_that_noise_does_not_explain() -> None:
    """One group, hardly any noise to pay: T is the largest norm that is surely there."""
    noisy = np.zeros(21, dtype=np.int64)
    noisy[[8, 12]] = 1000, 46
    assert choose(noisy, scale=10.0, groups=1, sigma=0.01, maximum=1000) == 64
    noisy[12] = 45
    assert choose(noisy, scale=10.0, groups=1, sigma=0.01, maximum=1000) == 16
    noisy[[11, 12]] = 32, 32
    assert choose(noisy, scale=10.0, groups=1, sigma=0.01, maximum=1000) == 64


def test_more_noise_clips_lower() -> None:
    noisy = np.full(21, 200, dtype=np.int64)
    got = [choose(noisy, scale=10.0, groups=100, sigma=sigma, maximum=1000) for sigma in (0.01, 10, 30, 60, 1000)]
    assert got == sorted(got, reverse=True)
    assert got[0] == 1000
    assert got[-1] == 1


def test_nothing_there_clips_at_one_and_odd_histograms_are_refused() -> None:
    assert choose(np.zeros(21, dtype=np.int64), scale=10.0, groups=1, sigma=1.0, maximum=1000) == 1
    with pytest.raises(ValueError, match="one count"):
        choose(np.zeros(20, dtype=np.int64), scale=10.0, groups=1, sigma=1.0, maximum=1000)
    with pytest.raises(ValueError, match="maximum"):
        edges(0)


@pytest.mark.parametrize("groups", [1, 10, 100])
def test_the_choice_is_near_hindsight(groups: int) -> None:
    """Log-normal units spread over groups: error at the chosen T against the best T of all, on a known draw."""
    rng = np.random.default_rng(groups)
    size = np.ceil(rng.lognormal(3, 1, 20_000)).astype(np.int64)
    sigma = math.sqrt(UNIT / (2 * (UNIT // 20)))

    def error(t: int) -> float:
        clipped = float(np.sum(np.maximum(size - t, 0)))
        return clipped * min(math.sqrt(groups), 2.0) + 0.8 * groups * sigma * t

    maximum = 4000
    histogram = np.bincount(bin_of(size**2, maximum), minlength=len(edges(maximum)))
    best = min(error(t) for t in range(1, maximum + 1))
    width = norms.scale(rho=UNIT // 200)
    found = [
        error(
            choose(
                norms.release(scale=width, histogram=histogram),
                scale=width,
                groups=groups,
                sigma=sigma,
                maximum=maximum,
            )
        )
        for _ in range(50)
    ]
    assert np.median(found) <= 1.5 * best
    assert error(maximum) > 3 * best
