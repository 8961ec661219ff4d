"""Row expressions: a closed list of total functions, typed, in exact integers whose range is proved before it runs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from typing import Final, TypeAlias

from sandbox.catalog import Column, ColumnType, DatasetSpec
from sandbox.errors import RequestError
from sandbox.flow import Call, Col, Expr, Lit
from sandbox.names import nearest
from sandbox.query.expressions.typed import Kind, Typed, call, common, fits, number_constant, rescale, size
from sandbox.query.language.syntax import Aggregate, Name, Node, Op
from sandbox.query.language.syntax import Literal as Constant

DATE_PARTS: Final[Mapping[str, tuple[int, int]]] = {
    "year": (1, 9999), "quarter": (1, 4), "month": (1, 12), "week": (1, 53), "day": (1, 31), "doy": (1, 366),
    "dow": (0, 6), "isodow": (1, 7),
}  # fmt: skip
TIME_PARTS: Final[Mapping[str, tuple[int, int]]] = {"hour": (0, 23), "minute": (0, 59), "second": (0, 59)}
LARGEST: Final = 5_000
"""Parts of an expression as the engine gets it: some rules write an argument twice."""

COMPARISONS: Final = frozenset({"=", "<>", "<", "<=", ">", ">="})
EPOCH: Final = date(1970, 1, 1)


def bind(node: Node, spec: DatasetSpec) -> Typed:
    """Resolve names against the declared columns and give every part a type.

    Raises:
        RequestError: `unknown_column`, `unit_column_hidden`, `expression_…`; each with its place.
    """
    if isinstance(node, Name):
        return _column(node, spec)
    if isinstance(node, Constant):
        return _constant(node)
    if isinstance(node, Aggregate):
        raise RequestError("aggregate_in_row", function=node.name.upper(), position=node.at)
    args = tuple(bind(a, spec) for a in node.args)
    name = node.name.split()[0]
    typed = fits(node, _RULES.get(name, _unknown)(node, args))
    if size(typed.expr) > LARGEST:
        raise RequestError("expression_too_large", limit=LARGEST, position=node.at)
    return typed


def columns_of(expr: Expr | None) -> frozenset[str]:
    """The stored columns an expression reads."""
    if isinstance(expr, Col):
        return frozenset({expr.name})
    if isinstance(expr, Call):
        return frozenset().union(*(columns_of(a) for a in expr.args))
    return frozenset()


def column_of(name: Name, spec: DatasetSpec) -> Column:
    """The declared column of that name (P3.3: the unit's column is not one that an expression may see)."""
    if spec.unit is not None and name.name == spec.unit:
        raise RequestError("unit_column_hidden", column=name.name, position=name.at)
    column = spec.column(name.name)
    if column is None:
        near = nearest(name.name, [c.name for c in spec.columns if c.name != spec.unit])
        code = "unknown_column_near" if near else "unknown_column"
        params = {"nearest": near} if near else {}
        raise RequestError(code, column=name.name, dataset=spec.name, position=name.at, **params)
    return column


def _column(node: Name, spec: DatasetSpec) -> Typed:
    column = column_of(node, spec)
    col = Col(column.name, column.type)
    if column.type is ColumnType.TEXT:
        return Typed(expr=col, kind="text")
    if column.type is ColumnType.BOOLEAN:
        return Typed(expr=Call("=", (col, Lit(1))), kind="boolean")
    if column.lower is None or column.upper is None:
        raise RequestError("column_without_bounds", column=column.name, position=node.at)
    kind: Kind = {ColumnType.DATE: "date", ColumnType.TIMESTAMP: "timestamp"}.get(column.type, "number")  # type: ignore[assignment]  # a dict's values are str
    scale = Fraction(1) if kind == "date" else Fraction(column.grid)
    return Typed(expr=col, kind=kind, scale=scale, lower=column.lower, upper=column.upper)


def _constant(node: Constant) -> Typed:
    value = node.value
    if value is None:
        return Typed(expr=Lit(None), kind="null")
    if isinstance(value, bool):
        return Typed(expr=Lit(value), kind="boolean")
    if isinstance(value, str):
        return Typed(expr=Lit(value), kind="text")
    return number_constant(Fraction(value))


def _unknown(node: Op, _args: tuple[Typed, ...]) -> Typed:
    raise RequestError("expression_function", function=node.name, position=node.at)


# --- arithmetic -----------------------------------------------------------------------------------------------------


def _numbers(node: Op, args: tuple[Typed, ...]) -> tuple[Typed, ...]:
    for a in args:
        if a.kind != "number":
            raise RequestError("expression_type", function=node.name, expected="number", found=a.kind, position=node.at)
    return args


def _add(node: Op, args: tuple[Typed, ...]) -> Typed:
    a, b = common(_numbers(node, args))
    fits(node, a)
    fits(node, b)
    lo, hi = (a.lower + b.lower, a.upper + b.upper) if node.name == "+" else (a.lower - b.upper, a.upper - b.lower)
    return fits(node, Typed(expr=call(node.name, lo, hi, a, b), kind="number", scale=a.scale, lower=lo, upper=hi))


def _multiply(node: Op, args: tuple[Typed, ...]) -> Typed:
    a, b = _numbers(node, args)
    corners = [x * y for x in (a.lower, a.upper) for y in (b.lower, b.upper)]
    lo, hi = min(corners), max(corners)
    return fits(
        node, Typed(expr=call("*", lo, hi, a, b), kind="number", scale=a.scale * b.scale, lower=lo, upper=hi)
    )


def _divide(node: Op, args: tuple[Typed, ...]) -> Typed:
    a, b = _numbers(node, args)
    if not b.constant or b.lower == 0:
        raise RequestError("expression_divisor", function=node.name, position=node.at)
    whole = a.scale.denominator == 1 and b.scale.denominator == 1
    if not whole:
        if node.name == "%":
            raise RequestError("expression_modulo", position=node.at)
        # Dividing by a constant only changes the unit: exact, and nothing is computed.
        scale = a.scale / (b.scale * abs(b.lower))
        same = Typed(expr=a.expr, kind="number", scale=scale, lower=a.lower, upper=a.upper)
        return same if b.lower > 0 else _negate(node, (same,))
    a, b = fits(node, rescale(a, Fraction(1))), fits(node, rescale(b, Fraction(1)))
    if node.name == "%":
        m = abs(b.lower) - 1
        lo, hi = (-m if a.lower < 0 else 0), (m if a.upper > 0 else 0)
    else:
        ends = [_truncate(x, b.lower) for x in (a.lower, a.upper)]
        lo, hi = min(ends), max(ends)
    return Typed(expr=call(node.name, lo, hi, a, b), kind="number", lower=lo, upper=hi)


def _truncate(a: int, b: int) -> int:
    q = abs(a) // abs(b)
    return q if (a >= 0) == (b > 0) else -q


def _negate(node: Op, args: tuple[Typed, ...]) -> Typed:
    (a,) = _numbers(node, args)
    lo, hi = -a.upper, -a.lower
    return fits(node, Typed(expr=call("neg", lo, hi, a), kind="number", scale=a.scale, lower=lo, upper=hi))


def _absolute(node: Op, args: tuple[Typed, ...]) -> Typed:
    (a,) = _numbers(node, args)
    hi = max(abs(a.lower), abs(a.upper))
    lo = 0 if a.lower <= 0 <= a.upper else min(abs(a.lower), abs(a.upper))
    return Typed(expr=call("abs", lo, hi, a), kind="number", scale=a.scale, lower=lo, upper=hi)


# --- comparison and logic -------------------------------------------------------------------------------------------


def _align(node: Op, args: tuple[Typed, ...]) -> tuple[Typed, ...]:
    """Give all arguments one type: constants take that of the columns they meet."""
    kinds = {a.kind for a in args if a.kind != "null"}
    for temporal in ("timestamp", "date"):
        if temporal in kinds and "text" in kinds:
            args = tuple(_moment(node, a, temporal) if a.kind == "text" else a for a in args)
            kinds = {a.kind for a in args if a.kind != "null"}
    if len(kinds) > 1:
        raise RequestError("expression_mixed", function=node.name, found=sorted(kinds), position=node.at)
    if kinds & {"number", "date", "timestamp"}:
        args = tuple(fits(node, a) for a in common(args))
    return args


def _moment(node: Op, value: Typed, kind: str) -> Typed:
    text = value.expr.value if isinstance(value.expr, Lit) else None
    if not isinstance(text, str):
        raise RequestError("expression_mixed", function=node.name, found=[kind, "text"], position=node.at)
    try:
        if kind == "date":
            days = (date.fromisoformat(text) - EPOCH).days
            return Typed(expr=Lit(days), kind="date", lower=days, upper=days)
        at = datetime.fromisoformat(text)
        at = at.replace(tzinfo=UTC) if at.tzinfo is None else at
        seconds = Fraction((at - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1), 10**6)
    except (ValueError, OverflowError):
        raise RequestError("expression_moment", kind=kind, position=node.at) from None
    n = number_constant(seconds)
    return Typed(expr=n.expr, kind="timestamp", scale=n.scale, lower=n.lower, upper=n.upper)


def _boolean(expr: Expr) -> Typed:
    return Typed(expr=expr, kind="boolean")


def _compare(node: Op, args: tuple[Typed, ...]) -> Typed:
    a, b = _align(node, args)
    return _boolean(Call(node.name, (a.expr, b.expr)))


def _in(node: Op, args: tuple[Typed, ...]) -> Typed:
    return _boolean(Call("in", tuple(a.expr for a in _align(node, args))))


def _between(node: Op, args: tuple[Typed, ...]) -> Typed:
    x, low, high = (a.expr for a in _align(node, args))
    return _boolean(Call("and", (Call(">=", (x, low)), Call("<=", (x, high)))))


def _logic(node: Op, args: tuple[Typed, ...]) -> Typed:
    for a in args:
        if a.kind not in {"boolean", "null"}:
            raise RequestError("expression_type", function=node.name.upper(), expected="boolean", found=a.kind,
                               position=node.at)  # fmt: skip
    return _boolean(Call(node.name, tuple(a.expr for a in args)))


def _is(node: Op, args: tuple[Typed, ...]) -> Typed:
    if node.name != "is null":
        _logic(node, args)
    return _boolean(Call(node.name, (args[0].expr,)))


def _like(node: Op, args: tuple[Typed, ...]) -> Typed:
    value, pattern = args
    text = pattern.expr.value if isinstance(pattern.expr, Lit) else None
    if value.kind != "text" or not isinstance(text, str) or "\\" in text:
        raise RequestError("expression_like", position=node.at)
    return _boolean(Call(node.name, (value.expr, pattern.expr)))


# --- choice, text, dates --------------------------------------------------------------------------------------------


def _union(values: tuple[Typed, ...], expr: Expr) -> Typed:
    """The type of a choice among aligned values."""
    known = [v for v in values if v.kind != "null"]
    if not known:
        return Typed(expr=Lit(None), kind="null")
    lo, hi = min(v.lower for v in known), max(v.upper for v in known)
    return Typed(expr=expr, kind=known[0].kind, scale=known[0].scale, lower=lo, upper=hi)


def _coalesce(node: Op, args: tuple[Typed, ...]) -> Typed:
    aligned = _align(node, args)
    return _union(aligned, Call("coalesce", tuple(a.expr for a in aligned)))


def _case(node: Op, args: tuple[Typed, ...]) -> Typed:
    conditions, last = args[0:-1:2], args[-1]
    _logic(Op("when", (), node.at), conditions)
    values = _align(node, (*args[1:-1:2], last))
    parts = [e for c, v in zip(conditions, values[:-1], strict=True) for e in (c.expr, v.expr)]
    return _union(values, Call("case", (*parts, values[-1].expr)))


def _text(node: Op, args: tuple[Typed, ...]) -> Typed:
    (a,) = args
    if a.kind != "text":
        raise RequestError("expression_type", function=node.name, expected="text", found=a.kind, position=node.at)
    if node.name == "length":
        return Typed(expr=Call("length", (a.expr,)), kind="number", lower=0, upper=2**31)
    return Typed(expr=Call(node.name, (a.expr,)), kind="text")


def _extract(node: Op, args: tuple[Typed, ...]) -> Typed:
    part, (a,) = node.name.split()[1], args
    ranges = DATE_PARTS if a.kind == "date" else {**DATE_PARTS, **TIME_PARTS}
    if a.kind not in {"date", "timestamp"} or part not in ranges:
        raise RequestError("expression_extract", part=part, known=sorted(ranges), position=node.at)
    lo, hi = ranges[part]
    if a.kind == "date":
        return Typed(expr=Call(f"date {part}", (a.expr,)), kind="number", lower=lo, upper=hi)
    seconds = Decimal(a.scale.numerator) / Decimal(a.scale.denominator)
    micros = Call("*", (a.expr, Lit(int(seconds * 10**6))))
    return Typed(expr=Call(f"timestamp {part}", (micros,)), kind="number", lower=lo, upper=hi)


def _round(node: Op, _args: tuple[Typed, ...]) -> Typed:
    raise RequestError("expression_round", function=node.name, position=node.at)


Rule: TypeAlias = Callable[[Op, tuple[Typed, ...]], Typed]

_RULES: Final[Mapping[str, Rule]] = {
    "+": _add, "-": _add, "*": _multiply, "/": _divide, "%": _divide, "neg": _negate, "abs": _absolute,
    **dict.fromkeys(COMPARISONS, _compare), "in": _in, "between": _between, "and": _logic, "or": _logic, "not": _logic,
    "is": _is, "like": _like, "ilike": _like, "coalesce": _coalesce, "case": _case, "lower": _text, "upper": _text,
    "length": _text, "extract": _extract, "round": _round,
}  # fmt: skip


