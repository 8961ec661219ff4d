"""SQL text to a small tree of names: PostgreSQL's dialect through sqlglot, limits first, everything else refused."""

from __future__ import annotations

import bisect
from collections.abc import Callable, Mapping
from decimal import Decimal, InvalidOperation
from typing import Any, Final

import sqlglot
from sqlglot import exp
from sqlglot.errors import SqlglotError
from sqlglot.tokenizer_core import Token, TokenType

from sandbox.errors import Position, RequestError, TooLarge
from sandbox.flow import Parsed, Request
from sandbox.query.language.syntax import Aggregate, Item, Literal, Name, Node, Op, Order, Select

MAX_BYTES: Final = 100_000
MAX_TOKENS: Final = 4_000
MAX_NESTING: Final = 50
MAX_DEPTH: Final = 120
MAX_IN: Final = 1_000

BINARY: Final[Mapping[type[exp.Expression], str]] = {
    exp.EQ: "=", exp.NEQ: "<>", exp.LT: "<", exp.LTE: "<=", exp.GT: ">", exp.GTE: ">=",
    exp.Add: "+", exp.Sub: "-", exp.Mul: "*", exp.Div: "/", exp.Mod: "%", exp.Like: "like", exp.ILike: "ilike",
}  # fmt: skip
UNARY: Final[Mapping[type[exp.Expression], str]] = {
    exp.Not: "not", exp.Neg: "neg", exp.Abs: "abs", exp.Lower: "lower", exp.Upper: "upper", exp.Length: "length",
}  # fmt: skip
CLAUSES: Final = {
    "joins": "sql_join", "laterals": "sql_join", "with_": "sql_with", "distinct": "sql_distinct",
    "windows": "sql_window", "qualify": "sql_window", "offset": "sql_offset", "locks": "sql_clause",
    "into": "sql_clause", "pivots": "sql_clause", "sample": "sql_clause", "connect": "sql_clause",
    "cluster": "sql_clause", "sort": "sql_clause", "hint": "sql_clause",
    "kind": "sql_clause", "match": "sql_clause", "prewhere": "sql_clause", "distribute": "sql_clause",
    "settings": "sql_clause", "format": "sql_clause", "options": "sql_clause", "operation_modifiers": "sql_clause",
}  # fmt: skip
REFUSED: Final[Mapping[type[exp.Expression], str]] = {
    exp.Subquery: "sql_subquery", exp.Select: "sql_subquery", exp.Exists: "sql_subquery", exp.Window: "sql_window",
    exp.Filter: "sql_filter", exp.Star: "sql_star", exp.Parameter: "sql_parameter", exp.Placeholder: "sql_parameter",
    exp.Cast: "sql_cast", exp.TryCast: "sql_cast",
}  # fmt: skip


def parse(request: Request) -> Parsed:
    """Read the names and the shape; nothing is looked up.

    Raises:
        TooLarge: `query_too_long`.
        RequestError: `sql_…` or `query_…`, with the line and column of what is refused.
    """
    select = parse_select(request.sql)
    return Parsed(request=request, dataset=select.table, tree=select)


def parse_select(sql: str) -> Select:
    """Parse one SELECT over one table."""
    places = _Places(sql)
    _check_limits(sql, places)
    try:
        statements = [s for s in sqlglot.parse(sql, read="postgres") if s is not None]
    except RecursionError:
        raise RequestError("query_too_deep", limit=MAX_NESTING) from None
    except SqlglotError as error:
        first = (getattr(error, "errors", None) or [{}])[0]
        line, column = first.get("line") or 1, first.get("col") or 1
        raise RequestError("sql_syntax", position=Position(line=line, column=column)) from None
    if not statements:
        raise RequestError("query_empty")
    if len(statements) > 1:
        raise RequestError("sql_several_statements", position=places.of(statements[1]))
    return _Reader(places).select(statements[0])


class _Places:
    """Turns character offsets, which sqlglot keeps for names and constants, into lines and columns."""

    def __init__(self, sql: str) -> None:
        self._starts = [0] + [i + 1 for i, c in enumerate(sql) if c == "\n"]

    def at(self, offset: int) -> Position:
        line = bisect.bisect_right(self._starts, offset)
        return Position(line=line, column=offset - self._starts[line - 1] + 1)

    def of(self, node: exp.Expr) -> Position:
        """The first place that the node, or else something inside or around it, has in the text."""
        here: exp.Expr | None = node
        while here is not None:
            starts = [n.meta["start"] for n in here.walk() if "start" in n.meta]
            if starts:
                return self.at(min(starts))
            here = here.parent
        return Position(line=1, column=1)


def _check_limits(sql: str, places: _Places) -> None:
    """Refuse by size before any parser recurses."""
    if len(sql.encode("utf-8", "surrogatepass")) > MAX_BYTES:
        raise TooLarge("query_too_long", limit=MAX_BYTES)
    for i, c in enumerate(sql):
        if (c < " " and c not in "\t\n\r") or "\ud800" <= c <= "\udfff":
            raise RequestError("sql_control_character", position=places.at(i))
    try:
        tokens: list[Token] = sqlglot.tokenize(sql, read="postgres")
    except SqlglotError:
        raise RequestError("sql_syntax", position=Position(line=1, column=1)) from None
    if len(tokens) > MAX_TOKENS:
        raise TooLarge("query_too_many_tokens", limit=MAX_TOKENS, found=len(tokens))
    depth = 0
    for token in tokens:
        depth += {TokenType.L_PAREN: 1, TokenType.R_PAREN: -1}.get(token.token_type, 0)
        if depth > MAX_NESTING:
            raise RequestError("query_too_deep", limit=MAX_NESTING, position=places.at(token.start))


class _Reader:
    """One pass from sqlglot's tree to ours."""

    def __init__(self, places: _Places) -> None:
        self._places = places

    def refuse(self, node: exp.Expr, code: str, **params: str | int) -> RequestError:
        return RequestError(code, position=self._places.of(node), **params)

    def select(self, tree: exp.Expr) -> Select:
        if isinstance(tree, exp.SetOperation):
            raise self.refuse(tree, "sql_union")
        if not isinstance(tree, exp.Select):
            raise self.refuse(tree, "sql_statement", kind=tree.key.upper())
        for arg, code in CLAUSES.items():
            value = tree.args.get(arg)
            if value:
                place = value[0] if isinstance(value, list) else value
                node = place if isinstance(place, exp.Expression) else tree
                raise self.refuse(node, code, clause=arg.strip("_").upper())
        table, alias, table_at = self.table(tree)
        self._alias = alias
        return Select(
            items=tuple(self.item(e) for e in tree.expressions),
            table=table,
            alias=alias,
            table_at=table_at,
            where=self.clause(tree, "where"),
            group=self.group(tree),
            having=self.clause(tree, "having"),
            order=self.order(tree),
            limit=self.limit(tree),
        )

    def table(self, tree: exp.Select) -> tuple[str, str, Position]:
        source = tree.args.get("from_")
        if source is None:
            raise self.refuse(tree, "sql_no_table")
        table = source.this
        if isinstance(table, exp.Subquery):
            raise self.refuse(table, "sql_subquery")
        named = isinstance(table, exp.Table) and isinstance(table.this, exp.Identifier)
        if not named:
            raise self.refuse(table, "sql_table_function")
        extra = [k for k, v in table.args.items() if v and k not in {"this", "db", "alias"}]
        columns = table.args["alias"].args.get("columns") if table.args.get("alias") else None
        if extra or columns:
            raise self.refuse(table, "sql_clause", clause=(extra or ["alias columns"])[0].upper())
        name = _fold(table.this)
        full = f"{_fold(table.args['db'])}.{name}" if table.args.get("db") else name
        return full, _fold(table.args["alias"].this) if table.args.get("alias") else name, self._places.of(table)

    def item(self, node: exp.Expression) -> Item:
        if isinstance(node, exp.Alias):
            return Item(self.node(node.this, 0), _fold(node.args["alias"]))
        return Item(self.node(node, 0), None)

    def clause(self, tree: exp.Select, name: str) -> Node | None:
        clause = tree.args.get(name)
        return self.node(clause.this, 0) if clause else None

    def group(self, tree: exp.Select) -> tuple[Node, ...]:
        clause = tree.args.get("group")
        if clause is None:
            return ()
        extra = [k for k, v in clause.args.items() if v and k != "expressions"]
        if extra:
            raise self.refuse(clause, "sql_grouping_sets", clause=extra[0].upper())
        return tuple(self.node(e, 0) for e in clause.expressions)

    def order(self, tree: exp.Select) -> tuple[Order, ...]:
        clause = tree.args.get("order")
        if clause is None:
            return ()
        return tuple(
            Order(self.node(o.this, 0), bool(o.args.get("desc")), bool(o.args.get("nulls_first")))
            for o in clause.expressions
        )

    def limit(self, tree: exp.Select) -> int | None:
        clause = tree.args.get("limit")
        if clause is None:
            return None
        count = clause.args.get("expression")
        digits = str(count.this) if isinstance(clause, exp.Limit) and isinstance(count, exp.Literal) else ""
        if not (digits.isascii() and digits.isdigit() and len(digits) <= 18):
            raise self.refuse(clause, "sql_limit")
        return int(digits)

    def node(self, node: exp.Expression, depth: int) -> Node:
        """One expression; iterates along chains of AND, OR and the like, so depth is that of the text's nesting."""
        if depth > MAX_DEPTH:
            raise self.refuse(node, "query_too_deep", limit=MAX_DEPTH)
        for kind, code in REFUSED.items():
            if type(node) is kind and not _is_literal_cast(node):
                raise self.refuse(node, code)
        special = _SPECIAL.get(type(node))
        if special is not None:
            return special(self, node, depth)
        at = self._places.of(node)
        if type(node) in BINARY:
            sides = (node.this, node.args["expression"])
            return Op(BINARY[type(node)], tuple(self.node(s, depth + 1) for s in sides), at)
        if type(node) in UNARY:
            return Op(UNARY[type(node)], (self.node(node.this, depth + 1),), at)
        if isinstance(node, exp.Func):
            name = node.name if isinstance(node, exp.Anonymous) else node.sql_name()
            raise self.refuse(node, "sql_function", function=name.lower())
        raise self.refuse(node, "sql_expression", construct=node.key.upper())

    def paren(self, node: exp.Expression, depth: int) -> Node:
        return self.node(node.this, depth + 1)

    def chain(self, node: exp.Expression, depth: int) -> Node:
        """AND and OR, flattened."""
        kind, parts, left = type(node), [], node
        while type(left) is kind:
            parts.append(left.args["expression"])
            left = left.this
        nodes = [self.node(p, depth + 1) for p in (left, *reversed(parts))]
        return Op("and" if kind is exp.And else "or", tuple(nodes), self._places.of(node))

    def column(self, node: exp.Expression, _depth: int) -> Node:
        if isinstance(node.this, exp.Star):
            raise self.refuse(node, "sql_star")
        qualifier = node.args.get("table")
        table = _fold(qualifier) if qualifier else None
        schema = f"{_fold(node.args['db'])}.{table}" if node.args.get("db") else table
        if schema not in {None, self._alias} and not (schema or "").endswith(f".{self._alias}"):
            raise self.refuse(node, "sql_unknown_table", table=str(schema))
        return Name(_fold(node.this), self._places.of(node))

    def literal(self, node: exp.Expression, _depth: int) -> Node:
        at = self._places.of(node)
        if node.is_string:
            return Literal(str(node.this), at)
        try:
            number = Decimal(str(node.this))
        except InvalidOperation:
            raise self.refuse(node, "sql_number") from None
        if not number.is_finite() or abs(number) >= Decimal(10) ** 18 or _decimals(number) > 18:
            raise self.refuse(node, "sql_number")
        return Literal(int(number) if number == int(number) else number, at)

    def constant(self, node: exp.Expression, _depth: int) -> Node:
        value = None if isinstance(node, exp.Null) else bool(node.this)
        return Literal(value, self._places.of(node))

    def within(self, node: exp.Expression, depth: int) -> Node:
        if node.args.get("query") or node.args.get("unnest") or node.args.get("field"):
            raise self.refuse(node, "sql_subquery")
        if len(node.expressions) > MAX_IN:
            raise self.refuse(node, "query_in_list", limit=MAX_IN, found=len(node.expressions))
        args = (node.this, *node.expressions)
        return Op("in", tuple(self.node(a, depth + 1) for a in args), self._places.of(node))

    def between(self, node: exp.Expression, depth: int) -> Node:
        if node.args.get("symmetric"):
            raise self.refuse(node, "sql_expression", construct="BETWEEN SYMMETRIC")
        args = (node.this, node.args["low"], node.args["high"])
        return Op("between", tuple(self.node(a, depth + 1) for a in args), self._places.of(node))

    def is_(self, node: exp.Expression, depth: int) -> Node:
        target = node.args["expression"]
        if not isinstance(target, (exp.Null, exp.Boolean)):
            raise self.refuse(node, "sql_expression", construct="IS")
        what = "null" if isinstance(target, exp.Null) else "true" if target.this else "false"
        op = Op(f"is {what}", (self.node(node.this, depth + 1),), self._places.of(node))
        return Op("not", (op,), op.at) if node.args.get("negate") else op

    def coalesce(self, node: exp.Expression, depth: int) -> Node:
        args = (node.this, *node.expressions)
        return Op("coalesce", tuple(self.node(a, depth + 1) for a in args), self._places.of(node))

    def round(self, node: exp.Expression, depth: int) -> Node:
        args = [node.this] + ([node.args["decimals"]] if node.args.get("decimals") else [])
        return Op("round", tuple(self.node(a, depth + 1) for a in args), self._places.of(node))

    def case(self, node: exp.Expression, depth: int) -> Node:
        args: list[Node] = []
        operand = node.args.get("this")
        if operand is not None and not isinstance(operand, exp.Column):
            raise self.refuse(operand, "sql_case_operand")  # it is written once for every WHEN
        for branch in node.args["ifs"]:
            condition = self.node(branch.this, depth + 1)
            if operand is not None:
                condition = Op("=", (self.node(operand, depth + 1), condition), self._places.of(branch))
            args += [condition, self.node(branch.args["true"], depth + 1)]
        default = node.args.get("default")
        at = self._places.of(node)
        args.append(self.node(default, depth + 1) if default else Literal(None, at))
        return Op("case", tuple(args), at)

    def extract(self, node: exp.Expression, depth: int) -> Node:
        part = node.this.name.lower()
        return Op(f"extract {part}", (self.node(node.args["expression"], depth + 1),), self._places.of(node))

    def cast(self, node: exp.Expression, _depth: int) -> Node:
        """`DATE '…'` and `TIMESTAMP '…'`: constants, read when their column's type is known."""
        return Literal(str(node.this.this), self._places.of(node))

    def aggregate(self, node: exp.Expression, depth: int) -> Node:
        at, arg = self._places.of(node), node.this
        distinct = isinstance(arg, exp.Distinct)
        if distinct:
            if len(arg.expressions) != 1 or arg.args.get("on"):
                raise self.refuse(node, "sql_distinct_aggregate")
            arg = arg.expressions[0]
        if node.expressions:
            raise self.refuse(node, "sql_aggregate_arguments", function=node.key.upper())
        name = node.key
        if isinstance(arg, exp.Star) or (name == "count" and isinstance(arg, exp.Literal) and not distinct):
            return Aggregate(name, None, distinct, at)
        return Aggregate(name, self.node(arg, depth + 1), distinct, at)


_SPECIAL: Final[Mapping[type[exp.Expression], Callable[[_Reader, Any, int], Node]]] = {
    exp.Paren: _Reader.paren, exp.And: _Reader.chain, exp.Or: _Reader.chain, exp.Column: _Reader.column,
    exp.Literal: _Reader.literal, exp.Null: _Reader.constant, exp.Boolean: _Reader.constant, exp.In: _Reader.within,
    exp.Between: _Reader.between, exp.Is: _Reader.is_, exp.Coalesce: _Reader.coalesce, exp.Round: _Reader.round,
    exp.Case: _Reader.case, exp.Extract: _Reader.extract, exp.Cast: _Reader.cast,
    exp.Count: _Reader.aggregate, exp.Sum: _Reader.aggregate, exp.Avg: _Reader.aggregate,
}  # fmt: skip


def _fold(identifier: exp.Expression) -> str:
    """PostgreSQL's folding: lower case unless quoted."""
    name = str(identifier.this)
    return name if identifier.args.get("quoted") else name.lower()


def _is_literal_cast(node: exp.Expression) -> bool:
    if type(node) is not exp.Cast:
        return False
    text = isinstance(node.this, exp.Literal) and node.this.is_string
    return text and node.to.this in {exp.DataType.Type.DATE, exp.DataType.Type.TIMESTAMP}


def _decimals(number: Decimal) -> int:
    exponent = number.as_tuple().exponent
    return -exponent if isinstance(exponent, int) and exponent < 0 else 0
