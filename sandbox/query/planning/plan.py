"""From names to a plan: what will be computed and released, decided from declared facts alone."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Final

from sandbox.catalog import Population
from sandbox.errors import RequestError
from sandbox.flow import Permitted, Plan
from sandbox.plans import Bound, Call, Expr, Key, Output, Stage, Table
from sandbox.query.expressions.scope import Scope
from sandbox.query.kernel.engines import BLOCK
from sandbox.query.language.syntax import Aggregate, Item, Literal, Name, Node, Query, Select, Star, Union
from sandbox.query.planning.aggregates import Measures
from sandbox.query.planning.bounding import bounds_of
from sandbox.query.planning.facts import declared_facts
from sandbox.query.planning.keys import keys_of, meant
from sandbox.query.planning.per_unit import has_aggregate, same
from sandbox.query.planning.reads import written_out
from sandbox.query.planning.relations import Public, Relations, in_scope
from sandbox.query.release import post

PLAN_V: Final = 2
MAX_OUTPUTS: Final = 100
MAX_PARTS: Final = 10_000
"""Names, constants and calls of all expressions of one statement, written out down to stored columns."""
MAX_CELLS: Final = 500_000
"""Integers that one answer may hold in memory."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """What the catalogue says about the tables that a query names."""

    tables: Mapping[str, Table]
    population: Population
    population_id: str
    population_key: bytes
    public: Public


def plan(permitted: Permitted, known: Known) -> tuple[Plan, ...]:
    """Make the plan: one for each way to bound that fits, the likeliest first; they differ in bound and stages alone.

    Raises:
        RequestError: what the plan cannot express, with its place and the nearest thing that works.
    """
    query: Query = permitted.parsed.tree
    if isinstance(query.body, Union):
        raise RequestError("union_outermost", position=query.body.at)
    select = query.body
    relations = Relations(known.tables, known.public)
    made = relations.sources(select, in_scope(query, {}))
    if made.relation is None:
        raise RequestError("dataset_public", dataset=made.scope.shown, position=select.at)
    unit = relations.tables[0].spec.unit or "unit"
    builder = _Builder(select, made.scope, keys_of(select, made.scope), Measures(made.scope, unit))
    builder.outputs_of(select.items)
    having = builder.condition(select.having) if select.having is not None else None
    order = tuple((builder.ordered(o.node), o.descending, o.nulls_first) for o in select.order)
    measures, keys = tuple(builder.measures.found), tuple(k for _, k in builder.keys)
    if not measures:
        raise RequestError("query_without_aggregate", position=select.at)
    request = permitted.parsed.request
    bounds = bounds_of(made.relation, relations.tables, keys, measures, request)
    first = Plan(
        permitted=permitted,
        plan_v=PLAN_V,
        tables=tuple(relations.tables),
        public=tuple(relations.public),
        population=known.population,
        population_id=known.population_id,
        population_key=known.population_key,
        relation=made.relation,
        keys=keys,
        measures=measures,
        outputs=tuple(builder.outputs),
        having=having,
        order=order,
        hidden=builder.hidden,
        limit=select.limit,
        bound=bounds[0],
        stages=(),
        facts=(),
    )
    _check_size(first, select)
    return tuple(_bounded(first, bound, made.scope) for bound in bounds)


def _bounded(plan: Plan, bound: Bound, scope: Scope) -> Plan:
    stages: list[Stage] = ["keys"] if plan.private else []
    stages += ["norms", "values"] if bound.form == "clip" else ["values"]
    bounded = replace(plan, bound=bound, stages=tuple(stages))
    return replace(bounded, facts=declared_facts(bounded, scope))


def _check_size(plan: Plan, select: Select) -> None:
    narrow = min(t.version.bits for t in plan.tables)
    files = sum(len(t.version.tiers) << (t.version.bits - narrow) for t in plan.tables)
    files += sum(len(t.version.files) for t in plan.public)
    if files > BLOCK:
        raise RequestError("too_many_files", found=files, limit=BLOCK, position=select.at)
    cells = max(plan.groups, 1) * sum(m.width for m in plan.measures)
    if cells > MAX_CELLS:
        raise RequestError("too_many_cells", cells=cells, limit=MAX_CELLS, position=select.at)
    parts = written_out(plan)
    if parts > MAX_PARTS:
        raise RequestError("expression_too_large", limit=MAX_PARTS, position=select.at)


@dataclass(slots=True)
class _Builder:
    """Collects outputs over keys and measures."""

    select: Select
    scope: Scope
    keys: tuple[tuple[Node, Key], ...]
    measures: Measures
    outputs: list[Output] = field(default_factory=list)
    hidden: int = 0

    def _key(self, node: Node) -> int | None:
        for i, (known, _) in enumerate(self.keys):
            if same(known, node):
                return i
        return None

    def formula(self, node: Node) -> Expr:
        """An expression over aggregates, for SELECT, HAVING and ORDER BY."""
        if isinstance(node, Aggregate):
            return self.measures.formula(node)
        if isinstance(node, Literal):
            return post.constant(node)
        if isinstance(node, Name):
            alias = next((i.node for i in self.select.items if i.alias == node.name and node.table is None), None)
            if alias is not None and not isinstance(alias, Star) and has_aggregate(alias):
                return self.formula(alias)  # HAVING and ORDER BY may name an output
        if self._key(node) is not None:
            raise RequestError("key_in_formula", column=_shown(node), position=node.at)
        if isinstance(node, Name):
            found = self.scope.find(node)
            code = "unit_in_answer" if found.unit else "column_not_grouped"
            raise RequestError(code, column=node.name, position=node.at)
        return post.call(node, tuple(self.formula(a) for a in node.args))

    def outputs_of(self, items: tuple[Item, ...]) -> None:
        if len(items) > MAX_OUTPUTS:
            at = getattr(items[0].node, "at", self.select.at)
            raise RequestError("too_many_outputs", found=len(items), limit=MAX_OUTPUTS, position=at)
        for item in items:
            self.outputs.append(self._output(item))

    def _output(self, item: Item) -> Output:
        node = item.node
        if isinstance(node, Star):
            raise RequestError("sql_star", position=node.at)
        index = self._key(node)
        if index is not None:
            label = item.alias or self.keys[index][1].label
            return Output(label=self._label(label), kind="key", key=index, formula=None)
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

    def condition(self, node: Node) -> Expr:
        """What HAVING says: a test, over numbers."""
        formula = self.formula(node)
        if not (isinstance(formula, Call) and formula.name in post.TESTS):
            raise RequestError("where_not_boolean", found="number", position=node.at)
        return formula

    def ordered(self, node: Node) -> int:
        """The number of the output that ORDER BY names, which is no list; one that is not shown is added."""
        place = self._place(node)
        if place < len(self.outputs) and f"measure {self.outputs[place].kind}" in post.WHOLE_ONLY:
            raise RequestError("formula_whole", position=node.at)
        return place

    def _place(self, node: Node) -> int:
        if isinstance(node, Literal):
            value = node.value
            if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= len(self.select.items):
                items = len(self.select.items)
                raise RequestError("position_unknown", clause="ORDER BY", items=items, position=node.at)
            return value - 1
        if isinstance(node, Name) and node.table is None:
            for i, item in enumerate(self.select.items):
                if node.name in {item.alias, getattr(item.node, "name", None) if item.alias is None else None}:
                    return i
        output = self._output(Item(meant(node, self.select)[0], None))
        for i, existing in enumerate(self.outputs):
            if (existing.key, existing.formula) == (output.key, output.formula):
                return i
        self.outputs.append(output)
        self.hidden += 1
        return len(self.outputs) - 1


def _shown(node: Node) -> str:
    return node.name if isinstance(node, Name) else "expression"


