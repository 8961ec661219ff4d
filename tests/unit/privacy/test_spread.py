"""Variances: the interval is the exact range over the box, holds what is possible, and says when it knows nothing."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sandbox.privacy import spread
from sandbox.privacy.intervals import deviation
from sandbox.privacy.mechanisms import Mechanism
from sandbox.privacy.spread import Atom, Spread, variance
from tests.promises import promise

BOTH: tuple[Mechanism, ...] = ("laplace", "gaussian")


def of(n: int, s: int, q: int, width: float, kind: str, *, mechanism: Mechanism = "gaussian", half: int = 50) -> Spread:
    """Variance of one group of x in [-half, half] around 0; noise of `width` on n, of width * half on s, ..."""
    return variance(
        mechanism=mechanism,
        count=Atom(values=np.array([n]), scale=width),
        total=Atom(values=np.array([s]), scale=width * half),
        squares=Atom(values=np.array([q]), scale=width * half * half),
        lower=-half,
        upper=half,
        of=kind,  # type: ignore[arg-type]
    )


@given(values=st.lists(st.integers(-50, 50), min_size=2, max_size=30))
def test_without_noise_it_is_the_variance(values: list[int]) -> None:
    x = np.array(values)
    for kind, ddof in (("sample", 1), ("population", 0)):
        got = of(len(x), int(x.sum()), int((x**2).sum()), 1e-12, kind)
        assert got.estimate[0] == pytest.approx(x.var(ddof=ddof), abs=1e-6)
        assert got.root().estimate[0] == pytest.approx(x.std(ddof=ddof), abs=1e-3)


@promise("P5.4")
@settings(deadline=None)
@given(data=st.data(), q=st.floats(-50, 5000), s=st.floats(0, 500), low=st.floats(0.001, 1), width=st.floats(0, 1))
def test_the_range_over_a_box_is_exact(data: st.DataObject, q: float, s: float, low: float, width: float) -> None:
    """The ends bound every point of the box, and are reached on a fine grid."""
    ends = np.array([q]), np.array([s]), np.array([low]), np.array([low + width])
    top, bottom = float(spread._highest(*ends)[0]), float(spread._lowest(*ends)[0])
    u = np.linspace(low, low + width, 2001)
    inside = q * u - (s * u) ** 2
    slack = 1e-6 * (1 + abs(q) + (s * (low + width)) ** 2)
    assert inside.max() <= top + slack
    assert bottom - slack <= inside.min() <= bottom + slack
    assert top <= inside.max() + slack + (s * (low + width)) ** 2 * (width / 2000 / low) ** 2


@promise("P5.4")
@pytest.mark.parametrize("kind", ["sample", "population"])
@settings(deadline=None)
@given(n=st.integers(-20, 400), mean=st.integers(-60, 60), variance_=st.integers(-100, 4000), width=st.floats(0.1, 40))
def test_every_answer_lies_in_what_is_possible(kind: str, n: int, mean: int, variance_: int, width: float) -> None:
    got = of(n, n * mean, n * (variance_ + mean**2), width, kind)
    most = 2500.0 * (2 if kind == "sample" else 1)
    assert 0 <= got.low[0] <= got.estimate[0] <= got.high[0] <= most
    if n < 2 * deviation("gaussian", width):
        assert got.flagged[0]
    if got.flagged[0]:
        assert got.low[0] == 0
        assert got.high[0] >= 2500.0


@promise("P5.4")
@pytest.mark.parametrize("mechanism", BOTH)
def test_the_interval_is_not_absurdly_wide(mechanism: Mechanism) -> None:
    """Against the deviation of the estimate itself, by the delta method: at most twice what 95 % needs."""
    n, width, half = 20_000, 10.0, 50
    got = of(n, 3 * n, n * 300, width, "sample", mechanism=mechanism, half=half)
    noise = deviation(mechanism, width) / n * math.hypot(half * half, 6 * half, 300 - 2 * 9)
    assert noise * 1.96 < (got.high[0] - got.low[0]) / 2 < 2 * noise * 1.96


def test_impossible_numbers_are_flagged_not_certain() -> None:
    got = of(1000, 0, -50_000_000, 1.0, "population")
    assert got.flagged[0]
    assert (got.low[0], got.high[0]) == (0, 2500)


@pytest.mark.parametrize("kind", ["sample", "population"])
def test_a_fixed_point_changes_nothing(kind: str) -> None:
    """Everything in steps of 1/1024, noise too: the same variance, also where n / (n - 1) matters."""
    numbers, factor = (12, 30, 400), 1024

    def at(by: int) -> Spread:
        n, s, q = (Atom(values=np.array([x * by]), scale=1e-9 * by) for x in numbers)
        return variance(mechanism="gaussian", count=n, total=s, squares=q, lower=-50, upper=50, one=by, of=kind)  # type: ignore[arg-type]

    assert at(factor).estimate[0] == pytest.approx(at(1).estimate[0], rel=1e-3)
