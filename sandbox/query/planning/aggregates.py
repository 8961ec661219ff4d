"""From aggregates to measures: what is computed exactly and released, each once, and the formula that reads it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from decimal import Decimal
from fractions import Fraction
from itertools import pairwise
from typing import Final

from sandbox.catalog import ColumnType
from sandbox.errors import RequestError
from sandbox.plans import Call, Expr, Lit, Measure, Scalar
from sandbox.privacy.selection import candidates
from sandbox.query.expressions.bind import bind
from sandbox.query.expressions.scope import COLUMN_TYPES, Scope
from sandbox.query.expressions.typed import Typed
from sandbox.query.language.syntax import Aggregate, Literal, Name, Node, Op
from sandbox.query.planning.domains import domain_of

WHOLE: Final = 12
"""Share of one aggregate of the budget; an average's and a variance's parts together weigh as much (utility.md)."""
MAX_BINS: Final = 1_000
MAX_TOP: Final = 100
SMALL: Final = 100
"""A domain of so many values is covered by one value of each unit."""
VALUES_PER_UNIT: Final = 4
EXTREMES: Final = {"min": (1, 100), "max": (99, 100)}
"""MIN and MAX as quantiles: what a hundredth of the rows lie beyond."""


@dataclass(slots=True)
class Measures:
    """Collects measures; each once, however often it is named."""

    scope: Scope
    unit: str
    found: list[Measure] = field(default_factory=list)

    def formula(self, node: Aggregate) -> Call:
        """The formula that reads an aggregate's measures.

        Raises:
            RequestError: `aggregate_…`, `distinct_…`, `quantile_…`, `histogram_…`, `top_…`, with its place.
        """
        if node.distinct and node.name != "count":
            raise RequestError("distinct_count_only", function=node.name.upper(), position=node.at)
        return _MAKERS.get(node.name, Measures._unknown)(self, node)

    def _unknown(self, node: Aggregate) -> Call:
        raise RequestError("sql_function", function=node.name, position=node.at)

    # --- shared ---

    def _add(self, wanted: Measure) -> int:
        for i, m in enumerate(self.found):
            if replace(m, share=wanted.share) == wanted:
                if wanted.share > m.share:
                    self.found[i] = wanted
                return i
        self.found.append(wanted)
        return len(self.found) - 1

    def _argument(self, node: Aggregate, kinds: frozenset[str] = frozenset({"number"})) -> Typed:
        """The one argument, under its FILTER."""
        inner = node.within if node.within is not None else node.arg
        if inner is None:
            raise RequestError("aggregate_star", function=node.name.upper(), position=node.at)
        typed = bind(inner, self.scope)
        if typed.kind not in kinds:
            raise RequestError("aggregate_type", function=node.name.upper(), found=typed.kind, position=node.at)
        narrow(typed, node)
        return replace(typed, expr=self._where(node, typed.expr))

    def _where(self, node: Aggregate, expr: Expr) -> Expr:
        if node.where is None:
            return expr
        condition = bind(node.where, self.scope)
        if condition.kind != "boolean":
            raise RequestError("where_not_boolean", found=condition.kind, position=node.where.at)
        return Call("case", (condition.expr, expr, Lit(None)))

    # --- counts ---

    def _count(self, node: Aggregate) -> Call:
        if node.distinct:
            return self._distinct(node)
        if node.arg is None or isinstance(node.arg, Literal) or self._always(node.arg):
            expr = None if node.where is None else self._where(node, Lit(1))
        else:
            field_ = self.scope.find(node.arg) if isinstance(node.arg, Name) else None
            inner = Lit(1) if field_ is not None and field_.unit else bind(node.arg, self.scope).expr
            expr = self._where(node, inner)
        return Call("measure count", (Lit(self._counted(expr, WHOLE)),))

    def _always(self, node: Node) -> bool:
        """A column that is never NULL."""
        if not isinstance(node, Name):
            return False
        found = self.scope.find(node)
        return found.unit or found.required

    def _counted(self, expr: Expr | None, share: int) -> int:
        if expr is None:
            return self._add(Measure(kind="rows", expr=None, share=share))
        return self._add(Measure(kind="present", expr=expr, share=share))

    def _distinct(self, node: Aggregate) -> Call:
        arg = node.arg
        if isinstance(arg, Name) and self.scope.find(arg).unit:
            expr = None if node.where is None else self._where(node, Lit(1))
            return Call("measure count", (Lit(self._add(Measure(kind="units", expr=expr, share=WHOLE))),))
        if arg is None:
            raise RequestError("aggregate_star", function="COUNT(DISTINCT", position=node.at)
        typed = bind(arg, self.scope)
        narrow(typed, node)
        domain = domain_of(typed, self.scope)
        small = domain is not None and len(domain) <= SMALL
        most = 1 if small else VALUES_PER_UNIT
        expr = Call("bit", (typed.expr,)) if typed.kind == "boolean" else typed.expr
        measure = Measure(
            kind="distinct", expr=self._where(node, expr), share=WHOLE, most=most, greedy=not small,
            type=COLUMN_TYPES.get(typed.kind, ColumnType.INTEGER),
        )  # fmt: skip
        return Call("measure count", (Lit(self._add(measure)),))

    # --- sums ---

    def _sum(self, node: Aggregate) -> Call:
        return Call("measure sum", (Lit(self._summed(node, "sum", center=0, share=WHOLE)),))

    def _summed(self, node: Aggregate, kind: str, *, center: int, share: int) -> int:
        typed = self._argument(node)
        reach = max(abs(typed.lower - center), abs(typed.upper - center), 1)
        bound = reach if kind == "sum" else reach * reach
        if bound >= 2**62:
            raise RequestError("expression_overflows", position=node.at)
        return self._add(
            Measure(
                kind="sum" if kind == "sum" else "square", expr=typed.expr, lower=typed.lower, upper=typed.upper,
                center=center, scale=(typed.scale.numerator, typed.scale.denominator), row_bound=bound, share=share,
            )
        )  # fmt: skip

    def _center(self, node: Aggregate) -> int:
        typed = self._argument(node)
        return (typed.lower + typed.upper) // 2

    def _avg(self, node: Aggregate) -> Call:
        total = self._summed(node, "sum", center=self._center(node), share=WHOLE * 3 // 4)
        return Call("measure avg", (Lit(total), Lit(self._present(node, WHOLE // 4))))

    def _present(self, node: Aggregate, share: int) -> int:
        if node.arg is not None and node.where is None and self._always(node.arg):
            return self._counted(None, share)
        return self._counted(self._argument(node).expr, share)

    def _spread(self, node: Aggregate) -> Call:
        center, share = self._center(node), WHOLE // 3
        square = self._summed(node, "square", center=center, share=share)
        total = self._summed(node, "sum", center=center, share=share)
        name, population = node.name.split("_")
        atom = "measure stddev" if name == "stddev" else "measure variance"
        return Call(atom, (Lit(square), Lit(total), Lit(self._present(node, share)), Lit(population == "pop")))

    # --- selections ---

    def _median(self, node: Aggregate) -> Call:
        return self._quantile(node, (1, 2), "quantile")

    def _percentile(self, node: Aggregate) -> Call:
        """One quantile, or those of an array: measures as if each were written alone, which divide the budget alike."""
        share = node.arg
        if isinstance(share, Op):
            found = [self._quantile(node, _rank(q, node), "quantile") for q in share.args]
            return Call("measure quantiles", tuple(place for one in found for place in one.args))
        return self._quantile(node, _rank(share, node), "quantile")

    def _extreme(self, node: Aggregate) -> Call:
        return self._quantile(node, EXTREMES[node.name], node.name)

    def _quantile(self, node: Aggregate, rank: tuple[int, int], name: str) -> Call:
        typed = self._argument(node, frozenset({"number", "date", "timestamp"}))
        measure = Measure(
            kind="quantile", expr=typed.expr, lower=typed.lower, upper=typed.upper, share=WHOLE, rank=rank,
            scale=(typed.scale.numerator, typed.scale.denominator),
            marks=tuple(candidates(typed.lower, typed.upper).tolist()),
            type=COLUMN_TYPES.get(typed.kind, ColumnType.DECIMAL),
        )  # fmt: skip
        return Call(f"measure {name}", (Lit(self._add(measure)),))

    def _histogram(self, node: Aggregate) -> Call:
        if len(node.args) != 4:
            raise RequestError("histogram_form", position=node.at)
        typed = self._argument(node)
        low, high, bins = (_constant(a) for a in node.args[1:])
        if low is None or high is None or bins is None or not low < high or not 1 <= bins <= MAX_BINS:
            raise RequestError("histogram_form", position=node.at)
        if bins.denominator != 1:
            raise RequestError("histogram_form", position=node.at)
        step = (high - low) / bins
        marks = [-((-(low + step * i)) // typed.scale) for i in range(int(bins))]
        # The last bin is closed: its end is the first value beyond.
        marks.append(high // typed.scale + 1)
        if any(b <= a for a, b in pairwise(marks)):
            raise RequestError("histogram_form", position=node.at)
        measure = Measure(
            kind="histogram", expr=typed.expr, lower=typed.lower, upper=typed.upper, share=WHOLE,
            scale=(typed.scale.numerator, typed.scale.denominator), marks=tuple(int(m) for m in marks),
            type=ColumnType.DECIMAL,
        )  # fmt: skip
        return Call("measure histogram", (Lit(self._add(measure)),))

    def _top(self, node: Aggregate) -> Call:
        k = _constant(node.args[1]) if len(node.args) == 2 else None
        if k is None or k.denominator != 1 or not 1 <= k <= MAX_TOP:
            raise RequestError("top_form", limit=MAX_TOP, position=node.at)
        typed = bind(node.args[0], self.scope)
        narrow(typed, node)
        domain = self._domain(node.args[0], typed)
        if domain is None:
            raise RequestError("top_domain", position=node.at)
        marks: tuple[Scalar, ...] = tuple(v for v in domain if v is not None)
        if len(marks) < k:
            raise RequestError("top_form", limit=len(marks), position=node.at)
        expr = Call("bit", (typed.expr,)) if typed.kind == "boolean" else typed.expr
        measure = Measure(
            kind="top", expr=self._where(node, expr), share=WHOLE, marks=marks, most=int(k),
            scale=(typed.scale.numerator, typed.scale.denominator),
            type=COLUMN_TYPES.get(typed.kind, ColumnType.DECIMAL),
        )  # fmt: skip
        return Call("measure top", (Lit(self._add(measure)),))

    def _domain(self, node: Node, typed: Typed) -> tuple[Scalar, ...] | None:
        found = self.scope.find(node) if isinstance(node, Name) else None
        if found is not None and found.domain is not None:
            return found.domain
        return domain_of(typed, self.scope)


def narrow(typed: Typed, node: Node) -> None:
    """Refuse what could leave the engine's 64 bits on its way out: that would fail on some rows and not on others."""
    if typed.kind != "text" and max(abs(typed.lower), abs(typed.upper)) >= 2**62:
        raise RequestError("expression_overflows", position=node.at)


def _rank(node: Node | None, at: Aggregate) -> tuple[int, int]:
    share = _constant(node)
    if share is None or not 0 <= share <= 1:
        raise RequestError("quantile_share", position=at.at)
    rank = share.limit_denominator(1_000)
    return rank.numerator, rank.denominator


def _constant(node: Node | None) -> Fraction | None:
    value = node.value if isinstance(node, Literal) else None
    if isinstance(value, bool) or not isinstance(value, int | Decimal):
        return None
    return Fraction(value)


_MAKERS: Final[dict[str, Callable[[Measures, Aggregate], Call]]] = {
    "count": Measures._count, "sum": Measures._sum, "avg": Measures._avg, "median": Measures._median,
    "percentile_cont": Measures._percentile, "percentile_disc": Measures._percentile,
    "min": Measures._extreme, "max": Measures._extreme,
    "histogram": Measures._histogram, "approx_top_k": Measures._top,
    **dict.fromkeys(("var_samp", "var_pop", "stddev_samp", "stddev_pop"), Measures._spread),
}  # fmt: skip
