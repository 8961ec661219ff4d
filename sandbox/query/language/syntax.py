"""The shape of a query after parsing: clauses, names, literals, operators and aggregates, each with its place."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields, is_dataclass
from decimal import Decimal
from typing import Literal as Choice
from typing import TypeAlias

from sandbox.errors import Position


@dataclass(frozen=True, slots=True)
class Name:
    """A column or an output's alias, as written (ASCII in lower case unless quoted), with its qualifier.

    The qualifier is an alias, a table's name, or `schema.table`.
    """

    name: str
    at: Position
    table: str | None = None


@dataclass(frozen=True, slots=True)
class Literal:
    """A constant.

    Kind `plain` is a number, a text, TRUE, FALSE or NULL; `date` and `timestamp` hold the text between the quotes,
    read when it is bound; `interval` holds whole microseconds.
    """

    value: int | Decimal | str | bool | None
    at: Position
    kind: Choice["plain", "date", "timestamp", "interval"] = "plain"


@dataclass(frozen=True, slots=True)
class Op:
    """An operator or function of rows or of answers, by the name that `accepted.py` gives it."""

    name: str
    args: tuple[Node, ...]
    at: Position


@dataclass(frozen=True, slots=True, kw_only=True)
class Aggregate:
    """One aggregate; COUNT(*) has no args, `where` is its FILTER, `within` the x of WITHIN GROUP (ORDER BY x)."""

    name: str
    args: tuple[Node, ...]
    distinct: bool
    where: Node | None
    within: Node | None
    at: Position

    @property
    def arg(self) -> Node | None:
        """The first argument; None stands for `*`."""
        return self.args[0] if self.args else None


Node: TypeAlias = Name | Literal | Op | Aggregate


@dataclass(frozen=True, slots=True)
class Star:
    """`*`, or `t.*`."""

    table: str | None
    at: Position


@dataclass(frozen=True, slots=True)
class Item:
    """One entry of the SELECT list."""

    node: Node | Star
    alias: str | None


@dataclass(frozen=True, slots=True)
class Order:
    """One entry of ORDER BY."""

    node: Node
    descending: bool
    nulls_first: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """A name after FROM or JOIN: a registered dataset, or a CTE in scope; without AS the alias is the last part."""

    name: str
    alias: str
    at: Position


@dataclass(frozen=True, slots=True, kw_only=True)
class Derived:
    """FROM (SELECT …) alias."""

    query: Query
    alias: str
    at: Position


@dataclass(frozen=True, slots=True, kw_only=True)
class Join:
    """One JOIN; either `on` or `using` says how."""

    kind: Choice["inner", "left"]
    source: Table | Derived
    on: Node | None
    using: tuple[str, ...]
    at: Position


@dataclass(frozen=True, slots=True, kw_only=True)
class Select:
    """One SELECT; order and limit stand only in the outermost one."""

    items: tuple[Item, ...]
    source: Table | Derived
    joins: tuple[Join, ...]
    where: Node | None
    group: tuple[Node, ...]
    having: Node | None
    order: tuple[Order, ...]
    limit: int | None
    at: Position


@dataclass(frozen=True, slots=True, kw_only=True)
class Union:
    """UNION ALL of two or more parts, in the order of the text."""

    parts: tuple[Select | Union, ...]
    at: Position


@dataclass(frozen=True, slots=True, kw_only=True)
class Cte:
    """One name of a WITH; it sees those before it."""

    name: str
    query: Query
    at: Position


@dataclass(frozen=True, slots=True, kw_only=True)
class Query:
    """A WITH and its body; order and limit are those of an outermost UNION ALL, a SELECT carries its own."""

    ctes: tuple[Cte, ...]
    body: Select | Union
    order: tuple[Order, ...]
    limit: int | None


def tables_of(query: Query) -> tuple[Table, ...]:
    """Every table named that is not a CTE in scope, each name once, in the order of the text."""
    found: dict[str, Table] = {}
    for table in _tables(query, frozenset()):
        found.setdefault(table.name, table)
    return tuple(found.values())


def _tables(query: Query, scope: frozenset[str]) -> Iterator[Table]:
    for cte in query.ctes:
        yield from _tables(cte.query, scope)
        scope |= {cte.name}
    yield from _sources(query.body, scope)


def _sources(body: Select | Union, scope: frozenset[str]) -> Iterator[Table]:
    if isinstance(body, Union):
        for part in body.parts:
            yield from _sources(part, scope)
        return
    for source in (body.source, *(j.source for j in body.joins)):
        if isinstance(source, Derived):
            yield from _tables(source.query, scope)
        elif source.name not in scope:
            yield source


def walk(part: object) -> Iterator[object]:
    """The part and all that it is made of, in the order of the text: queries, clauses and expressions alike."""
    if isinstance(part, tuple):
        for one in part:
            yield from walk(one)
    elif is_dataclass(part) and not isinstance(part, Position):
        yield part
        for field in fields(part):
            yield from walk(getattr(part, field.name))
