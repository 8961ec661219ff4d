"""Parsing: what is accepted keeps its meaning and place; what is refused says where and why."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandbox.errors import Position, SandboxError
from sandbox.query.language.parse import MAX_BYTES, parse_select
from sandbox.query.language.syntax import Aggregate, Literal, Name, Op
from tests.promises import promise


def test_the_flights_query_keeps_its_shape() -> None:
    select = parse_select(
        "SELECT origin, carrier, count(*), avg(dep_delay) AS late\nFROM transport.flights f WHERE f.month <= 6 "
        "GROUP BY 1, 2 HAVING count(*) > 100 ORDER BY 3 DESC LIMIT 5"
    )
    assert select.table == "transport.flights"
    assert select.alias == "f"
    assert [type(i.node) for i in select.items] == [Name, Name, Aggregate, Aggregate]
    assert select.items[3].alias == "late"
    assert isinstance(select.where, Op)
    assert select.where.args == (Name("month", Position(line=2, column=32)), Literal(6, Position(line=2, column=43)))
    assert [o.descending for o in select.order] == [True]
    assert select.limit == 5


def test_names_fold_like_postgresql() -> None:
    select = parse_select('SELECT Count(*), SUM("Delay") FROM City.Trips')
    assert select.table == "city.trips"
    assert isinstance(select.items[1].node, Aggregate)
    assert select.items[1].node.arg == Name("Delay", Position(line=1, column=22))


def test_decimals_are_exact() -> None:
    select = parse_select("select count(*) from t where x > 0.1 and y = -2.50")
    assert isinstance(select.where, Op)
    first, second = select.where.args
    assert isinstance(first, Op)
    assert isinstance(first.args[1], Literal)
    assert first.args[1].value == Decimal("0.1")
    assert isinstance(second, Op)
    assert isinstance(second.args[1], Op)
    assert second.args[1].name == "neg"


REFUSED = [
    ("select * from t", "sql_star", (1, 8)),
    ("select t.* from t", "sql_star", (1, 8)),
    ("select count(*)\nfrom t, u", "sql_join", (2, 9)),
    ("select count(*) from t join u using (x)", "sql_join", (1, 29)),
    ("with a as (select 1) select 1 from a", "sql_with", (1, 6)),
    ("select sum(x) over () from t", "sql_window", (1, 8)),
    ("select a from t union all select b from t", "sql_union", (1, 8)),
    ("select distinct x from t", "sql_distinct", (1, 17)),
    ("select count(*) from t order by 1 limit 1 offset 3", "sql_offset", (1, 50)),
    ("select count(*) filter (where x > 1) from t", "sql_filter", (1, 8)),
    ("select count(*) from t where x in (select 1)", "sql_subquery", (1, 30)),
    ("select count(*) from t where x = (select 1)", "sql_subquery", (1, 42)),
    ("select count(*) from (select 1) t", "sql_subquery", (1, 30)),
    ("select count(*) from read_csv('/etc/passwd')", "sql_table_function", (1, 22)),
    ("select count(*) from generate_series(1, 9)", "sql_table_function", (1, 22)),
    ("select pg_read_file('/etc/passwd') from t", "sql_function", (1, 8)),
    ("select count(*) from t where pg_sleep(3) > 0", "sql_function", (1, 30)),
    ("select median(x) from t", "sql_function", (1, 8)),
    ("SELECT cοunt(*) FROM t", "sql_function", (1, 8)),
    ("select count(*) from t where x::int > 1", "sql_cast", (1, 30)),
    ("select count(*) from t where x = $1", "sql_parameter", (1, 35)),
    ("select 1; drop table t", "sql_several_statements", (1, 22)),
    ("drop table t", "sql_statement", (1, 12)),
    ("copy t to 'x'", "sql_statement", (1, 6)),
    ("select count(*) from t group by rollup (x)", "sql_expression", (1, 41)),
    ("select count(*) from t where x = 'a' || 'b'", "sql_expression", (1, 34)),
    ("select count(*) from t limit 1 + 1", "sql_limit", (1, 30)),
    ("select count(*) from t limit " + "9" * 5_000, "sql_limit", None),
    ("select count(*) from t where x = 1e400", "sql_number", (1, 34)),
    ("select count(*) from t where x\x00 = 1", "sql_control_character", (1, 31)),
    ("select count(*) from t where x = 'a", "sql_syntax", None),
    ("select count(* from t", "sql_syntax", None),
    ("", "query_empty", None),
    (";;", "query_empty", None),
    ("select 1", "sql_no_table", (1, 8)),
    ("select count(*) from t for update", "sql_clause", None),
    ("select count(*) from t where u.x = 1", "sql_unknown_table", (1, 30)),
]


@pytest.mark.parametrize(("sql", "code", "place"), REFUSED, ids=[r[0][:40] for r in REFUSED])
def test_refusals_name_the_construct_and_its_place(sql: str, code: str, place: tuple[int, int] | None) -> None:
    with pytest.raises(SandboxError) as caught:
        parse_select(sql)
    assert caught.value.code == code
    if place is not None:
        assert caught.value.position == Position(line=place[0], column=place[1])


HUGE = {
    "ten megabytes": ("x" * 10_000_000, "query_too_long"),
    "ten thousand parentheses": ("select " + "(" * 10_000 + "1" + ")" * 10_000 + " from t", "query_too_many_tokens"),
    "sixty parentheses": ("select count(*) from t where " + "(" * 60 + "x" + ")" * 60, "query_too_deep"),
    "ten thousand IN items": (
        "select count(*) from t where x in (" + ", ".join(["1"] * 10_000) + ")", "query_too_many_tokens",
    ),
    "two thousand IN items": ("select count(*) from t where x in (" + ", ".join(["1"] * 1_500) + ")", "query_in_list"),
    "three thousand NOTs": ("select count(*) from t where " + "not " * 3_000 + "x", "query_too_deep"),
    "two thousand signs": ("select count(*) from t where x = " + "- " * 2_000 + "1", "query_too_deep"),
    "a long sum": ("select count(*) from t where x = " + "1 + " * 1_900 + "1", "query_too_deep"),
    "nested CASE": ("select count(*) from t where " + "case when " * 500 + "x" + " then 1 end" * 500, "query_too_deep"),
}  # fmt: skip


@pytest.mark.parametrize("name", HUGE)
def test_limits_come_before_recursion(name: str) -> None:
    sql, code = HUGE[name]
    with pytest.raises(SandboxError) as caught:
        parse_select(sql)
    assert caught.value.code == code


def test_long_flat_conditions_are_fine() -> None:
    sql = "select count(*) from t where " + " or ".join(f"x = {i}" for i in range(900))
    where = parse_select(sql).where
    assert isinstance(where, Op)
    assert len(where.args) == 900


@promise("P3.1")
@given(st.text(max_size=200))
def test_any_text_is_parsed_or_refused(text: str) -> None:
    """Whatever arrives, the outcome is a tree of our own types or one of our errors."""
    try:
        select = parse_select(text)
    except SandboxError:
        return
    assert len(text.encode()) <= MAX_BYTES
    assert select.table
