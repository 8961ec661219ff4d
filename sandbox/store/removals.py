"""Removals in SQL: retirements with their reason, destructions from proposal to certificate, each with its event."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from sandbox.clock import Clock
from sandbox.errors import Conflict, IntegrityFailed, NotFound
from sandbox.flow import Principal
from sandbox.ids import new_id
from sandbox.policy.lifecycles import REMOVAL
from sandbox.store import log, versions
from sandbox.store import tables as t

_OPEN = ("proposed", "destroying")


@dataclass(frozen=True, slots=True, kw_only=True)
class Removal:
    """A removal of a dataset; `tenant` is the owner. `certificate` is a signed note, once it is destroyed."""

    id: str
    dataset: str
    name: str
    tenant: str
    proposed_by: str
    confirmed_by: str | None
    state: str
    reason: str
    certificate: str | None
    created_at: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Doomed:
    """A version whose objects must go: `files` is how many the declared facts give it beside its manifest object."""

    id: str
    number: int
    manifest_object: str
    manifest_sha256: str
    bits: int
    tiers: int
    slots: int = 0


def retire(session: Session, clock: Clock, actor: Principal, *, dataset: str, reason: str) -> Removal:
    """Take a dataset out of use, with the event `dataset.retire`.

    Raises:
        NotFound: `dataset_unknown`.
        Conflict: `transition_refused`.
    """
    moved = versions.move_dataset(session, dataset, "retire")
    row = _new(clock, actor, moved, "retire", reason)
    session.add(row)
    _tell(session, clock, actor, row, "dataset.retire", records=(row, moved))
    return _removal(row, moved.name)


def propose(session: Session, clock: Clock, actor: Principal, *, dataset: str, reason: str) -> Removal:
    """Propose a dataset's destruction, with the event `dataset.destroy_propose`.

    Raises:
        NotFound: `dataset_unknown`.
        Conflict: `transition_refused`, it is being destroyed, or is; `removal_under_way`.
    """
    found = versions.hold_dataset(session, dataset, "destroy")
    waiting = select(t.RemovalRow.id).where(t.RemovalRow.dataset == dataset, t.RemovalRow.state.in_(_OPEN))
    under_way = session.scalar(waiting.limit(1))
    if under_way is not None:
        raise Conflict("removal_under_way", dataset=found.name, removal=under_way)
    row = _new(clock, actor, found, "propose", reason)
    session.add(row)
    _tell(session, clock, actor, row, "dataset.destroy_propose", records=(row,))
    return _removal(row, found.name)


def decline(session: Session, clock: Clock, actor: Principal, removal: str) -> Removal:
    """Say no to a proposed destruction, with the event `dataset.destroy_decline`.

    Raises:
        NotFound: `removal_unknown`.
        Conflict: `transition_refused`.
    """
    row, dataset = _held(session, removal)
    row.state, row.confirmed_by = REMOVAL.step(row.state, "decline").target, actor.id
    _tell(session, clock, actor, row, "dataset.destroy_decline", records=(row,))
    return _removal(row, dataset.name)


def confirm(session: Session, clock: Clock, actor: Principal, removal: str) -> Removal:
    """Destroy a dataset: from the commit on no key opens any of its versions. Event `dataset.destroy_confirm`.

    A dataset of very many versions takes several such events.

    Raises:
        NotFound: `removal_unknown`.
        Conflict: `transition_refused`.
    """
    row, _ = _held(session, removal)
    dataset = versions.move_dataset(session, row.dataset, "destroy")
    row.state, row.confirmed_by = REMOVAL.step(row.state, "confirm").target, actor.id
    shredded = versions.shred(session, row.dataset)
    records: list[t.Row] = [row, dataset, *shredded]
    for start in range(0, len(records), versions.PART):
        some = tuple(records[start : start + versions.PART])
        _tell(session, clock, actor, row, "dataset.destroy_confirm", records=some)
    return _removal(row, dataset.name)


def finish(
    session: Session, clock: Clock, removal: str, *, certificate: str, sha256: str, objects: int
) -> Removal:
    """Write down that all objects are gone, with the certificate of it. Event `dataset.destroy`.

    Raises:
        NotFound: `removal_unknown`.
        Conflict: `transition_refused`, another has finished it.
    """
    row, _ = _held(session, removal)
    dataset = versions.move_dataset(session, row.dataset, "finish")
    row.state, row.certificate = REMOVAL.step(row.state, "finish").target, certificate
    details = {"objects": objects, "certificate": sha256}
    _tell(session, clock, log.SYSTEM, row, "dataset.destroy", records=(row, dataset), details=details)
    return _removal(row, dataset.name)


# --- what there is ----------------------------------------------------------------------------------------------------


def get(session: Session, removal: str) -> Removal:
    """The removal of that id.

    Raises:
        NotFound: `removal_unknown`.
    """
    row = session.get(t.RemovalRow, removal, populate_existing=True)
    if row is None:
        raise NotFound("removal_unknown", removal=removal)
    return _removal(row, _name(session, row.dataset))


def listed(
    session: Session, *, dataset: str | None = None, state: str | None = None, after: str = "", limit: int = 100
) -> list[Removal]:
    """Removals in order of their ids, after one of them; of one dataset (an id), or in one state, if told."""
    query = select(t.RemovalRow, t.DatasetRow.name).join(t.DatasetRow, t.DatasetRow.id == t.RemovalRow.dataset)
    query = query.where(t.RemovalRow.id > after).order_by(t.RemovalRow.id).limit(limit)
    if dataset is not None:
        query = query.where(t.RemovalRow.dataset == dataset)
    if state is not None:
        query = query.where(t.RemovalRow.state == state)
    return [_removal(row, name) for row, name in session.execute(query)]


def doomed(session: Session, dataset: str) -> list[Doomed]:
    """Every version of a dataset with what gives the keys of its objects, by number: declared facts alone.

    A key that was listed once may be gone from the list after a crash; what gives it is still here.
    """
    bits = session.scalar(select(t.DatasetRow.bits).where(t.DatasetRow.id == dataset)) or 0
    here = t.IngestRow.version == t.VersionRow.id
    query = select(t.VersionRow, t.IngestRow.spec, t.IngestRow.report).join(t.IngestRow, here)
    query = query.where(t.VersionRow.dataset == dataset).order_by(t.VersionRow.number)
    return [
        Doomed(
            id=row.id, number=row.number, manifest_object=row.manifest_object, manifest_sha256=row.manifest_sha256,
            bits=bits, tiers=len(spec["tiers"]),
            slots=(report or {}).get("slots", 0),  # not of the spec: an earlier release took slots and built none
        )
        for row, spec, report in session.execute(query)
    ]  # fmt: skip


# --- rows -------------------------------------------------------------------------------------------------------------


def _new(clock: Clock, actor: Principal, dataset: t.DatasetRow, action: str, reason: str) -> t.RemovalRow:
    return t.RemovalRow(
        id=new_id("rem"), dataset=dataset.id, tenant=dataset.tenant, proposed_by=actor.id, confirmed_by=None,
        state=REMOVAL.step(REMOVAL.start, action).target, reason=reason, certificate=None, created_at=clock.text(),
    )  # fmt: skip


def _held(session: Session, removal: str) -> tuple[t.RemovalRow, t.DatasetRow]:
    """A removal and its dataset, locked in that order everywhere: the dataset first."""
    dataset_id = session.scalar(select(t.RemovalRow.dataset).where(t.RemovalRow.id == removal))
    if dataset_id is None:
        raise NotFound("removal_unknown", removal=removal)
    dataset = versions.hold_dataset(session, dataset_id)
    return session.get_one(t.RemovalRow, removal, populate_existing=True, with_for_update=True), dataset


def _name(session: Session, dataset: str) -> str:
    name = session.scalar(select(t.DatasetRow.name).where(t.DatasetRow.id == dataset))
    if name is None:
        raise IntegrityFailed("dataset_unknown", dataset=dataset)
    return name


def _tell(
    session: Session, clock: Clock, actor: Principal, row: t.RemovalRow, event: str, *, records: tuple[t.Row, ...],
    details: Mapping[str, Any] | None = None,
) -> None:  # fmt: skip
    told = {"removal": row.id, "dataset": row.dataset, **(details or {})}
    log.append(
        session, clock, event, actor=actor, subject=row.dataset, details=told, tenant=row.tenant, records=records
    )


def _removal(row: t.RemovalRow, name: str) -> Removal:
    return Removal(
        id=row.id, dataset=row.dataset, name=name, tenant=row.tenant, proposed_by=row.proposed_by,
        confirmed_by=row.confirmed_by, state=row.state, reason=row.reason, certificate=row.certificate,
        created_at=row.created_at,
    )  # fmt: skip
