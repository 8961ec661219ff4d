"""Rebuild: what a row must have been after an event that tells of it, tried until the event's own digest agrees."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import timedelta
from typing import Any, Final, TypeAlias

from sqlalchemy.orm import Session

from sandbox.audit.event import Event
from sandbox.audit.records import record_digest
from sandbox.clock import parse_rfc3339, rfc3339
from sandbox.errors import IntegrityFailed
from sandbox.machine import Machine
from sandbox.policy.lifecycles import APPLICATION, DATASET, GRANT, QUERY, REMOVAL, VERSION
from sandbox.store import tables as t
from sandbox.store.log import AUDITED, LATER

Values: TypeAlias = dict[str, Any]

_BEFORE_MS: Final = 5000
"""A row's own time was read at most so long before its event's."""

_ANSWERS: Final = "v1/answers/"
"""Where answers lie; a digest that does not agree would show that they lie elsewhere."""

MUST: Final = frozenset({"caps", "ledger"})
"""Tables whose rows follow from the events alone, every one of them: what was spent is never lost."""


def digest(name: str, values: Mapping[str, Any]) -> str:
    """The digest that the log has for a row of these values."""
    _, keys, columns = AUDITED[name]
    later = {c: values[c] for c, meant in LATER.get(name, {}).items() if values.get(c, meant) != meant}
    return record_digest({c: values[c] for c in (*keys, *columns)} | later)


def values_of(row: t.Row) -> Values:
    """A row's columns."""
    return {column.name: getattr(row, column.name) for column in row.__table__.columns}


def keys_of(path: str) -> tuple[str, tuple[str, ...]]:
    """The table and the key of a record's path; the last part of a key may hold slashes.

    Raises:
        IntegrityFailed: `reconcile_unknown_record`, a later release's.
    """
    name, _, rest = path.partition("/")
    if name not in AUDITED:
        raise IntegrityFailed("reconcile_unknown_record", record=name)
    keys = tuple(rest.split("/", len(AUDITED[name][1]) - 1))
    return name, keys


# --- rows that are there ----------------------------------------------------------------------------------------------


def changed(name: str, event: Event, now: Values) -> list[Values]:
    """What the row that is there may be after the event, likeliest first.

    An event may tell of a row that it left as it was; but a charge always adds, even where the sum looks right already.
    """
    after = [{**now, **change} for change in _CHANGES.get(name, _nothing)(event, now)]
    return after if name == "caps" and after else [now, *after]


def forced(name: str, event: Event) -> Values:
    """What the event takes away for good, which is taken away whatever else is not known of the row."""
    state = _ENDS.get((name, event.type))
    if state is None:
        return {}
    also: dict[str, Values] = {"versions": {"wrapped_key": b""}} if state == "destroyed" else {}
    if state in {"declined", "destroying"}:
        also["removals"] = {"confirmed_by": event.actor}
    return {"state": state, **also.get(name, {})}


def _nothing(_event: Event, _now: Values) -> Iterator[Values]:
    return iter(())


def _spent(event: Event, now: Values) -> Iterator[Values]:
    cost = event.details.get("cost")
    if cost is not None:
        yield {f"spent_{name}": now[f"spent_{name}"] + int(cost[name]) for name in ("eps_p", "rho", "delta")}


def _states(machine: Machine) -> Callable[[Event, Values], Iterator[Values]]:
    def states(event: Event, _now: Values) -> Iterator[Values]:
        ordered = [m.target for m in machine.transitions if m.event == event.type]
        yield from ({"state": state} for state in dict.fromkeys([*ordered, *machine.states]))

    return states


def _key(_event: Event, _now: Values) -> Iterator[Values]:
    yield {"state": "revoked"}


def _query(event: Event, now: Values) -> Iterator[Values]:
    if event.type == "query.settle":
        stored = {"answer_object": _ANSWERS + now["id"], "answer_sha256": event.details["answer"]}
        yield {"state": "settled", **stored}
    yield from _states(QUERY)(event, now)


def _version(event: Event, now: Values) -> Iterator[Values]:
    yield {"state": "destroyed", "wrapped_key": b""}
    yield from _states(VERSION)(event, now)


def _removal(event: Event, now: Values) -> Iterator[Values]:
    for change in _states(REMOVAL)(event, now):
        yield change
        yield {**change, "confirmed_by": event.actor}


_CHANGES: Final[Mapping[str, Callable[[Event, Values], Iterator[Values]]]] = {
    "caps": _spent,
    "api_keys": _key,
    "applications": _states(APPLICATION),
    "grants": _states(GRANT),
    "queries": _query,
    "datasets": _states(DATASET),
    "versions": _version,
    "removals": _removal,
}

_ENDS: Final[Mapping[tuple[str, str], str]] = {
    ("api_keys", "key.revoke"): "revoked",
    ("grants", "grant.revoke"): "revoked",
    ("grants", "grant.stop"): "stopped",
    ("grants", "grant.expire"): "expired",
    ("versions", "version.withdraw"): "withdrawn",
    ("versions", "dataset.destroy_confirm"): "destroyed",
    ("datasets", "dataset.retire"): "retired",
    ("datasets", "dataset.destroy_confirm"): "destroying",
    ("datasets", "dataset.destroy"): "destroyed",
    ("removals", "dataset.destroy_decline"): "declined",
    ("removals", "dataset.destroy_confirm"): "destroying",
    ("removals", "dataset.destroy"): "destroyed",
}


# --- rows that are not there ------------------------------------------------------------------------------------------


def made(session: Session, name: str, keys: Sequence[str], event: Event, wanted: str) -> Values | None:
    """The row that the event brought into being, if the event and other rows say all of it; None if not.

    Names of organisations and people are not in the log: their ids stand in for them.
    """
    make = _MAKE.get((name, event.type))
    values = None if make is None else make(session, event)
    if values is None:
        return None
    _, key_columns, columns = AUDITED[name]
    values |= dict(zip(key_columns, keys, strict=True))
    at = "at" if "at" in columns else "created_at"
    for moment in _moments(event.at):
        values[at] = moment
        if digest(name, values) == wanted:
            return values
    return None


def _moments(at: str) -> Iterator[str]:
    """An event's time, and the milliseconds before it."""
    yield at
    last = parse_rfc3339(at)
    for before in range(1, _BEFORE_MS):
        yield rfc3339(last - timedelta(milliseconds=before))


def _tenant(_session: Session, event: Event) -> Values:
    return {"name": event.subject, "kind": event.details["kind"]}


def _principal(_session: Session, event: Event) -> Values:
    told = event.details
    return {"tenant": told["tenant"], "name": event.subject, "roles": told["roles"], "state": "active"}


def _cap(_session: Session, event: Event) -> Values:
    cap = event.details["cap"]
    spent = {f"spent_{name}": int(amount) for name, amount in cap["spent"].items()}
    sizes = {name: int(cap[name]) for name in ("epsilon", "delta", "conversion")}
    return {"tenant": event.tenant, "frontier": cap["frontier"], **sizes, **spent}


def _ledger(_session: Session, event: Event) -> Values:
    cost = {name: int(amount) for name, amount in event.details["cost"].items()}
    return {"tenant": event.tenant, "event": event.id, **cost}


def _vote(_session: Session, event: Event) -> Values:
    """Reasons are people's words and not in the log; most votes have none."""
    return {"tenant": event.tenant, "approve": event.details["approve"], "reason": ""}


def _grant(session: Session, event: Event) -> Values | None:
    """Its terms are its application's."""
    application = session.get(t.ApplicationRow, event.details["application"])
    if application is None:
        return None
    terms = application.terms
    return {
        "tenant": event.tenant, "application": application.id, "terms": terms, "state": GRANT.start,
        "starts_at": terms["starts_at"], "expires_at": terms["expires_at"],
    }  # fmt: skip


_MAKE: Final[Mapping[tuple[str, str], Callable[[Session, Event], Values | None]]] = {
    ("tenants", "tenant.create"): _tenant,
    ("principals", "principal.create"): _principal,
    ("caps", "cap.open"): _cap,
    ("ledger", "query.charge"): _ledger,
    ("votes", "application.vote"): _vote,
    ("votes", "application.consent"): _vote,
    ("votes", "application.reject"): _vote,
    ("grants", "grant.create"): _grant,
}


# --- rows that stand in for what is lost ------------------------------------------------------------------------------


def stand_in(name: str, keys: Sequence[str], event: Event) -> t.Row | None:
    """What must go on although not all of it is known; the reconciliation says that it is not what it was.

    A used idempotency key stays used, so that its repetition is refused and not charged again. A destruction that was
    proposed can still be confirmed, and one that was confirmed ends; the reason is lost.
    """
    if name == "idempotency":
        principal, key = keys
        return t.IdempotencyRow(principal=principal, key=key, digest="", resource=event.subject, at=event.at)
    if name == "removals" and event.type in _REMOVALS:
        return t.RemovalRow(
            id=keys[0], dataset=event.details["dataset"], tenant=event.tenant, proposed_by=event.actor,
            confirmed_by=None, state=_REMOVALS[event.type], reason="", certificate=None, created_at=event.at,
        )  # fmt: skip
    return None


_REMOVALS: Final[Mapping[str, str]] = {"dataset.retire": "retired", "dataset.destroy_propose": "proposed"}
