"""Planning: measures once each, public keys only, bounds at tier edges; all from declared facts."""

from __future__ import annotations

from typing import Any

import pytest

from sandbox.errors import SandboxError
from sandbox.plans import Call, Col, Filter, Lit, Scan
from tests.promises import promise
from tests.unit.query.plans import plan_of, plans_of
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
    private = plan_of("SELECT line, note, count(*) FROM city.trips GROUP BY line, note")
    assert private.keys[1].domain is None
    assert private.private
    assert private.stages == ("keys", "values"), "what no declaration lists is shown by the weights of units alone"
    assert plan.stages == ("values",)


@promise("P4.1")
def test_the_bound_is_a_tier_edge() -> None:
    for rows, bound in ((None, 3), (10, 10), (1, 1)):
        plan = plan_of("SELECT count(*) FROM city.trips", rows=rows)
        assert (plan.bound.form, plan.bound.rows) == ("ingest", bound)
    with pytest.raises(SandboxError) as caught:
        plan_of("SELECT count(*) FROM city.trips", rows=4)
    assert caught.value.code == "rows_not_an_edge"
    assert caught.value.params["edges"] == ["1", "3", "10"]


@promise("P4.5")
def test_units_alone_are_counted_at_one_row_each() -> None:
    plan = plan_of("SELECT count(DISTINCT rider) FROM city.trips")
    assert plan.measures[0].kind == "units"
    assert (plan.bound.form, plan.bound.rows) == ("ingest", 1)
    for sql in (
        "SELECT count(DISTINCT rider) FROM city.trips WHERE hour > 3",
        "SELECT count(DISTINCT rider) FILTER (WHERE hour > 3) FROM city.trips",
        "SELECT line, count(DISTINCT rider) FROM city.trips GROUP BY line",
        "SELECT count(DISTINCT a.rider) FROM city.trips a JOIN city.trips b ON a.rider = b.rider",
    ):
        assert plan_of(sql).bound.rows == 3, "one row would not say whether any row passes, or in which group"


@promise("P4.1")
@pytest.mark.parametrize(
    ("sql", "asked", "forms"),
    [
        ("SELECT count(*) FROM city.trips", {}, ["ingest"]),
        ("SELECT count(*) FROM city.trips WHERE paid", {}, ["rows"]),
        ("SELECT count(*) FROM city.trips WHERE paid", {"rows": 10}, ["ingest"]),
        ("SELECT count(*) FROM city.trips WHERE paid", {"bounding": "ingest"}, ["ingest"]),
        ("SELECT line, count(*) FROM city.trips GROUP BY line", {"rows": 10}, ["ingest", "clip"]),
        ("SELECT line, count(*) FROM city.trips GROUP BY line", {"groups": 2, "per_group": 3}, ["groups"]),
        ("SELECT line, median(fare) FROM city.trips GROUP BY line", {"rows": 10}, ["ingest"]),
        ("SELECT note, count(*) FROM city.trips GROUP BY note", {"rows": 10}, ["ingest"]),
        ("SELECT count(*) FROM (SELECT line FROM city.trips UNION ALL SELECT line FROM city.trips) AS x", {}, ["rows"]),
        ("SELECT count(*) FROM (SELECT rider, count(*) AS n FROM city.trips GROUP BY rider) AS x", {}, ["rows"]),
    ],
)  # fmt: skip
def test_the_ways_to_bound_are_those_that_fit(sql: str, asked: dict[str, Any], forms: list[str]) -> None:
    assert [p.bound.form for p in plans_of(sql, **asked)] == forms


@promise("P4.2")
@pytest.mark.parametrize(
    ("sql", "asked"),
    [
        ("SELECT count(*) FROM city.trips", {"bounding": "clip"}),
        ("SELECT line, var_pop(delay) FROM city.trips GROUP BY line", {"bounding": "clip"}),
        ("SELECT line, median(delay) FROM city.trips GROUP BY line", {"groups": 2}),
        ("SELECT count(*) FROM city.trips", {"bounding": "groups"}),
        ("SELECT line, count(*) FROM city.trips GROUP BY line", {"groups": 0}),
        ("SELECT count(*) FROM city.trips", {"bounding": "none"}),
        ("SELECT count(*) FROM city.trips a JOIN city.trips b ON a.rider = b.rider", {"bounding": "ingest"}),
    ],
)  # fmt: skip
def test_a_way_to_bound_that_does_not_fit_is_refused(sql: str, asked: dict[str, Any]) -> None:
    with pytest.raises(SandboxError) as caught:
        plans_of(sql, **asked)
    assert caught.value.code == "bounding_unfit"


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
    ("SELECT count(*) FROM city.trips GROUP BY 2", "position_unknown"),
    ("SELECT count(*) FROM city.trips GROUP BY rider", "unit_in_answer"),
    ("SELECT rider, count(*) FROM city.trips GROUP BY rider", "unit_in_answer"),
    ("SELECT sum(line) FROM city.trips", "aggregate_type"),
    ("SELECT sum(*) FROM city.trips", "sql_star"),
    ("SELECT sum(DISTINCT hour) FROM city.trips", "distinct_count_only"),
    ("SELECT hour / 2, count(*) FROM city.trips GROUP BY hour", "key_in_formula"),
    ("SELECT max(rider) FROM city.trips", "unit_column_hidden"),
    ("SELECT rider FROM city.trips", "unit_in_answer"),
    ("SELECT approx_top_k(note, 3) FROM city.trips", "top_domain"),
    ("SELECT approx_top_k(line, 4) FROM city.trips", "top_form"),
    ("SELECT histogram(hour, 0, 24, 1.5) FROM city.trips", "sql_constant"),
    ("SELECT histogram(hour, 0, 24, 100) FROM city.trips", "histogram_form"),
    ("SELECT histogram(hour, 0, 24, 3) + 1 FROM city.trips", "formula_whole"),
    ("SELECT percentile_cont(1.5) WITHIN GROUP (ORDER BY fare) FROM city.trips", "sql_constant"),
    ("SELECT count(*) FROM city.trips a JOIN city.trips b ON a.line = b.line", "join_without_unit"),
    ("SELECT count(*) FROM city.trips UNION ALL SELECT count(*) FROM city.trips", "union_outermost"),
    ("SELECT count(*) FROM (SELECT line, count(*) AS n FROM city.trips GROUP BY line) AS x", "subquery_group"),
    ("SELECT avg(n) FROM (SELECT rider, median(fare) AS n FROM city.trips GROUP BY rider) AS x", "subquery_aggregate"),
    ("SELECT count(*) FROM city.trips HAVING line = 'A'", "column_not_grouped"),
    ("SELECT line, count(*) FROM city.trips GROUP BY line HAVING line = 'A'", "key_in_formula"),
    ("SELECT count(*) % 2 FROM city.trips", "formula_function"),
    ("SELECT round(avg(delay), count(*)) FROM city.trips", "sql_constant"),
    ("SELECT round(avg(delay), 20) FROM city.trips", "formula_round"),
    ("SELECT count(*) FROM city.trips WHERE delay", "where_not_boolean"),
    ("SELECT sum(big * 4) FROM city.trips", "expression_overflows"),
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
def test_a_plan_reads_a_union_over_units_of_one_population() -> None:
    plan = plan_of("SELECT count(*) FROM city.trips t WHERE t.hour > 3")
    assert plan.spec is SPEC
    assert plan.relation == Filter(of=Scan(table=0), where=Call(">", (Col("hour", SPEC.columns[2].type), Lit(3))))


def test_a_sum_in_another_unit_is_another_measure() -> None:
    """fare and fare / 2 are the same expression in different units: each is released as what it is."""
    plan = plan_of("SELECT sum(fare), sum(fare / 2), sum(fare / -2), sum(fare) FROM city.trips")
    assert [m.scale for m in plan.measures] == [(1, 100), (1, 200), (1, 200)]


def test_labels_are_unique() -> None:
    plan = plan_of("SELECT count(*), count(*), avg(delay) AS count FROM city.trips")
    assert [o.label for o in plan.outputs] == ["count", "count_2", "count_3"]
