"""Planning: measures once each, public keys only, bounds at tier edges; all from declared facts."""

from __future__ import annotations

import pytest

from sandbox.errors import SandboxError
from sandbox.flow import Call, Lit
from tests.promises import promise
from tests.unit.query.plans import plan_of
from tests.unit.query.specs import SPEC


def test_each_measure_is_released_once() -> None:
    plan = plan_of(
        "SELECT line, count(*), count(*) + 1 AS more, avg(delay), sum(delay), count(delay) FROM city.trips "
        "GROUP BY line HAVING count(*) > 10 ORDER BY avg(delay)"
    )
    assert [(m.kind, m.center, m.row_bound) for m in plan.measures] == [
        ("rows", 0, 1), ("sum", 620, 680), ("present", 0, 1), ("sum", 0, 1300),
    ]  # fmt: skip
    assert plan.hidden == 0
    assert plan.order == ((3, False, False),)


def test_a_required_column_counts_as_rows() -> None:
    plan = plan_of("SELECT count(hour), count(*), avg(hour) FROM city.trips")
    assert [m.kind for m in plan.measures] == ["rows", "sum"]


@promise("P5.4")
def test_an_average_is_centred_on_the_middle_of_its_declared_bounds() -> None:
    (total, count) = plan_of("SELECT avg(fare) FROM city.trips").measures
    assert (total.lower, total.upper, total.center) == (-500, 20000, 9750)
    assert total.row_bound == 10250
    assert count.kind == "present"


def test_sensitivity_counts_the_larger_bound_not_the_width() -> None:
    (total,) = plan_of("SELECT sum(hour + 100) FROM city.trips").measures
    assert (total.lower, total.upper, total.row_bound) == (100, 123, 123)


@promise("P5.3")
def test_every_declared_key_is_answered_and_no_other_key_may_appear() -> None:
    plan = plan_of("SELECT line, hour, count(*) FROM city.trips GROUP BY line, hour")
    assert plan.keys[0].domain == ("A", "B", "C", None)
    assert plan.keys[1].domain == tuple(range(24)), "a required column has no NULL"
    assert plan.groups == 4 * 24
    with pytest.raises(SandboxError) as caught:
        plan_of("SELECT note, count(*) FROM city.trips GROUP BY note")
    assert caught.value.code == "key_not_public"
    assert caught.value.params["known"] == ["line", "hour", "delay", "paid"]


@promise("P4.1")
def test_the_bound_is_a_tier_edge() -> None:
    assert plan_of("SELECT count(*) FROM city.trips").bound.tiers == (0, 1)
    assert plan_of("SELECT count(*) FROM city.trips", rows=10).bound.tiers == (0, 1, 2)
    with pytest.raises(SandboxError) as caught:
        plan_of("SELECT count(*) FROM city.trips", rows=4)
    assert caught.value.code == "rows_not_an_edge"
    assert caught.value.params["edges"] == ["1", "3", "10"]


@promise("P4.5")
def test_units_are_counted_at_ordinal_zero_only_over_the_whole_table() -> None:
    plan = plan_of("SELECT count(DISTINCT rider) FROM city.trips")
    assert plan.measures[0].kind == "units"
    assert (plan.bound.rows, plan.bound.tiers) == (1, (0,))
    for sql in (
        "SELECT count(DISTINCT rider) FROM city.trips WHERE hour > 3",
        "SELECT line, count(DISTINCT rider) FROM city.trips GROUP BY line",
    ):
        with pytest.raises(SandboxError) as caught:
            plan_of(sql)
        assert caught.value.code == "distinct_unit_filtered"


@promise("P1.4")
def test_every_declared_fact_is_listed_with_its_provenance() -> None:
    plan = plan_of("SELECT line, sum(fare) FROM city.trips WHERE delay > 3 GROUP BY line")
    listed = {(f.subject, f.fact) for f in plan.facts}
    assert listed >= {
        ("city.trips", "n_max"), ("city.trips", "rows_per_unit"), ("riders", "registered"),
        ("fare", "bounds"), ("delay", "bounds"), ("line", "domain"),
    }  # fmt: skip
    assert all(f.provenance.source for f in plan.facts)


REFUSED = [
    ("SELECT line FROM city.trips GROUP BY line", "query_without_aggregate"),
    ("SELECT hour, count(*) FROM city.trips", "column_not_grouped"),
    ("SELECT count(*) FROM city.trips GROUP BY hour / 2", "key_expression"),
    ("SELECT count(*) FROM city.trips GROUP BY 2", "position_unknown"),
    ("SELECT count(*) FROM city.trips GROUP BY rider", "unit_column_hidden"),
    ("SELECT rider, count(*) FROM city.trips GROUP BY rider", "unit_column_hidden"),
    ("SELECT sum(line) FROM city.trips", "aggregate_type"),
    ("SELECT sum(*) FROM city.trips", "aggregate_star"),
    ("SELECT count(DISTINCT line) FROM city.trips", "distinct_not_unit"),
    ("SELECT count(*) FROM city.trips HAVING line = 'A'", "column_not_grouped"),
    ("SELECT line, count(*) FROM city.trips GROUP BY line HAVING line = 'A'", "key_in_formula"),
    ("SELECT count(*) % 2 FROM city.trips", "formula_function"),
    ("SELECT round(avg(delay), count(*)) FROM city.trips", "formula_round"),
    ("SELECT count(*) FROM city.trips WHERE delay", "where_not_boolean"),
    ("SELECT sum(big * 4) FROM city.trips", "expression_overflows"),
    ("SELECT delay, hour, line, day, count(*) FROM city.trips GROUP BY 1, 2, 3, 4", "key_not_public"),
    ("SELECT delay, hour, line, paid, count(*) FROM city.trips GROUP BY 1, 2, 3, 4", "too_many_groups"),
    (
        "SELECT delay, hour, " + ", ".join(f"sum(fare + {i})" for i in range(20)) + " FROM city.trips GROUP BY 1, 2",
        "too_many_cells",
    ),
]


@pytest.mark.parametrize(("sql", "code"), REFUSED, ids=[r[1] + ":" + r[0][7:40] for r in REFUSED])
def test_what_a_plan_cannot_express_is_refused(sql: str, code: str) -> None:
    with pytest.raises(SandboxError) as caught:
        plan_of(sql)
    assert caught.value.code == code
    assert caught.value.position is not None


@promise("P3.2")
def test_a_plan_reads_one_relation_of_one_population() -> None:
    """The plan has one dataset and no way to name another: joins and subqueries are refused by the parser."""
    plan = plan_of("SELECT count(*) FROM city.trips t WHERE t.hour > 3")
    assert plan.spec is SPEC
    assert plan.where == Call(">", (plan.where.args[0], Lit(3)))  # type: ignore[union-attr]


def test_a_sum_in_another_unit_is_another_measure() -> None:
    """fare and fare / 2 are the same expression in different units: each is released as what it is."""
    plan = plan_of("SELECT sum(fare), sum(fare / 2), sum(fare / -2), sum(fare) FROM city.trips")
    assert [m.scale for m in plan.measures] == [(1, 100), (1, 200), (1, 200)]


def test_labels_are_unique() -> None:
    plan = plan_of("SELECT count(*), count(*), avg(delay) AS count FROM city.trips")
    assert [o.label for o in plan.outputs] == ["count", "count_2", "count_3"]
