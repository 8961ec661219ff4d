"""From tables, joins, unions and subqueries to one relation that is a union over units, and its scope."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final, TypeAlias

from sandbox.catalog import ColumnType
from sandbox.errors import Position, RequestError
from sandbox.plans import Call, Col, Expr, Filter, Lit, Lookup, Meet, Project, Relation, Scalar, Scan, Stack, Table
from sandbox.query.expressions import logic
from sandbox.query.expressions.bind import bind
from sandbox.query.expressions.scope import Field, Scope, fields_of, read
from sandbox.query.expressions.typed import Typed, columns_of
from sandbox.query.language import syntax
from sandbox.query.language.syntax import Aggregate, Item, Name, Node, Op, Star
from sandbox.query.planning import per_unit
from sandbox.query.planning.domains import domain_of
from sandbox.query.planning.joining import conditions
from sandbox.query.planning.sizes import most_rows

MAX_FAN: Final = 100_000
"""Rows of one unit that a join may make, by declared facts."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Public:
    """What public rows themselves say: how often a key is there, and which values a column has."""

    most: Callable[[Table, tuple[str, ...]], int]
    values: Callable[[Table, str], tuple[Scalar, ...] | None]


Ctes: TypeAlias = "Mapping[str, tuple[syntax.Cte, Ctes]]"
"""The named subqueries in scope, each with those in scope where it was written."""


def in_scope(query: syntax.Query, outer: Ctes) -> Ctes:
    """The named subqueries that a query's body may name."""
    scope = dict(outer)
    for cte in query.ctes:
        scope[cte.name] = (cte, dict(scope))
    return scope


@dataclass(frozen=True, slots=True, kw_only=True)
class Made:
    """A source of rows: a relation over units, or a public table, by its number."""

    relation: Relation | None
    scope: Scope
    public: int = -1


@dataclass(slots=True)
class Relations:
    """Collects the tables that one query reads, each as often as it is named."""

    known: Mapping[str, Table]
    public_rows: Public
    tables: list[Table] = field(default_factory=list)
    public: list[Table] = field(default_factory=list)
    _named: int = 0
    _cut: list[bool] = field(default_factory=lambda: [False])

    def sources(self, select: syntax.Select, ctes: Ctes) -> Made:
        """FROM, its joins and WHERE."""
        sources = [select.source, *(j.source for j in select.joins)]
        joined = sum(not self._is_public(s, ctes) for s in sources) > 1
        self._cut.append(self._cut[-1] or joined)
        made = self.source(select.source, ctes)
        for join in select.joins:
            made = self._join(made, join, self.source(join.source, ctes))
        self._cut.pop()
        if made.relation is None:
            name = self.public[made.public].spec.name
            raise RequestError("dataset_public", dataset=name, position=select.source.at)
        return replace(made, relation=filtered(made.relation, select.where, made.scope))

    def source(self, source: syntax.Table | syntax.Derived, ctes: Ctes) -> Made:
        """One table, subquery or named subquery."""
        if isinstance(source, syntax.Derived):
            return self._called(self.query(source.query, ctes), source.alias, source.at)
        if source.name in ctes:
            cte, before = ctes[source.name]
            return self._called(self.query(cte.query, before), source.alias, source.at)
        table = self.known[source.name]
        if table.spec.public:
            self.public.append(table)
            number = len(self.public) - 1
            return Made(relation=None, public=number, scope=self._public_scope(table, number, source.alias))
        self.tables.append(table)
        number = len(self.tables) - 1
        prefix = "" if number == 0 else f"{number}."
        rows = table.spec.default_rows if self._cut[-1] else None
        scope = Scope(fields=fields_of(table.spec, prefix, source.alias), shown=table.spec.name)
        return Made(relation=Scan(table=number, prefix=prefix, rows=rows), scope=scope)

    def query(self, query: syntax.Query, ctes: Ctes) -> Made:
        """A subquery that maps a row to at most one row, or aggregates within the unit."""
        if query.order or query.limit is not None:
            raise RequestError("subquery_order", position=query.body.at)
        return self._body(query.body, in_scope(query, ctes))

    def _body(self, body: syntax.Select | syntax.Union, ctes: Ctes) -> Made:
        if isinstance(body, syntax.Union):
            return self._stack([self._body(part, ctes) for part in body.parts], body.at)
        if body.order or body.limit is not None:
            raise RequestError("subquery_order", position=body.at)
        inside = body.group or body.having is not None or any(per_unit.has_aggregate(i.node) for i in body.items)
        if inside:  # whole rows of a unit are aggregated: nothing is cut before
            self._cut.append(False)
        made = self.sources(body, ctes)
        if inside:
            self._cut.pop()
        relation = made.relation
        if relation is None:
            raise RequestError("dataset_public", dataset=made.scope.shown, position=body.at)
        if inside:
            self._named += 1
            tag, most = f"u{self._named}.", self._most(relation)
            relation, scope, items = per_unit.aggregated(relation, made.scope, body, most, tag)
            return self._project(relation, scope, items)
        return self._project(relation, made.scope, body.items)

    # --- columns ---

    def _project(self, relation: Relation, scope: Scope, items: Sequence[Item]) -> Made:
        fields: list[Field] = []
        passed: list[tuple[str, Expr]] = []
        columns: list[tuple[str, Expr]] = []
        for item in items:
            if isinstance(item.node, Star):
                chosen = [f for f in scope.fields if item.node.table is None or f.table == item.node.table]
                if not chosen:
                    raise RequestError("sql_unknown_table", table=str(item.node.table), position=item.node.at)
            elif isinstance(item.node, Name):
                found = scope.find(item.node)
                chosen = [replace(found, name=item.alias or found.name)]
            else:
                chosen = [self._computed(bind(item.node, scope), item, scope, columns)]
            for one in chosen:
                fields.append(replace(one, table=None))
                passed += [(name, Col(name, kind)) for name, kind in _read_by(one)]
        named = tuple(dict([*passed, *columns]).items())
        return Made(relation=Project(of=relation, columns=named), scope=Scope(fields=tuple(fields), shown=scope.shown))

    def _computed(self, typed: Typed, item: Item, scope: Scope, columns: list[tuple[str, Expr]]) -> Field:
        self._named += 1
        name = f"c.{self._named}"
        columns.append((name, Call("bit", (typed.expr,)) if typed.kind == "boolean" else typed.expr))
        default = item.node.name if isinstance(item.node, Aggregate) else "column"
        value = typed if typed.kind == "null" else read(name, typed)
        rests = scope.sources_of(columns_of(typed.expr))
        return Field(name=item.alias or default, table=None, typed=value, sources=rests, domain=domain_of(typed, scope))

    def _called(self, made: Made, alias: str, at: Position) -> Made:
        names = [f.name for f in made.scope.fields]
        for name in names:
            if names.count(name) > 1:
                raise RequestError("column_ambiguous", column=name, position=at)
        return replace(made, scope=made.scope.called(alias))

    def _public_scope(self, table: Table, number: int, alias: str) -> Scope:
        fields = fields_of(table.spec, f"p{number}.", alias)
        return Scope(
            shown=table.spec.name,
            fields=tuple(replace(f, domain=f.domain or self.public_rows.values(table, f.name)) for f in fields),
        )

    # --- joins ---

    def _is_public(self, source: syntax.Table | syntax.Derived, ctes: Ctes) -> bool:
        return isinstance(source, syntax.Table) and source.name not in ctes and self.known[source.name].spec.public

    def _join(self, left: Made, join: syntax.Join, right: Made) -> Made:
        if left.relation is None and right.relation is not None and join.kind == "inner":
            left, right = right, left
        if left.relation is None:
            raise RequestError("join_left_public", position=join.at)
        scope = Scope(fields=(*left.scope.fields, *right.scope.fields), shown=left.scope.shown)
        pairs, units, rest = conditions(left.scope, right.scope, join, public=right.relation is None)
        if right.relation is None:
            made = self._lookup(left, right, join, pairs)
        else:
            if not units:
                raise RequestError("join_without_unit", position=join.at)
            relation = Meet(left=left.relation, right=right.relation, outer=join.kind == "left", on=tuple(pairs))
            made = Made(relation=relation, scope=scope)
        if join.kind == "left":
            made = replace(made, scope=_nullable(made.scope, len(left.scope.fields)))
            if rest:
                raise RequestError("join_condition", position=rest[0].at)
        if made.relation is None or self._most(made.relation) > MAX_FAN:
            raise RequestError("join_fans_out", limit=MAX_FAN, position=join.at)
        for node in rest:
            made = replace(made, relation=filtered(made.relation, node, made.scope))
        return made

    def _lookup(self, left: Made, right: Made, join: syntax.Join, pairs: list[tuple[Expr, Expr]]) -> Made:
        table, prefix = self.public[right.public], f"p{right.public}."
        if not pairs or left.relation is None:
            raise RequestError("join_condition", position=join.at)
        stored = tuple(sorted({n.removeprefix(prefix) for _, b in pairs for n in columns_of(b)}))
        columns = tuple((prefix + c.name, c.name) for c in table.spec.columns)
        relation = Lookup(
            of=left.relation, table=right.public, on=tuple(pairs), columns=columns, outer=join.kind == "left",
            most=max(1, self.public_rows.most(table, stored)),
        )  # fmt: skip
        fields = (*left.scope.fields, *right.scope.fields)
        return Made(relation=relation, scope=Scope(fields=fields, shown=left.scope.shown))

    # --- UNION ALL ---

    def _stack(self, parts: list[Made], at: Position) -> Made:
        width = len(parts[0].scope.fields)
        if any(len(p.scope.fields) != width for p in parts):
            raise RequestError("union_columns", position=at)
        columns: list[list[tuple[str, Expr]]] = [[] for _ in parts]
        fields = [self._stacked([p.scope.fields[place] for p in parts], columns, at) for place in range(width)]
        relations = [
            Project(of=p.relation, columns=tuple(c))
            for p, c in zip(parts, columns, strict=True)
            if p.relation is not None
        ]
        scope = Scope(fields=tuple(fields), shown=parts[0].scope.shown)
        return Made(relation=Stack(parts=tuple(relations)), scope=scope)

    def _stacked(self, fields: list[Field], columns: list[list[tuple[str, Expr]]], at: Position) -> Field:
        first = fields[0]
        if all(f.unit for f in fields):
            return replace(first, table=None)
        if any(f.unit for f in fields):
            raise RequestError("union_unit", column=first.name, position=at)
        if any(f.typed is None for f in fields):
            raise RequestError("column_without_bounds", column=first.name, position=at)
        values = logic.align(Op("UNION ALL", (), at), tuple(f.typed for f in fields if f.typed is not None))
        self._named += 1
        name = f"c.{self._named}"
        for value, target in zip(values, columns, strict=True):
            target.append((name, Call("bit", (value.expr,)) if value.kind == "boolean" else value.expr))
        same = len({f.typed.scale for f in fields if f.typed is not None}) == 1
        domains = [f.domain for f in fields]
        known = [d for d in domains if d is not None]
        merged = tuple(dict.fromkeys(v for d in known for v in d)) if same and len(known) == len(fields) else None
        sources = {(s.dataset, s.column.name): s for f in fields for s in f.sources}
        union = logic.union(values, Lit(None))
        return Field(
            name=first.name, table=None, typed=union if union.kind == "null" else read(name, union),
            sources=tuple(sources.values()), domain=_null_last(merged), required=all(f.required for f in fields),
        )  # fmt: skip

    def _most(self, relation: Relation) -> int:
        return most_rows(relation, self.tables)


def filtered(relation: Relation | None, where: Node | None, scope: Scope) -> Relation:
    """The relation under WHERE or HAVING."""
    if relation is None:
        raise TypeError("a public table is not filtered")
    if where is None:
        return relation
    typed = bind(where, scope)
    if typed.kind != "boolean":
        raise RequestError("where_not_boolean", found=typed.kind, position=where.at)
    return Filter(of=relation, where=typed.expr)


def _read_by(one: Field) -> list[tuple[str, ColumnType]]:
    if one.typed is None:
        return []
    inner = one.typed.expr.args[0] if isinstance(one.typed.expr, Call) else one.typed.expr
    return [(inner.name, inner.type)] if isinstance(inner, Col) else []


def _nullable(scope: Scope, since: int) -> Scope:
    """What an outer join may leave empty."""
    fields = [
        f if i < since else replace(f, required=False, domain=f.domain and _null_last((*f.domain, None)))
        for i, f in enumerate(scope.fields)
    ]
    return Scope(fields=tuple(fields), shown=scope.shown)


def _null_last(domain: tuple[Scalar, ...] | None) -> tuple[Scalar, ...] | None:
    if domain is None:
        return None
    known = tuple(dict.fromkeys(v for v in domain if v is not None))
    return (*known, None) if None in domain else known
