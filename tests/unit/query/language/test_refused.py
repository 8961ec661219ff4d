"""What is refused says what and where; sizes end before any parser recurses; nothing sqlglot reads by itself gets through."""

from __future__ import annotations

import sys
from typing import Any, Final

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlglot.dialects.postgres import Postgres

from sandbox.errors import Position, SandboxError
from sandbox.query.language.parse import MAX_BYTES, parse_query
from sandbox.query.language.syntax import Query
from tests.promises import promise

WHERE: Final = "select count(*) from t where "
REFUSED: Final = [
    ("select count(*)\nfrom t, u", "sql_join_comma", (2, 7)), ("select a from t\n join u", "sql_join_condition", (2, 2)),
    ("select a from t right join u on x", "sql_join_kind", (1, 17)), ("select a from t cross join u", "sql_join_kind", (1, 17)),
    ("select a from t natural join u", "sql_join_kind", (1, 17)), ("select a from t full join u on x", "sql_join_kind", (1, 17)),
    ("select a from t left inner join u on x", "sql_join_kind", (1, 17)), ('select a from "s.t"', "sql_name", (1, 15)),
    ("select a from t left semi join u on x", "sql_join_kind", (1, 17)), ("select a from t, lateral f(1)", "sql_join_kind", (1, 18)),
    ("select a from (t join u on x)", "sql_join_parentheses", (1, 15)), ("select a from (select b from u)", "sql_alias_missing", (1, 15)),
    ("select a from t union select a from u", "sql_union_distinct", (1, 17)), ("select a from t except select a from u", "sql_set_operation", (1, 17)),
    ("select a from t union all with a as (select b from u) select b from a", "sql_with_place", (1, 27)),
    ("with a as (select b from t), a as (select b from t) select b from a", "sql_cte_repeated", (1, 30)),
    ("with a (select b from t) select b from a", "sql_syntax_at", None),
    ("with recursive a as (select b from t) select b from a", "sql_recursive", (1, 6)),
    ("with a(x) as (select b from t) select x from a", "sql_alias_columns", (1, 6)),
    ("with a as (select b from t)\n insert into u select b from a", "sql_statement", (2, 2)),
    ("with a as (delete from t returning *) select b from a", "sql_statement", (1, 12)),
    ("with a as (select b from t) with c as (select b from a) select b from c", "sql_word", (1, 29)),
    ("with a as materialized (select b from t) select b from a", "sql_word", (1, 11)),
    (" insert into t values (1)", "sql_statement", (1, 2)), ("explain select 1", "sql_statement", (1, 1)),
    ("values (1)", "sql_values", (1, 1)), ("select 1; drop table t", "sql_several_statements", (1, 11)), ("copy t to 'x'", "sql_statement", (1, 1)),
    ("select a from (values (1)) x", "sql_values", (1, 16)), ("select a from read_csv('/etc/passwd')", "sql_table_function", (1, 15)),
    ("select a from a.b.c", "sql_name", (1, 15)), ("select a from t tablesample bernoulli (1)", "sql_sample", (1, 17)),
    ("select a from t for update", "sql_clause", (1, 17)), ("select 1", "sql_no_table", (1, 1)), ("select from t", "sql_no_items", (1, 1)),
    ("select distinct a from t", "sql_distinct", (1, 8)), ("select sum(a) over () from t", "sql_window", (1, 15)),
    ("select sum(a) over w from t", "sql_window", (1, 8)), ("select a from t limit 1 offset 3", "sql_offset", (1, 25)),
    ("select a from t fetch first 3 rows only", "sql_fetch", (1, 17)), ("select a from t limit 3, 5", "sql_word", (1, 23)),
    ("select a from t limit all", "sql_limit", (1, 17)), ("select a from t limit 1 + 1", "sql_limit", None),
    ("select a from (select b from u limit 1) x", "sql_inner_order", (1, 32)), ("select a from (select b from u order by b) x", "sql_inner_order", (1, 32)),
    ("select a from t limit 5 where a", "sql_clause_order", (1, 25)), ("select a from t where a where b", "sql_clause_order", (1, 25)),
    ("select a, from t", "sql_syntax", (1, 9)), ("select , a from t", "sql_syntax", (1, 8)), ("select abs(, a) from t", "sql_syntax", (1, 12)), ("select a from t group by", "sql_syntax", (1, 17)), ("select a from t as", "sql_syntax", (1, 17)),
    ("select top 3 a from t", "sql_syntax_at", None), ("from t select a", "sql_statement", (1, 1)), ("select all a from t", "sql_word", (1, 8)),
    ("select a from only t", "sql_word", (1, 15)), ("select * replace (1 as a) from t", "sql_word", (1, 10)),
    ("select a from t group by rollup (a)", "sql_grouping_sets", (1, 26)), ("select a from t group by a with rollup", "sql_grouping_sets", None),
    ("select count(distinct a, b) from t", "sql_distinct_aggregate", (1, 8)), ("select sum(*) from t", "sql_star", (1, 12)),
    ("select sum(a order by b) from t", "sql_expression", (1, 12)), ("select abs(a) filter (where b) from t", "sql_filter_place", (1, 8)),
    ("select sum(a) filter (b > 1) from t", "sql_word_missing", None), ("select percentile_cont(0.5) from t", "sql_within_group", (1, 8)),
    ("select percentile_cont(0.5) within group (order by a desc) from t", "sql_within_group", (1, 8)),
    ("select percentile_cont(2) within group (order by a) from t", "sql_constant", (1, 8)), ("select histogram(a, 0, b, 3) from t", "sql_constant", (1, 24)),
    ("select approx_top_k(a, 0) from t", "sql_constant", (1, 24)), ("SELECT cοunt(*) FROM t", "sql_function_near", (1, 8)),
    (WHERE + "pg_sleep(3) > 0", "sql_function_unknown", (1, 30)), (WHERE + "lenght(a) > 0", "sql_function_near", (1, 30)),
    (WHERE + "pg_catalog.lower(a) = 'b'", "sql_expression", (1, 30)), (WHERE + "upper(a, b) = 'c'", "sql_function_arguments", (1, 30)),
    (WHERE + "a in (select 1)", "sql_subquery_condition", (1, 30)), (WHERE + "a not in (select 1)", "sql_subquery_condition", (1, 30)),
    (WHERE + "exists (select 1)", "sql_subquery_condition", (1, 30)), (WHERE + "a = any (array[1])", "sql_subquery_condition", (1, 34)),
    (WHERE + "a = (select 1)", "sql_scalar_subquery", (1, 34)), (WHERE + "a = $1", "sql_parameter", (1, 34)), (WHERE + "a = :b", "sql_parameter", (1, 34)),
    (WHERE + "a = ?", "sql_parameter", (1, 34)), (WHERE + "a ~ 'b'", "sql_operator", (1, 32)), (WHERE + "a @> b", "sql_operator", (1, 32)),
    (WHERE + "a -> 'b' = 1", "sql_operator", (1, 32)), (WHERE + "a == b", "sql_operator", (1, 32)), (WHERE + "a <=> b", "sql_operator", (1, 32)),
    (WHERE + "a[1] = 1", "sql_operator", (1, 31)), (WHERE + "a similar to 'b'", "sql_operator", (1, 32)), (WHERE + "a xor b", "sql_syntax_at", None),
    (WHERE + "a between symmetric 1 and 2", "sql_expression", (1, 30)), (WHERE + "(a, b) in ((1, 2))", "sql_expression", None),
    (WHERE + "a like 'b' escape 'c'", "sql_expression", (1, 30)), (WHERE + "a at time zone 'utc' > b", "sql_expression", (1, 30)),
    (WHERE + "E'a' = b", "sql_text_form", (1, 30)), (WHERE + "'a' 'b' = c", "sql_text_form", (1, 34)), (WHERE + "1_0 = a", "sql_number", (1, 30)),
    (WHERE + "a = 1e400", "sql_number", (1, 34)), (WHERE + "user = 'a'", "sql_name", (1, 30)), (WHERE + '"" = 1', "sql_name", (1, 30)),
    (WHERE + "a > now()", "sql_now", (1, 34)), (WHERE + "a > current_date", "sql_now", (1, 34)), (WHERE + "a::json = 1", "sql_cast_type", (1, 33)),
    (WHERE + "cast(a as varchar(3)) = 1", "sql_cast_type", (1, 40)), (WHERE + "a > interval '1 month'", "sql_interval", (1, 34)),
    (WHERE + "date_trunc('decade', a) = b", "sql_date_part", (1, 30)), (WHERE + "extract(epoch from a) = 1", "sql_date_part", (1, 30)),
    (WHERE + "case a + 1 when 1 then 2 end = 1", "sql_case_operand", (1, 35)), (WHERE + "case when a 1 end = 1", "sql_word_missing", None),
    (WHERE + "substring(a, 0, 2) = 'b'", "sql_constant", (1, 30)), (WHERE + "a in ()", "sql_syntax", (1, 30)), (WHERE + "a.b.c.d = 1", "sql_name", (1, 30)),
    (WHERE + "a\x00 = 1", "sql_control_character", (1, 31)), (WHERE + "a = 'b", "sql_syntax", None), ("", "query_empty", None), (";;", "query_empty", None),
]  # fmt: skip


@pytest.mark.parametrize(("sql", "code", "place"), REFUSED, ids=[r[0].removeprefix(WHERE)[:40] for r in REFUSED])
def test_refusals_name_the_construct_and_its_place(sql: str, code: str, place: tuple[int, int] | None) -> None:
    with pytest.raises(SandboxError) as caught:
        parse_query(sql)
    assert caught.value.code == code
    if place is not None:
        assert caught.value.position == Position(line=place[0], column=place[1])


HUGE: Final = {
    "ten megabytes": ("x" * 10_000_000, "query_too_long"),
    "100,000 plus signs": (WHERE + "+" * 100_000, "query_too_long"),
    "ten thousand parentheses": ("select " + "(" * 10_000 + "1" + ")" * 10_000 + " from t", "query_too_many_tokens"),
    "31 parentheses": (WHERE + "(" * 31 + "x" + ")" * 31, "query_too_deep"),
    "31 CASEs": (WHERE + "case when x then " * 31 + "1" + " end" * 31, "query_too_deep"),
    "1,500 IN items": (WHERE + "x in (" + ", ".join(["1"] * 1_500) + ")", "query_in_list"),
    "3,000 NOTs": (WHERE + "not " * 3_000 + "x", "query_too_deep"),
    "2,000 signs": (WHERE + "x = " + "- " * 2_000 + "1", "query_too_deep"),
    "a long sum": (WHERE + "x = " + "1 + " * 1_900 + "1", "query_too_deep"),
    "1,900 casts": (WHERE + "x" + "::int" * 1_900 + " = 1", "query_too_deep"),
    "4,000 CTEs": ("with " + ", ".join(f"a{i} as (select x from t)" for i in range(4_000)) + " select x from t", "query_too_long"),
    "33 CTEs": ("with " + ", ".join(f"a{i} as (select x from a)" for i in range(33)) + " select x from t", "query_too_many_ctes"),
    "1,000 joins": ("select x from t" + " join u using (x)" * 1_000, "query_too_many_tokens"),
    "17 tables": ("select x from t" + " join u using (x)" * 16, "query_too_many_tables"),
    "17 parts": ("select x from t" + " union all select x from t" * 16, "query_too_many_tables"),
    "1,900 joins without ON": ("select x from t" + " join u" * 1_900, "query_too_deep"),
}  # fmt: skip


@pytest.mark.parametrize("name", HUGE)
def test_limits_come_before_recursion(name: str) -> None:
    sql, code = HUGE[name]
    with pytest.raises(SandboxError) as caught:
        parse_query(sql)
    assert caught.value.code == code


@pytest.mark.parametrize("around", ["({})", "abs({})", "x + ({})", "case when x then {} end", "cast({} as int)", "x in ({})", "coalesce(x, {})"])
def test_thirty_levels_are_read_however_deep_the_caller_stands(around: str) -> None:
    text = "x"
    for _ in range(30):
        text = around.format(text)

    def called(levels: int) -> Query:
        return called(levels - 1) if levels else parse_query(WHERE + text)

    assert called(sys.getrecursionlimit() // 2)


def test_long_flat_conditions_are_fine() -> None:
    assert parse_query(WHERE + " or ".join(f"x = {i}" for i in range(900)))


PLACES: Final = ["select {w}(x) from t", "select {w} from t", "select x::{w}(x(x)) from t", "select a {w} b from t", "select a from t {w} u",
                 "select a from t where a {w} (b)", "{w} a from t", "select {w} a from t"]  # fmt: skip


@promise("P3.1")
@pytest.mark.parametrize("place", PLACES)
def test_every_keyword_sqlglot_knows_is_read_or_refused(place: str) -> None:
    """Wherever a word of any dialect stands, the outcome is our tree or one of our errors."""
    for word in sorted(Postgres.Tokenizer.KEYWORDS):
        outcome(place.format(w=word.lower()))


PIECES: Final = st.sampled_from(
    ["select", "from", "where", "group", "by", "having", "order", "limit", "union", "all", "with", "as", "(", ")", ",", ".", "*", "+", "-", "/", "%", "=", "<", ">", "::", "||", "'", '"', "a", "b", "t", "1", "0.5", "'x'", "count", "sum", "not", "in", "is", "null", "like", "between", "and", "or", "case", "when", "then", "else", "end", "join", "left", "on", "using", "filter", "within", "interval", "date", "cast", "extract", "distinct", "array", "[", "]", ";", "--", "$1", "~"]
)


@promise("P3.1")
@settings(max_examples=300, deadline=None)
@given(st.one_of(st.text(max_size=200), st.lists(PIECES, max_size=25).map(" ".join), st.lists(PIECES, max_size=15).map(lambda p: "select a from t where " + " ".join(p))))
def test_any_text_is_read_or_refused(text: str) -> None:
    outcome(text)


def outcome(text: str) -> Any:
    """The tree, or the code of the refusal; anything else fails the test."""
    assert len(text.encode()) <= MAX_BYTES
    try:
        query = parse_query(text)
    except SandboxError as error:
        return error.code
    assert isinstance(query, Query)
    return query
