"""The tree: clauses, names and constants keep their meaning and place; tables are found in their scope."""

from __future__ import annotations

from decimal import Decimal
from typing import Final

import pytest

from sandbox.errors import Position
from sandbox.query.language.parse import parse_query
from sandbox.query.language.syntax import (
    Aggregate,
    Derived,
    Literal,
    Name,
    Node,
    Op,
    Query,
    Select,
    Star,
    Table,
    Union,
    tables_of,
)


def select(sql: str) -> Select:
    body = parse_query(sql).body
    assert isinstance(body, Select)
    return body


def condition(text: str) -> Node:
    where = select(f"SELECT count(*) FROM t WHERE {text}").where
    assert where is not None
    return where


def aggregate(text: str) -> Aggregate:
    node = select(f"SELECT {text} FROM t").items[0].node
    assert isinstance(node, Aggregate)
    return node


def test_a_query_keeps_its_shape() -> None:
    body = select(
        "SELECT origin, f.carrier, count(*), avg(dep_delay) AS late\nFROM transport.flights f WHERE f.month <= 6 "
        "GROUP BY 1, carrier HAVING count(*) > 100 ORDER BY 3 DESC, origin NULLS FIRST, 1 LIMIT 5"
    )
    assert body.source == Table(name="transport.flights", alias="f", at=Position(line=2, column=6))
    assert body.items[1].node == Name("carrier", Position(line=1, column=16), "f")
    assert body.items[3].alias == "late"
    left, right = Name("month", Position(line=2, column=32), "f"), Literal(6, Position(line=2, column=43))
    assert body.where == Op("<=", (left, right), Position(line=2, column=32))
    assert [getattr(g, "value", getattr(g, "name", None)) for g in body.group] == [1, "carrier"]
    assert [(o.descending, o.nulls_first) for o in body.order] == [(True, True), (False, True), (False, False)]
    assert body.limit == 5
    assert isinstance(body.having, Op)


def test_names_fold_like_postgresql() -> None:
    body = select('SELECT COUNT(*), SUM("Delay"), Ärger, "a""b" FROM City.Trips')
    assert isinstance(body.source, Table)
    assert (body.source.name, body.source.alias) == ("city.trips", "trips")
    assert isinstance(body.items[1].node, Aggregate)
    assert body.items[1].node.arg == Name("Delay", Position(line=1, column=22))
    assert [getattr(i.node, "name", None) for i in body.items[2:]] == ["Ärger", 'a"b']


CONSTANTS: Final = [
    ("0.1", Decimal("0.1"), "plain"), (".5", Decimal("0.5"), "plain"), ("1e3", 1000, "plain"), ("'it''s'", "it's", "plain"),
    ("TRUE", True, "plain"), ("NULL", None, "plain"), ("DATE '2013-01-31'", "2013-01-31", "date"),
    ("'2013-01-31'::date", "2013-01-31", "date"), ("CAST('2013-01-31 12:00' AS timestamp)", "2013-01-31 12:00", "timestamp"),
    ("INTERVAL '2 days'", 2 * 86_400 * 10**6, "interval"), ("INTERVAL '-3' hour", -3 * 3_600 * 10**6, "interval"),
    (r"'a\'", "a\\", "plain"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "value", "kind"), CONSTANTS)
def test_constants_are_exact(text: str, value: object, kind: str) -> None:
    where = condition(f"x = {text}")
    assert isinstance(where, Op)
    constant = where.args[1]
    assert isinstance(constant, Literal)
    assert (constant.value, type(constant.value), constant.kind) == (value, type(value), kind)
    assert constant.at == Position(line=1, column=34)


def test_aggregates_keep_their_parts() -> None:
    one = aggregate("percentile_cont(ARRAY[0.25, 1]) WITHIN GROUP (ORDER BY x) FILTER (WHERE y > 1)")
    (array,) = one.args
    assert isinstance(array, Op)
    assert [a.value for a in array.args if isinstance(a, Literal)] == [Decimal("0.25"), 1]
    assert isinstance(aggregate("percentile_cont(0.5) WITHIN GROUP (ORDER BY x)").args[0], Literal)
    assert isinstance(one.within, Name)
    assert isinstance(one.where, Op)
    assert aggregate("count(*)").args == aggregate("count(1)").args == ()
    assert aggregate("count(NULL)").args != ()
    assert aggregate("count(DISTINCT x)").distinct
    assert aggregate("stddev(x)").name == "stddev_samp"
    bins = aggregate("histogram(x, -1, 2.5, 3)").args[1:]
    assert [b.value for b in bins if isinstance(b, Literal)] == [-1, Decimal("2.5"), 3]


def test_with_subqueries_joins_and_unions() -> None:
    query = parse_query(
        "WITH a AS (SELECT * FROM s.t), b AS (WITH a AS (SELECT x FROM u) SELECT a.* FROM a)\n"
        "SELECT count(*) FROM a JOIN b USING (x, y) LEFT JOIN (SELECT x FROM v UNION ALL SELECT x FROM a) q ON a.x = q.x"
    )
    assert [(c.name, c.at) for c in query.ctes] == [("a", Position(line=1, column=6)), ("b", Position(line=1, column=32))]
    assert isinstance(query.ctes[0].query.body, Select)
    assert query.ctes[0].query.body.items[0].node == Star(None, Position(line=1, column=19))
    assert isinstance(query.body, Select)
    first, second = query.body.joins
    assert (first.kind, first.using, first.on, first.at) == ("inner", ("x", "y"), None, Position(line=2, column=24))
    assert (second.kind, second.using) == ("left", ())
    assert isinstance(second.on, Op)
    assert isinstance(second.source, Derived)
    assert isinstance(second.source.query.body, Union)
    assert second.source.alias == "q"


def test_order_and_limit_of_a_union_are_the_querys() -> None:
    query = parse_query("SELECT x FROM t UNION ALL SELECT x FROM u UNION ALL (SELECT x FROM v) ORDER BY 1 LIMIT 2")
    assert isinstance(query.body, Union)
    assert len(query.body.parts) == 3
    assert (len(query.order), query.limit) == (1, 2)


SCOPES: Final = [
    ("SELECT count(*) FROM s.t JOIN u USING (x) JOIN s.t z USING (x)", ["s.t", "u"]),
    ("WITH t AS (SELECT x FROM t) SELECT count(*) FROM t", ["t"]),
    ("WITH t AS (SELECT x FROM u) SELECT count(*) FROM t", ["u"]),
    ("WITH a AS (SELECT x FROM b), b AS (SELECT x FROM a) SELECT count(*) FROM b", ["b"]),
    ("WITH a AS (SELECT x FROM u) SELECT count(*) FROM s.a JOIN (SELECT x FROM a) q USING (x)", ["u", "s.a"]),
    ("SELECT count(*) FROM (WITH a AS (SELECT x FROM u) SELECT x FROM a) q JOIN a USING (x)", ["u", "a"]),
    ("SELECT x FROM t UNION ALL (SELECT x FROM u UNION ALL SELECT x FROM t)", ["t", "u"]),
]  # fmt: skip


@pytest.mark.parametrize(("sql", "names"), SCOPES)
def test_tables_are_those_that_no_with_shadows(sql: str, names: list[str]) -> None:
    query: Query = parse_query(sql)
    assert [t.name for t in tables_of(query)] == names
