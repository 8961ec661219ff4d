"""Functions and aggregates of the tree, read by the table of what is accepted."""

from __future__ import annotations

from decimal import Decimal
from typing import Final

from sqlglot import exp

from sandbox.names import nearest
from sandbox.query.language.accepted import AGGREGATES, ELSEWHERE, FUNCTIONS, PARTS, QUANTILES, TRUNCATED, Accepted
from sandbox.query.language.rows import Rows
from sandbox.query.language.syntax import Aggregate, Literal, Node, Op
from sandbox.query.language.words import fold

COUNTED: Final = frozenset({"width_bucket", "histogram", "approx_top_k"})
"""Their last argument says how many: bins, or values."""


def call(rows: Rows, node: exp.Expr, depth: int) -> Node:
    """A function or aggregate, with its FILTER and WITHIN GROUP.

    Raises:
        RequestError: `sql_function…`, `sql_constant`, `sql_within_group`, `sql_filter_place`, `sql_distinct_aggregate`.
    """
    where, within, inner = None, None, node
    if isinstance(inner, exp.Filter):
        where, inner = inner.args["expression"], inner.this
    if isinstance(inner, exp.WithinGroup):
        within, inner = inner.args["expression"], inner.this
    if not isinstance(inner, exp.Anonymous):
        raise rows.refuse(node, "sql_filter_place" if where is not None else "sql_within_group", form="aggregate")
    name = _name(rows, inner)
    if name in AGGREGATES:
        if within is None and name in QUANTILES:
            raise rows.refuse(node, "sql_within_group", form=AGGREGATES[name].form)
        return _aggregate(rows, AGGREGATES[name], (node, inner, where, within), depth)
    if where is not None:
        raise rows.refuse(node, "sql_filter_place")
    if within is not None:
        raise rows.refuse(node, "sql_within_group", form=AGGREGATES["percentile_cont"].form)
    return _function(rows, FUNCTIONS[name], inner, depth)


def _name(rows: Rows, node: exp.Anonymous) -> str:
    """The function's name, known to the table."""
    written = node.this if isinstance(node.this, str) else str(node.this.this)
    name = fold(written) if isinstance(node.this, str) else written
    if name in AGGREGATES or name in FUNCTIONS:
        rows.note(name if isinstance(node.this, str) else f'"{written}')
        return name
    near = ELSEWHERE.get(name) or nearest(name, [*AGGREGATES, *FUNCTIONS])
    if near is not None:
        raise rows.refuse(node, "sql_function_near", function=name, nearest=near.upper())
    raise rows.refuse(node, "sql_function_unknown", function=name)


def _arguments(rows: Rows, form: Accepted, node: exp.Expr, written: list[exp.Expr], depth: int) -> tuple[Node, ...]:
    if not form.least <= len(written) <= form.most:
        raise rows.refuse(node, "sql_function_arguments", function=form.name.upper(), form=form.form)
    args = [rows.node(a, depth + 1) for a in written]
    for i in form.constants:
        if i < len(args):
            args[i] = _constant(rows, form, written[i], args[i])
    if form.name in COUNTED:
        last = args[-1]
        if not (isinstance(last, Literal) and type(last.value) is int and last.value > 0):
            raise rows.refuse(written[-1], "sql_constant", function=form.name.upper(), form=form.form)
    return tuple(args)


def _constant(rows: Rows, form: Accepted, written: exp.Expr, arg: Node) -> Literal:
    """A plain constant; the sign of a number becomes part of it."""
    if isinstance(arg, Op) and arg.name == "neg" and isinstance(arg.args[0], Literal):
        value = arg.args[0].value
        if isinstance(value, int | Decimal) and not isinstance(value, bool):
            return Literal(-value, arg.at)
    if not isinstance(arg, Literal) or arg.value is None or isinstance(arg.value, bool):
        raise rows.refuse(written, "sql_constant", function=form.name.upper(), form=form.form)
    return arg


def _function(rows: Rows, form: Accepted, node: exp.Anonymous, depth: int) -> Node:
    args, at = _arguments(rows, form, node, node.expressions, depth), rows.at(node)
    if form.name in {"date_trunc", "date_part"}:
        written = args[0].value if isinstance(args[0], Literal) else ""
        part = rows.part(node, str(written), TRUNCATED if form.name == "date_trunc" else PARTS)
        return Op(f"{form.op} {part}", args[1:], at)
    if form.name == "substring":
        start, count = (a.value if isinstance(a, Literal) else None for a in args[1:])
        if not (type(start) is int and type(count) is int and start >= 1 and count >= 0):
            raise rows.refuse(node, "sql_constant", function=form.name.upper(), form=form.form)
    if form.name == "starts_with" and not (isinstance(args[1], Literal) and isinstance(args[1].value, str)):
        raise rows.refuse(node, "sql_constant", function=form.name.upper(), form=form.form)
    return Op(form.op, args, at)


def _aggregate(
    rows: Rows, form: Accepted, parts: tuple[exp.Expr, exp.Anonymous, exp.Expr | None, exp.Expr | None], depth: int
) -> Aggregate:
    node, inner, where, within = parts
    written, distinct = _distinct(rows, form, inner)
    args = _counted(rows, form, inner, written, depth, distinct=distinct)
    return Aggregate(
        name=form.op,
        args=args,
        distinct=distinct,
        where=_where(rows, where, depth),
        within=_within(rows, form, node, within, depth),
        at=rows.at(inner),
    )


def _distinct(rows: Rows, form: Accepted, node: exp.Anonymous) -> tuple[list[exp.Expr], bool]:
    written = list(node.expressions)
    if not any(isinstance(a, exp.Distinct) for a in written):
        return written, False
    rows.note("distinct")
    inner = written[0].expressions if isinstance(written[0], exp.Distinct) else []
    if len(written) != 1 or len(inner) != 1 or form.most != 1:
        raise rows.refuse(node, "sql_distinct_aggregate")
    return inner, True


def _counted(
    rows: Rows, form: Accepted, node: exp.Anonymous, written: list[exp.Expr], depth: int, *, distinct: bool
) -> tuple[Node, ...]:
    """The arguments; none for `COUNT(*)`, and for `COUNT(1)`, which PostgreSQL counts alike."""
    only = written[0] if len(written) == 1 else None
    if form.name == "count" and not distinct:
        if isinstance(only, exp.Star):
            rows.note("*")
            return ()
        if isinstance(only, exp.Literal):
            rows.node(only, depth + 1)
            return ()
    if form.name == "count" and not written:
        raise rows.refuse(node, "sql_function_arguments", function="COUNT", form=form.form)
    if form.name in QUANTILES:
        return _fractions(rows, form, node, written, depth)
    return _arguments(rows, form, node, written, depth)


def _fractions(
    rows: Rows, form: Accepted, node: exp.Anonymous, written: list[exp.Expr], depth: int
) -> tuple[Node, ...]:
    """The q of a quantile, or those of ARRAY[…] as one `array`: an array of one is not the same as its q."""
    array = written[0] if len(written) == 1 and isinstance(written[0], exp.Array) else None
    if array is not None:
        rows.note("array")
        written = array.expressions
    elif len(written) != 1:
        raise rows.refuse(node, "sql_function_arguments", function=form.name.upper(), form=form.form)
    args = _arguments(rows, form, node, written, depth)
    for arg in args:
        q = arg.value if isinstance(arg, Literal) else None
        if isinstance(q, bool) or not isinstance(q, int | Decimal) or not 0 <= q <= 1:
            raise rows.refuse(node, "sql_constant", function=form.name.upper(), form=form.form)
    return args if array is None else (Op("array", args, rows.at(node)),)


def _where(rows: Rows, clause: exp.Expr | None, depth: int) -> Node | None:
    if clause is None:
        return None
    rows.note("filter", "where")
    return rows.node(clause.this, depth + 1)


def _within(rows: Rows, form: Accepted, node: exp.Expr, clause: exp.Expr | None, depth: int) -> Node | None:
    """The x of WITHIN GROUP (ORDER BY x), ascending; where a quantile is asked from above, q says so."""
    if clause is None:
        return None
    ordered = clause.expressions if isinstance(clause, exp.Order) else []
    if form.name not in QUANTILES or len(ordered) != 1 or ordered[0].args.get("desc"):
        raise rows.refuse(node, "sql_within_group", form=AGGREGATES["percentile_cont"].form)
    rows.note("within", "group", "order by")
    return rows.node(ordered[0].this, depth + 1)
