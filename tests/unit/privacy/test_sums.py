"""Sums of noises: what a roll-up says of its error holds, by exact convolution and by the release's own noise."""

from __future__ import annotations

import math

import numpy as np
import pytest

from sandbox.privacy import intervals, mechanisms, sums
from sandbox.privacy.mechanisms import Mechanism
from tests.promises import promise


def laplace(scale: float, reach: int) -> np.ndarray:
    p = math.exp(-1 / scale)
    return np.asarray((1 - p) / (1 + p) * p ** np.abs(np.arange(-reach, reach + 1)))


def gaussian(scale: float, reach: int) -> np.ndarray:
    weights = np.exp(-(np.arange(-reach, reach + 1.0) ** 2) / (2 * scale * scale))
    return np.asarray(weights / weights.sum())


def summed(pmf: np.ndarray, cells: int) -> np.ndarray:
    found = pmf
    for _ in range(cells - 1):
        found = np.convolve(found, pmf)
    return found


@promise("P5.4")
@pytest.mark.parametrize("cells", [2, 3, 10, 40])
@pytest.mark.parametrize("scale", [0.3, 0.7, 1.0, 3.0, 11.0])
@pytest.mark.parametrize("mechanism", ["laplace", "gaussian"])
def test_a_sums_interval_covers_and_not_much_more_than_it_must(mechanism: Mechanism, scale: float, cells: int) -> None:
    pmf = summed((laplace if mechanism == "laplace" else gaussian)(scale, math.ceil(40 * scale) + 4), cells)
    places = np.abs(np.arange(len(pmf)) - len(pmf) // 2)
    for level in (0.95, 0.99):
        width = sums.half_width(mechanism, scale, cells, level)
        assert pmf[places > width].sum() <= 1 - level + 1e-9
        tight = next(w for w in range(len(pmf)) if pmf[places > w].sum() <= 1 - level)
        assert scale < 1 or width <= 1.8 * tight + 2


def test_of_one_noise_it_is_the_interval_of_a_single_number() -> None:
    for scale in (0.7, 5.0, 1e6):
        assert sums.half_width("gaussian", scale, 1, 0.95) == intervals.half_width("gaussian", scale)


@pytest.mark.parametrize(("a", "b", "cells"), [(1.0, 0.4, 3), (5.0, 20.0, 7), (3.0, 0.0, 12), (2.0, 2.0, 2)])
def test_the_tail_of_two_sums_is_never_understated(a: float, b: float, cells: int) -> None:
    one = summed(laplace(a, math.ceil(45 * a)), cells)
    two = summed(laplace(b, math.ceil(45 * b)), cells) if b else np.ones(1)
    pmf = np.convolve(one, two)
    places = np.abs(np.arange(len(pmf)) - len(pmf) // 2)
    for w in np.linspace(0, 12 * max(a, b) * math.sqrt(cells), 40):
        (bound,) = sums.laplace_tail(np.array([w]), a, np.array([b]), cells)
        true = pmf[places >= w].sum()
        assert true <= bound + 1e-9
        if 1e-9 < true < 0.05:
            assert bound < 30 * true + 1e-3 or true < 1e-3


@promise("P5.4")
@pytest.mark.parametrize("mechanism", ["laplace", "gaussian"])
def test_an_average_of_sums_is_covered(mechanism: Mechanism) -> None:
    draws, cells = 2000, 9
    zeros = np.zeros((draws, cells), np.int64)
    total = 4000 + mechanisms.add_noise(mechanism, scale=60.0, values=zeros).sum(axis=1)
    count = 200 + mechanisms.add_noise(mechanism, scale=7.0, values=zeros).sum(axis=1)
    ratio = intervals.ratio_interval(
        mechanism=mechanism, total=total, total_scale=60.0, count=count, count_scale=7.0, center=0, lower=-100,
        upper=100, cells=cells,
    )  # fmt: skip
    covered = float(np.mean((ratio.low <= 20) & (ratio.high >= 20)))
    assert covered >= 0.95 - 4 * math.sqrt(0.05 * 0.95 / draws)
    one = intervals.ratio_interval(
        mechanism=mechanism, total=total, total_scale=60.0, count=count, count_scale=7.0, center=0, lower=-100, upper=100
    )
    assert float(np.mean((one.low <= 20) & (one.high >= 20))) < 0.8, "nine noises are not one"
