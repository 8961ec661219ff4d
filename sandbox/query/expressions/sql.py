"""Our expressions as DuckDB SQL: the only SQL that reaches the engine, written from the plan and never from a user."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from sandbox.plans import Col, Expr, Lit, Scalar


def quote(name: str) -> str:
    """A quoted identifier."""
    return '"' + name.replace('"', '""') + '"'


def literal(value: Scalar) -> str:
    """A typed constant: integers as BIGINT, or HUGEINT beyond it, so that nothing is computed in 32 bits."""
    if value is None:
        return "NULL"
    if isinstance(value, bool):
        return "TRUE" if value else "FALSE"
    if isinstance(value, int):
        return f"({value})::{'BIGINT' if abs(value) < 2**63 else 'HUGEINT'}"
    if isinstance(value, str):
        return "'" + value.replace("'", "''") + "'"
    raise TypeError("a plan holds no floats")


def render(expr: Expr) -> str:
    """One expression as SQL text, fully parenthesised."""
    if isinstance(expr, Col):
        return quote(expr.name)
    if isinstance(expr, Lit):
        return literal(expr.value)
    args = [render(a) for a in expr.args]
    if expr.name in _FORMS:
        return _FORMS[expr.name]("", args)
    kind, _, part = expr.name.partition(" ")
    return _FORMS[kind](part, args)


def _infix(symbol: str) -> Callable[[str, list[str]], str]:
    return lambda _part, args: "(" + f" {symbol} ".join(args) + ")"


def _function(name: str) -> Callable[[str, list[str]], str]:
    return lambda _part, args: f"{name}({', '.join(args)})"


def _case(_part: str, args: list[str]) -> str:
    whens = "".join(f" WHEN {args[i]} THEN {args[i + 1]}" for i in range(0, len(args) - 1, 2))
    return f"(CASE{whens} ELSE {args[-1]} END)"


def _is(what: str, args: list[str]) -> str:
    # DuckDB has no IS TRUE for three-valued logic in all places; COALESCE says the same.
    if what == "null":
        return f"({args[0]} IS NULL)"
    return f"COALESCE({args[0] if what == 'true' else f'NOT {args[0]}'}, FALSE)"


_FORMS: Final[Mapping[str, Callable[[str, list[str]], str]]] = {
    **{s: _infix(s) for s in ("=", "<>", "<", "<=", ">", ">=", "+", "-", "*", "%")},
    "/": _infix("//"),
    "and": _infix("AND"), "or": _infix("OR"), "like": _infix("LIKE"), "ilike": _infix("ILIKE"),
    "not": lambda _, a: f"(NOT {a[0]})",
    "neg": lambda _, a: f"(-{a[0]})",
    # Its argument is proved to lie above the least integer of its width, where this would raise.
    "abs": _function("abs"),
    "wide": lambda _, a: f"{a[0]}::HUGEINT",
    "in": lambda _, a: f"({a[0]} IN ({', '.join(a[1:])}))",
    "is": _is,
    "case": _case,
    "coalesce": _function("COALESCE"),
    "greatest": _function("greatest"), "least": _function("least"),
    "lower": _function("lower"), "upper": _function("upper"), "length": _function("length"), "trim": _function("trim"),
    "concat": lambda _, a: "(" + " || ".join(a) + ")",
    "matches": _function("regexp_full_match"),
    "starts_with": _function("starts_with"), "substring": _function("substring"),
    "not distinct": _infix("IS NOT DISTINCT FROM"),
    "bit": lambda _, a: f"{a[0]}::BIGINT",
    "as text": lambda _, a: f"{a[0]}::VARCHAR",
    # Wrapped: outside the declared range these would raise, and an error would tell of a row (P3.4).
    "trunc": lambda part, a: (
        f"(TRY(date_trunc('{part}', DATE '1970-01-01' + {a[0]}::INTEGER))::DATE - DATE '1970-01-01')::BIGINT"
    ),
    "date": lambda part, a: f"TRY(date_part('{part}', DATE '1970-01-01' + {a[0]}::INTEGER))::BIGINT",
    "timestamp": lambda part, a: f"TRY(floor(date_part('{part}', make_timestamp(({a[0]})::BIGINT))))::BIGINT",
}  # fmt: skip
"""How each whitelisted function is written. The test of totality runs over this table."""
