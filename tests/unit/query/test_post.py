"""Post-processing: SQL's meaning on noisy values, and intervals that enclose what they should."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandbox.plans import Call, Expr, Lit
from sandbox.query.release import post
from sandbox.query.release.post import Series

A, B = Call("measure count", (Lit(0),)), Call("measure count", (Lit(1),))


def run(expr: Expr, a: float, b: float, width: float = 0.0) -> Series:
    values = {A: a, B: b}

    def atoms(call: Call) -> Series:
        v = np.array([values[call]])
        return Series(value=v, low=v - width, high=v + width)

    return post.evaluate(expr, atoms, 1)


def number(expr: Expr, a: float, b: float) -> float:
    return float(run(expr, a, b).value[0])


def test_arithmetic() -> None:
    assert number(Call("+", (A, B)), 2, 3) == 5
    assert number(Call("/", (A, B)), 1, 4) == 0.25
    assert number(Call("round", (Call("/", (A, B)), Lit(1))), 1, 8) == 0.1
    assert math.isnan(number(Call("/", (A, B)), 1, 0)), "division by zero is NULL"
    assert number(Call("coalesce", (Call("/", (A, B)), Lit(7))), 1, 0) == 7


@pytest.mark.parametrize(
    ("name", "truth"),
    [
        ("and", [(1, 1, 1), (1, 0, 0), (0, math.nan, 0), (1, math.nan, math.nan)]),
        ("or", [(0, 0, 0), (1, math.nan, 1), (0, math.nan, math.nan)]),
    ],
)
def test_three_valued_logic(name: str, truth: list[tuple[float, float, float]]) -> None:
    for a, b, expected in truth:
        got = number(Call(name, (A, B)), a, b)
        assert got == expected or (math.isnan(got) and math.isnan(expected))


def test_comparison_with_null_is_unknown() -> None:
    for name in ("=", "<>", "<", ">="):
        assert math.isnan(number(Call(name, (A, B)), math.nan, 1))
    assert number(Call("is null", (A,)), math.nan, 1) == 1
    assert number(Call("between", (A, Lit(1), Lit(3))), 2, 0) == 1
    assert number(Call("in", (A, Lit(1), Lit(3))), 2, 0) == 0
    assert number(Call("is true", (Call(">", (A, B)),)), math.nan, 0) == 0


SHAPES = [
    Call("+", (A, B)), Call("-", (A, B)), Call("*", (A, B)), Call("/", (A, B)), Call("abs", (A,)), Call("neg", (A,)),
    Call("*", (Call("-", (A, B)), Call("+", (A, Lit(2))))), Call("/", (A, Call("+", (A, B)))),
]  # fmt: skip


@given(
    st.sampled_from(SHAPES),
    st.floats(-100, 100), st.floats(-100, 100), st.floats(0, 20), st.floats(-1, 1), st.floats(-1, 1),
)  # fmt: skip
def test_an_interval_encloses_every_combination_of_truths(
    shape: Call, a: float, b: float, width: float, da: float, db: float
) -> None:
    series = run(shape, a, b, width)
    truth = number(shape, a + da * width, b + db * width)
    if not math.isnan(truth):
        slack = 1e-9 * (1 + abs(truth))
        assert series.low[0] - slack <= truth <= series.high[0] + slack
