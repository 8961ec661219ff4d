"""The types a query passes through, in the order it passes through them: order is a type error."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal, TypeAlias

import numpy as np
import numpy.typing as npt

from sandbox.catalog import DatasetSpec, Population, Version
from sandbox.plans import (
    Bound,
    Expr,
    Fact,
    Key,
    Measure,
    Norm,
    Output,
    Relation,
    Scalar,
    Stage,
    Steps,
    Table,
    Totals,
)

STEPS: Final = (
    "authenticate", "parse", "decide", "plan", "price", "charge", "compute", "noise", "hold", "settle", "answer",
)  # fmt: skip
"""The one list: calls in the flow, event types, kill points, benchmark columns, the line in the README."""

Ints: TypeAlias = npt.NDArray[np.int64]
Mechanism: TypeAlias = Literal["laplace", "gaussian", "exponential", "gumbel"]
"""Noise on integers, or on the scores of a selection; the first of each pair is paid in eps_p, the second in rho."""


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
    bounding: str | None = None
    """One of the forms of `Bound`, instead of the one that the planner would choose."""
    groups: int | None = None
    """Groups a unit gives to, where a unit's groups are bounded."""
    per_group: int | None = None
    """Rows a unit gives to one group there."""
    version: int | None = None
    """Number of the dataset's version; None for the newest that is open."""
    relative: int | None = None
    """An error at 95 % as a part of each number, in 1e-6; `epsilon` is then a cap."""
    idempotency_key: str | None
    digest: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Parsed:
    """The query's shape and names; nothing is known yet of the tables it names."""

    request: Request
    datasets: tuple[str, ...]
    """Names of all tables, protected and public, in order of the text."""
    tree: Any
    """A `query.language.syntax.Query`."""


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
    tables: tuple[Table, ...]
    """Protected ones, all of one population; the first is the one that errors and explanations speak of."""
    public: tuple[Table, ...]
    population: Population
    population_id: str
    population_key: bytes
    """The population's key, wrapped by the root key: a reference, never the key itself."""
    relation: Relation
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
    stages: tuple[Stage, ...]
    facts: tuple[Fact, ...]

    @property
    def spec(self) -> DatasetSpec:
        """Of the first table."""
        return self.tables[0].spec

    @property
    def dataset_id(self) -> str:
        """Of the first table."""
        return self.tables[0].dataset_id

    @property
    def version(self) -> Version:
        """Of the first table."""
        return self.tables[0].version

    @property
    def private(self) -> bool:
        """Whether keys are shown only if enough units have them (P5.3)."""
        return any(key.domain is None for key in self.keys)

    @property
    def groups(self) -> int:
        """Number of groups that the keys declare, so public; 0 where they are private."""
        return math.prod(len(key.domain or ()) for key in self.keys)


@dataclass(frozen=True, slots=True, kw_only=True)
class Release:
    """How one array of integers is released, and what that costs.

    laplace, gaussian: noise of this scale (b, sigma), in grid units. exponential, gumbel: in each group the candidate
    of best noisy score. With a threshold: what stays under it is not shown.
    """

    mechanism: Mechanism
    scale: float
    """0 where a stage before fixes it: the noise of a clipped vector follows the norm that is released."""
    sensitivity: float
    times: int = 1
    """Groups, or private keys, that one unit can touch."""
    threshold: int = 0
    loss: int
    """eps_p or rho, units of 1e-12, rounded up."""
    delta: int = 0
    """Units of 1e-18."""

    @property
    def pure(self) -> bool:
        """Whether the loss is eps_p."""
        return self.mechanism in {"laplace", "exponential"}


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
    """One for each measure."""
    keys: Release | None = None
    """Of the stage "keys"."""
    norms: tuple[Release, ...] = ()
    """Of the stage "norms": one for each of its measures, `clipped_anew`."""
    reused: tuple[Norm | None, ...] = ()
    """Of a clip, for each measure: the norm that need not be released anew; () where there is none."""
    cost: Cost
    rung: float
    steps: Steps | None = None
    """Where releases are repeated: `releases` and `cost` are then those of one of them."""

    @property
    def clipped_anew(self) -> tuple[int, ...]:
        """Numbers of the measures whose norm the stage "norms" releases."""
        if self.plan.bound.form != "clip":
            return ()
        return tuple(i for i in range(len(self.plan.measures)) if not self.reused or self.reused[i] is None)


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


Labels: TypeAlias = tuple[tuple[Scalar, ...], ...]
"""Groups by the values of their keys, in the units that columns are stored in."""


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Exact:
    """Exact integers of one stage. Has no repr and cannot be pickled: only `noise` takes it.

    values: one array a measure, shape (groups, width). norms: one a measure, shape (1, bins). keys: one, (keys, 1).
    """

    charged: Charged
    stage: Stage
    values: tuple[Ints, ...]
    labels: Labels | None = None
    """The groups, where they are not those that the keys declare."""
    norms: tuple[int, ...] = ()
    """Where vectors were clipped, as the stage "norms" released it."""

    def __reduce__(self) -> str:
        raise TypeError("exact aggregates do not travel")


@dataclass(frozen=True, slots=True, kw_only=True)
class Noisy:
    """Noisy integers of one stage: free to use from here on.

    values: one array a measure, shape (groups, out width). norms: one a measure of the stage, shape (1, bins).
    keys: one of shape (keys, 1), the noisy weights of the shown ones.
    """

    charged: Charged
    stage: Stage
    values: tuple[Ints, ...]
    labels: Labels | None = None
    norms: tuple[int, ...] = ()
    """Of the stage "norms" what its histograms say; of the stage "values" where each measure's vectors were clipped."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Released:
    """What a charged plan's stages have released together: the integers that its answer is made from."""

    values: tuple[Ints, ...]
    """One a measure, shape (groups, out width)."""
    labels: Labels | None = None
    norms: tuple[int, ...] = ()
    histograms: tuple[Ints, ...] = ()
    """Of the stage "norms", shape (1, bins): what later questions of the same grant choose their norms from."""
    totals: Totals | None = None
    """Where the values are means of repeated releases."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stored:
    """An answer that lies sealed in the object store, by its digest; it is settled at its rung."""

    charged: Charged
    sha256: str
