"""Aggregates within the unit: subqueries with GROUP BY unit, whose rows are exact integers of one unit each (P3.5)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

from sandbox.errors import RequestError
from sandbox.plans import Call, Expr, Filter, Lit, PerUnit, Relation
from sandbox.query.expressions.bind import bind
from sandbox.query.expressions.scope import Field, Scope, read
from sandbox.query.expressions.typed import LIMIT, Typed, columns_of
from sandbox.query.language.syntax import Aggregate, Item, Name, Node, Op, Select, Star

Kind = Literal["rows", "present", "sum", "min", "max"]
KINDS: dict[str, Kind] = {"count": "present", "sum": "sum", "min": "min", "max": "max"}


def has_aggregate(node: Node | Star) -> bool:
    """Whether an aggregate stands in it."""
    return isinstance(node, Aggregate) or any(has_aggregate(a) for a in getattr(node, "args", ()))


@dataclass(slots=True)
class _Inside:
    scope: Scope
    most: int
    tag: str
    keys: list[tuple[str, Expr]] = field(default_factory=list)
    columns: list[tuple[str, Kind, Expr | None]] = field(default_factory=list)
    fields: list[Field] = field(default_factory=list)
    grouped: list[tuple[Node, str]] = field(default_factory=list)

    def group(self, nodes: Sequence[Node], select: Select) -> None:
        units = 0
        for written in nodes:
            node = _meant(written, select)
            found = self.scope.find(node) if isinstance(node, Name) else None
            if found is not None and found.unit:
                units += 1
                self.fields.append(found)
                continue
            typed = bind(node, self.scope)
            name = f"{self.tag}g{len(self.keys)}"
            self.keys.append((name, Call("bit", (typed.expr,)) if typed.kind == "boolean" else typed.expr))
            self.fields.append(self._field(name, typed, domain=None if found is None else found.domain))
            self.grouped.append((node, name))
        if not units:
            raise RequestError("subquery_group", position=select.at)

    def _field(self, name: str, typed: Typed, domain: tuple[object, ...] | None = None) -> Field:
        sources = self.scope.sources_of(columns_of(typed.expr))
        value = typed if typed.kind == "null" else read(name, typed)
        return Field(name=name, table=None, typed=value, sources=sources, domain=domain)  # type: ignore[arg-type]  # a field's own domain

    def written(self, node: Node) -> Node:
        """The node with aggregates and grouped expressions as names of the new columns."""
        for known, name in self.grouped:
            if same(known, node):
                return Name(name, node.at)
        if isinstance(node, Aggregate):
            return Name(self._aggregate(node), node.at)
        if isinstance(node, Op):
            return Op(node.name, tuple(self.written(a) for a in node.args), node.at)
        return node

    def _aggregate(self, node: Aggregate) -> str:
        if node.name not in KINDS or node.distinct or node.within is not None or len(node.args) > 1:
            raise RequestError("subquery_aggregate", function=node.name.upper(), position=node.at)
        if not node.args and node.name != "count":
            raise RequestError("aggregate_star", function=node.name.upper(), position=node.at)
        kind: Kind = KINDS[node.name] if node.args else "rows"
        value = bind(node.args[0], self.scope) if node.args else None
        if value is not None and kind == "sum" and value.kind != "number":
            raise RequestError("aggregate_type", function="SUM", found=value.kind, position=node.at)
        expr = None if value is None else value.expr
        if value is not None and value.kind == "boolean" and kind in {"min", "max"}:
            expr = Call("bit", (value.expr,))  # as a stored one: 0 and 1
        if node.where is not None:
            condition = bind(node.where, self.scope)
            if condition.kind != "boolean":
                raise RequestError("where_not_boolean", found=condition.kind, position=node.where.at)
            kind = "present" if kind == "rows" else kind
            expr = Call("case", (condition.expr, Lit(1) if expr is None else expr, Lit(None)))
        name = f"{self.tag}a{len(self.columns)}"
        self.columns.append((name, kind, expr))
        made = self._typed(kind, value)
        if made.kind != "text" and max(abs(made.lower), abs(made.upper)) >= LIMIT:
            raise RequestError("expression_overflows", position=node.at)
        self.fields.append(self._field(name, made))
        return name

    def _typed(self, kind: Kind, value: Typed | None) -> Typed:
        if value is None or kind in {"rows", "present"}:
            return Typed(expr=Lit(None) if value is None else value.expr, kind="number", lower=0, upper=self.most)
        if kind == "sum":
            lower, upper = self.most * min(value.lower, 0), self.most * max(value.upper, 0)
            return Typed(expr=value.expr, kind="number", scale=value.scale, lower=lower, upper=upper)
        return value


def aggregated(
    relation: Relation, scope: Scope, select: Select, most: int, tag: str
) -> tuple[Relation, Scope, tuple[Item, ...]]:
    """A subquery with GROUP BY unit: its relation, its scope, and its items over that; its columns begin with `tag`.

    Raises:
        RequestError: `subquery_group`, it does not group by the unit; `subquery_aggregate`.
    """
    inside = _Inside(scope, most, tag)
    inside.group(select.group, select)
    items = tuple(_item(inside, item) for item in select.items)
    having = None if select.having is None else inside.written(select.having)
    made: Relation = PerUnit(of=relation, keys=tuple(inside.keys), columns=tuple(inside.columns))
    new = Scope(fields=tuple(inside.fields), shown=scope.shown)
    if having is not None:
        typed = bind(having, new)
        if typed.kind != "boolean":
            raise RequestError("where_not_boolean", found=typed.kind, position=having.at)
        made = Filter(of=made, where=typed.expr)
    return made, new, items


def _item(inside: _Inside, item: Item) -> Item:
    if isinstance(item.node, Star):
        raise RequestError("sql_star", position=item.node.at)
    return Item(inside.written(item.node), item.alias or _default(item.node))


def _default(node: Node) -> str | None:
    return node.name if isinstance(node, Name | Aggregate) else None


def _meant(node: Node, select: Select) -> Node:
    """A position or an alias of the SELECT list as what it stands for."""
    value = getattr(node, "value", None)
    if isinstance(value, int) and not isinstance(value, bool):
        if not 1 <= value <= len(select.items):
            raise RequestError("position_unknown", clause="GROUP BY", items=len(select.items), position=node.at)
        named = [select.items[value - 1].node]
        return _no_star(named[0])
    if isinstance(node, Name) and node.table is None:
        named = [i.node for i in select.items if i.alias == node.name and not isinstance(i.node, Name)]
        return _no_star(named[0]) if named else node
    return node


def _no_star(node: Node | Star) -> Node:
    if isinstance(node, Star):
        raise RequestError("sql_star", position=node.at)
    return node


def same(a: Node, b: Node) -> bool:
    """Whether two expressions are written alike, wherever they stand."""
    if type(a) is not type(b):
        return False
    if isinstance(a, Name) and isinstance(b, Name):
        return a.name == b.name and (a.table == b.table or None in {a.table, b.table})
    if isinstance(a, Op) and isinstance(b, Op):
        return a.name == b.name and len(a.args) == len(b.args) and all(map(same, a.args, b.args))
    one, other = getattr(a, "value", None), getattr(b, "value", None)
    return hasattr(a, "value") and type(one) is type(other) and one == other
