"""Rules of arithmetic: exact integers in units, each result with the range that its arguments' ranges allow."""

from __future__ import annotations

from fractions import Fraction

from sandbox.errors import RequestError
from sandbox.plans import Call, Expr, Lit
from sandbox.query.expressions.typed import Typed, call, common, fits, number_constant, rescale
from sandbox.query.language.syntax import Op


def numbers(node: Op, args: tuple[Typed, ...]) -> tuple[Typed, ...]:
    """The arguments, all of which are numbers."""
    for a in args:
        if a.kind != "number":
            raise RequestError("expression_type", function=node.name, expected="number", found=a.kind, position=node.at)
    return args


def add(node: Op, args: tuple[Typed, ...]) -> Typed:
    """`+` and `-`, in a common unit."""
    a, b = common(numbers(node, args))
    fits(node, a)
    fits(node, b)
    lo, hi = (a.lower + b.lower, a.upper + b.upper) if node.name == "+" else (a.lower - b.upper, a.upper - b.lower)
    return fits(node, Typed(expr=call(node.name, lo, hi, a, b), kind="number", scale=a.scale, lower=lo, upper=hi))


def multiply(node: Op, args: tuple[Typed, ...]) -> Typed:
    """`*`: units multiply too."""
    a, b = numbers(node, args)
    corners = [x * y for x in (a.lower, a.upper) for y in (b.lower, b.upper)]
    lo, hi = min(corners), max(corners)
    return fits(
        node, Typed(expr=call("*", lo, hi, a, b), kind="number", scale=a.scale * b.scale, lower=lo, upper=hi)
    )


def divide(node: Op, args: tuple[Typed, ...]) -> Typed:
    """`/` and `%` by a constant; whole numbers toward zero, as PostgreSQL divides integers."""
    a, b = numbers(node, args)
    if not b.constant or b.lower == 0:
        raise RequestError("expression_divisor", function=node.name, position=node.at)
    whole = a.scale.denominator == 1 and b.scale.denominator == 1
    if not whole:
        if node.name == "%":
            raise RequestError("expression_modulo", position=node.at)
        # Dividing by a constant only changes the unit: exact, and nothing is computed.
        scale = a.scale / (b.scale * abs(b.lower))
        same = Typed(expr=a.expr, kind="number", scale=scale, lower=a.lower, upper=a.upper)
        return same if b.lower > 0 else negate(node, (same,))
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


def negate(node: Op, args: tuple[Typed, ...]) -> Typed:
    """Unary minus."""
    (a,) = numbers(node, args)
    lo, hi = -a.upper, -a.lower
    return fits(node, Typed(expr=call("neg", lo, hi, a), kind="number", scale=a.scale, lower=lo, upper=hi))


def absolute(node: Op, args: tuple[Typed, ...]) -> Typed:
    """ABS."""
    (a,) = numbers(node, args)
    hi = max(abs(a.lower), abs(a.upper))
    lo = 0 if a.lower <= 0 <= a.upper else min(abs(a.lower), abs(a.upper))
    return Typed(expr=call("abs", lo, hi, a), kind="number", scale=a.scale, lower=lo, upper=hi)


def modulo(node: Op, args: tuple[Typed, ...]) -> Typed:
    """MOD(a, b), as a % b."""
    return divide(Op("%", node.args, node.at), args)


def sign(node: Op, args: tuple[Typed, ...]) -> Typed:
    """-1, 0 or 1."""
    (a,) = numbers(node, args)
    lo, hi = (-1 if a.lower < 0 else 0 if a.lower == 0 else 1), (1 if a.upper > 0 else 0 if a.upper == 0 else -1)
    return Typed(expr=_sign(a.expr), kind="number", lower=lo, upper=hi)


def rounded(node: Op, args: tuple[Typed, ...]) -> Typed:
    """FLOOR, CEIL and ROUND to whole numbers, ROUND also to decimals: half away from zero, as NUMERIC does."""
    digits = 0
    if len(args) == 2:
        if not args[1].constant or args[1].scale != 1 or not -9 <= args[1].lower <= 9:
            raise RequestError("expression_round", function=node.name.upper(), position=node.at)
        digits = args[1].lower
    (a,) = numbers(node, args[:1])
    return whole(node, a, node.name, Fraction(1, 10**digits) if digits >= 0 else Fraction(10**-digits))


def whole(node: Op, a: Typed, how: str, scale: Fraction) -> Typed:
    """A number as whole units of `scale`: floor, ceil or round (half away from zero); exact."""
    ratio = a.scale / scale
    p, q = ratio.numerator, ratio.denominator
    if q == 1:
        return fits(node, rescale(a, scale))
    if how == "ceil":
        return negate(node, (whole(node, negate(node, (a,)), "floor", scale),))
    up = fits(node, Typed(expr=call("*", a.lower * p, a.upper * p, a, number_constant(Fraction(p))), kind="number",
                          lower=a.lower * p, upper=a.upper * p))  # fmt: skip
    lo, hi = (_rounded(x, q, how) for x in (up.lower, up.upper))
    fits(node, Typed(expr=up.expr, kind="number", lower=2 * up.lower - q, upper=2 * up.upper + q))
    wide: Expr = Call("wide", (up.expr,))
    if how == "floor":
        # The engine's division cuts toward zero.
        below = Call("neg", (Call("/", (Call("+", (Call("neg", (wide,)), Lit(q - 1))), Lit(q))),))
        expr = Call("case", (Call(">=", (wide, Lit(0))), Call("/", (wide, Lit(q))), below))
    else:
        half = Call("+", (Call("*", (wide, Lit(2))), Call("*", (_sign(wide), Lit(q)))))
        expr = Call("/", (half, Lit(2 * q)))
    return fits(node, Typed(expr=expr, kind="number", scale=scale, lower=lo, upper=hi))


def _rounded(x: int, q: int, how: str) -> int:
    if how == "floor":
        return x // q
    half = (2 * abs(x) + q) // (2 * q)
    return half if x >= 0 else -half


def _sign(expr: Expr) -> Expr:
    return Call("case", (Call(">", (expr, Lit(0))), Lit(1), Call("<", (expr, Lit(0))), Lit(-1),
                         Call("=", (expr, Lit(0))), Lit(0), Lit(None)))  # fmt: skip


def width_bucket(node: Op, args: tuple[Typed, ...]) -> Typed:
    """WIDTH_BUCKET(x, low, high, n): 0 below low, 1 to n between, n + 1 from high on; the last three are constants."""
    x, low, high, n = numbers(node, args)
    constants = low.constant and high.constant and n.constant and n.scale == 1
    if not constants or not 1 <= n.lower <= 10_000 or not low.lower * low.scale < high.lower * high.scale:
        raise RequestError("expression_width_bucket", position=node.at)
    a, b = common((x, low))
    step = (high.lower * high.scale - low.lower * low.scale) / n.lower
    above = add(Op("-", node.args, node.at), (a, b))
    bucket = whole(node, Typed(expr=above.expr, kind="number", scale=above.scale / step, lower=above.lower,
                               upper=above.upper), "floor", Fraction(1))  # fmt: skip
    cut = Call("case", (Call("<", (bucket.expr, Lit(0))), Lit(-1), Call(">=", (bucket.expr, n.expr)), n.expr,
                        bucket.expr))  # fmt: skip
    lo, hi = min(max(bucket.lower, -1), n.lower), max(min(bucket.upper, n.lower), -1)
    return Typed(expr=Call("+", (cut, Lit(1))), kind="number", lower=lo + 1, upper=hi + 1)
