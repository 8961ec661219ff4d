"""Row expressions: exact, typed, and total over everything that may be stored."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import duckdb
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandbox.catalog import ColumnType
from sandbox.errors import SandboxError
from sandbox.query.expressions.bind import bind
from sandbox.query.expressions.scope import Scope, fields_of
from sandbox.query.expressions.sql import render
from sandbox.query.expressions.typed import columns_of
from sandbox.query.language.parse import parse_query
from sandbox.query.language.syntax import Node, Select
from tests.promises import promise
from tests.unit.query.specs import SPEC

SCOPE = Scope(fields=fields_of(SPEC, "", "city.trips"), shown="city.trips")


def where(text: str) -> Node:
    body = parse_query(f"select count(*) from city.trips where {text}").body
    assert isinstance(body, Select)
    assert body.where is not None
    return body.where


EXTREMES: dict[str, list[Any]] = {
    c.name: (
        [None, "", "A", "%", "\\", "'", "é" * 500, "\U0001f600", "ﷺ", "İ", "ß"]
        if c.type is ColumnType.TEXT
        else [None, c.lower, c.upper, 0, 1]
    )
    for c in SPEC.columns
}


@pytest.fixture(scope="module")
def stored() -> duckdb.DuckDBPyConnection:
    """Every extreme that ingest may store, all combinations of two columns at a time."""
    connection = duckdb.connect(":memory:", config={"threads": 1})
    kinds = {c.name: "VARCHAR" if c.type is ColumnType.TEXT else "BIGINT" for c in SPEC.columns}
    connection.execute("CREATE TABLE t (" + ", ".join(f'"{n}" {k}' for n, k in kinds.items()) + ")")
    longest = max(len(v) for v in EXTREMES.values())
    names = list(EXTREMES)
    rows = [[EXTREMES[n][(i + s * j) % len(EXTREMES[n])] for j, n in enumerate(names)] for i in range(longest) for s in
            range(longest)]  # fmt: skip
    connection.executemany(f"INSERT INTO t VALUES ({', '.join('?' * len(names))})", rows)
    return connection


TOTAL = [
    "big + 1 > 0", "big - big > 0", "big * 2 > 1", "-big > 0", "abs(big) > 0", "big * big > 0", "big / 7 = 1",
    "big % 7 = 1", "big / -1 = 1", "fare / 3 > 1", "fare / -0.5 > 1", "fare * 1.5 > delay", "delay % 5 = 0",
    "fare > 12.345", "fare in (1, 2.5, 3.005)", "delay between -5 and 5", "line in ('A', 'B')", "note like 'A%'",
    "note ilike '%ß%'", "lower(note) = 'a'", "upper(note) = 'A'", "length(note) > 3", "note < 'm'",
    "coalesce(delay, 0) = 0", "case when delay > 0 then 1 when delay < 0 then -1.5 else null end > 0",
    "paid and not paid or paid is null", "paid is true", "paid is not false", "delay is null",
    "day > '2013-01-01'", "day between date '2013-01-01' and '2013-12-31'", "extract(year from day) = 2013",
    "extract(isodow from day) < 6", "extract(week from day) = 1", "extract(doy from day) = 366",
    "extract(quarter from at) = 1", "extract(hour from at) between 6 and 9", "extract(second from at) = 59",
    "substring(note, 2, 3) = 'b'", "starts_with(note, 'é')", "trim(note) || lower(note) = ''", "cast(delay as text) = '1'",
    "greatest(delay, hour, big) > 5", "least(fare, delay) < 0", "date_trunc('week', day) > '2013-01-01'",
    "nullif(delay, 0) is distinct from hour", "day - date '2013-01-01' > 7",
    "at >= '2013-01-01 00:00:00'", "at < timestamp '2014-01-01 12:30:00.5'", "extract(minute from at) = 0",
]  # fmt: skip


@promise("P3.4")
@pytest.mark.parametrize("text", TOTAL)
def test_no_stored_value_makes_an_expression_fail(text: str, stored: duckdb.DuckDBPyConnection) -> None:
    typed = bind(where(text), SCOPE)
    assert typed.kind == "boolean"
    rows = stored.execute(f"SELECT {render(typed.expr)} FROM t").fetchall()
    assert {r[0] for r in rows} <= {True, False, None}


@promise("P3.5")
@given(st.integers(-500, 20000), st.decimals(-100, 100, places=3, allow_nan=False))
def test_comparisons_are_exact_between_grids(units: int, constant: Any) -> None:
    """fare is stored in hundredths; the constant has thousandths: no float decides."""
    typed = bind(where(f"fare > {constant}"), SCOPE)
    connection = duckdb.connect(":memory:", config={"threads": 1})
    (answer,) = connection.execute(f'SELECT {render(typed.expr)} FROM (SELECT {units}::BIGINT AS "fare")').fetchone()  # type: ignore[misc]
    connection.close()
    assert answer == (Fraction(units, 100) > Fraction(constant))


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("big * big * big > 1", "expression_overflows"),
        ("delay / 0 = 1", "expression_divisor"),
        ("delay / hour = 1", "expression_divisor"),
        ("fare % 2 = 1", "expression_modulo"),
        ("delay = 'x'", "expression_mixed"),
        ("day > 'yesterday'", "expression_moment"),
        ("day = '2013-02-30'", "expression_moment"),
        ("note like line", "expression_like"),
        ("note like 'a\\%'", "expression_like"),
        ("delay and paid", "expression_type"),
        ("extract(hour from day) = 1", "expression_extract"),
        ("rider = 'x'", "unit_column_hidden"),
        ("dleay > 1", "unknown_column_near"),
        ("zzzzzz > 1", "unknown_column"),
        ("ordinal = 0", "unknown_column"),
        ("pseudonym = 0", "unknown_column"),
        ("ui = 0", "unknown_column"),
        ("count(*) > 1", "aggregate_in_row"),
        ("round(delay, 12) = 1", "expression_round"),
        ("substring(note, 1, 2000000) = 'a'", "expression_substring"),
    ],
)
def test_what_is_not_total_is_refused_with_its_place(text: str, code: str) -> None:
    with pytest.raises(SandboxError) as caught:
        bind(where(text), SCOPE)
    assert caught.value.code == code
    assert caught.value.position is not None
    assert caught.value.position.column > 30


Z = " / 0.000000000000000001"


@promise("P3.4")
@pytest.mark.parametrize(
    ("text", "code"),
    [
        (f"hour / (1{Z}{Z}{Z}) = 1", "expression_overflows"),
        (f"hour{Z * 18} > 1", "expression_overflows"),
        ("case case when hour > 1 then 1 end when 1 then 2 end = 1", "sql_case_operand"),
    ],
)
def test_constants_and_units_stay_in_range(text: str, code: str) -> None:
    with pytest.raises(SandboxError) as caught:
        bind(where(text), SCOPE)
    assert caught.value.code == code


def test_an_expression_is_not_written_exponentially() -> None:
    """BETWEEN writes its argument twice: nested, that doubles at every level, and is refused in time."""
    deep = "hour"
    for _ in range(30):
        deep = f"case when {deep} between 1 and 2 then 1 else 0 end"
    with pytest.raises(SandboxError) as caught:
        bind(where(f"{deep} = 1"), SCOPE)
    assert caught.value.code in {"expression_too_large", "query_too_deep"}
    nested = "abs(" * 30 + "delay" + ")" * 30
    assert len(render(bind(where(f"{nested} > 1"), SCOPE).expr)) < 1_000


@promise("P3.3")
@pytest.mark.parametrize("name", ["rider", "ordinal", "pseudonym", "ui"])
def test_no_expression_sees_unit_ordinal_or_index(name: str) -> None:
    for text in (f"{name} = 1", f"coalesce({name}, 1) = 1", f"case when {name} > 1 then true else false end"):
        with pytest.raises(SandboxError) as caught:
            bind(where(text), SCOPE)
        assert caught.value.code in {"unit_column_hidden", "unknown_column", "unknown_column_near"}


def test_columns_of_an_expression() -> None:
    assert columns_of(bind(where("delay > 1 and line = 'A' or fare < hour"), SCOPE).expr) == {
        "delay", "line", "fare", "hour",
    }  # fmt: skip
