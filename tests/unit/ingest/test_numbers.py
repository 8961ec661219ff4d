"""Numbers: exact, half to even, and the same for a cell whatever stands beside it."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandbox.ingest.columns import GOOD, MISSING, UNREADABLE
from sandbox.ingest.numbers import FAR, NumberGrid
from tests.promises import promise

GRIDS = [("1", 1000), ("0.01", 10**6), ("0.25", 400), ("5", 2**40), ("0.000001", 10**9), ("0.000000000001", 9000), ("3", 7)]

plain = st.from_regex(r"[+-]?[0-9]{1,20}(\.[0-9]{0,20})?", fullmatch=True)
odd = st.sampled_from(
    ["", " ", "1.-5", ".-5", "-.5", "-.", ".", "1..5", "1.5.", "0x1F", "1e3", "1E-2", " 5", "5 ", "+5", "-0", ".5", "5.", "nan", "NaN", "inf", "1_0", "1,5", "--1", "abc", "１",
     "1\x00", "1e400", "-1e400", "1e-400", "0.5", "1.5", "2.5", "-0.5", "9223372036854775808", "1" * 500, "0" * 30 + "7"]
)  # fmt: skip
cells = st.lists(st.one_of(plain, odd, st.none(), st.binary(max_size=6)), max_size=12)


def column(values: list[str | bytes | None]) -> pa.Array:
    raw = [v.encode() if isinstance(v, str) else v for v in values]
    return pa.array(raw, pa.binary()).view(pa.string())


def kept(units: int, reach: int) -> int:
    """What the clamp leaves of a value: beyond the bounds it does not matter how far."""
    return max(-reach - 1, min(reach + 1, units))


@promise("P2.4", "P3.5")
@given(cells, st.sampled_from(GRIDS))
def test_a_cell_has_one_value_whatever_stands_beside_it(values: list[str | bytes | None], chosen: tuple[str, int]) -> None:
    grid, reach = NumberGrid(Decimal(chosen[0]), chosen[1]), chosen[1]
    together = grid.of_text(column(values))
    for i, value in enumerate(values):
        alone = grid.of_text(column([value]))
        one = grid.one(value.encode() if isinstance(value, str) else value) if value is not None else (0, MISSING)
        assert together.state[i] == alone.state[0] == one[1]
        if one[1] == GOOD:
            assert kept(int(together.units[i]), reach) == kept(int(alone.units[0]), reach) == kept(one[0], reach)


@promise("P3.5")
@given(st.lists(st.decimals(-1000, 1000, places=6), min_size=1, max_size=20), st.sampled_from(GRIDS))
def test_decimals_in_text_take_no_float_detour(values: list[Decimal], chosen: tuple[str, int]) -> None:
    grid, reach = NumberGrid(Decimal(chosen[0]), chosen[1]), chosen[1]
    parsed = grid.of_text(pa.array([format(v, "f") for v in values]))
    exact = [kept(round(Fraction(v) / Fraction(chosen[0])), reach) for v in values]
    assert [kept(u, reach) for u in parsed.units.tolist()] == exact
    assert (parsed.state == GOOD).all()


def test_what_floats_get_wrong_is_right() -> None:
    parsed = NumberGrid(Decimal("0.1"), 100).of_text(pa.array(["0.15", "0.25", "0.35", "1.005", "2.675"]))
    assert parsed.units.tolist() == [2, 2, 4, 10, 27]
    assert NumberGrid(Decimal("0.01"), 10**4).of_text(pa.array(["1.005", "2.675"])).units.tolist() == [100, 268]


@promise("P3.5")
@pytest.mark.parametrize(
    ("grid", "cell", "units"),
    [
        ("1", b"2.50000000000000000000001", 3), ("1", b"2.5", 2), ("1", b"3.5000000000000000000000", 4),
        ("0.1", b" 0.15 ", 2), ("0.01", b"+1.005", 100), ("0.1", b"1.5e-1", 2), ("3", b"4.49999999999999999999", 1),
    ],
)  # fmt: skip
def test_the_slow_way_takes_no_float_detour_either(grid: str, cell: bytes, units: int) -> None:
    assert NumberGrid(Decimal(grid), 1000).one(cell) == (units, GOOD)
    assert NumberGrid(Decimal(grid), 1000).of_text(column([cell, b"x"])).units.tolist()[0] == units


def test_floats_of_a_source_are_rounded_once() -> None:
    values = np.array([0.5, 1.5, 2.5, np.nan, np.inf, -np.inf, 1e300, -1e300, 0.0])
    parsed = NumberGrid(Decimal(1), 100).of_floats(values, np.array([True] * 8 + [False]))
    good, missing, bad = GOOD, MISSING, UNREADABLE
    assert parsed.state.tolist() == [good, good, good, missing, bad, bad, good, good, missing]
    assert parsed.units.tolist()[:3] == [0, 2, 2]
    assert parsed.units.tolist()[6:8] == [FAR, -FAR]


@pytest.mark.parametrize(("grid", "reach"), GRIDS)
def test_integers_of_a_source_agree_with_text(grid: str, reach: int) -> None:
    values = np.array([0, 1, -1, 7, 8, 2**40, -(2**40), 2**62, -(2**62)], np.int64)
    number = NumberGrid(Decimal(grid), reach)
    exact = [round(Fraction(int(v)) / Fraction(grid)) for v in values]
    for got, wanted in zip(number.of_ints(values, np.ones(9, bool)).units.tolist(), exact, strict=True):
        assert got == wanted or min(abs(got), abs(wanted)) > reach
