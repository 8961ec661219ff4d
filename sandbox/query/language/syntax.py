"""The shape of a query after parsing: names, literals, operators and aggregates, each with its place in the text."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import TypeAlias

from sandbox.errors import Position


@dataclass(frozen=True, slots=True)
class Name:
    """A column or an output's alias, as written (lower case unless quoted)."""

    name: str
    at: Position


@dataclass(frozen=True, slots=True)
class Literal:
    """A constant: a number, a text, TRUE, FALSE or NULL."""

    value: int | Decimal | str | bool | None
    at: Position


@dataclass(frozen=True, slots=True)
class Op:
    """An operator or function of `sandbox.query.expressions.bind`, by its name there."""

    name: str
    args: tuple[Node, ...]
    at: Position


@dataclass(frozen=True, slots=True)
class Aggregate:
    """COUNT, SUM or AVG over an argument; None stands for `*`."""

    name: str
    arg: Node | None
    distinct: bool
    at: Position


Node: TypeAlias = Name | Literal | Op | Aggregate


@dataclass(frozen=True, slots=True)
class Item:
    """One entry of the SELECT list."""

    node: Node
    alias: str | None


@dataclass(frozen=True, slots=True)
class Order:
    """One entry of ORDER BY."""

    node: Node
    descending: bool
    nulls_first: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Select:
    """One SELECT over one table."""

    items: tuple[Item, ...]
    table: str
    alias: str
    table_at: Position
    where: Node | None
    group: tuple[Node, ...]
    having: Node | None
    order: tuple[Order, ...]
    limit: int | None
