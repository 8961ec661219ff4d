"""Expressions of the tree: sqlglot's nodes to ours, refusing where sqlglot and PostgreSQL would group differently."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Mapping
from decimal import Decimal, InvalidOperation
from typing import Any, Final

from sqlglot import exp

from sandbox.query.language.accepted import INTERVAL_UNITS, OPERATORS, PARTS
from sandbox.query.language.grammar import COLONS, SPELLED, START, TYPED
from sandbox.query.language.reading import Reading
from sandbox.query.language.syntax import Literal, Name, Node, Op

MAX_DEPTH: Final = 120
MAX_IN: Final = 1_000

BINARY: Final[Mapping[type[exp.Expr], tuple[str, int]]] = {
    exp.EQ: ("=", 5), exp.NEQ: ("<>", 5), exp.LT: ("<", 5), exp.LTE: ("<=", 5), exp.GT: (">", 5), exp.GTE: (">=", 5),
    exp.Like: ("like", 6), exp.ILike: ("ilike", 6), exp.DPipe: ("||", 7), exp.Add: ("+", 8), exp.Sub: ("-", 8),
    exp.Mul: ("*", 9), exp.Div: ("/", 9), exp.Mod: ("%", 9),
}  # fmt: skip
BINDS: Final[Mapping[type[exp.Expr], int]] = {
    exp.Or: 1, exp.And: 2, exp.Not: 3, exp.Is: 4, exp.NullSafeEQ: 4, exp.NullSafeNEQ: 4, exp.In: 6, exp.Between: 6,
    exp.Neg: 10, **{kind: rank for kind, (_, rank) in BINARY.items()},
}  # fmt: skip
"""How tightly PostgreSQL binds each operator; its comparisons and ranges do not chain."""
ATOM: Final = 12
REFUSED: Final[Mapping[type[exp.Expr], str]] = {
    exp.Subquery: "sql_scalar_subquery", exp.Select: "sql_scalar_subquery", exp.Window: "sql_window",
    exp.Parameter: "sql_parameter", exp.Placeholder: "sql_parameter", exp.Star: "sql_star",
    exp.WithinGroup: "sql_within_group", exp.Filter: "sql_filter_place",
}  # fmt: skip

CALLED: Final[Mapping[type[exp.Expr], str]] = {
    exp.AtTimeZone: "AT TIME ZONE", exp.Dot: "x.y()", exp.Tuple: "(x, y)", exp.IgnoreNulls: "IGNORE NULLS",
    exp.HavingMax: "HAVING MAX", exp.Order: "ORDER BY",
}  # fmt: skip


def binds(node: exp.Expr) -> int:
    """How tightly the node's operator binds, by PostgreSQL's table of precedence."""
    if isinstance(node, exp.Cast):
        return 11 if node.meta.get(COLONS) else ATOM
    if isinstance(node, exp.Paren) and START not in node.meta:
        return binds(node.this)  # sqlglot's own: nothing stands in the text
    return BINDS.get(type(node), ATOM)


def called(node: exp.Expr) -> str:
    """What the text calls the node's operator."""
    return CALLED.get(type(node)) or BINARY.get(type(node), (node.key, 0))[0].upper()


class Rows(Reading):
    """Reads expressions; `call` is given by the reader of functions."""

    call: Callable[[Rows, exp.Expr, int], Node]

    def node(self, node: exp.Expr, depth: int = 0) -> Node:
        """One expression; chains of AND and OR are flat, so depth is that of the text's nesting."""
        if depth > MAX_DEPTH:
            raise self.refuse(node, "query_too_deep", limit=MAX_DEPTH)
        kind = type(node)
        if kind in {exp.Anonymous, exp.WithinGroup, exp.Filter}:
            return type(self).call(self, node, depth)
        if kind in BINARY:
            return self._binary(node, depth)
        special = _SPECIAL.get(kind)
        if special is not None:
            return special(self, node, depth)
        if kind in REFUSED:
            raise self.refuse(node, REFUSED[kind])
        raise self.refuse(node, "sql_expression", construct=called(node))

    def operand(self, node: exp.Expr, parent: exp.Expr, least: int, depth: int) -> Node:
        """An operand that PostgreSQL, too, would give to this operator: it binds at least so tightly."""
        if binds(node) < least:
            raise self.refuse(parent, "sql_precedence", construct=called(parent))
        return self.node(node, depth + 1)

    def _binary(self, node: exp.Expr, depth: int) -> Node:
        sign, rank = BINARY[type(node)]
        chains = rank > 6
        self.note(sign)
        left = self.operand(node.this, node, rank if chains else rank + 1, depth)
        right = self.operand(node.args["expression"], node, rank + 1, depth)
        found = Op(OPERATORS[sign].op, (left, right), self.at(node))
        if not node.args.get("negate"):
            return found
        self.note("not")
        return Op("not", (found,), found.at)

    def paren(self, node: exp.Expr, depth: int) -> Node:
        """What stands in parentheses."""
        return self.node(node.this, depth + 1)

    def unary(self, node: exp.Expr, depth: int) -> Node:
        """NOT and the sign."""
        sign, name = ("not", "not") if isinstance(node, exp.Not) else ("-", "neg")
        self.note(sign)
        return Op(OPERATORS[name].op, (self.operand(node.this, node, binds(node), depth),), self.at(node))

    def chain(self, node: exp.Expr, depth: int) -> Node:
        """AND and OR, flattened."""
        kind, parts, left = type(node), [], node
        word = "and" if kind is exp.And else "or"
        while type(left) is kind:
            parts.append(left.args["expression"])
            left = left.this
            self.note(word)
        nodes = [self.operand(p, node, binds(node) + 1, depth) for p in (left, *reversed(parts))]
        return Op(OPERATORS[word].op, tuple(nodes), self.at(node))

    def column(self, node: exp.Expr, _depth: int) -> Node:
        """A column, with its qualifier."""
        if not isinstance(node.this, exp.Identifier):
            raise self.refuse(node, "sql_star")
        return Name(self.identifier(node.this), self.at(node), self.qualifier(node))

    def qualifier(self, node: exp.Expr) -> str | None:
        """`t` or `schema.t` before a column or a star."""
        if node.args.get("catalog"):
            raise self.refuse(node, "sql_name", name=str(node.args["catalog"].this))
        parts = [self.defined(node.args[k]) for k in ("db", "table") if node.args.get(k)]
        return ".".join(parts) or None

    def literal(self, node: exp.Expr, _depth: int) -> Node:
        """A number, or a text: NFC as stored ones are, so that no spelling of a character misses its rows."""
        at, text = self.at(node), str(node.this)
        if node.is_string:
            self.note(f"'{text}")
            return Literal(unicodedata.normalize("NFC", text), at)
        self.note(text)
        try:
            number = Decimal(text)
        except InvalidOperation:
            raise self.refuse(node, "sql_number") from None
        if not number.is_finite() or abs(number) >= Decimal(10) ** 18 or _decimals(number) > 18:
            raise self.refuse(node, "sql_number")
        return Literal(int(number) if number == int(number) else number, at)

    def constant(self, node: exp.Expr, _depth: int) -> Node:
        """TRUE, FALSE and NULL."""
        value = None if isinstance(node, exp.Null) else bool(node.this)
        self.note("null" if value is None else str(value).lower())
        return Literal(value, self.at(node))

    def listed(self, node: exp.Expr, depth: int) -> Node:
        """IN with a list."""
        if node.args.get("query") or node.args.get("unnest") or node.args.get("field"):
            raise self.refuse(node, "sql_subquery_condition", form="IN")
        if len(node.expressions) > MAX_IN:
            raise self.refuse(node, "query_in_list", limit=MAX_IN, found=len(node.expressions))
        if not node.expressions:
            raise self.refuse(node, "sql_syntax")
        self.note("in")
        items = tuple(self.node(e, depth + 1) for e in node.expressions)
        return Op(OPERATORS["in"].op, (self.operand(node.this, node, 7, depth), *items), self.at(node))

    def between(self, node: exp.Expr, depth: int) -> Node:
        """BETWEEN."""
        if node.args.get("symmetric"):
            raise self.refuse(node, "sql_expression", construct="BETWEEN SYMMETRIC")
        self.note("between", "and")
        parts = (node.this, node.args["low"], node.args["high"])
        return Op(OPERATORS["between"].op, tuple(self.operand(p, node, 7, depth) for p in parts), self.at(node))

    def is_(self, node: exp.Expr, depth: int) -> Node:
        """IS [NOT] NULL, TRUE or FALSE."""
        target = node.args["expression"]
        if not isinstance(target, (exp.Null, exp.Boolean)):
            raise self.refuse(node, "sql_expression", construct="IS")
        what = "null" if isinstance(target, exp.Null) else "true" if target.this else "false"
        self.note("is", what)
        found = Op(OPERATORS[f"is {what}"].op, (self.operand(node.this, node, 5, depth),), self.at(node))
        if not node.args.get("negate"):
            return found
        self.note("not")
        return Op("not", (found,), found.at)

    def distinct_from(self, node: exp.Expr, depth: int) -> Node:
        """IS [NOT] DISTINCT FROM."""
        name = "is not distinct from" if isinstance(node, exp.NullSafeEQ) else "is distinct from"
        self.note(*name.split())
        sides = (node.this, node.args["expression"])
        return Op(OPERATORS[name].op, tuple(self.operand(s, node, 5, depth) for s in sides), self.at(node))

    def case(self, node: exp.Expr, depth: int) -> Node:
        """CASE, with or without a column to compare."""
        args: list[Node] = []
        operand, at = node.args.get("this"), self.at(node)
        if operand is not None and not isinstance(operand, exp.Column):
            raise self.refuse(operand, "sql_case_operand")  # it is written once for every WHEN
        tested = self.node(operand, depth + 1) if operand is not None else None
        self.note("case", "end")
        for branch in node.args["ifs"]:
            self.note("when", "then")
            condition = self.node(branch.this, depth + 1)
            if tested is not None:
                condition = Op("=", (tested, condition), condition.at)
            args += [condition, self.node(branch.args["true"], depth + 1)]
        default = node.args.get("default")
        if default is not None:
            self.note("else")
        args.append(self.node(default, depth + 1) if default is not None else Literal(None, at))
        return Op(OPERATORS["case"].op, tuple(args), at)

    def extract(self, node: exp.Expr, depth: int) -> Node:
        """EXTRACT(part FROM x)."""
        part = str(node.this.name)
        self.note("extract", "from", f"'{part}" if isinstance(node.this, exp.Literal) else part.lower())
        x = self.node(node.args["expression"], depth + 1)
        return Op(f"{OPERATORS['extract'].op} {self.part(node, part, PARTS)}", (x,), self.at(node))

    def part(self, node: exp.Expr, written: str, known: tuple[str, ...]) -> str:
        """A part of a date or timestamp, by name."""
        if written.lower() not in known:
            raise self.refuse(node, "sql_date_part", part=written, known=list(known))
        return written.lower()

    def cast(self, node: exp.Expr, depth: int) -> Node:
        """`DATE '…'` and `TIMESTAMP '…'` are constants, whichever way they are cast; the rest are conversions."""
        to, inner, at = node.args["to"], node.this, self.at(node)
        if not isinstance(to, exp.Var):
            raise self.refuse(node, "sql_expression", construct="CAST")
        if node.meta.get(COLONS):
            self.note("::")
        elif not to.meta[TYPED]:
            self.note("cast")
        self.note(to.meta[SPELLED])
        text = isinstance(inner, exp.Literal) and inner.is_string
        if text and to.name in {"date", "timestamp"}:
            self.note(f"'{inner.this}")
            return Literal(str(inner.this), at, "date" if to.name == "date" else "timestamp")
        if to.meta[TYPED]:
            raise self.refuse(node, "sql_precedence", construct="CAST")
        return Op(f"cast {to.name}", (self.operand(inner, node, 11 if node.meta.get(COLONS) else 0, depth),), at)

    def interval(self, node: exp.Expr, _depth: int) -> Node:
        """INTERVAL, of one unit whose length never changes."""
        at, text, unit = self.at(node), str(node.this.this), node.args.get("unit")
        self.note("interval", f"'{text}")
        if unit is not None:
            self.note(str(unit.this).lower())
        return Literal(self._microseconds(node, f"{text} {unit.this if unit is not None else ''}"), at, "interval")

    def _microseconds(self, node: exp.Expr, text: str) -> int:
        words = text.split()
        unit = words[1].upper().removesuffix("S") if len(words) == 2 else ""
        digits = words[0].removeprefix("-") if words else ""
        if unit not in INTERVAL_UNITS or not (digits.isascii() and digits.isdigit() and len(digits) <= 9):
            raise self.refuse(node, "sql_interval", known=[u.lower() for u in INTERVAL_UNITS])
        return int(words[0]) * INTERVAL_UNITS[unit] * 10**6


_SPECIAL: Final[Mapping[type[exp.Expr], Callable[[Rows, Any, int], Node]]] = {
    exp.Paren: Rows.paren, exp.Not: Rows.unary, exp.Neg: Rows.unary, exp.And: Rows.chain, exp.Or: Rows.chain,
    exp.Column: Rows.column, exp.Literal: Rows.literal, exp.Null: Rows.constant, exp.Boolean: Rows.constant,
    exp.In: Rows.listed, exp.Between: Rows.between, exp.Is: Rows.is_, exp.NullSafeEQ: Rows.distinct_from,
    exp.NullSafeNEQ: Rows.distinct_from, exp.Case: Rows.case, exp.Extract: Rows.extract, exp.Cast: Rows.cast,
    exp.Interval: Rows.interval,
}  # fmt: skip


def _decimals(number: Decimal) -> int:
    exponent = number.as_tuple().exponent
    return -exponent if isinstance(exponent, int) and exponent < 0 else 0
