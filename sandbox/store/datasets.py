"""Populations, datasets and versions in SQL: what is declared and committed, with its events."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from sandbox.catalog import DatasetSpec, Population, Version, plain, restored
from sandbox.clock import Clock
from sandbox.errors import Conflict, NotFound
from sandbox.flow import Principal
from sandbox.store import log
from sandbox.store import tables as t
from sandbox.store.writing import insert_new


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredPopulation:
    """A population as registered; `wrapped_key` opens under the root key for the place `id`."""

    id: str
    tenant: str
    spec: Population
    suite: str
    wrapped_key: bytes = field(repr=False)
    created_at: str


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredDataset:
    """A dataset lineage; `population` is an id, None for a public table."""

    id: str
    tenant: str
    population: str | None
    spec: DatasetSpec
    bits: int
    created_at: str
    state: str


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredVersion:
    """A committed version's row: where its manifest object is, and what it must be."""

    id: str
    dataset: str
    tenant: str
    number: int
    suite: str
    wrapped_key: bytes = field(repr=False)
    manifest_object: str
    manifest_sha256: str
    created_at: str
    kind: str
    state: str


# --- populations ------------------------------------------------------------------------------------------------------


def add_population(
    session: Session,
    clock: Clock,
    actor: Principal,
    *,
    id: str,  # noqa: A002  # the column's name
    population: Population,
    suite: str,
    wrapped_key: bytes,
) -> StoredPopulation:
    """Register a population, with the event `population.add`.

    Raises:
        Conflict: `population_exists`.
    """
    row = t.PopulationRow(
        id=id, tenant=actor.tenant, name=population.name, spec=plain(population), suite=suite,
        wrapped_key=wrapped_key, created_at=clock.text(),
    )  # fmt: skip
    if not insert_new(session, row):
        raise Conflict("population_exists", population=population.name)
    log.append(
        session, clock, "population.add", actor=actor, subject=id, details={"population": id}, records=[row]
    )
    return _population(row)


def population(session: Session, name: str) -> StoredPopulation:
    """The population of that name.

    Raises:
        NotFound: `population_unknown`.
    """
    row = session.scalar(select(t.PopulationRow).where(t.PopulationRow.name == name))
    if row is None:
        raise NotFound("population_unknown", population=name)
    return _population(row)


def population_by_id(session: Session, population_id: str) -> StoredPopulation:
    """The population of that id.

    Raises:
        NotFound: `population_unknown`.
    """
    row = session.get(t.PopulationRow, population_id)
    if row is None:
        raise NotFound("population_unknown", population=population_id)
    return _population(row)


def populations(session: Session, after: str = "", limit: int = 100) -> list[StoredPopulation]:
    """A page of populations, by name after a name."""
    query = select(t.PopulationRow).where(t.PopulationRow.name > after).order_by(t.PopulationRow.name).limit(limit)
    return [_population(row) for row in session.scalars(query)]


def _population(row: t.PopulationRow) -> StoredPopulation:
    return StoredPopulation(
        id=row.id, tenant=row.tenant, spec=restored(Population, row.spec), suite=row.suite,
        wrapped_key=row.wrapped_key, created_at=row.created_at,
    )  # fmt: skip


# --- datasets ---------------------------------------------------------------------------------------------------------


def find(session: Session, name: str) -> StoredDataset | None:
    """The dataset of that name, or None."""
    row = session.scalar(select(t.DatasetRow).where(t.DatasetRow.name == name))
    return None if row is None else dataset_of(row)


def dataset(session: Session, name: str) -> StoredDataset:
    """The dataset of that name.

    Raises:
        NotFound: `dataset_unknown`.
    """
    found = find(session, name)
    if found is None:
        raise NotFound("dataset_unknown", dataset=name)
    return found


def lineage(session: Session, name: str) -> tuple[str, str | None]:
    """Id and population id of the dataset of that name; the declared facts of a version stand in its manifest object.

    Raises:
        NotFound: `dataset_unknown`.
    """
    found = session.execute(select(t.DatasetRow.id, t.DatasetRow.population).where(t.DatasetRow.name == name)).first()
    if found is None:
        raise NotFound("dataset_unknown", dataset=name)
    return found[0], found[1]


def is_public(session: Session, name: str) -> bool:
    """Whether the dataset of that name protects nobody; False if there is none. It may be told to anybody."""
    found = session.execute(select(t.DatasetRow.population).where(t.DatasetRow.name == name)).first()
    return found is not None and found[0] is None


def state_of(session: Session, name: str) -> str | None:
    """Whether the dataset of that name is in use (`DATASET`); None if there is none."""
    return session.scalar(select(t.DatasetRow.state).where(t.DatasetRow.name == name))


def dataset_exists(session: Session, name: str) -> bool:
    """Whether a dataset of that name is committed."""
    return session.scalar(select(t.DatasetRow.id).where(t.DatasetRow.name == name)) is not None


def datasets(session: Session, after: str = "", limit: int = 100) -> list[StoredDataset]:
    """A page of datasets, by name after a name."""
    query = select(t.DatasetRow).where(t.DatasetRow.name > after).order_by(t.DatasetRow.name).limit(limit)
    return [dataset_of(row) for row in session.scalars(query)]


def add_dataset(
    session: Session,
    clock: Clock,
    actor: Principal,
    *,
    id: str,  # noqa: A002  # the column's name
    tenant: str,
    spec: DatasetSpec,
    population_id: str | None,
    bits: int,
) -> None:
    """Begin a dataset's lineage, with the event `dataset.add`.

    Raises:
        Conflict: `dataset_exists`.
    """
    row = t.DatasetRow(
        id=id, tenant=tenant, name=spec.name, population=population_id, spec=plain(spec), bits=bits,
        created_at=clock.text(), state="active",
    )  # fmt: skip
    if not insert_new(session, row):
        raise Conflict("dataset_exists", dataset=spec.name)
    details = {"dataset": id, "population": population_id}
    log.append(session, clock, "dataset.add", actor=actor, subject=id, details=details, tenant=tenant, records=[row])


def dataset_of(row: t.DatasetRow) -> StoredDataset:
    """The dataset that a row tells of."""
    return StoredDataset(
        id=row.id, tenant=row.tenant, population=row.population, spec=restored(DatasetSpec, row.spec), bits=row.bits,
        created_at=row.created_at, state=row.state,
    )  # fmt: skip


# --- versions ---------------------------------------------------------------------------------------------------------


def add_version(
    session: Session, clock: Clock, *, tenant: str, version: Version, manifest_object: str, manifest_sha256: str,
    kind: str = "add",
) -> t.VersionRow:  # fmt: skip
    """Write a version's row; the caller logs it with the event of its own."""
    row = t.VersionRow(
        id=version.id, dataset=version.dataset_id, tenant=tenant, number=version.number, suite=version.suite,
        wrapped_key=version.wrapped_key, manifest_object=manifest_object, manifest_sha256=manifest_sha256,
        created_at=clock.text(), kind=kind, state="open",
    )  # fmt: skip
    session.add(row)
    return row


def newest_version(session: Session, dataset_id: str) -> StoredVersion:
    """A dataset's newest version, in whatever state.

    Raises:
        NotFound: `version_unknown`.
    """
    query = select(t.VersionRow).where(t.VersionRow.dataset == dataset_id).order_by(t.VersionRow.number.desc()).limit(1)
    row = session.scalar(query)
    if row is None:
        raise NotFound("version_unknown", version=None, open=[])
    return version_of(row)


def version_by_id(session: Session, version_id: str) -> StoredVersion:
    """The version of that id.

    Raises:
        NotFound: `version_unknown`.
    """
    row = session.get(t.VersionRow, version_id)
    if row is None:
        raise NotFound("version_unknown", version=version_id, open=[])
    return version_of(row)


def next_number(session: Session, dataset_id: str) -> int:
    """The number that a dataset's next version gets."""
    last = session.scalar(select(func.max(t.VersionRow.number)).where(t.VersionRow.dataset == dataset_id))
    return (last or 0) + 1


def known_versions(session: Session, ids: Sequence[str]) -> set[str]:
    """Those of `ids` that are committed."""
    found: set[str] = set()
    for start in range(0, len(ids), 500):  # SQL has a limit on variables
        found.update(session.scalars(select(t.VersionRow.id).where(t.VersionRow.id.in_(ids[start : start + 500]))))
    return found


def version_of(row: t.VersionRow) -> StoredVersion:
    """The version that a row tells of."""
    return StoredVersion(
        id=row.id, dataset=row.dataset, tenant=row.tenant, number=row.number, suite=row.suite,
        wrapped_key=row.wrapped_key, manifest_object=row.manifest_object, manifest_sha256=row.manifest_sha256,
        created_at=row.created_at, kind=row.kind, state=row.state,
    )  # fmt: skip
