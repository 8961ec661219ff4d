"""From names to a plan: what will be computed and released, decided from declared facts alone."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from typing import Final

from sandbox.catalog import Column, ColumnType, DatasetSpec, Population, Version
from sandbox.errors import RequestError
from sandbox.flow import Bound, Call, Expr, Key, Lit, Measure, Output, Permitted, Plan
from sandbox.query.expressions.bind import bind, column_of
from sandbox.query.expressions.typed import size
from sandbox.query.language.syntax import Aggregate, Item, Literal, Name, Node, Select
from sandbox.query.planning.facts import declared_facts
from sandbox.query.release import post

PLAN_V: Final = 1
MAX_GROUPS: Final = 100_000
MAX_DOMAIN: Final = 10_000
MAX_OUTPUTS: Final = 100
MAX_PARTS: Final = 10_000
"""Names, constants and calls of all expressions of one statement, written out."""
MAX_CELLS: Final = 500_000
"""Groups times outputs: what one answer may hold in memory."""
WHOLE, SUM_PART, COUNT_PART = 4, 3, 1
"""Shares of the budget: an average's sum and count together weigh as much as any other aggregate (utility.md)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """What the catalogue says about the dataset a query names."""

    spec: DatasetSpec
    dataset_id: str
    version: Version
    population: Population
    population_id: str
    population_key: bytes


def plan(permitted: Permitted, known: Known) -> Plan:
    """Make the plan.

    Raises:
        RequestError: what the plan cannot express, with its place and the nearest thing that works.
    """
    select: Select = permitted.parsed.tree
    builder = _Builder(known.spec, select)
    where = builder.where()
    builder.outputs_of(select.items)
    having = builder.formula(select.having) if select.having is not None else None
    order = builder.order()
    if not builder.measures:
        raise RequestError("query_without_aggregate", position=select.table_at)
    cells = builder.groups * len(builder.outputs)
    if cells > MAX_CELLS:
        raise RequestError("too_many_cells", cells=cells, limit=MAX_CELLS, position=select.table_at)
    parts = sum(size(e) for e in (where, *(m.expr for m in builder.measures)) if e is not None)
    if parts > MAX_PARTS:
        raise RequestError("expression_too_large", limit=MAX_PARTS, position=select.table_at)
    bound = _bound(known.spec, permitted.parsed.request.rows, builder.measures)
    measures = tuple(builder.measures)
    return Plan(
        permitted=permitted,
        plan_v=PLAN_V,
        spec=known.spec,
        dataset_id=known.dataset_id,
        version=known.version,
        population=known.population,
        population_id=known.population_id,
        population_key=known.population_key,
        where=where,
        keys=tuple(builder.keys),
        measures=measures,
        outputs=tuple(builder.outputs),
        having=having,
        order=order,
        hidden=builder.hidden,
        limit=select.limit,
        bound=bound,
        facts=declared_facts(
            known.spec, known.population, keys=tuple(builder.keys), measures=measures, where=where, bound=bound
        ),
    )


def _bound(spec: DatasetSpec, rows: int | None, measures: list[Measure]) -> Bound:
    """Bounded at ingest (P4.1): the tiers below k hold each unit's first k rows."""
    if all(m.kind == "units" for m in measures):
        return Bound(form="ingest", rows=1, tiers=(0,))
    k = spec.default_rows if rows is None else rows
    if k not in spec.tiers:
        raise RequestError("rows_not_an_edge", rows=k, edges=[str(t) for t in spec.tiers])
    return Bound(form="ingest", rows=k, tiers=tuple(range(spec.tiers.index(k) + 1)))


def key_domain(column: Column) -> tuple[int | str | None, ...] | None:
    """Every key of a column if that is declared (P5.3): its domain, or all values between narrow bounds; NULL last."""
    values: tuple[int | str, ...] | None = column.domain
    bounded = column.lower is not None and column.upper is not None and column.type is not ColumnType.DECIMAL
    if values is None and bounded and (column.upper or 0) - (column.lower or 0) < MAX_DOMAIN:
        values = tuple(range(column.lower or 0, (column.upper or 0) + 1))
    if values is None:
        return None
    return values if column.required else (*values, None)


@dataclass(slots=True)
class _Builder:
    """Collects keys, measures and outputs; each measure once, however often it is named."""

    spec: DatasetSpec
    select: Select
    keys: list[Key] = field(default_factory=list)
    measures: list[Measure] = field(default_factory=list)
    outputs: list[Output] = field(default_factory=list)
    hidden: int = 0

    def __post_init__(self) -> None:
        for node in self.select.group:
            self._add_key(self._group_name(node))
        if self.groups > MAX_GROUPS:
            at = self.select.group[0].at
            raise RequestError("too_many_groups", groups=self.groups, limit=MAX_GROUPS, position=at)

    @property
    def groups(self) -> int:
        """How many groups the keys declare."""
        return math.prod(len(key.domain) for key in self.keys)

    # --- keys ---

    def _group_name(self, node: Node) -> Name:
        if isinstance(node, Literal):
            item = self._position(node, "GROUP BY")
            node = item.node
        if isinstance(node, Name):
            for item in self.select.items:
                if item.alias == node.name and isinstance(item.node, Name):
                    return item.node
            return node
        raise RequestError("key_expression", position=node.at)

    def _position(self, node: Literal, clause: str) -> Item:
        n = node.value
        if isinstance(n, bool) or not isinstance(n, int) or not 1 <= n <= len(self.select.items):
            raise RequestError("position_unknown", clause=clause, items=len(self.select.items), position=node.at)
        return self.select.items[n - 1]

    def _add_key(self, name: Name) -> None:
        column = column_of(name, self.spec)
        domain = key_domain(column)
        if domain is None:
            public = [c.name for c in self.spec.columns if key_domain(c) is not None]
            raise RequestError("key_not_public", column=column.name, known=public, position=name.at)
        if all(k.column != column.name for k in self.keys):
            self.keys.append(Key(column=column.name, label=column.name, type=column.type, domain=domain))

    def _key(self, name: str) -> int | None:
        return next((i for i, k in enumerate(self.keys) if k.column == name), None)

    # --- measures ---

    def _measure(self, wanted: Measure) -> int:
        for i, m in enumerate(self.measures):
            if replace(m, share=wanted.share) == wanted:
                if wanted.share > m.share:
                    self.measures[i] = wanted
                return i
        self.measures.append(wanted)
        return len(self.measures) - 1

    def _count(self, expr: Expr | None, share: int) -> int:
        name = getattr(expr, "name", "")
        column = self.spec.column(name) if name else None
        if expr is None or (column is not None and column.required and not isinstance(expr, Call)):
            return self._measure(_unit_measure("rows", None, share))
        return self._measure(_unit_measure("present", expr, share))

    def _sum(self, node: Aggregate, *, centred: bool) -> tuple[int, Expr]:
        if node.arg is None:
            raise RequestError("aggregate_star", function=node.name.upper(), position=node.at)
        typed = bind(node.arg, self.spec)
        if typed.kind != "number":
            raise RequestError("aggregate_type", function=node.name.upper(), found=typed.kind, position=node.at)
        center = (typed.lower + typed.upper) // 2 if centred else 0
        row_bound = max(abs(typed.lower - center), abs(typed.upper - center), 1)
        if row_bound >= 2**62:
            raise RequestError("expression_overflows", position=node.at)
        measure = Measure(
            kind="sum", expr=typed.expr, lower=typed.lower, upper=typed.upper, center=center,
            scale=(typed.scale.numerator, typed.scale.denominator), row_bound=row_bound,
            share=SUM_PART if centred else WHOLE,
        )  # fmt: skip
        return self._measure(measure), typed.expr

    def _aggregate(self, node: Aggregate) -> Call:
        if node.distinct:
            return self._distinct(node)
        if node.name == "count":
            expr = bind(node.arg, self.spec).expr if node.arg is not None else None
            return Call("measure count", (Lit(self._count(expr, WHOLE)),))
        if node.name == "sum":
            index, _ = self._sum(node, centred=False)
            return Call("measure sum", (Lit(index),))
        index, expr = self._sum(node, centred=True)
        return Call("measure avg", (Lit(index), Lit(self._count(expr, COUNT_PART))))

    def _distinct(self, node: Aggregate) -> Call:
        unit = node.name == "count" and isinstance(node.arg, Name) and node.arg.name == self.spec.unit
        if not unit:
            raise RequestError("distinct_not_unit", unit=self.spec.unit, position=node.at)
        if self.select.where is not None or self.select.group:
            raise RequestError("distinct_unit_filtered", unit=self.spec.unit, position=node.at)
        return Call("measure count", (Lit(self._measure(_unit_measure("units", None, WHOLE))),))

    # --- outputs ---

    def where(self) -> Expr | None:
        if self.select.where is None:
            return None
        typed = bind(self.select.where, self.spec)
        if typed.kind != "boolean":
            raise RequestError("where_not_boolean", found=typed.kind, position=self.select.where.at)
        return typed.expr

    def formula(self, node: Node) -> Expr:
        """An expression over aggregates, for SELECT, HAVING and ORDER BY."""
        if isinstance(node, Aggregate):
            return self._aggregate(node)
        if isinstance(node, Literal):
            return post.constant(node)
        if isinstance(node, Name):
            code = "key_in_formula" if self._key(node.name) is not None else "column_not_grouped"
            column_of(node, self.spec)
            raise RequestError(code, column=node.name, position=node.at)
        return post.call(node, tuple(self.formula(a) for a in node.args))

    def outputs_of(self, items: tuple[Item, ...]) -> None:
        if len(items) > MAX_OUTPUTS:
            raise RequestError("too_many_outputs", found=len(items), limit=MAX_OUTPUTS, position=items[0].node.at)
        for item in items:
            self.outputs.append(self._output(item))

    def _output(self, item: Item) -> Output:
        node = item.node
        if isinstance(node, Name):
            index = self._key(column_of(node, self.spec).name)
            if index is None:
                raise RequestError("column_not_grouped", column=node.name, position=node.at)
            return Output(label=self._label(item.alias or node.name), kind="key", key=index, formula=None)
        formula = self.formula(node)
        kind = post.kind_of(formula)
        default = node.name if isinstance(node, Aggregate) else "column"
        return Output(label=self._label(item.alias or default), kind=kind, key=None, formula=formula)

    def _label(self, wanted: str) -> str:
        taken = {o.label for o in self.outputs}
        label, n = wanted, 1
        while label in taken:
            n += 1
            label = f"{wanted}_{n}"
        return label

    def order(self) -> tuple[tuple[int, bool, bool], ...]:
        return tuple((self._ordered(o.node), o.descending, o.nulls_first) for o in self.select.order)

    def _ordered(self, node: Node) -> int:
        if isinstance(node, Literal):
            return self.select.items.index(self._position(node, "ORDER BY"))
        if isinstance(node, Name):
            for i, item in enumerate(self.select.items):
                if node.name in {item.alias, getattr(item.node, "name", None) if item.alias is None else None}:
                    return i
        item = Item(node, None)
        output = self._output(item)
        for i, existing in enumerate(self.outputs):
            if (existing.key, existing.formula) == (output.key, output.formula):
                return i
        self.outputs.append(output)
        self.hidden += 1
        return len(self.outputs) - 1


def _unit_measure(kind: str, expr: Expr | None, share: int) -> Measure:
    """A count: each row, or each unit, adds one."""
    return Measure(
        kind=kind, expr=expr, lower=0, upper=1, center=0, scale=(1, 1), row_bound=1, share=share  # type: ignore[arg-type]  # one of the literals, by the callers above
    )


