"""The types a query passes through, in the order it passes through them: order is a type error."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal, TypeAlias

import numpy as np
import numpy.typing as npt

from sandbox.catalog import ColumnType, DatasetSpec, Population, Provenance, Version

STEPS: Final = (
    "authenticate", "parse", "decide", "plan", "price", "charge", "compute", "noise", "hold", "settle", "answer",
)  # fmt: skip
"""The one list: calls in the flow, event types, kill points, benchmark columns, the line in the README."""

Ints: TypeAlias = npt.NDArray[np.int64]
Scalar: TypeAlias = int | float | str | bool | None


# --- expressions: closed, typed, and total (P3.4) ---------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Col:
    """A stored column, in grid units."""

    name: str
    type: ColumnType


@dataclass(frozen=True, slots=True)
class Lit:
    """A constant, in grid units of what it is compared with."""

    value: Scalar


@dataclass(frozen=True, slots=True)
class Call:
    """A whitelisted total function over expressions; `sandbox.query.expressions.bind` has the list."""

    name: str
    args: tuple[Expr, ...]


Expr: TypeAlias = Col | Lit | Call


# --- the plan -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Key:
    """A public group key: a column and every value it may take (None stands for NULL), in display order."""

    column: str
    label: str
    type: ColumnType
    domain: tuple[Scalar, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Measure:
    """One additive integer aggregate that will be released: its exact form and what one row can add to it.

    `kind`: rows = COUNT(*); present = COUNT(x); sum = SUM(x - center) over non-NULL x, in units of `scale`; units =
    COUNT(DISTINCT unit), read at ordinal 0. `row_bound` is max |contribution of one row|, in the same units.
    """

    kind: Literal["rows", "present", "sum", "units"]
    expr: Expr | None
    """What is counted or summed; None for rows and units."""
    lower: int
    upper: int
    """Where the summed expression is clamped, in its units."""
    center: int
    scale: tuple[int, int]
    """Value of one unit of the expression, as numerator and denominator."""
    row_bound: int
    share: int
    """Weight of the budget among the plan's measures; the shares need not sum to anything."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Output:
    """One column of the answer: a group key, or an expression over measures evaluated on noisy values."""

    label: str
    kind: Literal["key", "count", "sum", "avg", "expression"]
    key: int | None
    formula: Expr | None
    """An expression that `query.post` evaluates on noisy values; None for a key."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fact:
    """A declared fact the plan rests on, with its provenance, as the answer lists it (P1.4)."""

    subject: str
    fact: str
    value: str
    provenance: Provenance


@dataclass(frozen=True, slots=True, kw_only=True)
class Bound:
    """How one unit's influence is bounded. `tiers` are the tier numbers to read: ordinals below `rows`."""

    form: Literal["ingest"]
    rows: int
    tiers: tuple[int, ...]


# --- the values of the flow -------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Principal:
    """Who asks: proved by a key."""

    id: str
    tenant: str
    roles: frozenset[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What was asked, by whom, before anything was looked at."""

    principal: Principal
    sql: str
    grant: str | None
    purpose: str | None
    epsilon: int | None
    """Ledger units of 1e-12."""
    within: float | None
    rows: int | None
    """Rows a unit gives, instead of the dataset's default."""
    version: int | None = None
    """Number of the dataset's version; None for the newest that is open."""
    idempotency_key: str | None
    digest: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Parsed:
    """The query's shape and names; nothing is known yet of the tables it names."""

    request: Request
    dataset: str
    tree: Any
    """A `query.parse.Select`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GrantTerms:
    """What of a grant a query needs."""

    id: str
    tenant: str
    purpose: str
    datasets: tuple[str, ...]
    actions: tuple[str, ...] = ()
    """What may be done with them; a grant that states nothing allows nothing."""
    starts_at: str = ""
    expires_at: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Permitted:
    """A parsed query with the grant that allows it: the catalogue may now be looked at."""

    parsed: Parsed
    grant: GrantTerms
    rule: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What will be computed, from declared facts alone. `plan_v` is the version of its canonical JSON form."""

    permitted: Permitted
    plan_v: int
    spec: DatasetSpec
    dataset_id: str
    version: Version
    population: Population
    population_id: str
    population_key: bytes
    """The population's key, wrapped by the root key: a reference, never the key itself."""
    where: Expr | None
    keys: tuple[Key, ...]
    measures: tuple[Measure, ...]
    outputs: tuple[Output, ...]
    having: Expr | None
    order: tuple[tuple[int, bool, bool], ...]
    """Output number, descending, NULLs first."""
    hidden: int
    """How many trailing outputs exist only for ORDER BY and are not shown."""
    limit: int | None
    bound: Bound
    facts: tuple[Fact, ...]

    @property
    def groups(self) -> int:
        """Number of group keys in the answer: declared, so public."""
        n = 1
        for key in self.keys:
            n *= len(key.domain)
        return n


@dataclass(frozen=True, slots=True, kw_only=True)
class Release:
    """The noise for one measure: mechanism, scale in grid units (Laplace b, Gaussian sigma), and its loss."""

    mechanism: Literal["laplace", "gaussian"]
    scale: float
    sensitivity: int
    loss: int
    """eps_p for Laplace, rho for Gaussian; units of 1e-12, rounded up."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """A price or a history in the ledger's three counters (P1.2): 1e-12, 1e-12, 1e-18."""

    eps_p: int = 0
    rho: int = 0
    delta: int = 0

    def __add__(self, other: Cost) -> Cost:
        return Cost(eps_p=self.eps_p + other.eps_p, rho=self.rho + other.rho, delta=self.delta + other.delta)


@dataclass(frozen=True, slots=True, kw_only=True)
class Priced:
    """A plan with its noise, its price, and the rung at which its answer will leave, in seconds after the charge."""

    plan: Plan
    releases: tuple[Release, ...]
    cost: Cost
    rung: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Charged:
    """A priced plan that has been paid for: the only thing that `compute` takes."""

    priced: Priced
    query_id: str
    attempt: int
    charged_at: str
    event_id: str
    receipt: Mapping[str, str]
    """What was left at the charge, in ledger units; see `query.render`."""


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Exact:
    """Exact aggregates, shape (measures, groups). Has no repr and cannot be pickled: only `noise` takes it."""

    charged: Charged
    values: Ints

    def __reduce__(self) -> str:
        raise TypeError("exact aggregates do not travel")


@dataclass(frozen=True, slots=True, kw_only=True)
class Noisy:
    """Noisy aggregates, shape (measures, groups): free to use from here on."""

    charged: Charged
    values: Ints


@dataclass(frozen=True, slots=True, kw_only=True)
class Stored:
    """An answer that lies sealed in the object store, by its digest; it is settled at its rung."""

    charged: Charged
    sha256: str
