"""A paid query at rest: its noisy numbers, stored sealed in a size that the plan alone decides, and read back."""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from sandbox import crash
from sandbox.crypto.suite import INTL
from sandbox.errors import IntegrityFailed, NotFound
from sandbox.flow import Charged, Ints, Noisy, Parsed, Permitted, Plan, Priced, Principal, Released, Request, Stored
from sandbox.plans import Stage, Table, Totals
from sandbox.query import canonical
from sandbox.query.parts import Parts
from sandbox.query.release import stored
from sandbox.store import committee, datasets, queries, versions
from sandbox.store.queries import QueryRecord


def store(parts: Parts, noisy: Noisy, earlier: Sequence[Noisy] = (), totals: Totals | None = None) -> Stored:
    """Store the last stage's noisy numbers sealed, with what earlier ones released. Nobody is told before the rung.

    `totals`, where the numbers are means of repeated releases.
    """
    charged = noisy.charged
    histograms = tuple(h for n in earlier if n.stage == "norms" for h in n.values)
    sealed = _sealed(parts, noisy, charged.query_id, histograms, totals)
    sha256 = INTL.digest(sealed).hex()
    parts.objects.put(_name(charged.query_id), io.BytesIO(sealed), size=len(sealed), sha256=sha256)
    crash.point("stored")
    for stage in charged.priced.plan.stages[:-1]:
        parts.objects.delete(_stage_name(charged.query_id, stage))
    for number in range(0 if totals is None else totals.draws):
        parts.objects.delete(_stage_name(charged.query_id, "values", number))
    return Stored(charged=charged, sha256=sha256)


def store_stage(parts: Parts, noisy: Noisy, number: int | None = None) -> None:
    """Store what a stage released, sealed, before the next one starts: a resume draws no second noise (P6.2).

    `number`, of a release that is repeated: stored before the next one is charged.
    """
    query_id = noisy.charged.query_id
    name = _stage_name(query_id, noisy.stage, number)
    sealed = _sealed(parts, noisy, _about(query_id, noisy.stage, number))
    parts.objects.put(name, io.BytesIO(sealed), size=len(sealed), sha256=INTL.digest(sealed).hex())
    crash.point("stage.stored")


def stage_before(parts: Parts, charged: Charged, stage: Stage, number: int | None = None) -> Noisy | None:
    """What an earlier attempt has stored of a stage, or of one of its releases; None if it had not."""
    name = _stage_name(charged.query_id, stage, number)
    size = parts.objects.size(name)
    if size is None:
        return None
    key = _key(parts, charged.priced.plan, charged.query_id)
    about = _about(charged.query_id, stage, number).encode()
    found = stored.unpack(INTL.open(key, parts.objects.read(name, 0, size), about))
    if stage == "norms" and not found.norms:  # stored by a release that kept the norms alone
        return Noisy(charged=charged, stage=stage, values=(), norms=tuple(int(t) for t in found.values[0][:, 0]))
    return Noisy(charged=charged, stage=stage, values=found.values, labels=found.labels, norms=found.norms)


def _sealed(
    parts: Parts, noisy: Noisy, about: str, histograms: tuple[Ints, ...] = (), totals: Totals | None = None
) -> bytes:
    key = _key(parts, noisy.charged.priced.plan, noisy.charged.query_id)
    made = Released(
        values=noisy.values, labels=noisy.labels, norms=noisy.norms, histograms=histograms, totals=totals
    )  # fmt: skip
    return INTL.seal(key, stored.pack(made), about.encode())


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
    for key in list(parts.objects.list(f"{_STAGES}{query_id}.")):
        parts.objects.delete(key)


def stages_left(parts: Parts) -> Iterator[tuple[str, str]]:
    """Stored stages, each with the query that it belongs to and its object key."""
    for key in parts.objects.list(_STAGES):
        yield key.removeprefix(_STAGES).partition(".")[0], key


def settle(parts: Parts, stored: Stored) -> bool:
    """Say, once, that the answer is there; False, and it has failed, if its version was destroyed meanwhile.

    Raises:
        Conflict: another attempt has ended the query.
    """
    charged = stored.charged
    with parts.sessions.begin() as session:
        if any(versions.is_destroyed(session, t.version.id) for t in charged.priced.plan.tables):
            queries.lose(session, parts.clock, charged.query_id, charged.attempt, "version_destroyed")
            return False
        queries.settle(
            session, parts.clock, charged.query_id, charged.attempt,
            answer_object=_name(charged.query_id), answer_sha256=stored.sha256,
        )  # fmt: skip
    return True


def stored_values(parts: Parts, plan: Plan, record: QueryRecord) -> Released:
    """The noisy numbers of a settled query.

    Raises:
        IntegrityFailed: the stored bytes are not what was settled.
    """
    name = record.answer_object or ""
    sealed = parts.objects.read(name, 0, parts.objects.size(name) or 0)
    if INTL.digest(sealed).hex() != record.answer_sha256:
        raise IntegrityFailed("object_corrupt", key=name)
    packed = INTL.open(_key(parts, plan, record.id), sealed, record.id.encode())
    if record.priced["form"]["plan_v"] == 1:
        return stored.unpack_v1(packed, len(plan.measures), plan.groups)
    return stored.unpack(packed)


def _name(query_id: str) -> str:
    return f"v1/answers/{query_id}"


_STAGES: Final = "v1/stages/"


def _stage_name(query_id: str, stage: Stage, number: int | None = None) -> str:
    return f"{_STAGES}{query_id}.{stage}" + ("" if number is None else f".{number}")


def _about(query_id: str, stage: Stage, number: int | None) -> str:
    return f"{query_id} {stage}" + ("" if number is None else f" {number}")


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
        "bounding": request.bounding,
        "groups": request.groups,
        "per_group": request.per_group,
        **({} if request.relative is None else {"relative": request.relative}),
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
        bounding=asked.get("bounding"),
        groups=asked.get("groups"),
        per_group=asked.get("per_group"),
        relative=asked.get("relative"),
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
    protected, public = canonical.versions_of(form)
    with parts.sessions.reading() as session:
        grant = committee.get_grant(session, record.grant)
        population = datasets.population_by_id(session, record.population)
        found = {v: datasets.version_by_id(session, v) for v in {*protected, *public}}
        # Of a destroyed version nothing is computed any more; what was answered is told by what was declared of it.
        lost = {v: versions.remembered(session, r) for v, r in found.items() if r.state == "destroyed"}
    if grant is None:
        raise NotFound("answer_unknown")
    tables = {}
    for version_id, version in found.items():
        owner = None if version_id in public else population
        spec, opened = lost.get(version_id) or parts.versions.open(version, owner)
        tables[version_id] = Table(spec=spec, dataset_id=version.dataset, version=opened)
    parsed = Parsed(request=_request(record), datasets=tuple(t.spec.name for t in tables.values()), tree=None)
    return canonical.priced_from(
        form,
        permitted=Permitted(parsed=parsed, grant=grant.held.terms, rule=""),
        tables=tables,
        population=population.spec,
        population_key=population.wrapped_key,
    )
