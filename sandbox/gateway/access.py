"""Access: who calls, may they, and the one event that a refusal leaves in the log."""

from __future__ import annotations

import asyncio
import dataclasses
import logging
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Annotated, Final

from fastapi import Depends, Request
from fastapi.security import HTTPBearer

from sandbox.errors import Denied, DependencyFailed, NotFound, Param, TooMany, Unauthenticated
from sandbox.flow import Principal
from sandbox.gateway import trails
from sandbox.gateway.keys import digest_of, well_formed
from sandbox.gateway.limits import Buckets, Flight, QuerySlots
from sandbox.gateway.proxies import Proxies
from sandbox.gateway.watch import Watch
from sandbox.query.answer import Parts
from sandbox.store import log
from sandbox.store import principals as principals_store
from sandbox.wiring import House
from sandbox.work.tree import Tree

_log = logging.getLogger("sandbox.gateway")
READERS: Final = 4
"""Answers that are read again at one time, half of them by one organisation."""
THREADS: Final = 40
"""Threads that routes run in (what anyio begins by itself); half of them are the most that one caller's routes take."""

ANONYMOUS: Final = Principal(id="anonymous", tenant="system", roles=frozenset())
"""The actor of a call whose key is not known."""

_NOBODY: Final = "another organisation"
"""No tenant's id."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Gate:
    """What every route needs: the house, and the limits that live in this process."""

    house: House
    parts: Parts
    slots: QuerySlots
    bad_keys: Buckets
    denials: Buckets
    open: Buckets
    tenants: Buckets
    readers: QuerySlots
    routes: QuerySlots
    flight: Flight
    proxies: Proxies
    watch: Watch
    tree: Tree = field(default_factory=Tree)
    """The log's tree, for tiles and receipts."""
    bundles: Buckets = field(default_factory=lambda: Buckets(1))
    """Readings of entry bundles that are written to the log: one a minute of each reader, who could follow for ever."""
    behind: set[asyncio.Task[None]] = field(default_factory=set)
    """Queries that compute while their routes hold."""

    @classmethod
    def of(cls, house: House) -> Gate:
        """The gate of a house, with limits from its settings."""
        settings = house.settings
        slots = QuerySlots(settings.query_slots or max(2, os.cpu_count() or 1), settings.query_queue)
        readers, flight = QuerySlots(READERS, settings.query_queue), Flight(settings.requests_in_flight)
        return cls(
            house=house,
            parts=dataclasses.replace(house.parts(), trace=trails.went, broke=trails.broke),
            slots=slots,
            bad_keys=Buckets(settings.bad_keys_per_minute),
            denials=Buckets(settings.denials_per_minute),
            open=Buckets(settings.open_per_minute),
            tenants=Buckets(settings.tenant_per_minute),
            readers=readers,
            routes=QuerySlots(THREADS, settings.requests_in_flight),
            flight=flight,
            proxies=Proxies.of(settings.trusted_proxies),
            watch=Watch.of(house, queues={"queries": slots, "reading": readers}, flight=flight),
        )


def authenticate(gate: Gate, authorization: str, address: str) -> Principal:
    """Whom the bearer key stands for. A good key always works, however many bad ones its address has sent.

    Raises:
        Unauthenticated: `key_missing` or `key_refused` (also a revoked one); leaves an `access.deny` event.
        TooMany: `too_many_bad_keys`; leaves no event, so that a flood cannot fill the log.
    """
    scheme, _, token = authorization.partition(" ")
    token = token.strip()
    if scheme.lower() == "bearer" and well_formed(token):
        with gate.house.sessions.reading() as session:
            found = principals_store.authenticate(session, digest_of(token))
        if found is not None:
            return found
    refused = Unauthenticated("key_refused" if token else "key_missing")
    if not gate.bad_keys.take(address):
        raise TooMany("too_many_bad_keys")
    _record(gate, ANONYMOUS, "key", {"reason": refused.code})
    raise refused


def permit(
    gate: Gate,
    principal: Principal,
    noun: str,
    verb: str,
    context: Mapping[str, object] | None = None,
    *,
    hidden: NotFound | None = None,
) -> None:
    """Let the call pass, or refuse it with the policy's reason; the only place where a route asks the policy.

    Raises:
        Denied: the decision's reason; leaves an `access.deny` event within the principal's rate.
        NotFound: `hidden` instead, where the reason is that the thing is another organisation's.
    """
    decision = gate.house.policy.decide(principal, noun, verb, context or {})
    try:
        decision.require()
    except Denied as denied:
        record_denial(gate, principal, noun, verb, denied)
        if hidden is not None and denied.code == "not_yours":
            raise hidden from None
        raise


def sees_all(gate: Gate, principal: Principal, noun: str, verb: str) -> bool:
    """True when the policy lets the principal do this to any organisation's, not only its own."""
    return gate.house.policy.decide(principal, noun, verb, {"tenant": _NOBODY}).allowed


@contextmanager
def denials_recorded(gate: Gate, principal: Principal, noun: str, verb: str) -> Iterator[None]:
    """For a call whose own flow asks the policy: a refusal inside leaves the same event that `permit` leaves."""
    try:
        yield
    except Denied as denied:
        record_denial(gate, principal, noun, verb, denied)
        raise


def record_denial(gate: Gate, principal: Principal, noun: str, verb: str, denied: Denied) -> None:
    """Write `access.deny`, unless this principal has left too many of them lately."""
    if gate.denials.take(principal.id):
        _record(gate, principal, principal.id, {"noun": noun, "verb": verb, "reason": denied.code})
    else:
        gate.watch.metrics.limit("denials_unlogged")


def record_reading(gate: Gate, reader: Principal, what: str, **more: str) -> None:
    """Write `log.read`: who reads the log beyond what is their own is told in it."""
    with gate.house.sessions.begin() as session:
        details = {"what": what, **more}
        log.append(session, gate.house.clock, "log.read", actor=reader, subject=reader.id, details=details)


def _record(gate: Gate, actor: Principal, subject: str, details: Mapping[str, Param]) -> None:
    house = gate.house
    try:
        with house.sessions.begin() as session:
            log.append(session, house.clock, "access.deny", actor=actor, subject=subject, details=details)
    except DependencyFailed:
        # A refusal stays a refusal when the disk is full.
        _log.error("denial not recorded: database")


def gate_of(request: Request) -> Gate:
    """The application's gate."""
    gate: Gate = request.app.state.gate
    return gate


_bearer = HTTPBearer(auto_error=False, scheme_name="key", description="An API key, `sbx_…`.")


def caller_of(request: Request, _key: Annotated[object, Depends(_bearer)]) -> Principal:
    """The principal that the door authenticated, before it let the body in."""
    principal: Principal = request.scope["state"]["principal"]
    return principal


Caller = Annotated[Principal, Depends(caller_of)]
At = Annotated[Gate, Depends(gate_of)]
