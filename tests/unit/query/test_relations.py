"""Relations: what joins, unions and subqueries become, what they may make of one unit, and what lies just outside."""

from __future__ import annotations

import dataclasses

import pytest

from sandbox.errors import RequestError
from sandbox.plans import Filter, Lookup, Meet, PerUnit, Project, Scan, Stack
from sandbox.query.planning.plan import plan
from sandbox.query.planning.relations import Public
from sandbox.query.planning.sizes import is_row_by_row, most_rows, scans_of
from tests.promises import promise
from tests.unit.query.plans import known_of, permitted, plan_of, request_of
from tests.unit.query.specs import SPEC

TRIPS = SPEC.name
FARES = dataclasses.replace(SPEC, name="city.fares")
LINES = dataclasses.replace(
    SPEC, name="city.lines", population=None, unit=None,
    columns=tuple(c for c in SPEC.columns if c.name in {"line", "hour", "note"}),
)  # fmt: skip


def planned(sql: str, *, most: int = 1, **more: object):  # type: ignore[no-untyped-def]
    public = Public(most=lambda _table, _columns: most, values=lambda _table, _column: ("x", "y"))
    known = known_of(SPEC, FARES, LINES, public=public)
    return plan(permitted(request_of(sql, epsilon=10**12, **more)), known)[0]  # type: ignore[arg-type]


def refusal(sql: str, **more: object) -> RequestError:
    with pytest.raises(RequestError) as caught:
        planned(sql, **more)  # type: ignore[arg-type]
    return caught.value


@promise("P4.4")
def test_each_side_of_a_join_is_cut_to_its_own_rows_first() -> None:
    made = planned(f"SELECT count(*) FROM {TRIPS} a JOIN city.fares b ON a.rider = b.rider AND a.line = b.line")
    assert isinstance(made.relation, Meet)
    assert [s.rows for s in scans_of(made.relation)] == [SPEC.default_rows, FARES.default_rows]
    assert most_rows(made.relation, made.tables) == SPEC.default_rows * FARES.default_rows
    assert made.bound.form == "rows", "a join makes more rows of one: it is bounded where it is asked"
    alone = planned(f"SELECT count(*) FROM {TRIPS}")
    assert [s.rows for s in scans_of(alone.relation)] == [None]


@promise("P4.4")
def test_what_is_aggregated_within_the_unit_is_not_cut_and_a_join_with_it_is() -> None:
    made = planned(
        f"SELECT count(*) FROM {TRIPS} a JOIN (SELECT rider, count(*) AS n FROM city.fares GROUP BY rider) b "
        "ON a.rider = b.rider WHERE b.n > 2"
    )
    cut, whole = scans_of(made.relation)
    assert (cut.rows, whole.rows) == (SPEC.default_rows, None)
    assert most_rows(made.relation, made.tables) == SPEC.default_rows


@promise("P3.2", "P4.1")
def test_only_what_makes_at_most_one_row_of_a_row_is_bounded_at_ingest() -> None:
    shapes = {
        f"SELECT count(*) FROM {TRIPS}": True,
        f"SELECT count(*) FROM (SELECT line, fare * 2 AS f FROM {TRIPS} WHERE fare > 1) x": True,
        f"SELECT count(*) FROM {TRIPS} t LEFT JOIN city.lines l ON t.line = l.line": True,
        f"SELECT count(*) FROM (SELECT line FROM {TRIPS} UNION ALL SELECT line FROM {TRIPS}) x": False,
        f"SELECT count(*) FROM {TRIPS} a JOIN city.fares b USING (rider)": False,
        f"SELECT count(*) FROM (SELECT rider, line, count(*) AS n FROM {TRIPS} GROUP BY rider, line) x": False,
    }
    for sql, whole in shapes.items():
        made = planned(sql)
        assert is_row_by_row(made.relation) is whole, sql
        assert (made.bound.form == "ingest") <= whole, sql
    fans = planned(f"SELECT count(*) FROM {TRIPS} t JOIN city.lines l ON t.line = l.line", most=3)
    assert not is_row_by_row(fans.relation)
    assert most_rows(fans.relation, fans.tables) == 3 * SPEC.r_max


@promise("P3.2")
def test_the_shapes_that_a_query_becomes() -> None:
    assert isinstance(planned(f"SELECT count(*) FROM {TRIPS} WHERE fare > 1").relation, Filter)
    union = planned(f"SELECT sum(d) FROM (SELECT delay AS d FROM {TRIPS} UNION ALL SELECT fare FROM city.fares) x")
    assert isinstance(union.relation, Stack)
    assert all(isinstance(part, Project) for part in union.relation.parts)
    nested = planned(
        f"WITH r AS (SELECT rider, line, sum(fare) AS s FROM {TRIPS} GROUP BY rider, line HAVING count(*) > 1) "
        "SELECT line, count(*), avg(s) FROM r GROUP BY line"
    )
    assert isinstance(nested.relation, Project)
    assert isinstance(nested.relation.of, Filter)
    assert isinstance(nested.relation.of.of, PerUnit)
    looked = planned(f"SELECT l.note, count(*) FROM {TRIPS} t JOIN city.lines l ON t.line = l.line GROUP BY l.note")
    assert isinstance(looked.relation, Lookup)
    assert looked.keys[0].domain == ("x", "y"), "a public table's own values are public"
    outer = planned(f"SELECT l.note, count(*) FROM {TRIPS} t LEFT JOIN city.lines l USING (line) GROUP BY l.note")
    assert outer.keys[0].domain == ("x", "y", None)
    assert isinstance(planned(f"SELECT count(*) FROM {TRIPS}").relation, Scan)


OUTSIDE = {
    "join_public_expression": f"SELECT count(*) FROM {TRIPS} t JOIN city.lines l ON t.hour * 0 = l.hour * 0",
    "expression_overflows": f"SELECT count(DISTINCT {'*'.join(['delay'] * 7)}) FROM {TRIPS}",
    "expression_text_too_long": f"SELECT count(*) FROM (SELECT {'||'.join(['note'] * 5)} AS n FROM {TRIPS}) x WHERE n || n = 'a'",
    "expression_pattern": f"SELECT count(*) FROM {TRIPS} WHERE note LIKE '{'%a' * 101}'",
    "join_without_unit": f"SELECT count(*) FROM {TRIPS} a JOIN city.fares b ON a.line = b.line",
    "join_left_public": f"SELECT count(*) FROM city.lines l LEFT JOIN {TRIPS} t ON t.line = l.line",
    "join_condition": f"SELECT count(*) FROM {TRIPS} t LEFT JOIN city.lines l ON t.line = l.line AND t.fare > 2",
    "subquery_group": f"SELECT sum(n) FROM (SELECT line, count(*) AS n FROM {TRIPS} GROUP BY line) x",
    "subquery_aggregate": f"SELECT sum(n) FROM (SELECT rider, avg(fare) AS n FROM {TRIPS} GROUP BY rider) x",
    "union_columns": f"SELECT count(*) FROM (SELECT line, fare FROM {TRIPS} UNION ALL SELECT line FROM {TRIPS}) x",
    "union_unit": f"SELECT count(*) FROM (SELECT rider FROM {TRIPS} UNION ALL SELECT line FROM {TRIPS}) x",
    "union_outermost": f"SELECT count(*) FROM {TRIPS} UNION ALL SELECT count(*) FROM city.fares",
    "column_ambiguous": f"SELECT sum(fare) FROM {TRIPS} a JOIN city.fares b ON a.rider = b.rider",
    "sql_unknown_table": f"SELECT sum(z.fare) FROM {TRIPS} a",
    "unit_in_answer": f"SELECT rider, count(*) FROM {TRIPS} GROUP BY rider",
    "unit_column_hidden": f"SELECT count(*) FROM {TRIPS} a JOIN city.fares b ON a.rider = b.rider WHERE a.rider = 'x'",
    "dataset_public": "SELECT count(*) FROM city.lines",
    "expression_mixed": f"SELECT count(*) FROM (SELECT line AS a FROM {TRIPS} UNION ALL SELECT fare FROM {TRIPS}) x",
    "distinct_count_only": f"SELECT sum(DISTINCT fare) FROM {TRIPS}",
    "key_aggregate": f"SELECT count(*) FROM {TRIPS} GROUP BY 1",
    "formula_whole": f"SELECT histogram(fare, 0, 10, 5) + 1 FROM {TRIPS}",
    "histogram_form": f"SELECT histogram(fare, 10, 0, 5) FROM {TRIPS}",
    "top_domain": f"SELECT approx_top_k(note, 3) FROM {TRIPS}",
    "top_form": f"SELECT approx_top_k(line, 500) FROM {TRIPS}",
    "sql_function_arguments": f"SELECT percentile_cont(ARRAY[{', '.join(['0.5'] * 10)}]) WITHIN GROUP (ORDER BY fare) FROM {TRIPS}",
    "where_not_boolean": f"SELECT line, count(*) FROM {TRIPS} GROUP BY line HAVING count(*)",
    "expression_cast": f"SELECT count(*) FROM {TRIPS} WHERE CAST(note AS integer) = 1",
    "expression_width_bucket": f"SELECT sum(width_bucket(fare, 5, 1, 3)) FROM {TRIPS}",
}


LISTS = ("histogram(fare, 0, 10, 5)", "approx_top_k(line, 1)", "percentile_cont(ARRAY[0.1, 0.9]) WITHIN GROUP (ORDER BY fare)")


@pytest.mark.parametrize("clause", ["ORDER BY {list}", "ORDER BY 2", "ORDER BY l", "HAVING {list} > 1", "HAVING 1 = abs({list})"])
@pytest.mark.parametrize("told", LISTS, ids=["histogram", "top", "quantiles"])
def test_nothing_is_ordered_by_or_compared_with_a_list(told: str, clause: str) -> None:
    error = refusal(f"SELECT line, {told} AS l FROM {TRIPS} GROUP BY line {clause.format(list=told)}")
    assert error.code == "formula_whole"
    assert error.position is not None


@pytest.mark.parametrize("code", sorted(OUTSIDE))
def test_what_lies_just_outside_is_refused_with_its_place(code: str) -> None:
    error = refusal(OUTSIDE[code])
    assert error.code == code
    assert error.position is not None


@promise("P3.4")
def test_what_could_leave_64_bits_on_some_rows_alone_is_refused() -> None:
    wide = "*".join(["delay"] * 7)
    for sql in (
        f"SELECT median({wide}) FROM {TRIPS}",
        f"SELECT {wide} AS k, count(*) FROM {TRIPS} GROUP BY k",
        f"SELECT histogram({wide}, 0, 10, 2) FROM {TRIPS}",
        f"SELECT n, count(*) FROM (SELECT rider, sum({wide}) AS n FROM {TRIPS} GROUP BY rider) x GROUP BY n",
        f"SELECT count(*) FROM (SELECT rider, sum({'*'.join(['delay'] * 12)}) AS n FROM {TRIPS} GROUP BY rider) x WHERE n > 1",
    ):
        assert refusal(sql).code == "expression_overflows", sql


@promise("P3.4")
def test_subqueries_cannot_multiply_an_expression_out_of_bounds() -> None:
    inner, wide = TRIPS, "+".join(["d"] * 60)
    for level in range(4):
        inner = f"(SELECT {wide if level else wide.replace('d', 'delay')} AS d FROM {inner} x)"
    assert refusal(f"SELECT count(*) FROM {inner} y WHERE d > 1").code == "expression_too_large"


@promise("P3.4")
def test_a_pattern_with_several_wildcards_is_matched_in_linear_time() -> None:
    assert "like" in repr(planned(f"SELECT count(*) FROM {TRIPS} WHERE note LIKE '%late%'").relation)
    for pattern in ("%a%b", "a_c", "a%c"):
        made = repr(planned(f"SELECT count(*) FROM {TRIPS} WHERE note LIKE '{pattern}'").relation)
        assert "matches" in made, pattern
        assert "name='like'" not in made, pattern


def test_a_join_that_fans_out_a_millionfold_is_refused_by_declared_facts() -> None:
    error = refusal(f"SELECT count(*) FROM {TRIPS} t JOIN city.lines l ON t.hour = l.hour", most=10**6)
    assert (error.code, error.params["limit"]) == ("join_fans_out", 100_000)


def test_a_bound_that_does_not_fit_is_refused() -> None:
    for more, code in (
        ({"bounding": "clip"}, "bounding_unfit"), ({"bounding": "groups"}, "bounding_unfit"),
        ({"rows": 2}, "rows_not_an_edge"),
    ):  # fmt: skip
        assert refusal(f"SELECT count(*) FROM {TRIPS}", **more).code == code
    assert refusal(f"SELECT count(*) FROM {TRIPS} a JOIN city.fares b USING (rider)", rows=0).code == "rows_range"


def test_a_domain_follows_from_declared_facts() -> None:
    def domain(key: str) -> object:
        return plan_of(f"SELECT {key} AS k, count(*) FROM {TRIPS} GROUP BY k").keys[0].domain

    assert domain("CASE WHEN delay > 10 THEN 'late' ELSE 'fine' END") == ("late", "fine")
    assert domain("hour / 6") == (0, 1, 2, 3)
    assert domain("paid") == (0, 1, None)
    assert domain("extract(quarter FROM day)") == (1, 2, 3, 4, None)
    assert domain("upper(line)") == ("A", "B", "C", None)
    assert domain("coalesce(line, 'none')") == ("A", "B", "C", "none")
    assert domain("coalesce(extract(quarter FROM day), nullif(0, NULL))") == (0, 1, 2, 3, 4, None)
    assert domain("note") is None
    months = domain("date_trunc('month', day)")
    assert months is None, "from year 1 to 9999 there are too many"
