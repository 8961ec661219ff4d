"""Rules of comparison, logic and choice: arguments are brought to one type and one unit before they meet."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, timedelta
from fractions import Fraction
from typing import Final

from sandbox.errors import RequestError
from sandbox.plans import Call, Expr, Lit
from sandbox.query.expressions.typed import Typed, common, fits, number_constant
from sandbox.query.language.syntax import Op

EPOCH: Final = date(1970, 1, 1)
SIMPLE: Final = re.compile(r"%?[^%_]*%?", re.DOTALL)
"""Patterns of LIKE that only look at a start, an end, or for one text inside."""
WILD: Final = {"%": ".*", "_": "."}
LONGEST: Final = 200
"""Characters of another pattern, which is matched in linear time."""


def align(node: Op, args: tuple[Typed, ...]) -> tuple[Typed, ...]:
    """Give all arguments one type: constants take that of the columns they meet."""
    kinds = {a.kind for a in args if a.kind != "null"}
    for temporal in ("timestamp", "date"):
        if temporal in kinds and "text" in kinds:
            args = tuple(moment(node, a, temporal) if a.kind == "text" else a for a in args)
            kinds = {a.kind for a in args if a.kind != "null"}
    if len(kinds) > 1:
        raise RequestError("expression_mixed", function=node.name, found=sorted(kinds), position=node.at)
    if kinds & {"number", "date", "timestamp"}:
        args = tuple(fits(node, a) for a in common(args))
    return args


def moment(node: Op, value: Typed, kind: str) -> Typed:
    """A constant text as a date or a timestamp."""
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


def boolean(expr: Expr) -> Typed:
    """A condition."""
    return Typed(expr=expr, kind="boolean")


def compare(node: Op, args: tuple[Typed, ...]) -> Typed:
    """`=`, `<` and the like."""
    a, b = align(node, args)
    return boolean(Call(node.name, (a.expr, b.expr)))


def in_(node: Op, args: tuple[Typed, ...]) -> Typed:
    """IN a list of constants."""
    return boolean(Call("in", tuple(a.expr for a in align(node, args))))


def between(node: Op, args: tuple[Typed, ...]) -> Typed:
    """BETWEEN, both ends included."""
    x, low, high = (a.expr for a in align(node, args))
    return boolean(Call("and", (Call(">=", (x, low)), Call("<=", (x, high)))))


def logic(node: Op, args: tuple[Typed, ...]) -> Typed:
    """AND, OR and NOT."""
    for a in args:
        if a.kind not in {"boolean", "null"}:
            raise RequestError("expression_type", function=node.name.upper(), expected="boolean", found=a.kind,
                               position=node.at)  # fmt: skip
    return boolean(Call(node.name, tuple(a.expr for a in args)))


def is_(node: Op, args: tuple[Typed, ...]) -> Typed:
    """IS NULL, IS TRUE and IS FALSE."""
    if node.name != "is null":
        logic(node, args)
    return boolean(Call(node.name, (args[0].expr,)))


def like(node: Op, args: tuple[Typed, ...]) -> Typed:
    """LIKE and ILIKE with a constant pattern."""
    value, pattern = args
    text = pattern.expr.value if isinstance(pattern.expr, Lit) else None
    if value.kind != "text" or not isinstance(text, str) or "\\" in text:
        raise RequestError("expression_like", position=node.at)
    if SIMPLE.fullmatch(text):
        return boolean(Call(node.name, (value.expr, pattern.expr)))
    # The engine's own matcher tries wildcards one against the other: how long that takes would depend on the row.
    if len(text) > LONGEST:
        raise RequestError("expression_pattern", limit=LONGEST, position=node.at)
    made = "".join(WILD.get(c) or re.escape(c) for c in text)
    return boolean(Call("matches", (value.expr, Lit(made), Lit("si" if node.name == "ilike" else "s"))))


def starts_with(node: Op, args: tuple[Typed, ...]) -> Typed:
    """STARTS_WITH(text, constant)."""
    value, prefix = args
    if value.kind != "text" or not isinstance(prefix.expr, Lit) or not isinstance(prefix.expr.value, str):
        raise RequestError("expression_like", position=node.at)
    return boolean(Call("starts_with", (value.expr, prefix.expr)))


def distinct(node: Op, args: tuple[Typed, ...]) -> Typed:
    """IS [NOT] DISTINCT FROM: a comparison that knows NULL."""
    a, b = align(node, args)
    same = Call("not distinct", (a.expr, b.expr))
    return boolean(same if node.name == "is not distinct from" else Call("not", (same,)))


def union(values: tuple[Typed, ...], expr: Expr) -> Typed:
    """The type of a choice among aligned values."""
    known = [v for v in values if v.kind != "null"]
    if not known:
        return Typed(expr=Lit(None), kind="null")
    lo, hi = min(v.lower for v in known), max(v.upper for v in known)
    return Typed(expr=expr, kind=known[0].kind, scale=known[0].scale, lower=lo, upper=hi)


def coalesce(node: Op, args: tuple[Typed, ...]) -> Typed:
    """The first that is not NULL."""
    aligned = align(node, args)
    return union(aligned, Call("coalesce", tuple(a.expr for a in aligned)))


def case(node: Op, args: tuple[Typed, ...]) -> Typed:
    """CASE WHEN … THEN … ELSE … END."""
    conditions, last = args[0:-1:2], args[-1]
    logic(Op("when", (), node.at), conditions)
    values = align(node, (*args[1:-1:2], last))
    parts = [e for c, v in zip(conditions, values[:-1], strict=True) for e in (c.expr, v.expr)]
    return union(values, Call("case", (*parts, values[-1].expr)))




def nullif(node: Op, args: tuple[Typed, ...]) -> Typed:
    """NULLIF(a, b)."""
    a, b = align(node, args)
    return union((a,), Call("case", (Call("=", (a.expr, b.expr)), Lit(None), a.expr)))


def extreme(node: Op, args: tuple[Typed, ...]) -> Typed:
    """GREATEST and LEAST: NULLs do not count."""
    aligned = align(node, args)
    known = [a for a in aligned if a.kind != "null"]
    if any(a.kind in {"text", "boolean"} for a in known):
        kind = known[0].kind
        raise RequestError("expression_type", function=node.name, expected="number", found=kind, position=node.at)
    made = union(aligned, Call(node.name, tuple(a.expr for a in known)))
    if not known:
        return made
    pick = max if node.name == "greatest" else min
    some = all(a.constant for a in known)
    lo, hi = pick(a.lower for a in known), pick(a.upper for a in known)
    # A NULL among them leaves the others: then it may be any of them.
    return Typed(expr=made.expr, kind=made.kind, scale=made.scale, lower=lo if some else made.lower,
                 upper=hi if some else made.upper)  # fmt: skip
