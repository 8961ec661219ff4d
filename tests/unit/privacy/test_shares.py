"""Dividing a budget: the shares make the total error least, on every machine alike."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandbox.privacy.mechanisms import Mechanism
from sandbox.privacy.split import Need, _cube_root, shares

NEEDS = st.lists(
    st.builds(Need, groups=st.integers(1, 10**6), reach=st.floats(1, 1e12), unit=st.integers(1, 1000), weight=st.integers(1, 5)),
    min_size=1, max_size=6,
)  # fmt: skip


def error(mechanism: Mechanism, needs: list[Need], parts: list[float]) -> float:
    power = 1 if mechanism == "laplace" else 0.5
    return sum(n.groups * n.reach * n.weight / n.unit / part**power for n, part in zip(needs, parts, strict=True))


@pytest.mark.parametrize("mechanism", ["laplace", "gaussian"])
@given(needs=NEEDS, other=st.lists(st.floats(0.01, 1), min_size=6, max_size=6))
def test_no_other_division_has_less_error(mechanism: Mechanism, needs: list[Need], other: list[float]) -> None:
    found = shares(mechanism, needs)
    whole = sum(found)
    best = error(mechanism, needs, [s / whole for s in found])
    parts = other[: len(needs)]
    assert best <= error(mechanism, needs, [p / sum(parts) for p in parts]) * (1 + 1e-5)


@given(value=st.one_of(st.integers(0, 1000), st.integers(0, 2**300)))
def test_cube_roots_are_exact(value: int) -> None:
    root = _cube_root(value)
    assert root**3 <= value < (root + 1) ** 3


def test_a_count_is_not_starved_by_a_sum_of_large_values() -> None:
    count, total = Need(groups=10, reach=5), Need(groups=10, reach=5 * 3000, unit=3000)
    assert len(set(shares("gaussian", [count, total]))) == 1
    eight = shares("gaussian", [Need(groups=1, reach=1), Need(groups=8, reach=1)])
    assert eight[1] / eight[0] == pytest.approx(4, rel=1e-5)


@pytest.mark.parametrize("wrong", [{"groups": 0}, {"reach": 0.0}, {"reach": math.inf}, {"unit": 0}, {"weight": 0}])
def test_senseless_needs_are_refused(wrong: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="need"):
        shares("gaussian", [Need(**{"groups": 1, "reach": 1.0, **wrong})])  # type: ignore[arg-type]
