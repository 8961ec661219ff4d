"""Shapes of events, of the log's leaves and records, and of health."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from sandbox.schemas.wire import Wire


class Event(Wire):
    """An event of the caller's tenant."""

    id: str
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


class Receipt(Wire):
    """An event with the proof that a signed checkpoint covers it; `event` and `proof` are bytes in base64."""

    v: Literal[1]
    origin: str
    checkpoint: str
    index: int
    event: str
    proof: list[str]


class Report(Wire):
    """A month's page, as a note that the log's key signed."""

    month: str
    note: str


class Health(Wire):
    """Whether the gateway is up."""

    status: Literal["ok", "not ready"]
    checks: dict[str, bool] = Field(default_factory=dict)


class DutyState(Wire):
    """A duty: its last success (to the minute), the code that it fails with, and the process that holds it."""

    name: str
    well: bool
    last_ok: str | None
    error: str | None
    holder: str | None


class ProcessState(Wire):
    """A living gateway or worker of this home, with the digest of the settings that it started with."""

    id: str
    role: str
    release: str
    settings: str
    started_at: str
    seen_at: str


class SchemaState(Wire):
    """The database's schema, and the one that this release knows."""

    found: str | None
    known: str


class CheckpointState(Wire):
    """The newest checkpoint, and since when an event has waited for its place behind it."""

    size: int
    at: str
    waiting_since: str | None


class Ready(Health):
    """Whether the gateway can take requests, and what that rests on; the rest is null while the database is away."""

    duties: list[DutyState] | None = None
    processes: list[ProcessState] | None = None
    settings_differ: bool | None = None
    database: SchemaState | None = None
    checkpoint: CheckpointState | None = None
    read_only: str | None = None
