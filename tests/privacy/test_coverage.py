"""Coverage: of 2,000 answers, intervals hold the true bounded aggregate 95 times in 100, within the count's own error.

The true numbers are fixed; only the release is drawn. Every shape of answer, in both modes, through the mechanisms
and the intervals that answers are made with; scales come from prices, as in a query.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Final

import numpy as np
import pytest

from sandbox.privacy import mechanisms, selection
from sandbox.privacy.accounting import UNIT
from sandbox.privacy.intervals import half_width, ratio_interval
from sandbox.privacy.mechanisms import Mechanism, add_noise
from sandbox.privacy.sensitivity import Kind, reach
from sandbox.privacy.spread import Atom, variance
from tests.promises import promise

LOSS: Final = UNIT // 4
LEVEL: Final = 0.95
ROWS, GROUPS, LOWER, UPPER = 4, 12, 0, 100
CENTER: Final = 40
HALF: Final = UPPER - CENTER
Shape = Callable[[Mechanism, int], np.ndarray]


def scale_of(mechanism: Mechanism, kind: Kind, row_bound: int = 1, most: int = 1) -> float:
    """What a measure of this kind is noised at, for LOSS."""
    claim = reach(form="rows", kind=kind, groups=GROUPS, rows=ROWS, row_bound=row_bound, most=most)
    return mechanisms.scale(mechanism, sensitivity=claim.l1 if mechanism == "laplace" else claim.l2, loss=LOSS)


def population(n: int) -> np.ndarray:
    """Values of one group, skewed, with ties."""
    return np.minimum(np.random.default_rng(n).geometric(0.04, n), UPPER)


def drawn(mechanism: Mechanism, true: int, scale: float, draws: int) -> np.ndarray:
    return add_noise(mechanism, scale=scale, values=np.full(draws, true, dtype=np.int64))


def additive(kind: Kind, true: int, row_bound: int = 1, most: int = 1) -> Shape:
    """A count, a sum, a number of distinct values, a bin: a noisy integer and its half-width."""

    def covered(mechanism: Mechanism, draws: int) -> np.ndarray:
        scale = scale_of(mechanism, kind, row_bound, most)
        return np.abs(drawn(mechanism, true, scale, draws) - true) <= half_width(mechanism, scale)

    return covered


def average(n: int) -> Shape:
    x = population(n)

    def covered(mechanism: Mechanism, draws: int) -> np.ndarray:
        total, count = scale_of(mechanism, "sum", HALF), scale_of(mechanism, "present")
        got = ratio_interval(
            mechanism=mechanism, total=drawn(mechanism, int((x - CENTER).sum()), total, draws), total_scale=total,
            count=drawn(mechanism, n, count, draws), count_scale=count, center=CENTER, lower=LOWER, upper=UPPER,
        )  # fmt: skip
        return (got.low <= x.mean()) & (x.mean() <= got.high)

    return covered


def spread(n: int, *, of: str, root: bool = False) -> Shape:
    x = population(n)

    def covered(mechanism: Mechanism, draws: int) -> np.ndarray:
        scales = [
            scale_of(mechanism, kind, size) for kind, size in (("present", 1), ("sum", HALF), ("square", HALF**2))
        ]
        atoms = [
            Atom(values=drawn(mechanism, int(true), s, draws), scale=s)
            for true, s in zip((n, (x - CENTER).sum(), ((x - CENTER) ** 2).sum()), scales, strict=True)
        ]
        got = variance(
            mechanism=mechanism, count=atoms[0], total=atoms[1], squares=atoms[2], lower=LOWER, upper=UPPER, of=of,  # type: ignore[arg-type]
        )  # fmt: skip
        true = x.var(ddof=1 if of == "sample" else 0)
        got, true = (got.root(), math.sqrt(true)) if root else (got, true)
        return (got.low <= true) & (true <= got.high)

    return covered


def quantile(n: int, p: int, q: int) -> Shape:
    """In rank: the chosen value's own ranks reach to within the half-width of the wanted one."""
    x, grid, share = population(n), selection.candidates(LOWER, UPPER), 16
    bins = np.zeros((1, 2 * len(grid) + 1), dtype=np.int64)
    np.add.at(bins[0], 2 * (x - LOWER) + 1, share)

    def covered(mechanism: Mechanism, draws: int) -> np.ndarray:
        noise: selection.Selection = "exponential" if mechanism == "laplace" else "gumbel"
        scale = selection.scale(noise, sensitivity=selection.score_sensitivity(p, q, ROWS * share), loss=LOSS)
        scores = np.repeat(selection.scores(bins, p=p, q=q), draws, axis=0)
        chosen = grid[selection.choose(noise, scale=scale, scores=scores)]
        at_most, less = (x[None] <= chosen[:, None]).sum(axis=1), (x[None] < chosen[:, None]).sum(axis=1)
        error = np.maximum(np.maximum(p * n / q - at_most, less - p * n / q), 0)
        return error <= selection.rank_half_width(scale, of=len(grid), q=q, share=share)

    return covered


def members(picks: int) -> Shape:
    """Every chosen value has at most so many units fewer than the true last one."""
    counts = np.random.default_rng(picks).integers(0, 60, 25)

    def covered(mechanism: Mechanism, draws: int) -> np.ndarray:
        noise: selection.Selection = "exponential" if mechanism == "laplace" else "gumbel"
        scale = selection.scale(noise, sensitivity=1, loss=LOSS, picks=picks, monotonic=True)
        chosen = selection.top_k(noise, scale=scale, counts=np.tile(counts, (draws, 1)), picks=picks)
        return counts[chosen].min(axis=1) >= np.sort(counts)[-picks] - selection.score_gap(scale, of=25, picks=picks)

    return covered


SHAPES: dict[str, Shape] = {
    "count": additive("rows", 1234),
    "count of nothing": additive("rows", 0),
    "sum": additive("sum", -98_765, row_bound=HALF),
    "distinct": additive("distinct", 321, most=2),
    "distinct units": additive("units", 5),
    "histogram": additive("histogram", 17),
    "average": average(2000),
    "average of few": average(40),
    "variance": spread(3000, of="sample"),
    "variance of few": spread(60, of="sample"),
    "variance of a population": spread(300, of="population"),
    "deviation": spread(3000, of="sample", root=True),
    "median": quantile(500, 1, 2),
    "largest": quantile(500, 1, 1),
    "decile": quantile(60, 1, 10),
    "top three": members(3),
}


def check(shape: str, mechanism: Mechanism, draws: int) -> None:
    covered = SHAPES[shape](mechanism, draws)
    assert covered.shape == (draws,)
    # Three and a half deviations of the count itself: a false alarm once in 4,000 honest shapes at the limit.
    assert covered.mean() >= LEVEL - 3.5 * math.sqrt(LEVEL * (1 - LEVEL) / draws)


@promise("P5.4")
@pytest.mark.parametrize("mechanism", ["laplace", "gaussian"])
@pytest.mark.parametrize("shape", SHAPES)
def test_two_thousand_answers_are_covered(shape: str, mechanism: Mechanism) -> None:
    check(shape, mechanism, 2000)


@pytest.mark.slow
@promise("P5.4")
@pytest.mark.parametrize("mechanism", ["laplace", "gaussian"])
@pytest.mark.parametrize("shape", SHAPES)
def test_a_hundred_thousand_answers_are_covered(shape: str, mechanism: Mechanism) -> None:
    for _ in range(5):
        check(shape, mechanism, 20_000)


@promise("P5.4")
@pytest.mark.parametrize("mechanism", ["laplace", "gaussian"])
@pytest.mark.parametrize("shape", ["count", "sum", "average", "variance", "deviation"])
def test_intervals_of_too_little_noise_are_caught(
    shape: str, mechanism: Mechanism, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The test can fail: noise of three times the scale that the interval knows of."""
    monkeypatch.setitem(
        globals(), "add_noise", lambda m, *, scale, values: mechanisms.add_noise(m, scale=3 * scale, values=values)
    )
    with pytest.raises(AssertionError):
        check(shape, mechanism, 2000)
