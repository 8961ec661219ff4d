"""What becomes of a paid query: its end, written at the rung and at no other moment, its resume, and the sweep."""

from __future__ import annotations

import logging
from datetime import timedelta
from typing import Final

from sandbox.clock import parse_rfc3339, rfc3339
from sandbox.errors import DependencyFailed, SandboxError
from sandbox.flow import Charged
from sandbox.query.paid import charged_of, discard, is_stored, priced_again, settle, stages_left
from sandbox.query.parts import LEASE_SECONDS, Parts, Pending, leaves_at, step
from sandbox.store import committee, queries, versions
from sandbox.store.queries import QueryRecord

_log = logging.getLogger("sandbox.query")
_PAGE: Final = 500

_STORE: Final = frozenset({"object_store_failed", "object_store_full", "object_store_refused", "bucket_missing"})
"""What the object store says when it is away, full or closed to us: it knows of sealed bytes alone, never of a row."""

_EXHAUSTED: Final = frozenset({"ENOMEM", "EMFILE", "ENFILE"})
"""Reasons that this process itself may give by what it computes."""


def is_blameless(error: Exception) -> bool:
    """Whether a failure after the charge is one that rows, and who asks about them, cannot cause: a store that is away.

    Everything else counts towards the stop (P7.1): an exception of the kernel, bytes that are not what they were, a
    value outside its declared bounds, a worker that died, memory that ran out.
    """
    if not isinstance(error, DependencyFailed) or error.code not in _STORE:
        return False
    return error.params.get("reason") not in _EXHAUSTED


def pending_of(parts: Parts, charged: Charged) -> Pending:
    """The pending question of a charge."""
    leaves = leaves_at(charged.charged_at, charged.priced.rung, charged.attempt)
    return Pending(query_id=charged.query_id, leaves_at=leaves, clock=parts.clock, charged=charged)


def leaves_of(record: QueryRecord) -> str:
    """When the present attempt's answer leaves; one made from a stored answer has nothing to wait for."""
    if record.source is not None:
        return record.charged_at
    return leaves_at(record.charged_at, record.rung_ms / 1000, record.attempt)


def end(parts: Parts, pending: Pending) -> None:
    """At the rung: write what became of the query. The log is public in its size: it may grow at no other moment.

    An answer that is not stored by now is an overrun from now on. Of a failure only a code or a class is kept.
    """
    charged = pending.charged
    if charged is None:
        return
    with pending.outcome.lock:
        pending.outcome.ended = True
        stored, failure, blameless = pending.outcome.stored, pending.outcome.failure, pending.outcome.blameless
    try:
        if _is_stopped(parts, charged):
            # Whatever became of what was under way: else many asked at once would tell as many bits, not three.
            with parts.sessions.begin() as session:
                queries.lose(session, parts.clock, charged.query_id, charged.attempt, "grant_stopped")
        elif stored is not None:
            with step(parts, "settle"):
                if settle(parts, stored):
                    return
        else:
            _end_without(parts, charged, failure or "query_overrun", blameless=blameless)
    except SandboxError as error:
        # Ended by another attempt meanwhile, or the database is away: the lease will run out.
        _log.error("query %s: its end could not be written: %s", charged.query_id, error.code)
        return
    withdraw(parts, charged.query_id)


def _is_stopped(parts: Parts, charged: Charged) -> bool:
    """Whether the grant was stopped for questions without an answer while this one was under way (P7.1)."""
    with parts.sessions.reading() as session:
        grant = committee.get_grant(session, charged.priced.plan.permitted.grant.id)
    return grant is not None and grant.state == "stopped"


def _end_without(parts: Parts, charged: Charged, code: str, *, blameless: bool) -> None:
    """Log the end of a query without an answer; it stays charged."""
    _log.error("query %s ended without an answer: %s", charged.query_id, code)
    mine = charged.query_id, charged.attempt
    with parts.sessions.begin() as session:
        if any(versions.is_destroyed(session, t.version.id) for t in charged.priced.plan.tables):
            queries.lose(session, parts.clock, *mine, "version_destroyed")
        elif blameless:
            queries.lose(session, parts.clock, *mine, "object_store_failed")
        elif code == "query_overrun":
            queries.overrun(session, parts.clock, *mine)
        else:
            queries.fail(session, parts.clock, *mine, "query_no_answer")


def withdraw(parts: Parts, query_id: str) -> None:
    """Delete what was stored for a query without an answer; what cannot be deleted now is left for `sweep`."""
    try:
        discard(parts, query_id)
    except SandboxError as error:
        _log.warning("query %s: what it stored stays until the next sweep: %s", query_id, error.code)


def take_over(parts: Parts) -> Pending | None:
    """Take over one charged query whose worker is gone; the caller runs `finish`, and `end` at its later rung.

    Raises:
        NotFound, IntegrityFailed: what was stored with the charge is not there any more; it ends at its next lease.
    """
    with parts.sessions.reading() as session:
        if not queries.abandoned(session, parts.clock):
            return None
        exhausted = queries.exhausted(session, parts.clock)
    stored = [query_id for query_id in exhausted if is_stored(parts, query_id)]
    with parts.sessions.begin() as session:
        record = queries.take_over(session, parts.clock, parts.worker_id, LEASE_SECONDS, stored=stored)
        if record is None:
            return None
        # Where its processes were away for longer than its later rung, it leaves after this take-over as late as it
        # would have after its charge: a moment that rows have no part in, and no overrun of the company's.
        soonest = parts.clock.now() + timedelta(seconds=max(record.rung_ms / 1000, LEASE_SECONDS))
        rung = max(parse_rfc3339(leaves_of(record)), soonest)
        queries.hold(session, record, rfc3339(rung + timedelta(seconds=LEASE_SECONDS)))
    charged = charged_of(priced_again(parts, record), record)
    return Pending(query_id=record.id, leaves_at=rfc3339(rung), clock=parts.clock, charged=charged)


def sweep(parts: Parts) -> int:
    """Delete stored answers of queries that ended without one, and whose deletion died; gives their number."""
    stored = [key.rsplit("/", 1)[1] for key in parts.objects.list("v1/answers/")]
    swept = 0
    for start in range(0, len(stored), _PAGE):
        with parts.sessions.reading() as session:
            lost = queries.without_answer(session, stored[start : start + _PAGE])
        for query_id in lost:
            discard(parts, query_id)
            swept += 1
    return swept + _sweep_stages(parts)


def _sweep_stages(parts: Parts) -> int:
    """Delete stages of queries whose answer is stored, or that ended without one."""
    left = list(stages_left(parts))
    swept = 0
    for start in range(0, len(left), _PAGE):
        some = left[start : start + _PAGE]
        with parts.sessions.reading() as session:
            lost = set(queries.without_answer(session, [query_id for query_id, _ in some]))
        for query_id, key in some:
            if query_id in lost or is_stored(parts, query_id):
                parts.objects.delete(key)
                swept += 1
    return swept
