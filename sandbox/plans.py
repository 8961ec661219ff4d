"""The plan's values: row expressions, relations, keys, measures, bounds and stages; closed, typed, canonical."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

from sandbox.catalog import ColumnType, DatasetSpec, Provenance, Version

Scalar: TypeAlias = int | float | str | bool | None


# --- row expressions: total (P3.4) ------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Col:
    """A column of the relation below, in grid units."""

    name: str
    type: ColumnType


@dataclass(frozen=True, slots=True, eq=False)
class Lit:
    """A constant, in grid units of what it is compared with; TRUE is not 1, though Python says so."""

    value: Scalar

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Lit) and (type(self.value), self.value) == (type(other.value), other.value)

    def __hash__(self) -> int:
        return hash((type(self.value), self.value))


@dataclass(frozen=True, slots=True)
class Call:
    """A whitelisted total function over expressions; `sandbox.query.expressions` has the list."""

    name: str
    args: tuple[Expr, ...]


Expr: TypeAlias = Col | Lit | Call


# --- relations: each a disjoint union over units, which it carries unseen (P3.2, P3.3) --------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Scan:
    """Rows of a protected table: of each unit those with ordinals below `rows` (P4.4), all of them for None.

    Columns are called `prefix` and their stored name. A unit's rows are ordered by ordinal.
    """

    table: int
    """Number in the plan's `tables`."""
    prefix: str = ""
    rows: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Filter:
    """The rows of `of` for which `where` is true."""

    of: Relation
    where: Expr


@dataclass(frozen=True, slots=True, kw_only=True)
class Project:
    """Each row of `of` as these columns."""

    of: Relation
    columns: tuple[tuple[str, Expr], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Stack:
    """UNION ALL of relations with the same columns; a unit's rows are ordered by part, then as there."""

    parts: tuple[Relation, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Lookup:
    """Each row of `of` beside the rows of a public table that equal it in all of `on`; with `outer`, as LEFT JOIN."""

    of: Relation
    table: int
    """Number in the plan's `public`."""
    on: tuple[tuple[Expr, Expr], ...]
    """An expression of `of`, and one of the public table's own columns."""
    columns: tuple[tuple[str, str], ...]
    """What is taken along: its name here, and in the public table."""
    outer: bool
    most: int
    """How many rows of the public table have the same `on`, at most: a fact about public rows."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Meet:
    """Pairs of rows of one unit from two relations of one population, equal in all of `on`; `outer`: as LEFT JOIN."""

    left: Relation
    right: Relation
    outer: bool
    on: tuple[tuple[Expr, Expr], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class PerUnit:
    """One row for each unit and values of `keys`: aggregates within the unit, exact integers (P3.5)."""

    of: Relation
    keys: tuple[tuple[str, Expr], ...]
    columns: tuple[tuple[str, Literal["rows", "present", "sum", "min", "max"], Expr | None], ...]


Relation: TypeAlias = Scan | Filter | Project | Stack | Lookup | Meet | PerUnit


# --- what is asked of them --------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """A version of a dataset that a plan reads."""

    spec: DatasetSpec
    dataset_id: str
    version: Version


@dataclass(frozen=True, slots=True, kw_only=True)
class Key:
    """A group key. Public: `domain` is every value it may take (None for NULL), in display order. Private: None."""

    label: str
    expr: Expr
    type: ColumnType
    scale: tuple[int, int] = (1, 1)
    """Value of one unit of a number, or seconds in one of a timestamp, as numerator and denominator."""
    domain: tuple[Scalar, ...] | None


MeasureKind: TypeAlias = Literal[
    "rows", "present", "sum", "square", "units", "distinct", "histogram", "top", "quantile"
]
ADDITIVE: Final = frozenset({"rows", "present", "sum", "square"})
"""Measures that are sums over rows."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Measure:
    """One aggregate that will be released: its exact form, and what one row can add to it.

    `kind`: rows = COUNT(*); present = COUNT(x); sum = SUM(x - center) over non-NULL x and square = SUM((x - center)^2),
    in units of `scale` and its square; units = COUNT(DISTINCT unit), of rows whose x is not NULL if there is an x;
    distinct = COUNT(DISTINCT x), of each unit and group `most` values; histogram = COUNT(x) between neighbours among
    `marks`; top = distinct units for each of the values `marks`, of which the `most` frequent are released; quantile =
    weights around the candidates `marks`, of which the one at `rank` is released.
    `row_bound` is max |contribution of one row|, in the same units.
    """

    kind: MeasureKind
    expr: Expr | None
    """What is counted or summed; None for rows."""
    lower: int = 0
    upper: int = 1
    """Where the expression is clamped, in its units."""
    center: int = 0
    scale: tuple[int, int] = (1, 1)
    """Value of one unit of the expression, as numerator and denominator."""
    row_bound: int = 1
    share: int
    """Weight of the budget among the plan's measures; the shares need not sum to anything."""
    marks: tuple[Scalar, ...] = ()
    most: int = 0
    greedy: bool = False
    """Whether units take turns in choosing the values that they are counted for, so that they cover more of them."""
    rank: tuple[int, int] = (0, 1)
    """A quantile as a fraction."""
    type: ColumnType = ColumnType.INTEGER
    """Of `marks`, for display."""

    @property
    def width(self) -> int:
        """Exact integers in each group."""
        match self.kind:
            case "histogram":
                return len(self.marks) - 1
            case "top":
                return len(self.marks)
            case "quantile":
                return 2 * len(self.marks) + 1
            case _:
                return 1

    @property
    def out_width(self) -> int:
        """Released integers in each group: bins of a histogram, places among `marks` of a selection, else one."""
        return self.most if self.kind == "top" else self.width if self.kind == "histogram" else 1


OutputKind: TypeAlias = Literal[
    "key", "count", "sum", "avg", "variance", "stddev", "quantile", "min", "max", "quantiles", "histogram", "top",
    "expression",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Output:
    """One column of the answer: a group key, or an expression over measures evaluated on noisy values."""

    label: str
    kind: OutputKind
    key: int | None
    formula: Expr | None
    """An expression that `query.release.post` evaluates on noisy values; None for a key."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fact:
    """A declared fact the plan rests on, with its provenance, as the answer lists it (P1.4)."""

    subject: str
    fact: str
    value: str
    provenance: Provenance


@dataclass(frozen=True, slots=True, kw_only=True)
class Bound:
    """How one unit's influence is bounded (P4.1, P4.2).

    ingest: ordinals below `rows`. rows: of each unit's passing rows the first `rows` in its keyed order. groups: of
    each unit the sums in `groups` of its groups by keyed order, each clamped to `per_group` rows' worth. clip: the
    unit's whole vector over all groups, cut down in each measure to the L2 norm that the stage "norms" releases.
    """

    form: Literal["ingest", "rows", "groups", "clip"]
    rows: int
    groups: int = 0
    per_group: int = 0
    why: str = "ingest_enough"
    """A code: why the planner took it into account."""


Stage: TypeAlias = Literal["keys", "norms", "values"]
"""keys: which private keys are shown. norms: where vectors are clipped. values: the measures."""

STAGES: Final[tuple[Stage, ...]] = ("keys", "norms", "values")


# --- what earlier and repeated releases come to -----------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Norm:
    """Where a measure's vectors are clipped by what an earlier answer of the same grant has released and paid for."""

    query: str
    norm: int


def all_norms(reused: tuple[Norm | None, ...], released: tuple[int, ...]) -> tuple[int, ...]:
    """The norm of each measure of a clip: the reused ones, and in their order those that the stage "norms" released."""
    anew = iter(released)
    return tuple(next(anew) if known is None else known.norm for known in reused) if reused else released


@dataclass(frozen=True, slots=True, kw_only=True)
class Steps:
    """Of a question by relative accuracy: what it may come to, and when each release after the first is charged."""

    share: int
    """The half-width that is asked for, as a part of each number, in 1e-6."""
    most: int
    """Rho of all releases together, at most."""
    count: int
    """Releases, at most."""
    tick: float
    """Seconds from one release's charge to the next one's; the last one's is so long before the answer leaves."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Totals:
    """What repeated releases have come to: the noise that is left in their mean, what they cost, and what is left."""

    scales: tuple[float, ...]
    """Of each measure, in steps of its integers."""
    losses: tuple[int, ...]
    """Rho of each measure's releases."""
    draws: int
    receipt: Mapping[str, str]
    """What was left after the last charge; see `query.render`."""
