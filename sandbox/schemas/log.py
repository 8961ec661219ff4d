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


class Health(Wire):
    """Whether the gateway is up."""

    status: Literal["ok", "not ready"]
    checks: dict[str, bool] = Field(default_factory=dict)
