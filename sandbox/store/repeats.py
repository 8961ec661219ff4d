"""Free answers in SQL: which settled queries a question may be answered or clipped from, and that it was, at once."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Final, Literal, TypeAlias

from sqlalchemy import Select, select
from sqlalchemy.orm import Session

from sandbox.clock import Clock
from sandbox.flow import Principal
from sandbox.ids import new_id
from sandbox.store import ledger, log, queries, versions
from sandbox.store import tables as t
from sandbox.store.queries import NewQuery, QueryRecord

Kind: TypeAlias = Literal["repeat", "roll-up"]

SOURCES: Final = 16
"""Answers that are looked at for a roll-up, the newest ones: each is read with its plan."""


def same_question(session: Session, grant: str, version: str, question: str) -> QueryRecord | None:
    """The newest settled query that asked the same under the same grant, of the same version."""
    row = session.scalar(_settled(grant, version).where(t.QueryRow.question == question).limit(1))
    return None if row is None else queries.record_of(row)


def additive_answers(session: Session, grant: str, version: str, bases: Collection[str]) -> list[QueryRecord]:
    """Settled and paid queries of a grant and a version that rest on one of `bases`: the newest `SOURCES` of them."""
    paid = t.QueryRow.basis.in_(bases) & t.QueryRow.source.is_(None)
    return [queries.record_of(row) for row in session.scalars(_settled(grant, version).where(paid).limit(SOURCES))]


def norm_answers(session: Session, grant: str, version: str, clipping: str) -> list[QueryRecord]:
    """Settled queries of a grant and a version that released norms of these vectors: the newest `SOURCES` of them."""
    found = _settled(grant, version).where(t.QueryRow.clipping == clipping).limit(SOURCES)
    return [queries.record_of(row) for row in session.scalars(found)]


def _settled(grant: str, version: str) -> Select[t.QueryRow]:
    mine = (t.QueryRow.grant == grant) & (t.QueryRow.version == version) & (t.QueryRow.state == "settled")
    return select(t.QueryRow).where(mine).order_by(t.QueryRow.id.desc())


def give(
    session: Session,
    clock: Clock,
    *,
    actor: Principal,
    source: QueryRecord,
    made: NewQuery | None,
    keys: Sequence[ledger.Key],
    idempotency: tuple[str, str] | None,
) -> QueryRecord:
    """Write down that a question is answered from `source`, free of charge; event `query.repeat`.

    With `made`, the answer is a query of its own, born settled: a roll-up of the source's numbers. Without, it is the
    source's own answer once more. The caps in `keys` are locked as for a charge, so that a grant that ends, and a
    second request with the same key, wait or are seen. `idempotency` is (key, digest of the body). An exception must
    end the transaction.

    Raises:
        Denied: `grant_not_active`, `grant_expired`, `dataset_retired` or `dataset_destroyed`, if that came between.
        Conflict: `version_withdrawn`, `idempotency_key_lost`, `idempotency_key_reused`, `idempotency_in_flight`.
        IntegrityFailed: `cap_missing`.
    """
    ledger.lock(session, keys)
    queries.require_grant(session, clock, source.grant)
    versions.require_open(session, source.version)
    kind: Kind = "repeat" if made is None else "roll-up"
    event_id, at = new_id("evt"), clock.text()
    resource = source.id if made is None else made.id
    row = None if made is None else _row(made, actor=actor, source=source, event_id=event_id, at=at)
    changed: list[t.Row] = [] if row is None else [row]
    session.add_all(changed)
    if idempotency is not None:
        key, digest = idempotency
        claimed = t.IdempotencyRow(principal=actor.id, key=key, digest=digest, resource=resource, at=at)
        queries.claim(session, claimed)
        changed.append(claimed)
    told = {
        "query": resource, "kind": kind, "source": source.id, "grant": source.grant, "version": source.version,
        "population": source.population,
    }  # fmt: skip
    log.append(
        session, clock, "query.repeat", actor=actor, subject=resource, details=told, records=changed, event_id=event_id
    )
    return source if row is None else queries.record_of(row)


def is_free(session: Session, principal_id: str, key: str) -> bool:
    """Whether this idempotency key was used for a free repeat: later than its query was charged."""
    bought = select(t.IdempotencyRow.at, t.QueryRow.charged_at).join(
        t.QueryRow, t.QueryRow.id == t.IdempotencyRow.resource
    )
    mine = (t.IdempotencyRow.principal == principal_id) & (t.IdempotencyRow.key == key)
    found = session.execute(bought.where(mine)).first()
    return found is not None and found.at > found.charged_at


def _row(made: NewQuery, *, actor: Principal, source: QueryRecord, event_id: str, at: str) -> t.QueryRow:
    return t.QueryRow(
        id=made.id, tenant=actor.tenant, principal=actor.id, grant=source.grant, population=source.population,
        request=dict(made.request), priced=dict(made.priced), version=source.version, state="settled", attempt=1,
        lease_owner=None, lease_until=None, charged_at=at, rung_ms=made.rung_ms, event=event_id, answer_object=None,
        answer_sha256=None, question=made.question, basis=None, source=source.id, clipping=None,
    )  # fmt: skip
