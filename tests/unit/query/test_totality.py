"""Totality (P3.4): over every value that may be stored no function fails, leaves its proved range, or means another thing."""

from __future__ import annotations

import dataclasses
import math
from datetime import date, timedelta
from decimal import ROUND_HALF_UP, Decimal
from fractions import Fraction
from typing import Any, Final

import duckdb
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sandbox.catalog import ColumnType
from sandbox.errors import SandboxError
from sandbox.plans import Call, Expr
from sandbox.query.expressions.bind import RULES, bind
from sandbox.query.expressions.scope import Scope, fields_of
from sandbox.query.expressions.sql import _FORMS, render
from sandbox.query.expressions.typed import Typed
from sandbox.query.language import accepted
from sandbox.query.language.parse import parse_query
from sandbox.query.language.syntax import Op, Select
from sandbox.query.planning.domains import domain_of
from tests.promises import promise
from tests.unit.query.oracle import EPOCH, ORACLE, Values, cut, half, monday
from tests.unit.query.specs import SPEC, column

NEAR: Final = (
    column("near", ColumnType.DATE, lower=15706, upper=16070),
    column("soon", ColumnType.TIMESTAMP, lower=15706 * 86400, upper=16071 * 86400 - 1),
)
"""Moments that may be moved without leaving the calendar."""
SCOPE: Final = Scope(
    fields=fields_of(dataclasses.replace(SPEC, columns=(*SPEC.columns, *NEAR)), "", "city.trips"), shown="city.trips"
)

FIRST, LAST = -719162, 2932896
"""Days of 0001-01-01 and 9999-12-31."""
STORED: Final[dict[str, list[Any]]] = {
    "line": ["A", "B", "C", None],
    "hour": [0, 23, 12, 7],
    "fare": [-500, 20000, 0, 1, -1, 50, -50, 149, 150, -150, -151, None],
    "delay": [-60, 1300, 0, 1, -1, 7, -7, None],
    "big": [-(2**62), 2**62, 0, 1, -1, 2**53 + 1, None],
    "day": [FIRST, FIRST + 1, LAST, LAST - 1, 0, -1, 15706, 11016, 11017, 15705, 16071, 10956, None],
    "at": [-62135596800, 253402300799, 0, -1, 1, 86399, 86400, -86401, 1356998399, 951782400, None],
    "paid": [0, 1, None],
    "near": [15706, 16070, 15900, None],
    "soon": [15706 * 86400, 16071 * 86400 - 1, 15800 * 86400 + 3661, None],
    "note": [
        None, "", " ", "A", "a  ", "%", "_", "\\", "'", '"', "é", "e\u0301", "é" * 500, "\U0001f600", "ﷺ", "İ", "ß", "\u200b",
        "\ufeff", "a\tb\n", "\u2028", "\U0010ffff", "\x01", "Straße", "ǅ", "ﬁ", "x" * 4096, "中文", "a%b_c",
    ],
}  # fmt: skip


def rows_of() -> list[dict[str, Any]]:
    """Each value beside many of every other column: rows by steps that have no common period."""
    longest = max(map(len, STORED.values()))
    return [
        {name: values[(i * (j + 1) + i // len(values)) % len(values)] for j, (name, values) in enumerate(STORED.items())}
        for i in range(longest * 12)
    ]


ROWS: Final = rows_of()


def as_python(row: Values) -> dict[str, Any]:
    """A stored row as people write it."""
    made: dict[str, Any] = dict(row)
    made["fare"] = None if row["fare"] is None else Fraction(row["fare"], 100)
    made["day"] = None if row["day"] is None else date(1970, 1, 1) + timedelta(days=row["day"])
    made["at"] = None if row["at"] is None else EPOCH + timedelta(seconds=row["at"])
    made["near"] = None if row.get("near") is None else date(1970, 1, 1) + timedelta(days=row["near"])
    made["soon"] = None if row.get("soon") is None else EPOCH + timedelta(seconds=row["soon"])
    made["paid"] = None if row["paid"] is None else bool(row["paid"])
    return made


@pytest.fixture(scope="module")
def stored() -> duckdb.DuckDBPyConnection:
    connection = duckdb.connect(":memory:", config={"threads": 1})
    kinds = {c.name: "VARCHAR" if c.type is ColumnType.TEXT else "BIGINT" for c in (*SPEC.columns, *NEAR)}
    connection.execute("CREATE TABLE t (" + ", ".join(f'"{n}" {kinds[n]}' for n in STORED) + ")")
    connection.executemany(f"INSERT INTO t VALUES ({', '.join('?' * len(STORED))})", [[r[n] for n in STORED] for r in ROWS])
    return connection


def typed(text: str) -> Typed:
    body = parse_query(f"select count(*) from city.trips where ({text}) is null").body
    assert isinstance(body, Select)
    assert isinstance(body.where, Op)
    return bind(body.where.args[0], SCOPE)


def shown(found: Typed, value: Any) -> Any:
    """What the engine gave, in the expression's own meaning."""
    if value is None or found.kind in {"text", "boolean"}:
        return value
    if found.kind == "date":
        return date(1970, 1, 1) + timedelta(days=value)
    exact = value * found.scale
    if found.kind == "timestamp":
        return EPOCH + timedelta(microseconds=int(exact * 10**6))
    return exact


TOTAL_ONLY: Final = [
    "extract(year from near + interval '4000 days')", "extract(year from near - interval '4000 days')",
    "extract(year from soon + interval '99999999 seconds')", "extract(doy from near - interval '800 days')",
    "date_trunc('week', near - interval '9 days')", "date_trunc('year', soon - interval '400 days')",
    "extract(second from soon + interval '800 days')", "extract(hour from soon + interval '500 minutes')",
    "lower(note)", "upper(note)", "trim(note)", "upper(lower(note))", "note ilike '%SS%'", "note ilike 'é_%'", "length(upper(note))",
    "length(note || note || note)", "big * big / 3", "big * big % 1000", "floor(big / 0.3)", "round(big * fare, 2)",
    "greatest(day, date '2013-01-01')", "least(at, timestamp '2013-01-01')", "coalesce(day, date '0001-01-01')",
    "case when note ilike 'a%' then day else date '9999-12-31' end", "cast(cast(at as date) as timestamp)",
    "width_bucket(big, -4000000000, 4000000000, 10000)",
]  # fmt: skip


def evaluated(stored: duckdb.DuckDBPyConnection, found: Typed) -> list[Any]:
    return [value for (value,) in stored.execute(f"SELECT {render(found.expr)} FROM t").fetchall()]


@promise("P3.4", "P3.5")
@pytest.mark.parametrize("text", ORACLE)
def test_every_row_gives_what_python_gives(text: str, stored: duckdb.DuckDBPyConnection) -> None:
    found = typed(text)
    for row, value in zip(ROWS, evaluated(stored, found), strict=True):
        assert shown(found, value) == ORACLE[text](as_python(row)), {n: row[n] for n in row if n in text}


@promise("P3.4", "P2.5")
@pytest.mark.parametrize("text", [*ORACLE, *TOTAL_ONLY])
def test_no_value_leaves_its_proved_range(text: str, stored: duckdb.DuckDBPyConnection) -> None:
    """The bound of a sum, and the domain of a key, are what was proved of the expression: a row outside would raise."""
    found = typed(text)
    for row, value in zip(ROWS, evaluated(stored, found), strict=True):
        if value is not None and found.kind in {"number", "date", "timestamp"}:
            assert isinstance(value, int)
            assert found.lower <= value <= found.upper, {n: row[n] for n in row if n in text}


@promise("P3.4")
@pytest.mark.parametrize("text", ["day + interval '1 day'", "day - 1", "at - interval '1 second'", "near + interval '3000000 days'"])
def test_no_moment_may_leave_the_calendar(text: str) -> None:
    """Beyond it a day has no name: its key could not be shown, and the failure would tell that a row is there."""
    with pytest.raises(SandboxError) as caught:
        typed(text)
    assert caught.value.code == "expression_moment_range"


@promise("P5.3")
def test_the_years_of_a_key_are_those_that_its_bounds_allow() -> None:
    assert domain_of(typed("extract(year from near)"), SCOPE) == (2013, None)
    assert domain_of(typed("extract(year from soon - interval '367 days')"), SCOPE) == (2011, 2012, None)
    assert domain_of(typed("case when paid then extract(year from near + interval '1 day') else 0 end"), SCOPE) == (2013, 2014, 0, None)


@promise("P3.4")
def test_every_rule_form_and_accepted_function_is_gone_through() -> None:
    """Nothing is accepted that these tests do not run over every extreme."""
    used: set[str] = set()

    def walk(expr: Expr) -> None:
        if isinstance(expr, Call):
            used.add(expr.name.split()[0])
            for a in expr.args:
                walk(a)

    texts = [*ORACLE, *TOTAL_ONLY, "delay <= 1", "delay <> 1", "cast((paid and true) as integer)"]
    for text in texts:
        walk(typed(text).expr)
    assert used | {"bit"} >= {name.split()[0] for name in _FORMS}
    assert {f.op for f in accepted.FUNCTIONS.values()} <= {name.split()[0] for name in RULES}
    for function in accepted.FUNCTIONS:
        assert any(f"{function}(" in text for text in texts), function
    for part in accepted.PARTS:
        assert any(f"extract({part} " in text for text in texts), part
    for part in accepted.TRUNCATED:
        assert any(f"date_trunc('{part}'" in text for text in texts), part


@promise("P3.4")
@settings(deadline=None, max_examples=60)
@given(
    fare=st.integers(-500, 20000), big=st.integers(-(2**62), 2**62), day=st.integers(FIRST, LAST),
    digits=st.integers(-9, 9), divisor=st.integers(-50, 50).filter(bool),
)  # fmt: skip
def test_rounding_and_division_at_any_value(fare: int, big: int, day: int, digits: int, divisor: int) -> None:
    row = as_python({"fare": fare, "big": big, "day": day, "at": None, "paid": None})
    wanted = {
        f"round(fare, {digits})": half(row["fare"], digits), f"big / {divisor}": cut(big, divisor),
        f"big % {divisor}": big - cut(big, divisor) * divisor, f"floor(fare / {divisor})": math.floor(row["fare"] / divisor),
        f"ceil(fare * {divisor})": math.ceil(row["fare"] * divisor), "date_trunc('week', day)": monday(row["day"]) if day > FIRST + 7 else None,
    }  # fmt: skip
    connection = duckdb.connect(":memory:", config={"threads": 1})
    for text, expected in wanted.items():
        found = typed(text)
        source = f'(SELECT {fare}::BIGINT AS "fare", {big}::BIGINT AS "big", {day}::BIGINT AS "day")'
        (value,) = connection.execute(f"SELECT {render(found.expr)} FROM {source}").fetchone()  # type: ignore[misc]
        if expected is not None:
            assert shown(found, value) == expected, text
    connection.close()
    assert half(Fraction(5, 2)) == int(Decimal("2.5").to_integral_value(ROUND_HALF_UP))
