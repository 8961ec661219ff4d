"""Domains of computed keys: every value that an expression can take, from declared facts alone (P5.3)."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Iterable
from datetime import date, timedelta
from functools import lru_cache
from typing import Any, Final

import duckdb

from sandbox.plans import Call, Col, Expr, Lit, Scalar
from sandbox.query.expressions.logic import EPOCH
from sandbox.query.expressions.moments import DATE_PARTS, DAY, FIRST_DAY, LAST_DAY, TIME_PARTS, years
from sandbox.query.expressions.scope import MAX_DOMAIN, Scope
from sandbox.query.expressions.sql import render
from sandbox.query.expressions.typed import Typed

Values = tuple[Scalar, ...]
BOOLEANS: Final = frozenset(
    {"=", "<>", "<", "<=", ">", ">=", "and", "or", "not", "in", "like", "ilike", "matches", "starts_with",
     "not distinct", "is null", "is true", "is false", "bit"}
)  # fmt: skip


def domain_of(typed: Typed, scope: Scope) -> Values | None:
    """Every value of an expression, NULL last if it may be; a superset is as good, since empty groups are answered too.

    None if there are more than `MAX_DOMAIN`, or no declared fact says which.
    """
    if typed.kind == "boolean":
        values: Values | None = (0, 1)
    else:
        values = _values(typed.expr, scope)
        if values is None and typed.kind == "number" and typed.upper - typed.lower < MAX_DOMAIN:
            values = tuple(range(typed.lower, typed.upper + 1))
    if values is None:
        return None
    known = tuple(dict.fromkeys(v for v in values if v is not None))
    if len(known) > MAX_DOMAIN:
        return None
    return (*known, None) if _nullable(typed.expr, scope) else known


def _values(expr: Expr, scope: Scope) -> Values | None:
    """Every value, NULL among them wherever it may be: what stands around it may turn NULL into another value."""
    found = _found(expr, scope)
    if found is None or None in found or not _nullable(expr, scope):
        return found
    return (*found, None)


def _found(expr: Expr, scope: Scope) -> Values | None:
    if isinstance(expr, Lit):
        return (expr.value,)
    if isinstance(expr, Col):
        field = scope.field_of(expr.name)
        return None if field is None else field.domain
    return _called(expr, scope)


def _called(expr: Call, scope: Scope) -> Values | None:
    kind, _, part = expr.name.partition(" ")
    if expr.name in BOOLEANS:
        return (False, True, None)
    if kind in {"date", "timestamp"}:
        if part == "year":
            return _years(expr.args[0], 1 if kind == "date" else DAY * 10**6, scope)
        low, high = {**DATE_PARTS, **TIME_PARTS}[part]
        return tuple(range(low, high + 1))
    if expr.name == "case":
        return _united([*expr.args[1:-1:2], expr.args[-1]], scope)
    arguments = [_values(a, scope) for a in expr.args]
    known = [a for a in arguments if a is not None]
    return _mapped(expr, known) if len(known) == len(arguments) else _spanned(expr, kind, part, scope)


def _years(moment: Expr, day: int, scope: Scope) -> Values | None:
    span = _span(moment, scope)
    if span is None:
        return None
    low, high = years(*(max(FIRST_DAY, min(x // day, LAST_DAY)) for x in span))
    return tuple(range(low, high + 1))


def _united(branches: list[Expr], scope: Scope) -> Values | None:
    found = [_values(b, scope) for b in branches]
    if any(f is None for f in found):
        return None
    return tuple(dict.fromkeys(v for f in found if f is not None for v in f))


def _mapped(expr: Call, arguments: list[Values]) -> Values | None:
    size = 1
    for values in arguments:
        size *= max(len(values), 1)
    if size > MAX_DOMAIN:
        return None
    rows = [tuple(Lit(v) for v in row) for row in itertools.product(*arguments)]
    return _evaluated(", ".join(f"({render(Call(expr.name, row))})" for row in rows))


@lru_cache(maxsize=256)
def _evaluated(written: str) -> Values:
    """A function on every combination of its arguments, by the engine that will compute it.

    Remembered by the text: as values TRUE and 1 are the same to Python, and 'true' and '1' are not the same key.
    """
    with _LOCK:
        found = _engine().execute(f"SELECT DISTINCT v FROM (VALUES {written}) t (v) ORDER BY v").fetchall()  # noqa: S608  # written by `render` from declared values
    return tuple(v for (v,) in found)


def _spanned(expr: Call, kind: str, part: str, scope: Scope) -> Values | None:
    """A function of a wide range that has few values itself."""
    if expr.name == "/" and isinstance(expr.args[1], Lit):
        span, divisor = _span(expr.args[0], scope), expr.args[1].value
        if span is None or not isinstance(divisor, int):
            return None
        ends = sorted(_cut(x, divisor) for x in span)
        return tuple(range(ends[0], ends[1] + 1)) if ends[1] - ends[0] < MAX_DOMAIN else None
    if kind == "trunc":
        span = _span(expr.args[0], scope)
        return None if span is None else _periods(part, *span)
    return None


def _cut(a: int, b: int) -> int:
    q = abs(a) // abs(b)
    return q if (a >= 0) == (b > 0) else -q


def _periods(part: str, lower: int, upper: int) -> Values | None:
    """The first days of all years, quarters, months or weeks that touch these days."""
    lower, upper = max(lower, (date.min - EPOCH).days), min(upper, (date.max - EPOCH).days)
    first, found = EPOCH + timedelta(days=lower), list[Scalar]()
    at: date | None = _start(part, first)
    while at is not None and (at - EPOCH).days <= upper:
        found.append((at - EPOCH).days)
        if len(found) > MAX_DOMAIN:
            return None
        at = _next(part, at)
    return tuple(found)


def _start(part: str, day: date) -> date:
    match part:
        case "year":
            return day.replace(month=1, day=1)
        case "quarter":
            return day.replace(month=(day.month - 1) // 3 * 3 + 1, day=1)
        case "month":
            return day.replace(day=1)
        case _:
            return day - timedelta(days=min(day.weekday(), (day - date.min).days))


def _next(part: str, day: date) -> date | None:
    months = {"year": 12, "quarter": 3, "month": 1}.get(part)
    try:
        if months is None:
            return day + timedelta(days=7 - day.weekday())
        count = day.year * 12 + day.month - 1 + months
        return date(count // 12, count % 12 + 1, 1)
    except (OverflowError, ValueError):
        return None


def _span(expr: Expr, scope: Scope) -> tuple[int, int] | None:
    """Where an integer expression lies, by its columns' declared bounds."""
    if isinstance(expr, Lit):
        value = expr.value
        return (value, value) if isinstance(value, int) and not isinstance(value, bool) else None
    if isinstance(expr, Col):
        field = scope.field_of(expr.name)
        typed = None if field is None else field.typed
        return None if typed is None or typed.kind == "text" else (typed.lower, typed.upper)
    spans = [_span(a, scope) for a in expr.args]
    known = [s for s in spans if s is not None]
    if len(known) < len(spans) or not known:
        return _case_span(expr, scope) if expr.name == "case" else None
    return _combined(expr, known)


def _case_span(expr: Call, scope: Scope) -> tuple[int, int] | None:
    branches = [_span(b, scope) for b in (*expr.args[1:-1:2], expr.args[-1]) if b != Lit(None)]
    known = [b for b in branches if b is not None]
    if len(known) < len(branches) or not known:
        return None
    return min(k[0] for k in known), max(k[1] for k in known)


def _combined(expr: Call, spans: list[tuple[int, int]]) -> tuple[int, int] | None:
    a, b = spans[0], spans[-1]
    ends: list[int] = []
    match expr.name:
        case "wide":
            ends = [*a]
        case "neg":
            ends = [-a[0], -a[1]]
        case "+":
            ends = [a[0] + b[0], a[1] + b[1]]
        case "-":
            ends = [a[0] - b[1], a[1] - b[0]]
        case "*":
            ends = [x * y for x in a for y in b]
        case "/" if b[0] == b[1] != 0:
            ends = [_cut(x, b[0]) for x in a]
    return (min(ends), max(ends)) if ends else None


def _nullable(expr: Expr, scope: Scope) -> bool:
    if isinstance(expr, Lit):
        return expr.value is None
    if isinstance(expr, Col):
        field = scope.field_of(expr.name)
        return field is None or not field.required
    if expr.name.startswith("is ") or expr.name == "not distinct":
        return False
    if expr.name == "coalesce":
        return all(_nullable(a, scope) for a in expr.args)
    branches: Iterable[Expr] = (*expr.args[1:-1:2], expr.args[-1]) if expr.name == "case" else expr.args
    return any(_nullable(a, scope) for a in branches)


_LOCK = threading.Lock()


@lru_cache(maxsize=1)
def _engine() -> Any:
    return duckdb.connect(":memory:", config={"threads": 1})

