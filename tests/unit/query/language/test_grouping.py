"""Without parentheses, what is read groups as in PostgreSQL's grammar, which DuckDB's parser follows; the rest is refused."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, Final

import duckdb
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sandbox.errors import SandboxError
from sandbox.query.language.parse import parse_query
from sandbox.query.language.syntax import Literal, Name, Node, Op, Select

BINARY: Final = ["=", "<>", "<", ">=", "+", "-", "*", "/", "%", "||", "AND", "OR", "LIKE", "NOT LIKE", "IS DISTINCT FROM"]
AFTER: Final = ["IS NULL", "IS NOT NULL", "IS TRUE", "IN (1, 2)", "NOT IN (1)", "BETWEEN 1 AND 2", "NOT BETWEEN 1 AND 2", "::integer"]
SIGNS: Final = {"neg": "-", "not": "NOT ", "concat": "||"}
NEGATED: Final = {
    "COMPARE_NOT_IN": "COMPARE_IN", "OPERATOR_IS_NOT_NULL": "OPERATOR_IS_NULL", "COMPARE_NOT_BETWEEN": "COMPARE_BETWEEN",
}  # fmt: skip


@st.composite
def flat(draw: st.DrawFn) -> str:
    """An expression without a single parenthesis that would tell how it groups."""
    text = ""
    for i in range(draw(st.integers(2, 4))):
        text += f" {draw(st.sampled_from(BINARY))} " if i else ""
        text += draw(st.sampled_from(["", "", "", "NOT ", "- "])) + "abcd"[i]
        text += "".join(f" {a}" for a in draw(st.lists(st.sampled_from(AFTER), max_size=1)))
    return text


def written(node: Node) -> str:
    """The tree with parentheses around everything."""
    if isinstance(node, Name):
        return node.name
    if isinstance(node, Literal):
        return str(node.value)
    assert isinstance(node, Op)
    args = [f"({written(a)})" for a in node.args]
    name = SIGNS.get(node.name, node.name)
    if node.name == "in":
        return f"{args[0]} IN ({', '.join(args[1:])})"
    if node.name == "between":
        return f"{args[0]} BETWEEN {args[1]} AND {args[2]}"
    if node.name.startswith("cast"):
        return f"CAST({args[0]} AS {node.name.split()[1]})"
    if node.name in {"is null", "is true"}:
        return f"{args[0]} {node.name}"
    return f"{name}{args[0]}" if len(args) == 1 else f" {name} ".join(args)


def shape(part: Any) -> Any:
    """DuckDB's tree without places, and with every negated operator as NOT around the plain one."""
    if isinstance(part, list):
        return [shape(p) for p in part]
    if not isinstance(part, dict):
        return part
    kept = {k: shape(v) for k, v in part.items() if not k.startswith("query_location") and k != "qualified_name"}
    if kept.get("type") in NEGATED:
        return {"NOT": {**kept, "type": NEGATED[kept["type"]]}}
    if kept.get("function_name") == "!~~":
        return {"NOT": {**kept, "function_name": "~~"}}
    if kept.get("type") == "OPERATOR_NOT":
        return {"NOT": kept["children"][0]}
    return kept


@pytest.fixture(scope="module")
def engine() -> Iterator[duckdb.DuckDBPyConnection]:
    with duckdb.connect() as connection:
        yield connection


def tree(engine: duckdb.DuckDBPyConnection, expression: str) -> Any:
    row = engine.execute("SELECT json_serialize_sql(?::VARCHAR)", [f"SELECT {expression}"]).fetchone()
    assert row is not None
    read = json.loads(row[0])
    return read["error_message"] if read["error"] else shape(read["statements"][0]["node"]["select_list"])


@settings(max_examples=400, deadline=None)
@given(flat())
def test_what_is_read_groups_as_in_postgresql(engine: duckdb.DuckDBPyConnection, text: str) -> None:
    try:
        body = parse_query(f"SELECT count(*) FROM t WHERE {text}").body
    except SandboxError:
        return
    assert isinstance(body, Select)
    assert body.where is not None
    assert tree(engine, text) == tree(engine, written(body.where))


KNOWN: Final = [
    ("a = b IS NULL", "(a = b) is null"), ("NOT a = b", "NOT (a = b)"), ("a || b = c", "(a || b) = c"),
    ("a = b IN (1)", "a = (b IN (1))"), ("- a::integer", "-(a::integer)"), ("a OR b AND NOT c", "a OR (b AND (NOT c))"),
    ("a LIKE b || c", "a LIKE (b || c)"), ("a - b - c", "(a - b) - c"), ("a IS DISTINCT FROM b = c", "a IS DISTINCT FROM (b = c)"),
    ("a + b::integer", "a + (b::integer)"), ("a NOT IN (1) AND b", "(NOT (a IN (1))) AND b"),
    ("CASE WHEN a THEN b END IS NULL", "(CASE WHEN a THEN b END) IS NULL"),
]  # fmt: skip


@pytest.mark.parametrize(("plain", "grouped"), KNOWN)
def test_known_groupings(plain: str, grouped: str) -> None:
    assert names(plain) == names(grouped)


def names(text: str) -> str:
    """The shape as text, without places."""
    body = parse_query(f"SELECT count(*) FROM t WHERE {text}").body
    assert isinstance(body, Select)
    return bare(body.where)


def bare(node: Node | None) -> str:
    if isinstance(node, Op):
        return f"{node.name}({', '.join(bare(a) for a in node.args)})"
    assert isinstance(node, Name | Literal)
    return node.name if isinstance(node, Name) else repr(node.value)


@pytest.mark.parametrize("text", ["a = b = c", "a < b > c", "a IS NULL IS NULL", "a BETWEEN 1 AND 2 BETWEEN 1 AND 2"])
def test_what_postgresql_does_not_chain_is_refused(text: str) -> None:
    with pytest.raises(SandboxError) as caught:
        parse_query(f"SELECT count(*) FROM t WHERE {text}")
    assert caught.value.code == "sql_precedence"
