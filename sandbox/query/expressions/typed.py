"""Typed expressions: numbers as exact integers in units, with a proved range that decides their width."""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction
from typing import Final, Literal, TypeAlias

from sandbox.errors import RequestError
from sandbox.plans import Call, Col, Expr, Lit
from sandbox.query.language.syntax import Op

Kind: TypeAlias = Literal["number", "text", "boolean", "date", "timestamp", "interval", "null"]

INT64: Final = 2**63 - 1
LIMIT: Final = 2**126


@dataclass(frozen=True, slots=True, kw_only=True)
class Typed:
    """An expression with its type; for numbers, dates and timestamps also unit (`scale`) and proved range in units.

    Dates count days, timestamps count `scale` seconds.
    """

    expr: Expr
    kind: Kind
    scale: Fraction = Fraction(1)
    lower: int = 0
    upper: int = 0

    @property
    def constant(self) -> bool:
        """True for a number known at planning."""
        return isinstance(self.expr, Lit)


def number_constant(value: Fraction) -> Typed:
    """A constant, in the coarsest unit that holds it exactly."""
    n = value.numerator
    return Typed(expr=Lit(n), kind="number", scale=Fraction(1, value.denominator), lower=n, upper=n)


def rescale(value: Typed, scale: Fraction) -> Typed:
    """The same value in finer units; `scale` divides the value's own."""
    factor = int(value.scale / scale)
    if factor == 1 or value.kind == "null":
        return Typed(expr=value.expr, kind=value.kind, scale=scale, lower=value.lower, upper=value.upper)
    lo, hi = value.lower * factor, value.upper * factor
    return Typed(expr=call("*", lo, hi, value, number_constant(Fraction(factor))), kind=value.kind, scale=scale,
                 lower=lo, upper=hi)  # fmt: skip


def common(values: tuple[Typed, ...]) -> tuple[Typed, ...]:
    """The values in one common unit."""
    numbers = [v for v in values if v.kind != "null"]
    den = math.lcm(*(v.scale.denominator for v in numbers)) if numbers else 1
    num = math.gcd(*(int(v.scale * den) for v in numbers)) if numbers else 1
    scale = Fraction(num, den)
    return tuple(v if v.kind == "null" else rescale(v, scale) for v in values)


def call(name: str, lower: int, upper: int, *args: Typed) -> Expr:
    """An arithmetic call; in 128 bits where the result or an argument could pass 63 (P3.4)."""
    if all(isinstance(a.expr, Lit) for a in args) and lower == upper:
        return Lit(lower)
    wide = max(abs(lower), abs(upper), *(abs(b) for a in args for b in (a.lower, a.upper))) > INT64
    return Call(name, tuple(Call("wide", (a.expr,)) if wide else a.expr for a in args))


def fits(node: Op, value: Typed) -> Typed:
    """The value, if it is proved to fit 126 bits.

    Raises:
        RequestError: `expression_overflows`.
    """
    numbers = (value.lower, value.upper, value.scale.numerator, value.scale.denominator)
    if max(map(abs, numbers)) >= LIMIT:
        raise RequestError("expression_overflows", position=node.at)
    return value


def size(expr: Expr) -> int:
    """How many names, constants and calls an expression is written with; a part that is used twice counts twice."""
    known: dict[int, int] = {}

    def count(part: Expr) -> int:
        if id(part) not in known:
            known[id(part)] = 1 + sum(map(count, part.args)) if isinstance(part, Call) else 1
        return known[id(part)]

    return count(expr)


def columns_of(expr: Expr | None) -> frozenset[str]:
    """The relation's columns that an expression reads."""
    if isinstance(expr, Col):
        return frozenset({expr.name})
    if isinstance(expr, Call):
        return frozenset().union(*(columns_of(a) for a in expr.args))
    return frozenset()
