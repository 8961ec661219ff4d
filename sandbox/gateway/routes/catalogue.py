"""The catalogue: populations, datasets with what is declared, their versions and ingests, and public tables whole."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

import pyarrow as pa
import pyarrow.parquet as pq
from fastapi import APIRouter
from fastapi.responses import StreamingResponse
from sqlalchemy.orm import Session

from sandbox import schemas
from sandbox.committee.terms import LONGEST_REASON, checked_text
from sandbox.errors import Denied, NotFound
from sandbox.flow import Principal
from sandbox.gateway.access import At, Caller, Gate, permit
from sandbox.gateway.pages import After, Limit, page
from sandbox.gateway.shapes import column_shape, delta_text, text_shape
from sandbox.ingest import registry
from sandbox.ingest.manifest import parse_manifest, parse_population
from sandbox.privacy import accounting
from sandbox.schemas import Accepted, Checked, Document, Page, UpdateAsk
from sandbox.store import datasets as store
from sandbox.store import ingests, log, versions
from sandbox.store.datasets import StoredDataset, StoredPopulation
from sandbox.store.ingests import Ingest
from sandbox.store.versions import VersionMark

router = APIRouter(prefix="/v1", tags=["catalogue"])

_PIECE = 1 << 20
PARQUET: Final = "application/vnd.apache.parquet"
_PARQUET: Final[dict[int | str, dict[str, Any]]] = {
    200: {"content": {PARQUET: {"schema": {"type": "string", "format": "binary"}}}}
}


@router.post("/populations", status_code=201)
def add_population(document: Document, gate: At, caller: Caller) -> schemas.Population:
    """Register a population from its YAML text, with its key and its cap."""
    permit(gate, caller, "population", "add")
    house, declared = gate.house, parse_population(document.text, document.file)
    with house.sessions.begin() as session:
        made = registry.add_population(session, house.clock, caller, declared, root_key=house.root_key)
    return _population(made)


@router.get("/populations")
def list_populations(gate: At, caller: Caller, after: After = "", limit: Limit = 100) -> Page[schemas.Population]:
    """Populations by name."""
    permit(gate, caller, "population", "list")
    with gate.house.sessions.reading() as session:
        found = store.populations(session, after, limit + 1)
    return page(found, limit, lambda p: p.spec.name, _population)


@router.post("/datasets", status_code=202)
def add_dataset(document: Document, gate: At, caller: Caller) -> Accepted:
    """Queue the ingest of a manifest: a dataset's first version."""
    permit(gate, caller, "dataset", "add")
    house, spec = gate.house, parse_manifest(document.text, document.file)
    with house.sessions.begin() as session:
        queued = registry.submit(session, house.clock, caller, spec, document.text)
    return Accepted(ingest=queued.id, dataset=queued.dataset)


@router.post("/datasets/check")
def check_dataset(document: Document, gate: At, caller: Caller) -> Checked:
    """Whether a manifest would be accepted as a new dataset; nothing is read or queued."""
    permit(gate, caller, "dataset", "add")
    spec = parse_manifest(document.text, document.file)
    with gate.house.sessions.reading() as session:
        registry.check(session, caller, spec)
    return Checked(dataset=spec.name, version=1, changed=[])


@router.post("/datasets/{name}/versions", status_code=202)
def update_dataset(name: str, ask: UpdateAsk, gate: At, caller: Caller) -> Accepted:
    """Queue the ingest of a dataset's next version: the same lineage, under the same caps."""
    update = _update(gate, caller, name, ask)
    with gate.house.sessions.begin() as session:
        queued = registry.submit_next(session, gate.house.clock, caller, update)
    return Accepted(ingest=queued.id, dataset=queued.dataset)


@router.post("/datasets/{name}/versions/check")
def check_update(name: str, ask: UpdateAsk, gate: At, caller: Caller) -> Checked:
    """Whether a manifest would be accepted as an update, and what it changes; nothing is read or queued."""
    update = _update(gate, caller, name, ask)
    with gate.house.sessions.reading() as session:
        found = registry.check_next(session, caller, update)
    return Checked(dataset=name, version=found.number, changed=list(found.changed))


@router.get("/datasets/{name}/versions")
def list_versions(
    name: str, gate: At, caller: Caller, after: After = "", limit: Limit = 100
) -> Page[schemas.Version]:
    """A dataset's versions, oldest first, and which of them may be asked."""
    permit(gate, caller, "dataset", "list")
    with gate.house.sessions.reading() as session:
        found = versions.listed(session, store.dataset(session, name).id, after, limit + 1)
    return page(found, limit, lambda v: v.id, _version)


def _update(gate: Gate, caller: Principal, name: str, ask: UpdateAsk) -> registry.Update:
    with gate.house.sessions.reading() as session:
        owner = store.dataset(session, name).tenant
    permit(gate, caller, "dataset", "update", {"tenant": owner})
    reason = checked_text("reason", ask.reason, LONGEST_REASON, empty=True)
    spec = parse_manifest(ask.text, ask.file)
    return registry.Update(dataset=name, spec=spec, text=ask.text, file=ask.file, mode=ask.mode, reason=reason)


@router.get("/datasets")
def list_datasets(gate: At, caller: Caller, after: After = "", limit: Limit = 100) -> Page[schemas.DatasetSummary]:
    """Datasets by name."""
    permit(gate, caller, "dataset", "list")
    with gate.house.sessions.reading() as session:
        found = store.datasets(session, after, limit + 1)
        return page(found, limit, lambda d: d.spec.name, lambda d: _summary(session, d))


@router.get("/datasets/{name}")
def read_dataset(name: str, gate: At, caller: Caller) -> schemas.Dataset:
    """What is declared of a dataset: facts alone, never a count of its rows."""
    permit(gate, caller, "dataset", "list")
    with gate.house.sessions.reading() as session:
        found = store.dataset(session, name)
        summary = _summary(session, found)
    spec = found.spec
    return schemas.Dataset(
        **summary.model_dump(),
        unit=spec.unit,
        consent=spec.consent,
        n_max=spec.n_max,
        r_max=spec.r_max,
        default_rows=spec.default_rows,
        tiers=list(spec.tiers),
        external_ids=dict(spec.external_ids),
        other_persons=spec.other_persons,
        columns=[column_shape(c) for c in spec.columns],
    )


@router.get("/datasets/{name}/content", response_class=StreamingResponse, responses=_PARQUET)
def read_content(name: str, gate: At, caller: Caller) -> StreamingResponse:
    """A public table as Parquet, for anyone with a key; rows of a protected one are never given out.

    Privacy: of public tables only (`Versions.table` checks it again).
    """
    permit(gate, caller, "dataset", "list")
    house = gate.house
    with house.sessions.reading() as session:
        found = store.dataset(session, name)
        if not found.spec.public:
            raise Denied("dataset_protected", dataset=name)
        versions.require_active(name, found.state)
        newest = versions.asked(session, found.id, None)
    sink = pa.BufferOutputStream()
    pq.write_table(house.versions.table(newest), sink)
    content = sink.getvalue()
    headers = {"Content-Length": str(content.size)}
    return StreamingResponse(_pieces(content), media_type=PARQUET, headers=headers)


@router.get("/ingests")
def list_ingests(gate: At, caller: Caller, after: After = "", limit: Limit = 100) -> Page[schemas.Ingest]:
    """The ingests of the caller's organisation, oldest first, without what counts their rows."""
    permit(gate, caller, "ingest", "read", {"tenant": caller.tenant})
    with gate.house.sessions.reading() as session:
        found = ingests.of_tenant(session, caller.tenant, after, limit + 1)
    return page(found, limit, lambda i: i.id, lambda i: _ingest(i, report=False).model_copy(update={"progress": {}}))


@router.get("/ingests/{ingest_id}")
def read_ingest(ingest_id: str, gate: At, caller: Caller) -> schemas.Ingest:
    """An ingest: state, progress, error; once committed its report, for a steward of the owner, and that is logged.

    Privacy: the report counts rows of the source (P1.3), so it is shown to people cleared for it alone.
    """
    house, hidden = gate.house, NotFound("ingest_unknown", ingest=ingest_id)
    with house.sessions.reading() as session:
        found = ingests.get(session, ingest_id)
    permit(gate, caller, "ingest", "read", {"tenant": found.tenant}, hidden=hidden)
    if found.report is None:
        return _ingest(found, report=False)
    permit(gate, caller, "dataset", "report", {"tenant": found.tenant}, hidden=hidden)
    with house.sessions.begin() as session:
        details = {"ingest": ingest_id}
        log.append(session, house.clock, "report.read", actor=caller, subject=ingest_id, details=details)
    return _ingest(found, report=True)


def _pieces(content: pa.Buffer) -> Iterator[bytes]:
    for start in range(0, content.size, _PIECE):
        yield content.slice(start, min(_PIECE, content.size - start)).to_pybytes()


def _population(found: StoredPopulation) -> schemas.Population:
    declared = found.spec
    return schemas.Population(
        id=found.id,
        name=declared.name,
        title=text_shape(declared.title),
        unit=declared.unit,
        registered=declared.registered,
        n_ids=declared.n_ids,
        epsilon=accounting.decimal(declared.epsilon),
        pure=accounting.decimal(declared.pure),
        delta=delta_text(declared.delta),
        tenant=found.tenant,
    )


def _summary(session: Session, found: StoredDataset) -> schemas.DatasetSummary:
    spec, newest = found.spec, versions.newest_open(session, found.id)
    return schemas.DatasetSummary(
        id=found.id,
        name=spec.name,
        title=text_shape(spec.title),
        owner=spec.owner,
        population=spec.population,
        public=spec.public,
        version=None if newest is None else newest.number,
        state=found.state,
    )


def _version(found: VersionMark) -> schemas.Version:
    return schemas.Version(
        id=found.id, number=found.number, kind=found.kind, state=found.state, created_at=found.created_at
    )


def _ingest(found: Ingest, *, report: bool) -> schemas.Ingest:
    return schemas.Ingest(
        id=found.id,
        dataset=found.dataset,
        state=found.state,
        attempt=found.attempt,
        progress=dict(found.progress),
        error=None if found.error is None else dict(found.error),
        report=dict(found.report) if report and found.report is not None else None,
        rows_max=found.spec.n_max,
        kind=found.kind,
        reason=found.reason,
        created_at=found.created_at,
    )
