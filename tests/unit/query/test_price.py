"""Prices: the mechanism that errs less, never more than was asked, inverted exactly for an accuracy."""

from __future__ import annotations

import dataclasses

import pytest

from sandbox.errors import SandboxError
from sandbox.flow import Cost
from sandbox.privacy import intervals, mechanisms
from sandbox.privacy.accounting import UNIT, open_cap
from sandbox.query.planning.offers import Purse, epsilon_of
from sandbox.query.planning.price import price
from sandbox.query.planning.rung import CostModel
from tests.promises import promise
from tests.unit.query.plans import plan_of, plans_of
from tests.unit.query.specs import SPEC

CAP = open_cap(epsilon=3 * UNIT, delta=10**11, conversion=5 * 10**10, epsilon_of_rho=mechanisms.epsilon_of_rho)
PURSE = Purse(cap=CAP, spent=Cost(delta=10**6))
MODEL = CostModel(row_column=1e-8, row_node=1e-8, number=1e-6, fixed=0.02, threads=2)

ONE = "SELECT count(*) FROM city.trips"
MANY = "SELECT " + ", ".join(f"sum(delay + {i}) AS s{i}" for i in range(60)) + " FROM city.trips"


@promise("P6.6")
def test_a_first_question_is_pure_and_many_measures_are_gaussian() -> None:
    one = price(plans_of(ONE), PURSE, MODEL)
    assert one.releases[0].mechanism == "laplace"
    assert one.releases[0].scale == pytest.approx(3.0), "k = 3 rows at epsilon 1"
    many = price(plans_of(MANY), PURSE, MODEL)
    assert {r.mechanism for r in many.releases} == {"gaussian"}


@promise("P6.6")
@pytest.mark.parametrize("epsilon", [10**9, UNIT // 3, UNIT, 3 * UNIT])
@pytest.mark.parametrize("sql", [ONE, MANY, "SELECT line, avg(delay), count(*) FROM city.trips GROUP BY line"])
def test_the_price_is_at_most_what_was_offered(sql: str, epsilon: int) -> None:
    priced = price(plans_of(sql, epsilon=epsilon), PURSE, MODEL)
    assert 0.99 * epsilon <= epsilon_of(priced.cost, CAP.first_share()) <= epsilon
    assert priced.cost.eps_p + priced.cost.rho == sum(r.loss for r in priced.releases)


@promise("P6.6")
@pytest.mark.parametrize("within", [5, 200, 1e6])
def test_within_is_inverted_exactly(within: float) -> None:
    priced = price(plans_of("SELECT count(*), sum(fare) FROM city.trips", within=within), PURSE, MODEL)
    widths = [intervals.half_width(r.mechanism, r.scale) for r in priced.releases]
    assert widths[0] <= within
    assert widths[0] >= within * 0.97 - 1
    assert widths[1] / 100 <= within, "fare is stored in hundredths"


def test_averages_follow_the_counts_noise() -> None:
    priced = price(plans_of("SELECT avg(delay), count(*) FROM city.trips", within=50), PURSE, MODEL)
    assert [m.kind for m in priced.plan.measures] == ["sum", "present", "rows"]
    total, present, rows = (r.loss for r in priced.releases)
    assert total == pytest.approx(rows * 3 / 4, rel=1e-3)
    assert present == pytest.approx(rows / 4, rel=1e-3)


def test_what_the_grant_can_pay_comes_first() -> None:
    """With the pure part spent, a Gaussian price that fits beats a Laplace one that errs less."""
    spent = Cost(eps_p=0, rho=CAP.frontier[0][1] // 8, delta=10**6)
    priced = price(plans_of(ONE, epsilon=UNIT), Purse(cap=CAP, spent=spent), MODEL)
    assert priced.releases[0].mechanism == "laplace"
    nearly = Cost(rho=max(rho for _, rho in CAP.frontier) - mechanisms.rho_of_epsilon(UNIT // 2, CAP.first_share()), delta=10**6)
    priced = price(plans_of(ONE, epsilon=UNIT // 2), Purse(cap=CAP, spent=nearly), MODEL)
    assert priced.releases[0].mechanism == "gaussian"


@pytest.mark.parametrize(
    ("asked", "code"),
    [
        ({"epsilon": None}, "budget_missing"),
        ({"epsilon": 0}, "budget_range"),
        ({"epsilon": 10**15}, "budget_range"),
        ({"within": -1.0}, "within_range"),
        ({"within": float("nan")}, "within_range"),
        ({"within": 1e300}, "within_range"),
        ({"within": 0.25}, "within_too_small"),
    ],
)
def test_bad_budgets(asked: dict[str, object], code: str) -> None:
    with pytest.raises(SandboxError) as caught:
        price(plans_of(ONE, **asked), PURSE, MODEL)  # type: ignore[arg-type]
    assert caught.value.code == code


def test_an_accuracy_needs_a_total() -> None:
    with pytest.raises(SandboxError) as caught:
        price(plans_of("SELECT avg(delay) FROM city.trips", within=5), PURSE, MODEL)
    assert caught.value.code == "within_needs_totals"


@promise("P6.5")
def test_a_preview_is_a_function_of_declared_facts() -> None:
    """Price and rung take a plan and a purse: neither holds a row, and the version's files are not looked at."""
    priced = price(plans_of(ONE), PURSE, MODEL)
    assert priced.plan.version.files == ()


@promise("P7.1")
def test_the_rung_is_a_function_of_declared_facts() -> None:
    assert MODEL.rung(plan_of(ONE)) == 0.25
    big = dataclasses.replace(SPEC, n_max=100_000_000)
    slow = plan_of("SELECT line, avg(delay) FROM city.trips GROUP BY line", spec=big)
    rung = MODEL.rung(slow)
    assert rung in {0.25 * 2**j for j in range(20)}
    assert rung >= 3 * MODEL.seconds(slow) > rung / 2


T = 10**17
HUGE = f"({T} * {T} * 170141)"


@promise("P2.5", "P3.4")
@pytest.mark.parametrize("sql", [f"SELECT avg(hour * 0 + {HUGE}) FROM city.trips", f"SELECT avg(hour * {T} + {HUGE}) FROM city.trips"])
def test_a_centre_does_not_hide_an_overflow(sql: str) -> None:
    """Before the centre is taken off, the sum would overflow from some number of rows on, and its failure tell that."""
    with pytest.raises(SandboxError) as caught:
        price(plans_of(sql), PURSE, MODEL)
    assert caught.value.code in {"plan_overflows", "expression_overflows"}


@promise("P2.5")
def test_a_plan_that_could_overflow_by_declared_maxima_is_refused() -> None:
    with pytest.raises(SandboxError) as caught:
        price(plans_of("SELECT sum(big / 2) FROM city.trips"), PURSE, MODEL)
    assert caught.value.code == "plan_overflows"
