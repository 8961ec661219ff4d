"""The ledger's arithmetic: the frontier certifies what it says, and `fits` is integers, monotone, without refunds."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import norm

from sandbox.flow import Cost
from sandbox.privacy import mechanisms
from sandbox.privacy.accounting import (
    DELTA_UNIT,
    UNIT,
    Cap,
    decimal,
    default_delta,
    delta_0,
    fits,
    largest_rho,
    left,
    open_cap,
)
from tests.promises import promise
from tests.unit.privacy import formulas

E, D, DC = UNIT, 2 * 10**12, 10**12


def opened(epsilon: int = E, delta: int = D, conversion: int = DC, pure: int | None = None) -> Cap:
    return open_cap(
        epsilon=epsilon, delta=delta, conversion=conversion, epsilon_of_rho=mechanisms.epsilon_of_rho, pure=pure
    )


costs = st.builds(
    Cost,
    eps_p=st.integers(0, 2 * E),
    rho=st.integers(0, E // 10),
    delta=st.integers(0, D),
)
points = st.lists(st.tuples(st.integers(0, 2 * E), st.integers(0, E // 10)), min_size=1, max_size=9)
caps = st.builds(
    lambda frontier, delta, conversion: Cap(
        epsilon=2 * E, delta=delta, conversion=min(conversion, delta), frontier=tuple(frontier)
    ),
    points,
    st.integers(0, 2 * D),
    st.integers(0, D),
)


# --- the frontier -----------------------------------------------------------------------------------------------------


@promise("P1.2")
def test_the_frontier_has_the_eight_pure_parts_and_the_pure_point() -> None:
    cap = opened()
    assert [e for e, _ in cap.frontier] == [*(j * E // 8 for j in range(8)), E]
    assert cap.frontier[-1] == (E, 0)
    assert [r for _, r in cap.frontier] == sorted((r for _, r in cap.frontier), reverse=True)


@promise("P1.2")
@pytest.mark.parametrize(("epsilon", "conversion"), [(3 * 10**11, 6 * 10**7), (E, DC), (10 * E, 5 * 10**11)])
def test_each_rho_is_the_largest_whose_conversion_fits_beside_its_pure_part(epsilon: int, conversion: int) -> None:
    for j, (pure, rho) in enumerate(opened(epsilon, 2 * conversion, conversion).frontier[:-1]):
        share = conversion // (2 if j == 0 else 14)
        assert mechanisms.epsilon_of_rho(rho, share) <= epsilon - pure < mechanisms.epsilon_of_rho(rho + 1, share)


@promise("P1.2")
@pytest.mark.parametrize(("epsilon", "conversion"), [(3 * 10**11, 6 * 10**7), (E, DC), (10 * E, 5 * 10**11)])
def test_the_points_together_need_no_more_than_the_conversion_delta(epsilon: int, conversion: int) -> None:
    """The sum in the proof, with the conversion formula written down independently and no OpenDP."""
    needed = sum(
        formulas.delta(rho / UNIT, (epsilon - pure) / UNIT)
        for pure, rho in opened(epsilon, D, conversion).frontier[:-1]
    )
    assert 0.99 * conversion < needed * DELTA_UNIT <= conversion


@promise("P1.2")
def test_a_limit_on_the_pure_part_cuts_the_frontier_there() -> None:
    whole, cut = opened(10 * E), opened(10 * E, pure=6 * E)
    assert cut.frontier[:5] == whole.frontier[:5]
    assert [e for e, _ in cut.frontier] == [0, 125 * E // 100, 25 * E // 10, 375 * E // 100, 5 * E, 6 * E]
    assert whole.frontier[5][1] < cut.frontier[5][1] < whole.frontier[4][1]
    assert not fits(Cost(), Cost(eps_p=6 * E + 1), cut)
    assert opened(E, pure=2 * E) == opened(E)


@pytest.mark.parametrize(
    ("epsilon", "conversion"), [(0, DC), (1, DC), (7, DC), (E, 0), (E, 1)], ids=["zero", "unit", "few", "none", "least"]
)
def test_tiny_caps_certify_little_and_never_too_much(epsilon: int, conversion: int) -> None:
    cap = opened(epsilon, D, conversion)
    assert (epsilon, 0) in cap.frontier
    assert all(e <= epsilon and (r == 0 or conversion > 0) for e, r in cap.frontier)
    assert not fits(Cost(), Cost(eps_p=epsilon + 1), cap)


@pytest.mark.parametrize("wrong", [{"epsilon": -1}, {"conversion": D + 1}, {"conversion": -1}, {"pure": -1}])
def test_impossible_caps_are_refused(wrong: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="a cap needs"):
        opened(**wrong)


@promise("P1.2")
@given(target=st.integers(1, 10**16), a=st.integers(1, 10**6), b=st.integers(1, 50))
def test_bisection_finds_the_largest_rho_of_any_increasing_conversion(target: int, a: int, b: int) -> None:
    def convert(rho: int, _delta: int) -> int:
        return rho * b + math.isqrt(rho) * a

    rho = largest_rho(convert, epsilon=target, delta=0)
    assert rho == 0 or convert(rho, 0) <= target
    assert convert(rho + 1, 0) > target


# --- an adversary who chooses the split by what was seen --------------------------------------------------------------


def best_chooser(epsilon: float, total: float, pure_left: dict[float, float]) -> float:
    """The delta reached by taking small Gaussian steps and going pure at the best moment; a lower bound of the truth.

    Backward induction over (privacy loss so far, rho spent). `pure_left` says what may still be spent pure after each
    amount of rho; it is spent on randomised response, whose loss is that much with certainty.
    """
    spent = sorted(pure_left)
    step, grid = total / (len(spent) - 1), 1 / 400
    z = np.arange(-6, 8 + grid, grid)

    def stop(pure: float) -> np.ndarray:
        chance = 1 / (1 + math.exp(-pure))
        over, under = (np.maximum(1 - np.exp(np.minimum(epsilon - z - e, 50)), 0) for e in (pure, -pure))
        return np.asarray(chance * over + (1 - chance) * under)

    half = int(8 * math.sqrt(2 * step) / grid)
    k = np.arange(-half, half + 1) * grid
    step_law = np.diff(norm.cdf(np.append(k, k[-1] + grid) - grid / 2, step, math.sqrt(2 * step)))
    value = stop(pure_left[spent[-1]])
    for rho in reversed(spent[:-1]):
        padded = np.pad(value, half, mode="edge")
        value = np.maximum(stop(pure_left[rho]), np.convolve(padded, step_law[::-1], mode="valid"))
    return float(value[np.argmin(np.abs(z))])


@promise("P1.2")
def test_a_chooser_breaks_the_converted_total_but_not_the_frontier() -> None:
    """Checking eps_p + eps(rho) <= E on the totals gives away more than the delta; one covering point does not."""
    cap, steps = opened(E, 2 * 10**12, 10**12), 200
    largest = mechanisms.rho_of_epsilon(E, DC)
    totals = {
        i * largest / UNIT / steps: max(E - mechanisms.epsilon_of_rho(i * largest // steps, DC), 0) / UNIT
        for i in range(steps + 1)
    }
    assert best_chooser(1.0, largest / UNIT, totals) > 2 * DC / DELTA_UNIT

    most = cap.frontier[0][1]
    covered = {i * most / UNIT / steps: left([(Cost(rho=i * most // steps), cap)])[0] / UNIT for i in range(steps + 1)}
    assert best_chooser(1.0, most / UNIT, covered) <= DC / DELTA_UNIT


# --- fits and left ----------------------------------------------------------------------------------------------------


@promise("P1.2")
@given(spent=costs, cost=costs, less=costs, cap=caps)
def test_what_fits_also_fits_with_less(spent: Cost, cost: Cost, less: Cost, cap: Cap) -> None:
    if fits(spent, cost, cap):
        lower = Cost(eps_p=min(cost.eps_p, less.eps_p), rho=min(cost.rho, less.rho), delta=min(cost.delta, less.delta))
        earlier = Cost(
            eps_p=min(spent.eps_p, less.eps_p), rho=min(spent.rho, less.rho), delta=min(spent.delta, less.delta)
        )
        assert fits(spent, lower, cap)
        assert fits(earlier, cost, cap)


@promise("P1.2")
@given(charges=st.lists(costs, max_size=30), cap=caps)
def test_every_accepted_history_is_covered_by_one_point_and_keeps_the_reserve(charges: list[Cost], cap: Cap) -> None:
    spent = Cost()
    for cost in charges:
        if fits(spent, cost, cap):
            spent += cost
    if spent != Cost():
        assert spent.delta + cap.conversion <= cap.delta
        assert any(spent.eps_p <= e and spent.rho <= r for e, r in cap.frontier)


@promise("P1.2")
@given(spent=costs, cost=costs, cap=caps)
def test_the_order_and_the_pieces_of_charges_do_not_matter(spent: Cost, cost: Cost, cap: Cap) -> None:
    assert fits(spent, cost, cap) == fits(cost, spent, cap) == fits(Cost(), spent + cost, cap)


@pytest.mark.parametrize("refund", [Cost(eps_p=-1), Cost(rho=-1), Cost(delta=-1), Cost(eps_p=-1, rho=5)])
def test_a_negative_cost_never_fits(refund: Cost) -> None:
    assert not fits(Cost(eps_p=10, rho=10, delta=10), refund, opened())


@promise("P1.2")
def test_points_cannot_be_mixed() -> None:
    """Each counter alone is under some point; together under none."""
    cap = Cap(epsilon=10, delta=10, conversion=0, frontier=((0, 100), (10, 0)))
    assert fits(Cost(rho=100), Cost(), cap)
    assert fits(Cost(eps_p=10), Cost(), cap)
    assert not fits(Cost(rho=1), Cost(eps_p=1), cap)


@promise("P1.2")
def test_delta_keeps_its_reserve_to_the_unit() -> None:
    cap = opened()
    assert fits(Cost(), Cost(delta=D - DC), cap)
    assert not fits(Cost(delta=1), Cost(delta=D - DC), cap)


@given(spent=costs, cap=caps)
def test_left_is_exactly_what_still_fits(spent: Cost, cap: Cap) -> None:
    pure, rho = left([(spent, cap)])
    if pure:
        assert fits(spent, Cost(eps_p=pure), cap)
    if rho:
        assert fits(spent, Cost(rho=rho), cap)
    assert not fits(spent, Cost(eps_p=pure + 1), cap)
    assert not fits(spent, Cost(rho=rho + 1), cap)


@promise("P1.5")
@given(pairs=st.lists(st.tuples(costs, caps), min_size=1, max_size=4))
def test_left_over_several_caps_is_the_least_of_each(pairs: list[tuple[Cost, Cap]]) -> None:
    each = [left([pair]) for pair in pairs]
    assert left(pairs) == (min(p for p, _ in each), min(r for _, r in each))


def test_nothing_is_left_where_there_is_no_cap_or_no_delta() -> None:
    assert left([]) == (0, 0)
    assert left([(Cost(delta=D), opened())]) == (0, 0)


# --- constants --------------------------------------------------------------------------------------------------------


@promise("P2.2")
@given(n_ids=st.integers(1, 2**40))
def test_delta_0_is_the_union_bound_rounded_up(n_ids: int) -> None:
    exact = Fraction(n_ids, 2**64) * DELTA_UNIT
    assert exact <= delta_0(n_ids) < exact + 1


@promise("P2.2")
def test_delta_0_of_a_billion_identifiers() -> None:
    assert delta_0(10**9) / DELTA_UNIT == pytest.approx(5.4e-11, rel=0.01)


@given(registered=st.integers(1, 10**10))
def test_the_default_delta_is_rounded_down(registered: int) -> None:
    assert default_delta(registered) * 10 * registered <= DELTA_UNIT < (default_delta(registered) + 1) * 10 * registered


@pytest.mark.parametrize(
    ("units", "text"),
    [
        (0, "0"), (1, "0.000000000001"), (UNIT, "1"), (15 * UNIT // 10, "1.5"), (100 * UNIT, "100"),
        (-UNIT // 4, "-0.25"), (10 * UNIT - 1, "9.999999999999"),
    ],
)  # fmt: skip
def test_decimals(units: int, text: str) -> None:
    assert decimal(units) == text


@given(units=st.integers(-(10**20), 10**20))
def test_decimals_are_exact(units: int) -> None:
    assert Fraction(decimal(units)) * UNIT == units
