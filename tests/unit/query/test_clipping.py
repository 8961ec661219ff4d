"""Reused norms: priced as they are, without a stage, and only where an earlier histogram is about as good as a new one."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from sandbox.flow import Plan, Priced
from sandbox.plans import all_norms
from sandbox.privacy import mechanisms, norms
from sandbox.query import canonical, rollup
from sandbox.query.planning.clipping import COARSER, Histogram, measured
from sandbox.query.planning.price import price
from sandbox.query.release.table import expected
from tests.promises import promise
from tests.unit.query.plans import plan_of, plans_of
from tests.unit.query.specs import SPEC
from tests.unit.query.test_price import MODEL, PURSE

UNIT = 10**12
BOTH = "SELECT line, hour, count(*), sum(delay) FROM city.trips GROUP BY line, hour"
CLIP = {"bounding": "clip"}


def released(plan: Plan, index: int, *, rho: int, at: int) -> Histogram:
    """A histogram of ten thousand units whose squared norm is 2^at."""
    maximum = plan.bound.rows * plan.measures[index].row_bound
    counts = np.zeros(len(norms.edges(maximum)), np.int64)
    counts[at] = 10_000
    return Histogram(query=f"qry_{index}", counts=counts, scale=norms.scale(rho=rho))


def priced(known: dict[str, Histogram], sql: str = BOTH, epsilon: int = UNIT) -> Priced:
    return price(plans_of(sql, epsilon=epsilon, **CLIP), replace(PURSE, norms=known), MODEL)


@promise("P5.3", "P6.6")
def test_a_known_norm_is_not_paid_for_and_its_error_is_told() -> None:
    plan = plan_of(BOTH, **CLIP)
    anew = priced({})
    assert (anew.plan.stages, anew.reused, len(anew.norms)) == (("norms", "values"), (), 2)
    assert [o["expected_interval"] for o in expected(anew)[2:]] == [None, None]
    both = {measured(m): released(plan, i, rho=UNIT // 20, at=4) for i, m in enumerate(plan.measures)}
    one = priced({k: v for k, v in both.items() if v.query == "qry_1"})
    assert (one.plan.stages, one.clipped_anew, len(one.norms)) == (("norms", "values"), (0,), 1)
    assert all_norms(one.reused, (7,)) == (7, 4)
    known = priced(both)
    assert (known.plan.stages, known.norms, known.clipped_anew) == (("values",), (), ())
    assert [n and (n.query, n.norm) for n in known.reused] == [("qry_0", 4), ("qry_1", 4)]
    assert sum(r.loss for r in known.releases) == known.cost.rho <= anew.cost.rho
    for told, release in zip(expected(known)[2:], known.releases, strict=True):
        sigma = 4 * mechanisms.scale("gaussian", sensitivity=1, loss=release.loss)
        assert told["expected_interval"] == pytest.approx(1.96 * sigma, rel=0.01)
    assert rollup.expected_errors(known)[0] == pytest.approx(4 * mechanisms.scale("gaussian", sensitivity=1, loss=known.releases[0].loss), rel=1e-6)
    again = canonical.priced_from(
        canonical.priced_form(known), permitted=known.plan.permitted, tables={"ver_1": known.plan.tables[0]},
        population=known.plan.population, population_key=b"",
    )  # fmt: skip
    assert again == known


@promise("P5.3")
@pytest.mark.parametrize(("times", "lent"), [(0.02, True), (1.0, True), (0.9 * COARSER**2, True), (1.2 * COARSER**2, False)])
def test_a_much_dearer_question_buys_a_histogram_of_its_own(times: float, lent: bool) -> None:
    sql = "SELECT line, count(*) FROM city.trips GROUP BY line"
    plan = plan_of(sql, **CLIP)
    whole = priced({}, sql).cost.rho
    histogram = released(plan, 0, rho=round(whole / times / 10), at=2)
    found = priced({measured(plan.measures[0]): histogram}, sql)
    assert (found.clipped_anew == ()) is lent


@promise("P5.3")
def test_a_histogram_is_of_what_is_measured_and_of_the_rows_and_groups() -> None:
    plan = plan_of(BOTH, **CLIP)
    count, total = plan.measures
    assert measured(count) == measured(replace(count, share=count.share + 1))
    assert len({measured(count), measured(total), measured(replace(total, upper=total.upper - 1))}) == 3
    assert canonical.clipping(plan) == canonical.clipping(plan_of(BOTH.replace("line, hour", "hour, line"), **CLIP))
    others = [BOTH.replace("line, hour", "line"), BOTH.replace("GROUP", "WHERE hour < 9 GROUP")]
    assert canonical.clipping(plan) not in {canonical.clipping(plan_of(sql, **CLIP)) for sql in others}


def test_a_large_norm_does_not_speak_for_bounds_that_cut_its_units_short() -> None:
    """Unasked, the planner clips here; a norm above what it expected must not make it cut rows off instead."""
    spec = replace(SPEC, r_max=200, default_rows=100, tiers=(1, 100, 200))
    plans = plans_of(BOTH, spec=spec)
    first = price(plans, PURSE, MODEL)
    assert first.plan.bound.form == "clip"
    known = {measured(m): released(first.plan, i, rho=UNIT // 20, at=-1) for i, m in enumerate(first.plan.measures)}
    again = price(plans, replace(PURSE, norms=known), MODEL)
    assert (again.plan.bound.form, again.clipped_anew) == ("clip", ())
    assert all_norms(again.reused, ())[0] == 200
