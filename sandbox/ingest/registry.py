"""Registering: a population with its key and its cap; a dataset, or its next version, whose ingest then waits."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy.orm import Session

from sandbox.catalog import DatasetSpec, Population
from sandbox.clock import Clock
from sandbox.crypto.keys import RootKey
from sandbox.crypto.suite import INTL, KEY_SIZE
from sandbox.errors import Conflict, Denied, NotFound, RequestError
from sandbox.flow import Cost, Principal
from sandbox.ids import new_id
from sandbox.ingest.commit import lineage_cap
from sandbox.ingest.lifecycle import INGEST
from sandbox.ingest.lineage import check_update
from sandbox.names import nearest
from sandbox.privacy.accounting import delta_0
from sandbox.store import datasets, ingests, ledger, principals, versions
from sandbox.store.datasets import StoredPopulation
from sandbox.store.ingests import Ingest


def add_population(
    session: Session, clock: Clock, principal: Principal, population: Population, *, root_key: RootKey
) -> StoredPopulation:
    """Register a population (P2.0): a fresh key, and a cap that opens with the chance of a collision spent (P2.2).

    Raises:
        Conflict: `population_exists`.
        RequestError: `cap_delta_too_small`.
    """
    population_id = new_id("pop")
    wrapped = root_key.wrap(INTL.random(KEY_SIZE), population_id)
    stored = datasets.add_population(
        session, clock, principal, id=population_id, population=population, suite=INTL.id, wrapped_key=wrapped
    )
    ledger.open_cap(
        session, clock, principal, scope="population", subject=population_id, tenant=principal.tenant,
        cap=lineage_cap(population), spent=Cost(delta=delta_0(population.n_ids)),
    )  # fmt: skip
    return stored


def check(session: Session, principal: Principal, spec: DatasetSpec) -> None:
    """Whether a dataset could be registered: what `submit` refuses, without anything that it does.

    Raises:
        Conflict: `dataset_exists`; `dataset_name_used`, it was retired or destroyed.
        Denied: `owner_not_yours`: a steward speaks for the own bureau alone.
        RequestError: `population_not_registered`, with the nearest name.
    """
    _check_owner(session, principal, spec)
    if datasets.dataset_exists(session, spec.name):
        if datasets.dataset(session, spec.name).state != "active":
            raise Conflict("dataset_name_used", dataset=spec.name)
        raise Conflict("dataset_exists", dataset=spec.name)
    if spec.population is not None:
        try:
            datasets.population(session, spec.population)
        except NotFound:
            known = [p.spec.name for p in datasets.populations(session, limit=1000)]
            near = nearest(spec.population, known)
            raise RequestError("population_not_registered", population=spec.population, nearest=near) from None


def submit(session: Session, clock: Clock, principal: Principal, spec: DatasetSpec, manifest: str) -> Ingest:
    """Queue a dataset's first ingest; `manifest` is the text that `spec` was read from.

    Raises:
        Conflict: `dataset_exists`; `ingest_under_way`.
        Denied, RequestError: as `check`.
    """
    check(session, principal, spec)
    return ingests.submit(
        session, clock, principal, machine=INGEST, spec=spec, manifest=manifest, sha256=_digest(manifest)
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Update:
    """An update of a dataset as it was asked for: `text` is the manifest, `file` its name in errors."""

    dataset: str
    spec: DatasetSpec
    text: str
    file: str
    mode: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Checked:
    """What an update would make: the number of its version, and the declared fields that it changes."""

    number: int
    changed: tuple[str, ...]


def check_next(session: Session, principal: Principal, update: Update) -> Checked:
    """Whether a dataset could be updated so, without a look at its source.

    Raises:
        NotFound: `dataset_unknown`.
        Denied: `dataset_retired`, `dataset_destroyed`; `owner_not_yours`.
        RequestError: `reason_required`; `update_field_fixed`, `update_rows_wide`, with the place in the manifest.
    """
    found = datasets.dataset(session, update.dataset)
    versions.require_active(found.spec.name, found.state)
    if update.mode == "correct" and not update.reason:
        raise RequestError("reason_required")
    changed = check_update(
        found.spec, update.spec, update.mode, bits=found.bits, text=update.text, file=update.file
    )
    _check_owner(session, principal, update.spec)
    return Checked(number=datasets.next_number(session, found.id), changed=tuple(changed))


def submit_next(session: Session, clock: Clock, principal: Principal, update: Update) -> Ingest:
    """Queue the ingest of a dataset's next version.

    Raises:
        Conflict: `ingest_under_way`.
        NotFound, Denied, RequestError: as `check_next`.
    """
    check_next(session, principal, update)
    return ingests.submit(
        session, clock, principal, machine=INGEST, spec=update.spec, manifest=update.text,
        sha256=_digest(update.text), kind=update.mode, reason=update.reason,
    )  # fmt: skip


def _check_owner(session: Session, principal: Principal, spec: DatasetSpec) -> None:
    owner = principals.find_tenant(session, principal.tenant)
    if owner is None or spec.owner != owner.name:
        raise Denied("owner_not_yours", owner=spec.owner, yours=owner.name if owner else None)


def _digest(manifest: str) -> str:
    return INTL.digest(manifest.encode()).hex()
