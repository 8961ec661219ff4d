"""Row expressions: a closed list of total functions, typed, in exact integers whose range is proved before it runs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from fractions import Fraction
from typing import Final, TypeAlias

from sandbox.errors import RequestError
from sandbox.plans import Lit
from sandbox.query.expressions import arithmetic, logic, moments
from sandbox.query.expressions.scope import Scope
from sandbox.query.expressions.typed import Typed, fits, number_constant, size
from sandbox.query.language.syntax import Aggregate, Name, Node, Op
from sandbox.query.language.syntax import Literal as Constant

LARGEST: Final = 5_000
"""Parts of an expression as the engine gets it: some rules write an argument twice."""

COMPARISONS: Final = frozenset({"=", "<>", "<", "<=", ">", ">="})


def bind(node: Node, scope: Scope) -> Typed:
    """Resolve names against the scope and give every part a type.

    Raises:
        RequestError: `unknown_column`, `unit_column_hidden`, `expression_…`; each with its place.
    """
    if isinstance(node, Name):
        return scope.resolve(node)
    if isinstance(node, Constant):
        return _constant(node)
    if isinstance(node, Aggregate):
        raise RequestError("aggregate_in_row", function=node.name.upper(), position=node.at)
    if not isinstance(node, Op):
        raise RequestError("sql_star", position=node.at)
    args = tuple(bind(a, scope) for a in node.args)
    rule = RULES.get(node.name) or RULES.get(node.name.split()[0], _unknown)
    typed = fits(node, rule(node, args))
    if size(typed.expr) > LARGEST:
        raise RequestError("expression_too_large", limit=LARGEST, position=node.at)
    return typed


def _constant(node: Constant) -> Typed:
    value = node.value
    if value is None:
        return Typed(expr=Lit(None), kind="null")
    if isinstance(value, bool):
        return Typed(expr=Lit(value), kind="boolean")
    if isinstance(value, str):
        typed = Typed(expr=Lit(value), kind="text")
        moment = node.kind in {"date", "timestamp"}
        return logic.moment(Op("=", (node,), node.at), typed, node.kind) if moment else typed
    if node.kind == "interval":
        return replace(number_constant(Fraction(value) / (moments.DAY * 10**6)), kind="interval")
    return number_constant(Fraction(value))


def _unknown(node: Op, _args: tuple[Typed, ...]) -> Typed:
    raise RequestError("expression_function", function=node.name, position=node.at)


Rule: TypeAlias = Callable[[Op, tuple[Typed, ...]], Typed]

RULES: Final[Mapping[str, Rule]] = {
    "+": moments.add, "-": moments.add, "*": arithmetic.multiply, "/": arithmetic.divide, "%": arithmetic.divide,
    "mod": arithmetic.modulo, "neg": arithmetic.negate, "abs": arithmetic.absolute, "sign": arithmetic.sign,
    "floor": arithmetic.rounded, "ceil": arithmetic.rounded, "round": arithmetic.rounded,
    "width_bucket": arithmetic.width_bucket,
    **dict.fromkeys(COMPARISONS, logic.compare), "in": logic.in_, "between": logic.between,
    "and": logic.logic, "or": logic.logic, "not": logic.logic, "is": logic.is_,
    "is distinct from": logic.distinct, "is not distinct from": logic.distinct,
    "like": logic.like, "ilike": logic.like, "starts_with": logic.starts_with,
    "coalesce": logic.coalesce, "case": logic.case, "nullif": logic.nullif,
    "greatest": logic.extreme, "least": logic.extreme,
    "lower": moments.text, "upper": moments.text, "trim": moments.text, "length": moments.text,
    "concat": moments.concat, "substring": moments.substring, "extract": moments.extract,
    "date_trunc": moments.date_trunc,
    "cast": moments.cast,
}  # fmt: skip
"""How each function is typed; `sql.render` writes what they make."""
