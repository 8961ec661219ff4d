"""Versions in SQL: which of a dataset's may be asked, how a lineage goes on, and how versions and datasets end."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

from sqlalchemy import Select, select
from sqlalchemy.orm import Session

from sandbox.catalog import DatasetSpec, Version, plain, restored
from sandbox.clock import Clock
from sandbox.errors import Conflict, Denied, IntegrityFailed, NotFound
from sandbox.flow import Principal
from sandbox.policy.lifecycles import DATASET, VERSION
from sandbox.store import datasets, log
from sandbox.store import tables as t
from sandbox.store.datasets import StoredVersion

DatasetRecord: TypeAlias = t.DatasetRow
"""A dataset's row, to be logged by whoever made it change."""

PART = 200
"""Rows whose digests one event holds: an entry of the log has a largest size."""


@dataclass(frozen=True, slots=True, kw_only=True)
class VersionMark:
    """A version as everybody may see it."""

    id: str
    number: int
    kind: str
    state: str
    created_at: str


# --- which there are --------------------------------------------------------------------------------------------------


def asked(session: Session, dataset_id: str, number: int | None) -> StoredVersion:
    """The version that a question names, or the newest one that is open.

    Raises:
        NotFound: `version_unknown`, with the numbers that may be asked.
        Conflict: `version_withdrawn`, `version_destroyed`.
    """
    if number is None:
        found = newest_open(session, dataset_id)
        if found is None:
            raise NotFound("version_unknown", version=None, open=[])
        return found
    query = select(t.VersionRow).where(t.VersionRow.dataset == dataset_id, t.VersionRow.number == number)
    row = session.scalar(query)
    if row is None:
        raise NotFound("version_unknown", version=number, open=_open_numbers(session, dataset_id))
    if row.state == "withdrawn":
        raise Conflict("version_withdrawn", version=number, open=_open_numbers(session, dataset_id))
    if row.state != VERSION.start:
        raise Conflict("version_destroyed", version=number)
    return datasets.version_of(row)


def newest_open(session: Session, dataset_id: str) -> StoredVersion | None:
    """A dataset's newest version that may be asked."""
    query = _of(dataset_id).where(t.VersionRow.state == VERSION.start).order_by(t.VersionRow.number.desc()).limit(1)
    row = session.scalar(query)
    return None if row is None else datasets.version_of(row)


def listed(session: Session, dataset_id: str, after: str = "", limit: int = 100) -> list[VersionMark]:
    """Versions of a dataset in order of their ids, after one of them."""
    query = _of(dataset_id).where(t.VersionRow.id > after).order_by(t.VersionRow.id).limit(limit)
    return [
        VersionMark(id=row.id, number=row.number, kind=row.kind, state=row.state, created_at=row.created_at)
        for row in session.scalars(query)
    ]


def destroyed_among(session: Session, ids: Sequence[str]) -> set[str]:
    """Those of `ids` that are destroyed, for who may still hold something of them in memory."""
    gone = select(t.VersionRow.id).where(t.VersionRow.id.in_(ids), t.VersionRow.state == "destroyed")
    return set(session.scalars(gone)) if ids else set()


def remembered(session: Session, version: StoredVersion) -> tuple[DatasetSpec, Version]:
    """What was declared of a destroyed version, for answers that were given of it: no file and no key is left.

    Raises:
        IntegrityFailed: `version_incomplete`, no ingest tells of it.
    """
    row = session.scalar(select(t.IngestRow).where(t.IngestRow.version == version.id))
    if row is None:
        raise IntegrityFailed("version_incomplete", version=version.id)
    spec = restored(DatasetSpec, row.spec)
    return spec, Version(
        id=version.id, dataset_id=version.dataset, number=version.number, suite=version.suite, format=1, bits=0,
        tiers=spec.tiers, wrapped_key=b"", files=(),
    )  # fmt: skip


def _of(dataset_id: str) -> Select[t.VersionRow]:
    return select(t.VersionRow).where(t.VersionRow.dataset == dataset_id)


def _open_numbers(session: Session, dataset_id: str) -> list[str]:
    """The newest of them: a text has room for some."""
    numbers = select(t.VersionRow.number).where(t.VersionRow.dataset == dataset_id, t.VersionRow.state == VERSION.start)
    found = session.scalars(numbers.order_by(t.VersionRow.number.desc()).limit(20))
    return [str(number) for number in sorted(found)]


# --- how a lineage goes on --------------------------------------------------------------------------------------------


def require_active(name: str, state: str) -> None:
    """A question, and an update, needs a dataset in use.

    Raises:
        Denied: `dataset_retired`, `dataset_destroyed`.
    """
    if state == "retired":
        raise Denied("dataset_retired", dataset=name)
    if state != DATASET.start:
        raise Denied("dataset_destroyed", dataset=name)


def is_destroyed(session: Session, version_id: str) -> bool:
    """Whether its keys are gone; until the transaction ends they stay as they are."""
    found = select(t.VersionRow.state).where(t.VersionRow.id == version_id).with_for_update(read=True)
    return session.scalar(found) == "destroyed"


def require_open(session: Session, version_id: str) -> None:
    """What is charged for must still be open when it is charged; the caller holds the dataset's cap.

    Raises:
        Denied: as `require_active`.
        Conflict: `version_withdrawn`.
    """
    here = t.DatasetRow.id == t.VersionRow.dataset
    columns = select(t.VersionRow.number, t.VersionRow.state, t.DatasetRow.id, t.DatasetRow.name, t.DatasetRow.state)
    found = session.execute(columns.join(t.DatasetRow, here).where(t.VersionRow.id == version_id)).first()
    if found is None:
        return
    number, state, dataset_id, name, dataset_state = found
    require_active(name, dataset_state)
    if state != VERSION.start:
        raise Conflict("version_withdrawn", version=number, open=_open_numbers(session, dataset_id))


def accept(session: Session, dataset_id: str, spec: DatasetSpec, *, after: str) -> t.DatasetRow:
    """Take an update's manifest as the dataset's own, if the version it began with (`after`) still is the newest.

    The caller logs the row with the event of its own.

    Raises:
        NotFound: `dataset_unknown`.
        Denied: as `require_active`.
        Conflict: `version_moved`.
    """
    row = _locked(session, dataset_id)
    require_active(row.name, row.state)
    if datasets.newest_version(session, dataset_id).id != after:
        raise Conflict("version_moved", dataset=row.name)
    row.spec = plain(spec)
    return row


def withdraw(session: Session, clock: Clock, actor: Principal, version_id: str) -> None:
    """Close a version that was found wrong to questions, with the event `version.withdraw`.

    Raises:
        NotFound: `version_unknown`.
        Conflict: `transition_refused`.
    """
    row = session.get(t.VersionRow, version_id, populate_existing=True, with_for_update=True)
    if row is None:
        raise NotFound("version_unknown", version=version_id, open=[])
    row.state = VERSION.step(row.state, "withdraw").target
    details = {"dataset": row.dataset, "version": version_id}
    log.append(
        session, clock, "version.withdraw", actor=actor, subject=version_id, details=details, tenant=row.tenant,
        records=[row],
    )  # fmt: skip


# --- how it ends ------------------------------------------------------------------------------------------------------


def hold_dataset(session: Session, dataset_id: str, action: str | None = None) -> t.DatasetRow:
    """A dataset's row, locked where the database can; `action` must be possible, and is not done.

    Raises:
        NotFound: `dataset_unknown`.
        Conflict: `transition_refused`.
    """
    row = _locked(session, dataset_id)
    if action is not None:
        DATASET.step(row.state, action)
    return row


def move_dataset(session: Session, dataset_id: str, action: str) -> t.DatasetRow:
    """Make a move of the table `DATASET`; the caller logs the row with the event of its own.

    Raises:
        NotFound: `dataset_unknown`.
        Conflict: `transition_refused`.
    """
    row = _locked(session, dataset_id)
    row.state = DATASET.step(row.state, action).target
    return row


def shred(session: Session, dataset_id: str) -> list[t.VersionRow]:
    """Close all versions for ever and forget their wrapped keys; the caller logs the rows.

    A version's key exists nowhere else: from the commit on its objects are noise, wherever copies of them lie.
    """
    query = _of(dataset_id).order_by(t.VersionRow.number).with_for_update()
    rows = list(session.scalars(query.execution_options(populate_existing=True)))
    for row in rows:
        row.state = VERSION.step(row.state, "destroy").target
        row.wrapped_key = b""
    return rows


def _locked(session: Session, dataset_id: str) -> t.DatasetRow:
    """The row, locked where the database can, after its cap: who charges holds that, and so sees what was done."""
    caps = (t.CapRow.scope == "dataset") & (t.CapRow.subject == dataset_id)
    session.execute(select(t.CapRow.subject).where(caps).with_for_update()).all()
    row = session.get(t.DatasetRow, dataset_id, populate_existing=True, with_for_update=True)
    if row is None:
        raise NotFound("dataset_unknown", dataset=dataset_id)
    return row
