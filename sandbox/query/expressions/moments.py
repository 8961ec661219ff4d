"""Rules of texts, dates and casts: calendar arithmetic in whole days and units, no cast that a value could break."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, timedelta
from fractions import Fraction
from typing import Final

from sandbox.errors import RequestError
from sandbox.plans import Call, Lit
from sandbox.query.expressions import arithmetic
from sandbox.query.expressions.arithmetic import whole
from sandbox.query.expressions.logic import EPOCH, boolean, moment
from sandbox.query.expressions.typed import Typed, fits, rescale
from sandbox.query.language.syntax import Op

DATE_PARTS: Final[Mapping[str, tuple[int, int]]] = {
    "year": (1, 9999), "quarter": (1, 4), "month": (1, 12), "week": (1, 53), "day": (1, 31), "doy": (1, 366),
    "dow": (0, 6), "isodow": (1, 7),
}  # fmt: skip
TIME_PARTS: Final[Mapping[str, tuple[int, int]]] = {"hour": (0, 23), "minute": (0, 59), "second": (0, 59)}
DAY: Final = 86_400
MOST_TEXTS: Final = 8
"""Stored texts that one text may be joined from, subqueries included: a row may hold a long one."""
FIRST_DAY: Final = (date.min - EPOCH).days
LAST_DAY: Final = (date.max - EPOCH).days
LONGEST: Final = 1_000_000
"""Characters that SUBSTRING may count."""
CALENDAR: Final = ("year", "quarter", "month", "week", "day")
CLOCK: Final[Mapping[str, int]] = {"hour": 3600, "minute": 60, "second": 1}


def text(node: Op, args: tuple[Typed, ...]) -> Typed:
    """LOWER, UPPER, TRIM and LENGTH."""
    a = texts(node, args[:1])[0]
    if node.name == "length":
        return Typed(expr=Call("length", (a.expr,)), kind="number", lower=0, upper=2**31)
    return Typed(expr=Call(node.name, (a.expr,)), kind="text", upper=a.upper)


def concat(node: Op, args: tuple[Typed, ...]) -> Typed:
    """`||`: NULL if a part is."""
    parts = texts(node, args)
    whole = sum(a.upper for a in parts)
    if whole > MOST_TEXTS:
        raise RequestError("expression_text_too_long", limit=MOST_TEXTS, position=node.at)
    return Typed(expr=Call("concat", tuple(a.expr for a in parts)), kind="text", upper=whole)


def substring(node: Op, args: tuple[Typed, ...]) -> Typed:
    """SUBSTRING(x, from, count), as PostgreSQL counts: a start before 1 takes its part of the count along."""
    a = texts(node, args[:1])[0]
    start, count = args[1:]
    whole_numbers = all(b.kind == "number" and b.constant and b.scale == 1 for b in (start, count))
    if not whole_numbers or max(abs(start.lower), count.lower) > LONGEST or count.lower < 0:
        raise RequestError("expression_substring", limit=LONGEST, position=node.at)
    first = max(start.lower, 1)
    taken = max(start.lower + count.lower - first, 0)
    return Typed(expr=Call("substring", (a.expr, Lit(first), Lit(taken))), kind="text")


def texts(node: Op, args: tuple[Typed, ...]) -> tuple[Typed, ...]:
    """The arguments, all of which are texts."""
    for a in args:
        if a.kind != "text":
            raise RequestError("expression_type", function=node.name, expected="text", found=a.kind, position=node.at)
    return args


def extract(node: Op, args: tuple[Typed, ...]) -> Typed:
    """EXTRACT(part FROM moment)."""
    part, (a,) = node.name.split()[1], args
    ranges = DATE_PARTS if a.kind == "date" else {**DATE_PARTS, **TIME_PARTS}
    if a.kind not in {"date", "timestamp"} or part not in ranges:
        raise RequestError("expression_extract", part=part, known=sorted(ranges), position=node.at)
    lo, hi = years(*days_of(a)) if part == "year" else ranges[part]
    if a.kind == "date":
        return Typed(expr=Call(f"date {part}", (a.expr,)), kind="number", lower=lo, upper=hi)
    micros = rescale(a, Fraction(1, 10**6))
    return Typed(expr=Call(f"timestamp {part}", (micros.expr,)), kind="number", lower=lo, upper=hi)


def date_trunc(node: Op, args: tuple[Typed, ...]) -> Typed:
    """DATE_TRUNC(part, moment): a date stays a date."""
    part, (a,) = node.name.split()[1], args
    known = CALENDAR if a.kind == "date" else (*CALENDAR, *CLOCK)
    if a.kind not in {"date", "timestamp"} or part not in known:
        raise RequestError("expression_extract", part=part, known=list(known), position=node.at)
    if part in CLOCK:
        return _kind(whole(node, _kind(a, "number"), "floor", Fraction(CLOCK[part])), "timestamp")
    days = _kind(a, "number") if a.kind == "date" else whole(node, _kind(a, "number"), "floor", Fraction(DAY))
    if part != "day":
        # The first day of the year 1 begins a year, a quarter, a month and a week.
        lower = max(days.lower - 366, FIRST_DAY)
        days = Typed(expr=Call(f"trunc {part}", (days.expr,)), kind="number", scale=days.scale, lower=lower,
                     upper=days.upper)  # fmt: skip
    return _kind(days, a.kind)


def _kind(a: Typed, kind: str) -> Typed:
    return Typed(expr=a.expr, kind=kind, scale=a.scale, lower=a.lower, upper=a.upper)  # type: ignore[arg-type]  # one of the kinds, by its callers


def add(node: Op, args: tuple[Typed, ...]) -> Typed:
    """Numbers; a moment and so many days (a constant) more or less; one date less another, in days."""
    a, b = args
    if node.name == "+" and b.kind in {"date", "timestamp"}:
        a, b = b, a
    if a.kind not in {"date", "timestamp"}:
        return arithmetic.add(node, args)
    if node.name == "-" and a.kind == b.kind == "date":
        return arithmetic.add(node, (_kind(a, "number"), _kind(b, "number")))
    if not b.constant or (b.kind != "interval" and (b.kind, a.kind) != ("number", "date")):
        raise RequestError("expression_type", function=node.name, expected="interval", found=b.kind, position=node.at)
    distance = b.lower * b.scale * (1 if a.kind == "date" else DAY)
    step = (distance if node.name == "+" else -distance) / a.scale
    if step.denominator != 1:
        raise RequestError("expression_modulo", position=node.at)
    n = int(step)
    moved = Typed(expr=Call("+", (a.expr, Lit(n))), kind=a.kind, scale=a.scale, lower=a.lower + n, upper=a.upper + n)
    first, last = days_of(moved)
    if first < FIRST_DAY or last > LAST_DAY:
        raise RequestError("expression_moment_range", function=node.name, position=node.at)
    return fits(node, moved)


def days_of(a: Typed) -> tuple[int, int]:
    """The first and the last day that a moment can lie on, in days since 1970; proved to lie in the years 1 to 9999."""
    unit = a.scale if a.kind == "date" else a.scale / DAY
    return int(a.lower * unit // 1), int(a.upper * unit // 1)


def years(first: int, last: int) -> tuple[int, int]:
    """The years of two days."""
    return (EPOCH + timedelta(days=first)).year, (EPOCH + timedelta(days=last)).year


def cast(node: Op, args: tuple[Typed, ...]) -> Typed:
    """CAST(x AS type), where every value of x has one; a text has none, except a constant that reads as a moment."""
    to, (a,) = node.name.split(maxsplit=1)[1], args
    made: Typed | None = None
    if a.kind in {"null", to}:
        made = a
    elif to == "text" and (a.kind == "boolean" or (a.kind == "number" and a.scale == 1)):
        made = Typed(expr=Call("as text", (a.expr,)), kind="text")
    elif a.kind == "number":
        made = _number_as(node, a, to)
    elif a.kind == "boolean" and to in {"integer", "bigint"}:
        bit = Call("case", (a.expr, Lit(1), Call("not", (a.expr,)), Lit(0), Lit(None)))
        made = Typed(expr=bit, kind="number", upper=1)
    elif to in {"date", "timestamp"}:
        made = _moment_as(node, a, to)
    if made is None:
        raise RequestError("expression_cast", kind=to, found=a.kind, position=node.at)
    return made


def _number_as(node: Op, a: Typed, to: str) -> Typed | None:
    if to in {"integer", "bigint"}:
        return whole(node, a, "round", Fraction(1))
    if to in {"numeric", "double"}:
        return a
    return boolean(Call("<>", (a.expr, Lit(0)))) if to == "boolean" else None


def _moment_as(node: Op, a: Typed, to: str) -> Typed | None:
    if a.kind == "text" and isinstance(a.expr, Lit):
        return moment(node, a, to)
    if (a.kind, to) == ("timestamp", "date"):
        days = whole(node, _kind(a, "number"), "floor", Fraction(DAY))
        return Typed(expr=days.expr, kind="date", lower=days.lower, upper=days.upper)
    if (a.kind, to) == ("date", "timestamp"):
        days = Typed(expr=a.expr, kind="number", scale=Fraction(DAY), lower=a.lower, upper=a.upper)
        return fits(node, _kind(rescale(days, Fraction(1)), "timestamp"))
    return None
