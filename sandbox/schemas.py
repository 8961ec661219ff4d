"""Schemas: the shapes of requests and answers on the wire, shared by the gateway and the client."""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated, Any, Generic, Literal, Self, TypeAlias, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator
from pydantic_core import PydanticCustomError

Preset: TypeAlias = Literal["strict", "standard", "research"]
Name: TypeAlias = Annotated[str, Field(min_length=1, max_length=120, pattern=r"^[^\x00-\x1f\x7f]+$")]
Id: TypeAlias = Annotated[str, Field(min_length=1, max_length=120)]


def _short(value: object) -> object:
    # A number is short; this keeps a megabyte of digits away from the decimal arithmetic. A boolean is no number.
    if isinstance(value, bool) or (isinstance(value, str) and len(value) > 40):
        raise PydanticCustomError("number_type", "not a number")
    return value


Epsilon: TypeAlias = Annotated[
    Decimal, BeforeValidator(_short), Field(ge=Decimal("0.000001"), le=100, decimal_places=12)
]
"""A privacy budget as a person types it: a decimal, as text or number."""
Error: TypeAlias = Annotated[float, BeforeValidator(_short), Field(gt=0, le=1e15, allow_inf_nan=False)]
"""An absolute error at 95 %."""

Item = TypeVar("Item")


class Wire(BaseModel):
    """Base of all shapes: no unknown fields."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Page(Wire, Generic[Item]):
    """One page of a list; `next` is what to send as `after` for the following page, None at the end."""

    items: list[Item]
    next: str | None


class Both(Wire):
    """A text in both languages."""

    en: str
    zh: str


class Place(Wire):
    """A place in a text that the caller sent."""

    line: int
    column: int
    file: str | None = None


class Problem(Wire):
    """What went wrong (RFC 9457). `code` is for programs, `detail` and `text` are for people."""

    type: str
    title: str
    status: int
    code: str
    params: dict[str, str | int | bool | list[str] | None]
    position: Place | None = None
    detail: str
    text: Both
    instance: str


# --- who acts ---------------------------------------------------------------------------------------------------------


class TenantAsk(Wire):
    """An organisation to register; `kind` is operator, owner, committee, company or supervisor."""

    name: Name
    kind: Id


class Tenant(Wire):
    """An organisation."""

    id: str
    name: str
    kind: str
    created_at: str


class PrincipalAsk(Wire):
    """A person or program to register; `tenant` is an id or a name.

    Roles: operator, steward, committee, engineer, auditor.
    """

    name: Name
    tenant: Name
    roles: Annotated[list[Id], Field(min_length=1, max_length=5)]


class Principal(Wire):
    """A person or program, and the ids of its keys that work (never a key)."""

    id: str
    tenant: str
    name: str
    roles: list[str]
    state: str
    created_at: str
    keys: list[str]


class Revoked(Wire):
    """A key that works no more."""

    id: str
    state: Literal["revoked"] = "revoked"


class NewPrincipal(Wire):
    """A new principal's id and its key, which is told this once."""

    id: str
    tenant: str
    key_id: str
    key: str


class Me(Wire):
    """Whom the key stands for."""

    id: str
    tenant: str
    tenant_name: str
    name: str
    roles: list[str]


# --- the catalogue ----------------------------------------------------------------------------------------------------


class Document(Wire):
    """A manifest or a population, as its author wrote it; `file` is the name to show in errors."""

    file: Annotated[str, Field(min_length=1, max_length=400)]
    text: str


class Population(Wire):
    """A population with its declared facts. Epsilon and pure as decimals, delta as a decimal in scientific form."""

    id: str
    name: str
    title: Both
    unit: str
    registered: int
    n_ids: int
    epsilon: str
    pure: str
    delta: str
    tenant: str


class Provenance(Wire):
    """Where a declared fact comes from: `documented`, `released` or `steward` (somebody looked at the data)."""

    kind: str
    source: str


class Column(Wire):
    """A declared column; `provenance` is by fact."""

    name: str
    type: str
    meaning: Both
    level: str
    grid: str
    lower: str | None
    upper: str | None
    domain: list[str] | None
    required: bool
    provenance: dict[str, Provenance]


class DatasetSummary(Wire):
    """A dataset in the list."""

    id: str
    name: str
    title: Both
    owner: str
    population: str | None
    public: bool
    version: int | None


class Dataset(DatasetSummary):
    """A dataset as everybody with a key may see it: declared facts alone, never a count of rows."""

    unit: str | None
    consent: bool
    n_max: int
    r_max: int
    default_rows: int
    tiers: list[int]
    external_ids: dict[str, str]
    other_persons: str | None
    columns: list[Column]


class Accepted(Wire):
    """An ingest that was queued."""

    ingest: str
    dataset: str


class Ingest(Wire):
    """An ingest: its state, its progress, its error, and for the owner's steward its report."""

    id: str
    dataset: str
    state: str
    attempt: int
    progress: dict[str, Any]
    error: dict[str, Any] | None
    report: dict[str, Any] | None
    rows_max: int
    created_at: str


# --- applications and grants ------------------------------------------------------------------------------------------


class ApplicationAsk(Wire):
    """One scenario, one application. One of `preset` (strict, standard, research) and `epsilon`; times in RFC 3339."""

    scenario: str
    purpose: str
    datasets: Annotated[list[str], Field(max_length=1000)]
    actions: Annotated[list[str], Field(max_length=1000)]
    preset: Id | None = None
    epsilon: Epsilon | None = None
    starts_at: Id | None = None
    expires_at: Id


class ConsentAsk(Wire):
    """A data owner's word on its dataset."""

    dataset: Name
    approve: bool
    reason: str = ""


class VoteAsk(Wire):
    """A committee member's vote."""

    approve: bool
    reason: str = ""


class Vote(Wire):
    """A vote or a consent that was given."""

    round: str
    principal: str
    tenant: str
    approve: bool
    reason: str
    at: str


class Terms(Wire):
    """What was applied for, or granted. `epsilon` as a decimal, times as RFC 3339."""

    scenario: str
    purpose: str
    datasets: list[str]
    actions: list[str]
    preset: str | None
    epsilon: str
    starts_at: str
    expires_at: str


class Application(Wire):
    """An application with its terms and what was said on it."""

    id: str
    tenant: str
    principal: str
    state: str
    terms: Terms
    votes: list[Vote]
    grant: str | None
    created_at: str


class Budget(Wire):
    """A cap's epsilon and delta, what was spent in its counters, and what is left pure and Gaussian (decimals)."""

    epsilon: str
    delta: str
    spent_pure: str
    spent_rho: str
    spent_delta: str
    left_pure: str
    left_rho: str


class Grant(Wire):
    """A grant: terms, state, budget."""

    id: str
    tenant: str
    application: str
    state: str
    terms: Terms
    created_at: str
    budget: Budget


# --- queries ----------------------------------------------------------------------------------------------------------


class QueryAsk(Wire):
    """A question. At most one of `epsilon`, `preset`, `within`; one of them unless it is only explained."""

    sql: Annotated[str, Field(min_length=1)]
    grant: Id | None = None
    purpose: Annotated[str, Field(min_length=1, max_length=120)] | None = None
    epsilon: Epsilon | None = None
    preset: Preset | None = None
    within: Error | None = None
    rows: Annotated[int, Field(ge=1, le=2**31 - 1)] | None = None
    explain: bool = False

    @model_validator(mode="after")
    def _one_accuracy(self) -> Self:
        if sum(value is not None for value in (self.epsilon, self.preset, self.within)) > 1:
            raise PydanticCustomError("one_of", "one of these", {"fields": "epsilon, preset, within"})
        return self


class AnswerColumn(Wire):
    """A column of an answer. `scale` is the noise's, in the column's own unit; `level` is the intervals' level."""

    label: str
    kind: Literal["key", "count", "sum", "avg", "expression"]
    type: str | None
    mechanism: str | None
    scale: float | list[float] | None
    level: float | None


class Answer(BaseModel):
    """A noisy table with an interval of the bounded aggregate beside each number, and all that stands behind it."""

    id: str
    grant: str
    dataset: str
    version: Any
    purpose: str | None
    columns: list[AnswerColumn]
    rows: list[list[Any]]
    low: list[list[Any]]
    high: list[list[Any]]
    flags: list[list[Any]]
    bounds: dict[str, Any]
    price: dict[str, str]
    epsilon: str | None
    left: dict[str, str]
    rung: float
    event: str
    facts: list[dict[str, Any]]
    promise: Both


class QuerySummary(Wire):
    """A paid query of the caller's."""

    id: str
    grant: str
    state: str
    charged_at: str
    event: str


# --- the log ----------------------------------------------------------------------------------------------------------


class Event(Wire):
    """An event of the caller's tenant; `index` is its place in the log once it has one."""

    id: str
    index: int | None
    event: dict[str, Any]


class Entry(Wire):
    """A leaf of the log: canonical bytes in base64, and the stored leaf hash."""

    index: int
    body: str
    leaf: str


class Entries(Wire):
    """Leaves from `start`, at most `limit`."""

    entries: list[Entry]


class Checkpoint(Wire):
    """The newest signed note over the log."""

    size: int
    note: str


class LogKey(Wire):
    """The log's public key, as a signed-note verifier key."""

    vkey: str


class Records(Wire):
    """A page of an audited table in the form the log's digests cover, by `table/key`."""

    records: dict[str, dict[str, Any]]
    next: str | None


class Health(Wire):
    """Whether the gateway is up."""

    status: Literal["ok", "not ready"]
    checks: dict[str, bool] = {}
