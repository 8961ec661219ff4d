"""A paid query at rest: its noisy numbers, stored sealed in a size that the plan alone decides, and read back."""

from __future__ import annotations

import io
from collections.abc import Mapping
from typing import Any

import numpy as np

from sandbox import crash
from sandbox.crypto.suite import INTL
from sandbox.errors import IntegrityFailed, NotFound
from sandbox.flow import Charged, Ints, Noisy, Parsed, Permitted, Plan, Priced, Principal, Request, Stored
from sandbox.query import canonical
from sandbox.query.parts import Parts
from sandbox.store import committee, datasets, queries, versions
from sandbox.store.queries import QueryRecord


def store(parts: Parts, noisy: Noisy) -> Stored:
    """Store the noisy numbers sealed. Nobody is told before the rung."""
    charged = noisy.charged
    key = _key(parts, charged.priced.plan, charged.query_id)
    sealed = INTL.seal(key, np.ascontiguousarray(noisy.values, dtype="<i8").tobytes(), charged.query_id.encode())
    sha256 = INTL.digest(sealed).hex()
    parts.objects.put(_name(charged.query_id), io.BytesIO(sealed), size=len(sealed), sha256=sha256)
    crash.point("stored")
    return Stored(charged=charged, sha256=sha256)


def is_stored(parts: Parts, query_id: str) -> bool:
    """Whether an attempt has stored its noisy numbers."""
    return parts.objects.size(_name(query_id)) is not None


def stored_before(parts: Parts, charged: Charged) -> Stored | None:
    """What an earlier attempt has stored, so that no second noise is drawn (P6.2); None if it had not."""
    size = parts.objects.size(_name(charged.query_id))
    if size is None:
        return None
    sha256 = INTL.digest(parts.objects.read(_name(charged.query_id), 0, size)).hex()
    return Stored(charged=charged, sha256=sha256)


def discard(parts: Parts, query_id: str) -> None:
    """Delete what was stored for a query that ended without an answer."""
    parts.objects.delete(_name(query_id))


def settle(parts: Parts, stored: Stored) -> bool:
    """Say, once, that the answer is there; False, and it has failed, if its version was destroyed meanwhile.

    Raises:
        Conflict: another attempt has ended the query.
    """
    charged = stored.charged
    with parts.sessions.begin() as session:
        if versions.is_destroyed(session, charged.priced.plan.version.id):
            queries.fail(session, parts.clock, charged.query_id, charged.attempt, "version_destroyed")
            return False
        queries.settle(
            session, parts.clock, charged.query_id, charged.attempt,
            answer_object=_name(charged.query_id), answer_sha256=stored.sha256,
        )  # fmt: skip
    return True


def stored_values(parts: Parts, plan: Plan, record: QueryRecord) -> Ints:
    """The noisy numbers of a settled query, shape (measures, groups).

    Raises:
        IntegrityFailed: the stored bytes are not what was settled.
    """
    name = record.answer_object or ""
    sealed = parts.objects.read(name, 0, parts.objects.size(name) or 0)
    if INTL.digest(sealed).hex() != record.answer_sha256:
        raise IntegrityFailed("object_corrupt", key=name)
    plain = INTL.open(_key(parts, plan, record.id), sealed, record.id.encode())
    return np.frombuffer(plain, dtype="<i8").astype(np.int64).reshape(len(plan.measures), plan.groups)


def _name(query_id: str) -> str:
    return f"v1/answers/{query_id}"


def _key(parts: Parts, plan: Plan, query_id: str) -> bytes:
    population_key = parts.bench.root_key.unwrap(plan.population_key, plan.population_id)
    return INTL.kdf(population_key, f"answer {query_id}".encode())


# --- the plan -------------------------------------------------------------------------------------------------------


def charged_of(priced: Priced, record: QueryRecord) -> Charged:
    """The charged plan that a record tells of."""
    return Charged(
        priced=priced,
        query_id=record.id,
        attempt=record.attempt,
        charged_at=record.charged_at,
        event_id=record.event,
        receipt=record.priced["receipt"],
    )


def request_form(request: Request) -> dict[str, Any]:
    """What was asked, as it is kept with the charge."""
    return {
        "sql": request.sql,
        "grant": request.grant,
        "purpose": request.purpose,
        "epsilon": None if request.epsilon is None else str(request.epsilon),
        "within": None if request.within is None else request.within.hex(),
        "rows": request.rows,
        "version": request.version,
    }


def _request(record: QueryRecord) -> Request:
    asked = record.request
    return Request(
        principal=Principal(id=record.principal, tenant=record.tenant, roles=frozenset()),
        sql=asked["sql"],
        grant=asked["grant"],
        purpose=asked["purpose"],
        epsilon=None if asked["epsilon"] is None else int(asked["epsilon"]),
        within=None if asked["within"] is None else float.fromhex(asked["within"]),
        rows=asked["rows"],
        version=asked.get("version"),
        idempotency_key=None,
        digest="",
    )


def priced_again(parts: Parts, record: QueryRecord) -> Priced:
    """The priced plan of a paid query, from what was stored with its charge: nothing is chosen anew.

    Raises:
        NotFound: `answer_unknown`.
        IntegrityFailed: the plan's version or its objects are not what they were.
    """
    form: Mapping[str, Any] = record.priced["form"]
    with parts.sessions.reading() as session:
        grant = committee.get_grant(session, record.grant)
        version = datasets.version_by_id(session, record.version)
        population = datasets.population_by_id(session, record.population)
        # Of a destroyed version nothing is computed any more; what was answered is told by what was declared of it.
        lost = versions.remembered(session, version) if version.state == "destroyed" else None
    if grant is None:
        raise NotFound("answer_unknown")
    spec, opened = lost or parts.versions.open(version, population)
    parsed = Parsed(request=_request(record), dataset=spec.name, tree=None)
    return canonical.priced_from(
        form,
        permitted=Permitted(parsed=parsed, grant=grant.held.terms, rule=""),
        spec=spec,
        version=opened,
        population=population.spec,
        population_key=population.wrapped_key,
    )
