"""Clauses of the tree: SELECT, FROM, joins, WITH, UNION ALL, GROUP BY, ORDER BY and LIMIT."""

from __future__ import annotations

from typing import Final

from sqlglot import exp

from sandbox.query.language.calls import call
from sandbox.query.language.rows import Rows
from sandbox.query.language.syntax import (
    Cte,
    Derived,
    Item,
    Join,
    Literal,
    Name,
    Node,
    Order,
    Query,
    Select,
    Star,
    Table,
    Union,
)

MAX_TABLES: Final = 16
MAX_CTES: Final = 32


class Clauses(Rows):
    """Reads whole queries."""

    call = staticmethod(call)
    _tables = 0
    _ctes = 0

    def query(self, tree: exp.Expr, *, inner: bool) -> Query:
        """A query with its WITH; an inner one has neither order nor limit of its own."""
        tree = self._unwrapped(tree)
        ctes = self._with(tree)
        union = isinstance(tree, exp.SetOperation)
        order, limit = (self._order(tree, inner=inner), self._limit(tree, inner=inner)) if union else ((), None)
        return Query(ctes=ctes, body=self._body(tree, inner=inner), order=order, limit=limit)

    def _unwrapped(self, tree: exp.Expr) -> exp.Expr:
        """Without parentheses around a whole query, in which nothing else stands."""
        while isinstance(tree, exp.Subquery):
            for clause in ("order", "limit", "with_", "alias", "where", "group", "joins"):
                if tree.args.get(clause):
                    raise self.refuse(tree, "sql_clause", clause=f"({clause.strip('_').upper()} …)")
            tree = tree.this
        return tree

    def _with(self, tree: exp.Expr) -> tuple[Cte, ...]:
        clause = tree.args.get("with_")
        if clause is None:
            return ()
        self.note("with")
        found: dict[str, Cte] = {}
        self._ctes += len(clause.expressions)
        if self._ctes > MAX_CTES:
            raise self.refuse(clause, "query_too_many_ctes", limit=MAX_CTES, found=self._ctes)
        for cte in clause.expressions:
            name = self._alias(cte)
            if name in found:
                raise self.refuse(cte, "sql_cte_repeated", name=name)
            at = self.at(cte.args["alias"])
            found[name] = Cte(name=name, query=self.query(cte.this, inner=True), at=at)
        return tuple(found.values())

    def _alias(self, node: exp.Expr) -> str:
        alias = node.args["alias"]
        if alias.args.get("columns"):
            raise self.refuse(node, "sql_alias_columns")
        return self.defined(alias.this)

    def _body(self, tree: exp.Expr, *, inner: bool) -> Select | Union:
        if isinstance(tree, exp.SetOperation):
            return self._union(tree)
        if isinstance(tree, exp.Values):
            raise self.refuse(tree, "sql_values")
        if not isinstance(tree, exp.Select):
            raise self.refuse(tree, "sql_statement", kind=tree.key.upper())
        return self._select(tree, inner=inner)

    def _union(self, tree: exp.Expr) -> Union:
        parts, left = [], tree
        while isinstance(left, exp.SetOperation):
            if type(left) is not exp.Union or left.args.get("distinct"):
                raise self.refuse(left, "sql_union_distinct")
            self.note("union", "all")
            parts.append(left.args["expression"])
            left = left.this
            if left.args.get("with_"):
                raise self.refuse(left.args["with_"], "sql_with_place")
        return Union(parts=tuple(self._part(p) for p in (left, *reversed(parts))), at=self.at(tree))

    def _part(self, tree: exp.Expr) -> Select | Union:
        tree = self._unwrapped(tree)
        if tree.args.get("with_"):
            raise self.refuse(tree.args["with_"], "sql_with_place")
        if isinstance(tree, exp.SetOperation):
            self._order(tree, inner=True)
            self._limit(tree, inner=True)
        return self._body(tree, inner=True)

    def _select(self, tree: exp.Select, *, inner: bool) -> Select:
        source = tree.args.get("from_")
        if source is None:
            raise self.refuse(tree, "sql_no_table")
        self.note("select", "from")
        if not tree.expressions:
            raise self.refuse(tree, "sql_no_items")
        return Select(
            items=tuple(self._item(e) for e in tree.expressions),
            source=self._source(source.this),
            joins=tuple(self._join(j) for j in tree.args.get("joins") or ()),
            where=self._clause(tree, "where"),
            group=self._group(tree),
            having=self._clause(tree, "having"),
            order=self._order(tree, inner=inner),
            limit=self._limit(tree, inner=inner),
            at=self.at(tree),
        )

    def _item(self, node: exp.Expr) -> Item:
        if isinstance(node, exp.Star):
            self.note("*")
            return Item(Star(None, self.at(node)), None)
        if isinstance(node, exp.Column) and isinstance(node.this, exp.Star):
            self.note("*")
            return Item(Star(self.qualifier(node), self.at(node)), None)
        if isinstance(node, exp.Alias):
            return Item(self.node(node.this), self.identifier(node.args["alias"]))
        return Item(self.node(node), None)

    def _source(self, node: exp.Expr) -> Table | Derived:
        self._tables += 1
        if self._tables > MAX_TABLES:
            raise self.refuse(node, "query_too_many_tables", limit=MAX_TABLES)
        if isinstance(node, exp.Values) or (isinstance(node, exp.Subquery) and isinstance(node.this, exp.Values)):
            raise self.refuse(node, "sql_values")
        if isinstance(node, exp.Subquery):
            return self._derived(node)
        if not isinstance(node, exp.Table) or not isinstance(node.this, exp.Identifier):
            raise self.refuse(node, "sql_table_function")
        if node.args.get("joins"):
            raise self.refuse(node.args["joins"][0], "sql_join_condition")
        if node.args.get("catalog"):
            raise self.refuse(node, "sql_name", name=str(node.args["catalog"].this))
        at, schema = self.at(node), node.args.get("db")
        parts = [self.defined(part) for part in (schema, node.this) if part]
        alias = self._alias(node) if node.args.get("alias") else parts[-1]
        return Table(name=".".join(parts), alias=alias, at=at)

    def _derived(self, node: exp.Subquery) -> Derived:
        at = self.at(node)
        if isinstance(node.this, exp.Table):
            raise self.refuse(node, "sql_join_parentheses")
        if not node.args.get("alias"):
            raise self.refuse(node, "sql_alias_missing")
        return Derived(query=self.query(node.this, inner=True), alias=self._alias(node), at=at)

    def _join(self, node: exp.Join) -> Join:
        side, kind, method = (str(node.args.get(k) or "") for k in ("side", "kind", "method"))
        other = method or (side if side not in {"", "LEFT"} else kind if kind not in {"", "INNER", "OUTER"} else "")
        if other or (kind == "OUTER" and not side) or (kind == "INNER" and side):
            raise self.refuse(node, "sql_join_kind", kind=other or kind)
        on, using = node.args.get("on"), node.args.get("using") or ()
        if on is None and not using:
            raise self.refuse(node, "sql_join_comma" if self.comma(node) else "sql_join_condition")
        self.note("join", *(["left"] if side else []), "using" if using else "on")
        return Join(
            kind="left" if side else "inner",
            source=self._source(node.this),
            on=self.node(on) if on is not None else None,
            using=tuple(self.identifier(u) for u in using),
            at=self.at(node),
        )

    def comma(self, node: exp.Join) -> bool:
        """Whether the join is a comma: the mark of a join is its first word."""
        at = self.at(node)
        return any(t.text == "," and self._places.at(t.start) == at for t in self._tokens)

    def _clause(self, tree: exp.Select, name: str) -> Node | None:
        clause = tree.args.get(name)
        if clause is None:
            return None
        self.note(name)
        return self.node(clause.this)

    def _group(self, tree: exp.Select) -> tuple[Node, ...]:
        clause = tree.args.get("group")
        if clause is None:
            return ()
        self.note("group by")
        if clause.args.get("all") and not clause.expressions:
            self.note("all")
            return (Name("ALL", self.at(clause)),)
        extra = next((k for k, v in clause.args.items() if v and k not in {"expressions", "all"}), None)
        if extra is not None:
            raise self.refuse(clause, "sql_grouping_sets", clause=extra.replace("_", " ").upper())
        if not clause.expressions:
            raise self.refuse(clause, "sql_syntax")
        return tuple(self.node(e) for e in clause.expressions)

    def _order(self, tree: exp.Expr, *, inner: bool) -> tuple[Order, ...]:
        clause = tree.args.get("order")
        if clause is None:
            return ()
        if inner:
            raise self.refuse(clause, "sql_inner_order", clause="ORDER BY")
        self.note("order by")
        found = []
        for one in clause.expressions:
            if one.args.get("desc"):
                self.note("desc")
            found.append(Order(self.node(one.this), bool(one.args.get("desc")), bool(one.args.get("nulls_first"))))
        return tuple(found)

    def _limit(self, tree: exp.Expr, *, inner: bool) -> int | None:
        clause = tree.args.get("limit")
        if clause is None:
            return None
        if inner:
            raise self.refuse(clause, "sql_inner_order", clause="LIMIT")
        self.note("limit")
        count = clause.args.get("expression")
        digits = self.node(count) if isinstance(count, exp.Literal) else None
        if not isinstance(digits, Literal) or type(digits.value) is not int or "." in str(count.this):
            raise self.refuse(clause, "sql_limit")
        return digits.value
