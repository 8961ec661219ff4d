"""Events: a closed list of types, one value, and its canonical bytes, which are the leaves of the log."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Final

import rfc8785

from sandbox.audit.tiles import LARGEST_ENTRY
from sandbox.errors import IntegrityFailed

EVENT_TYPES: Final[tuple[str, ...]] = (
    "home.create",
    "home.backup",
    "home.restore",
    "home.reconcile",
    "process.start",
    "tenant.create",
    "principal.create",
    "key.create",
    "key.revoke",
    "population.add",
    "dataset.add",
    "dataset.retire",
    "dataset.destroy_propose",
    "dataset.destroy_decline",
    "dataset.destroy_confirm",
    "dataset.destroy",
    "version.withdraw",
    "ingest.submit",
    "ingest.start",
    "ingest.fail",
    "ingest.commit",
    "report.read",
    "cap.open",
    "cap.forfeit",
    "application.submit",
    "application.consent",
    "application.vote",
    "application.reject",
    "application.withdraw",
    "grant.create",
    "grant.revoke",
    "grant.expire",
    "grant.stop",
    "query.charge",
    "query.settle",
    "query.fail",
    "query.overrun",
    "query.repeat",
    "answer.read",
    "access.deny",
    "log.read",
)
"""Every type there is. A new one is added at the end of its noun; none is ever renamed: old leaves stand for ever."""

_TYPES: Final = frozenset(EVENT_TYPES)
_FIELDS: Final = frozenset({"v", "id", "type", "at", "actor", "tenant", "subject", "policy", "details"})
_LARGEST: Final = 2**53 - 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """What happened, who did it, whose it is, to what, under which policy.

    `at` is RFC 3339 UTC with milliseconds. `details` holds ids, codes, declared facts and digests: never a person's
    name, SQL text or protected values. Numbers of the ledger are strings, since JSON numbers end at 2^53 - 1.
    """

    v: ClassVar[int] = 1

    id: str
    type: str
    at: str
    actor: str
    tenant: str
    subject: str
    policy: int
    details: Mapping[str, Any]


def encode(event: Event) -> bytes:
    """The event's leaf: RFC 8785 canonical JSON, one spelling for one event.

    Source: RFC 8785 (JSON Canonicalization Scheme).

    Raises:
        IntegrityFailed: `event_refused`, naming the place of an unknown type, a float (no exact spelling is agreed on
            by all who read the log), an integer beyond 2^53 - 1, or a value that is not JSON; `event_too_long`, it
            does not fit the 65,535 bytes of an entry.
    """
    if event.type not in _TYPES:
        raise IntegrityFailed("event_refused", type=event.type, where="type")
    body = {
        "v": Event.v,
        "id": event.id,
        "type": event.type,
        "at": event.at,
        "actor": event.actor,
        "tenant": event.tenant,
        "subject": event.subject,
        "policy": event.policy,
        "details": event.details,
    }
    wrong = _not_exact(body, "")
    if wrong is not None:
        raise IntegrityFailed("event_refused", type=event.type, where=wrong)
    try:
        canonical: bytes = rfc8785.dumps(_lists(body))
    except rfc8785.CanonicalizationError:
        raise IntegrityFailed("event_refused", type=event.type, where="text") from None
    if len(canonical) > LARGEST_ENTRY:
        raise IntegrityFailed("event_too_long", type=event.type, size=len(canonical), limit=LARGEST_ENTRY)
    return canonical


def decode(body: bytes) -> Event:
    """The event of a leaf; `encode(decode(body)) == body` for every leaf that `encode` made.

    Raises:
        IntegrityFailed: `event_malformed`, the bytes are not the canonical form of a version 1 event.
    """
    try:
        fields = json.loads(body)
    except (ValueError, RecursionError):
        raise IntegrityFailed("event_malformed") from None
    if not isinstance(fields, dict) or fields.keys() != _FIELDS or fields.pop("v") != Event.v:
        raise IntegrityFailed("event_malformed")
    texts = (fields[name] for name in ("id", "type", "at", "actor", "tenant", "subject"))
    if not all(isinstance(text, str) for text in texts) or type(fields["policy"]) is not int:
        raise IntegrityFailed("event_malformed")
    event = Event(**fields)
    try:
        canonical = isinstance(event.details, dict) and encode(event) == body
    except IntegrityFailed:
        canonical = False
    if not canonical:
        raise IntegrityFailed("event_malformed")
    return event


def unchecked(body: bytes) -> Event:
    """The event of a leaf that was checked before, or is of a log of one's own: as `decode`, in a third of the time."""
    fields = json.loads(body)
    del fields["v"]
    return Event(**fields)


def _not_exact(value: object, where: str) -> str | None:
    """The path of the first value that has no exact JSON form, or None."""
    if value is None or isinstance(value, str | bool):
        return None
    if isinstance(value, int):
        return None if abs(value) <= _LARGEST else where
    if isinstance(value, Mapping):
        if not all(isinstance(key, str) for key in value):
            return where
        children = [(f"{where}.{key}" if where else str(key), child) for key, child in value.items()]
    elif isinstance(value, list | tuple):
        children = [(f"{where}[{place}]", child) for place, child in enumerate(value)]
    else:
        return where
    return next((wrong for place, child in children if (wrong := _not_exact(child, place)) is not None), None)


def _lists(value: Any) -> Any:
    """The same with plain dicts and lists, which is all that the canonical writer takes."""
    if isinstance(value, Mapping):
        return {key: _lists(child) for key, child in value.items()}
    if isinstance(value, list | tuple):
        return [_lists(child) for child in value]
    return value
