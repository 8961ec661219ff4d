"""Reach of every form: never less than a unit can do, reached by the worst unit, in room that is proved."""

from __future__ import annotations

import math
from fractions import Fraction
from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandbox.errors import RequestError
from sandbox.privacy.sensitivity import Form, Kind, Reach, check_room, reach, root_up
from tests.promises import promise


def worst(vectors: list[list[int]]) -> tuple[int, int]:
    """The largest L1 norm and the largest squared L2 norm."""
    return max(sum(map(abs, v)) for v in vectors), max(sum(x * x for x in v) for v in vectors)


def reached(claim: Reach, vectors: list[list[int]]) -> None:
    """The claim is what the worst unit does: not less, and not more than rounding."""
    l1, square = worst(vectors)
    assert claim.l1 == l1
    assert Fraction(claim.l2) ** 2 >= square
    assert Fraction(math.nextafter(claim.l2, 0)) ** 2 < square


@promise("P4.1")
@pytest.mark.parametrize("form", ["ingest", "rows"])
@pytest.mark.parametrize(("groups", "rows", "most"), list(product((1, 2, 3), (1, 2, 3, 4), (1, 2, 3))))
def test_by_rows_the_worst_unit_reaches_it(form: Form, groups: int, rows: int, most: int) -> None:
    """Every unit of up to `rows` rows with three possible values, by enumeration."""
    sums, counts, units, distinct = [], [], [], []
    for places in product(range(groups), repeat=rows):
        for values in product((-1, 0, 2), repeat=rows):
            cells = list(zip(places, values, strict=True))
            sums.append([sum(v for p, v in cells if p == g) for g in range(groups)])
            counts.append([sum(p == g for p, _ in cells) for g in range(groups)])
            units.append([int(any(p == g for p, _ in cells)) for g in range(groups)])
            distinct.append([min(len({v for p, v in cells if p == g}), most) for g in range(groups)])
    reached(reach(form=form, kind="sum", groups=groups, rows=rows, row_bound=2), sums)
    reached(reach(form=form, kind="rows", groups=groups, rows=rows), counts)
    reached(reach(form=form, kind="units", groups=groups, rows=rows), units)
    reached(reach(form=form, kind="distinct", groups=groups, rows=rows, most=most), distinct)


@promise("P4.2")
@pytest.mark.parametrize(("groups", "kept", "per_group"), list(product((1, 2, 4), (1, 2, 3), (1, 2))))
def test_by_groups_the_worst_unit_reaches_it(groups: int, kept: int, per_group: int) -> None:
    """Every vector that keeping `kept` groups and clamping leaves possible."""
    bound = 3 * per_group

    def possible(size: int) -> list[list[int]]:
        return [list(v) for v in product((-size, 0, size), repeat=groups) if sum(x != 0 for x in v) <= kept]

    claims: dict[Kind, int] = {"sum": bound, "rows": 3 * per_group, "units": 1, "distinct": 2}
    for kind, size in claims.items():
        claim = reach(form="groups", kind=kind, groups=groups, kept=kept, per_group=per_group, row_bound=3, most=2)
        reached(claim, possible(size))


@promise("P4.2")
@given(v=st.lists(st.integers(-(2**20), 2**20), min_size=1, max_size=12), norm=st.integers(1, 2**20))
def test_a_clipped_vector_stays_inside(v: list[int], norm: int) -> None:
    square = sum(x * x for x in v)
    root = math.isqrt(square) + (math.isqrt(square) ** 2 < square)
    clipped = v if root <= norm else [int(math.copysign(abs(x) * norm // root, x)) for x in v]
    claim = reach(form="clip", kind="sum", groups=len(v), norm=norm)
    assert sum(x * x for x in clipped) <= Fraction(claim.l2) ** 2 == norm * norm
    assert sum(map(abs, clipped)) <= claim.l1


@given(square=st.one_of(st.integers(0, 10**6), st.integers(0, 2**200)))
def test_a_root_is_rounded_up_and_no_further(square: int) -> None:
    root = root_up(square)
    assert Fraction(root) ** 2 >= square
    assert square == 0 or Fraction(math.nextafter(root, 0)) ** 2 < square


@pytest.mark.parametrize(
    "wrong",
    [
        {"form": "rows", "kind": "sum", "groups": 3},
        {"form": "groups", "kind": "sum", "groups": 3, "kept": 1},
        {"form": "groups", "kind": "sum", "groups": 3, "per_group": 1},
        {"form": "clip", "kind": "sum", "groups": 3},
        {"form": "clip", "kind": "distinct", "groups": 3, "norm": 5},
        {"form": "rows", "kind": "sum", "groups": 0, "rows": 1},
    ],
)
def test_a_bound_that_is_not_one_is_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=r"reach|bound|clipped"):
        reach(**wrong)  # type: ignore[arg-type]


def test_a_measure_that_is_always_nothing_still_gets_noise() -> None:
    assert reach(form="rows", kind="sum", groups=1, rows=4, row_bound=0).l2 >= 1


@promise("P5.2")
@pytest.mark.parametrize(
    ("form", "n_max", "r_max", "largest", "fixed"),
    [("rows", 2**31, 1, 2**31 - 1, 1), ("clip", 2**31, 1, 2**10, 2**20), ("clip", 1, 2**10, 2**20, 1)],
)
def test_what_might_overflow_is_refused_and_the_last_that_fits_is_not(
    form: Form, n_max: int, r_max: int, largest: int, fixed: int
) -> None:
    check_room(form=form, n_max=n_max, r_max=r_max, largest=largest, fixed=fixed)
    with pytest.raises(RequestError, match="plan_overflows"):
        check_room(form=form, n_max=n_max, r_max=r_max, largest=2 * largest + 2, fixed=max(fixed, 2))


@promise("P5.2")
def test_a_norm_squared_that_might_overflow_is_refused() -> None:
    check_room(form="clip", n_max=10, r_max=2**11, largest=2**20, fixed=1)
    largest = math.isqrt(2**63 - 1) // 2**11
    check_room(form="clip", n_max=10, r_max=2**11, largest=largest)
    assert np.int64((2**11 * largest) ** 2) > 0
    with pytest.raises(RequestError, match="plan_overflows"):
        check_room(form="clip", n_max=10, r_max=2**11, largest=largest + 1)
