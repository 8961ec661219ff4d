"""Shapes of populations, datasets with their versions and removals, and ingests."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field

from sandbox.schemas.wire import Both, Wire


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


class UpdateAsk(Document):
    """A manifest for a dataset's next version; `mode` says what becomes of the rows before."""

    mode: Literal["append", "replace", "correct"]
    reason: Annotated[str, Field(max_length=2000)] = ""


class Checked(Wire):
    """What a manifest would make if it were sent: nothing was read, nothing was queued."""

    dataset: str
    version: int
    changed: list[str]


class ReasonAsk(Wire):
    """A step that must say why."""

    reason: Annotated[str, Field(min_length=1, max_length=2000)]


class Version(Wire):
    """A version of a dataset: `kind` says how it came to be, `state` whether it may be asked (`open`)."""

    id: str
    number: int
    kind: str
    state: str
    created_at: str


class Removal(Wire):
    """A retirement or a destruction of a dataset. `certificate` is a note signed by the log's key, once all is gone."""

    id: str
    dataset: str
    name: str
    tenant: str
    proposed_by: str
    decided_by: str | None
    state: str
    reason: str
    certificate: str | None
    created_at: str


class DatasetSummary(Wire):
    """A dataset in the list; `version` is the newest that may be asked, `state` whether it is in use (`active`)."""

    id: str
    name: str
    title: Both
    owner: str
    population: str | None
    public: bool
    version: int | None
    state: str


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
    kind: str
    reason: str
    created_at: str
