"""Price and noise: rounded against us, equal to the published formulas, drawn anew for every value."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import opendp.prelude as dp
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import chi2

from sandbox.errors import IntegrityFailed, RequestError
from sandbox.privacy import mechanisms
from sandbox.privacy.accounting import DELTA_UNIT, UNIT
from sandbox.privacy.mechanisms import CHUNK, Mechanism, add_noise, epsilon_of_rho, loss, rho_of_epsilon, scale
from sandbox.privacy.sensitivity import root_up
from tests.promises import promise
from tests.unit.privacy import formulas

BOTH: tuple[Mechanism, ...] = ("laplace", "gaussian")
mechanism_names = st.sampled_from(BOTH)
sensitivities = st.one_of(st.integers(1, 1000), st.integers(1, 2**61))


# --- conversion -------------------------------------------------------------------------------------------------------


@promise("P1.2")
@settings(deadline=None, max_examples=40)
@given(rho=st.integers(1, 20 * UNIT), delta=st.integers(10**3, 10**14))
def test_the_conversion_is_the_published_one_rounded_up(rho: int, delta: int) -> None:
    exact = formulas.epsilon(rho / UNIT, delta / DELTA_UNIT) * UNIT
    assert exact <= epsilon_of_rho(rho, delta) <= exact * (1 + 1e-9) + 3


@promise("P1.2")
@settings(deadline=None, max_examples=20)
@given(rho=st.integers(1, 10 * UNIT), delta=st.integers(10**3, 10**14))
def test_the_conversion_is_monotone(rho: int, delta: int) -> None:
    at = epsilon_of_rho(rho, delta)
    assert at <= epsilon_of_rho(rho + 1, delta)
    assert at <= epsilon_of_rho(rho, delta - 1)


def test_no_delta_and_huge_rho_certify_nothing() -> None:
    assert epsilon_of_rho(UNIT, 0) == mechanisms.UNBOUNDED
    assert epsilon_of_rho(10**6 * UNIT, 10**12) == mechanisms.UNBOUNDED


@promise("P6.6")
@settings(deadline=None, max_examples=20)
@given(epsilon=st.integers(10**9, 100 * UNIT), delta=st.integers(10**6, 10**14))
def test_rho_of_epsilon_is_the_largest(epsilon: int, delta: int) -> None:
    rho = rho_of_epsilon(epsilon, delta)
    assert rho == 0 or epsilon_of_rho(rho, delta) <= epsilon
    assert epsilon_of_rho(rho + 1, delta) > epsilon


# --- price ------------------------------------------------------------------------------------------------------------


@promise("P5.1")
@settings(deadline=None)
@given(mechanism=mechanism_names, sensitivity=sensitivities, width=st.floats(1e-3, 2.0**56))
def test_the_price_is_never_under_the_formula_and_hardly_over(
    mechanism: Mechanism, sensitivity: int, width: float
) -> None:
    ratio = Fraction(sensitivity) / Fraction(width)
    exact = (ratio if mechanism == "laplace" else ratio * ratio / 2) * UNIT
    assert exact <= loss(mechanism, sensitivity=sensitivity, scale=width) <= exact * (1 + Fraction(1, 10**12)) + 1


@promise("P5.1")
@settings(deadline=None)
@given(mechanism=mechanism_names, sensitivity=st.integers(1, 2**40), paid=st.integers(10**6, 100 * UNIT))
def test_the_scale_costs_what_is_paid_and_no_more(mechanism: Mechanism, sensitivity: int, paid: int) -> None:
    exact = sensitivity * (UNIT / paid if mechanism == "laplace" else math.sqrt(UNIT / 2 / paid))
    if exact > mechanisms.WIDEST:
        with pytest.raises(RequestError, match="budget_too_small"):
            scale(mechanism, sensitivity=sensitivity, loss=paid)
        return
    found = scale(mechanism, sensitivity=sensitivity, loss=paid)
    priced = loss(mechanism, sensitivity=sensitivity, scale=found)
    assert paid * (1 - 1e-9) - 1 <= priced <= paid


@promise("P5.1")
@pytest.mark.parametrize("mechanism", BOTH)
def test_a_map_that_asks_too_little_raises_the_alarm(mechanism: Mechanism, monkeypatch: pytest.MonkeyPatch) -> None:
    """OpenDP replaced by one that prices noise of twice the width."""
    name = f"make_{mechanism}"
    real = getattr(dp.m, name)
    monkeypatch.setattr(dp.m, name, lambda *space, scale: real(*space, scale=2 * scale))
    with pytest.raises(IntegrityFailed, match="price_disagrees"):
        loss(mechanism, sensitivity=3, scale=11.0625)


@promise("P5.1")
@pytest.mark.parametrize("mechanism", BOTH)
def test_a_map_that_asks_more_is_paid(mechanism: Mechanism, monkeypatch: pytest.MonkeyPatch) -> None:
    name = f"make_{mechanism}"
    real = getattr(dp.m, name)
    monkeypatch.setattr(dp.m, name, lambda *space, scale: real(*space, scale=scale / 2))
    expected = {"laplace": 2 * 3 / 12.0625, "gaussian": 4 * (3 / 12.0625) ** 2 / 2}[mechanism]
    assert loss(mechanism, sensitivity=3, scale=12.0625) == pytest.approx(expected * UNIT, abs=2)


@promise("P5.2")
@pytest.mark.parametrize("mechanism", BOTH)
@pytest.mark.parametrize("sensitivity", [2**31 - 1, 2**31, 2**53 + 1, 2**61 - 1])
def test_large_sensitivities_are_priced_without_wrapping(mechanism: Mechanism, sensitivity: int) -> None:
    ratio = Fraction(sensitivity, 2**50)
    exact = (ratio if mechanism == "laplace" else ratio * ratio / 2) * UNIT
    assert loss(mechanism, sensitivity=sensitivity, scale=2.0**50) >= exact


@promise("P5.2")
@pytest.mark.parametrize("mechanism", BOTH)
@pytest.mark.parametrize("width", [0.0, -1.0, math.inf, math.nan])
def test_a_scale_that_prices_at_nothing_or_infinity_is_refused(mechanism: Mechanism, width: float) -> None:
    with pytest.raises(ValueError, match="a price needs"):
        loss(mechanism, sensitivity=1, scale=width)


@promise("P5.2")
def test_a_sensitivity_of_zero_is_refused() -> None:
    with pytest.raises(ValueError, match="a price needs"):
        loss("laplace", sensitivity=0, scale=1.0)


@pytest.mark.parametrize("mechanism", BOTH)
@pytest.mark.parametrize("paid", [0, -5, 1])
def test_too_small_a_budget_is_a_clear_error(mechanism: Mechanism, paid: int) -> None:
    with pytest.raises(RequestError, match="budget_too_small"):
        scale(mechanism, sensitivity=2**55, loss=paid)


@promise("P5.1", "P5.2")
@settings(deadline=None)
@given(square=st.integers(1, 2**80), paid=st.integers(10**9, 100 * UNIT))
def test_a_root_as_sensitivity_is_priced_for_what_it_stands_for(square: int, paid: int) -> None:
    """L2 sensitivities are roots: the price covers the exact root, and the scale found for it costs what is paid."""
    try:
        found = scale("gaussian", sensitivity=root_up(square), loss=paid)
    except RequestError:
        assert math.sqrt(square * UNIT / 2 / paid) > mechanisms.WIDEST * (1 - 1e-9)
        return
    exact = Fraction(square) / Fraction(found) ** 2 / 2 * UNIT
    assert exact <= loss("gaussian", sensitivity=root_up(square), scale=found) <= paid
    assert exact >= paid * (1 - Fraction(1, 10**9)) - 1


# --- noise ------------------------------------------------------------------------------------------------------------


@promise("P5.1")
@pytest.mark.parametrize("mechanism", BOTH)
def test_the_noise_has_the_published_distribution(mechanism: Mechanism) -> None:
    """Chi-squared at a false alarm of 1e-9: integers, right centre, right scale, right tails."""
    draws, width = 40_000, 2.5
    noise = add_noise(mechanism, scale=width, values=np.zeros(draws, dtype=np.int64))
    assert noise.dtype == np.int64
    x, p = formulas.discrete(mechanism, width)
    inner = np.abs(x) <= 7
    expected = np.append(p[inner], 1 - p[inner].sum()) * draws
    seen = np.array([np.sum(noise == v) for v in x[inner]] + [np.sum(np.abs(noise) > 7)])
    assert np.sum((seen - expected) ** 2 / expected) < chi2.ppf(1 - 1e-9, len(expected) - 1)


@promise("P5.1")
@pytest.mark.parametrize("mechanism", BOTH)
def test_every_value_gets_noise_of_its_own(mechanism: Mechanism) -> None:
    """Across chunks and calls: 2^40 wide noise never repeats unless it is reused."""
    zeros = np.zeros(2 * CHUNK + 17, dtype=np.int64)
    drawn = np.concatenate([add_noise(mechanism, scale=2.0**40, values=zeros) for _ in range(2)])
    assert len(np.unique(drawn)) > len(drawn) - 10


@pytest.mark.parametrize("shape", [(0,), (1,), (3, 5), (2, 0), (2, CHUNK + 1)])
def test_shapes_and_values_are_kept(shape: tuple[int, ...]) -> None:
    values = np.arange(math.prod(shape), dtype=np.int64).reshape(shape) * 10**12
    noisy = add_noise("laplace", scale=5.0, values=values)
    assert noisy.shape == shape
    assert np.all(np.abs(noisy - values) < 10_000)


def test_the_values_given_are_not_changed() -> None:
    values = np.full(10, 7, dtype=np.int64)
    add_noise("gaussian", scale=100.0, values=values.T)
    assert np.all(values == 7)


@promise("P5.2")
@pytest.mark.parametrize("mechanism", BOTH)
def test_the_largest_aggregates_keep_64_bits(mechanism: Mechanism) -> None:
    values = np.array([2**62 - 1, -(2**62) + 1, 2**31, -(2**31) - 1], dtype=np.int64)
    assert np.all(np.abs(add_noise(mechanism, scale=50.0, values=values) - values) < 5000)
