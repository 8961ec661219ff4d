"""Post-processing: HAVING, ORDER BY and arithmetic over aggregates, on noisy values and on their intervals."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Final, TypeAlias, cast

import numpy as np
import numpy.typing as npt

from sandbox.errors import RequestError
from sandbox.plans import Call, Expr, Lit, OutputKind
from sandbox.query.language.syntax import Literal as Constant
from sandbox.query.language.syntax import Op

Floats: TypeAlias = npt.NDArray[np.float64]
WHOLE_ONLY: Final = frozenset({"measure histogram", "measure top", "measure quantiles"})
"""Aggregates that are lists: they stand alone."""

ARITHMETIC: Final = frozenset({"+", "-", "*", "/", "neg", "abs", "round", "coalesce"})
TESTS: Final = frozenset(
    {"=", "<>", "<", "<=", ">", ">=", "and", "or", "not", "between", "in", "is null", "is true", "is false"}
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Series:
    """A number for each group, NaN where SQL says NULL; booleans are 0 and 1. `low` and `high` enclose the truth."""

    value: Floats
    low: Floats
    high: Floats


Atoms: TypeAlias = Callable[[Call], Series]


def constant(node: Constant) -> Lit:
    """A number in an expression over aggregates."""
    if isinstance(node.value, bool) or node.value is None or isinstance(node.value, str):
        raise RequestError("formula_constant", position=node.at)
    return Lit(float(node.value) if isinstance(node.value, Decimal) else node.value)


def call(node: Op, args: tuple[Expr, ...]) -> Call:
    """An operator over aggregates."""
    if node.name not in ARITHMETIC | TESTS:
        raise RequestError("formula_function", function=node.name, position=node.at)
    if any(isinstance(a, Call) and a.name in WHOLE_ONLY for a in args):
        raise RequestError("formula_whole", position=node.at)
    if node.name == "round" and len(args) == 2 and not (isinstance(args[1], Lit) and _small(args[1].value)):
        raise RequestError("formula_round", position=node.at)
    return Call(node.name, args)


def _small(value: object) -> bool:
    return isinstance(value, int) and -15 <= value <= 15


def kind_of(formula: Expr) -> OutputKind:
    """Whether an output is one aggregate as it is, or an expression over several."""
    if isinstance(formula, Call) and formula.name.startswith("measure "):
        return cast("OutputKind", formula.name.removeprefix("measure "))
    return "expression"


def atoms_of(formula: Expr) -> frozenset[Call]:
    """The aggregates inside a formula."""
    if not isinstance(formula, Call):
        return frozenset()
    if formula.name.startswith("measure "):
        return frozenset({formula})
    return frozenset().union(*(atoms_of(a) for a in formula.args))


def evaluate(formula: Expr, atoms: Atoms, groups: int) -> Series:
    """Evaluate on every group at once. Intervals follow by interval arithmetic: they hold where the atoms' do."""
    if isinstance(formula, Lit):
        number = np.full(groups, float(cast("float", formula.value)))
        return Series(value=number, low=number, high=number)
    if not isinstance(formula, Call):
        raise TypeError("a formula has no columns")
    if formula.name.startswith("measure "):
        return atoms(formula)
    args = [evaluate(a, atoms, groups) for a in formula.args]
    if formula.name in TESTS:
        value = _test(formula.name, [a.value for a in args])
        return Series(value=value, low=value, high=value)
    with np.errstate(all="ignore"):
        return _finite(_ARITHMETIC[formula.name](args))


def _finite(series: Series) -> Series:
    """Division by zero and overflow are NULL; an end that is not finite leaves the interval open."""
    value = np.where(np.isfinite(series.value), series.value, np.nan)
    return Series(value=value, low=series.low, high=series.high)


def _corners(a: Series, b: Series, f: Callable[[Floats, Floats], Floats]) -> Series:
    ends = np.stack([f(x, y) for x in (a.low, a.high) for y in (b.low, b.high)])
    return Series(value=f(a.value, b.value), low=ends.min(axis=0), high=ends.max(axis=0))


def _divide(args: list[Series]) -> Series:
    a, b = args
    quotient = _corners(a, b, lambda x, y: x / y)
    crosses = (b.low <= 0) & (b.high >= 0)
    low = np.where(crosses, -np.inf, quotient.low)
    return Series(value=quotient.value, low=low, high=np.where(crosses, np.inf, quotient.high))


def _absolute(args: list[Series]) -> Series:
    (a,) = args
    ends = np.stack([np.abs(a.low), np.abs(a.high)])
    low = np.where((a.low <= 0) & (a.high >= 0), 0.0, ends.min(axis=0))
    return Series(value=np.abs(a.value), low=low, high=ends.max(axis=0))


def _round(args: list[Series]) -> Series:
    digits = int(args[1].value[0]) if len(args) > 1 and len(args[1].value) else 0
    return _each(args[0], lambda x: np.round(x, digits))


def _each(a: Series, f: Callable[[Floats], Floats]) -> Series:
    return Series(value=f(a.value), low=f(a.low), high=f(a.high))


def _coalesce(args: list[Series]) -> Series:
    result = args[0]
    for other in args[1:]:
        missing = np.isnan(result.value)
        result = Series(
            value=np.where(missing, other.value, result.value),
            low=np.where(missing, other.low, result.low),
            high=np.where(missing, other.high, result.high),
        )
    return result


_ARITHMETIC: Final[Mapping[str, Callable[[list[Series]], Series]]] = {
    "+": lambda a: Series(value=a[0].value + a[1].value, low=a[0].low + a[1].low, high=a[0].high + a[1].high),
    "-": lambda a: Series(value=a[0].value - a[1].value, low=a[0].low - a[1].high, high=a[0].high - a[1].low),
    "*": lambda a: _corners(a[0], a[1], lambda x, y: x * y),
    "/": _divide,
    "neg": lambda a: Series(value=-a[0].value, low=-a[0].high, high=-a[0].low),
    "abs": _absolute,
    "round": _round,
    "coalesce": _coalesce,
}


def _test(name: str, values: list[Floats]) -> Floats:
    """Three-valued tests: 1, 0, NaN for unknown."""
    first = values[0]
    match name:
        case "is null":
            result = np.isnan(first).astype(np.float64)
        case "is true" | "is false":
            result = (first == (1.0 if name == "is true" else 0.0)).astype(np.float64)
        case "not":
            result = 1.0 - first
        case "and" | "or":
            result = _logic(name, np.stack(values))
        case "between":
            result = _logic("and", np.stack([_compare(">=", first, values[1]), _compare("<=", first, values[2])]))
        case "in":
            result = _logic("or", np.stack([_compare("=", first, v) for v in values[1:]]))
        case _:
            result = _compare(name, first, values[1])
    return result


def _logic(name: str, values: Floats) -> Floats:
    decisive = 0.0 if name == "and" else 1.0
    decided = (values == decisive).any(axis=0)
    unknown = np.isnan(values).any(axis=0)
    return np.asarray(np.where(decided, decisive, np.where(unknown, np.nan, 1.0 - decisive)), dtype=np.float64)


_COMPARE: Final[Mapping[str, Callable[[Floats, Floats], npt.NDArray[np.bool_]]]] = {
    "=": lambda a, b: a == b,
    "<>": lambda a, b: a != b,
    "<": lambda a, b: a < b,
    "<=": lambda a, b: a <= b,
    ">": lambda a, b: a > b,
    ">=": lambda a, b: a >= b,
}


def _compare(name: str, a: Floats, b: Floats) -> Floats:
    result = _COMPARE[name](a, b).astype(np.float64)
    return np.where(np.isnan(a) | np.isnan(b), np.nan, result)
