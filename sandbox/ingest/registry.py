"""Registering: a population with its key and its cap, and a dataset whose ingest then waits for the duty."""

from __future__ import annotations

from sqlalchemy.orm import Session

from sandbox.catalog import DatasetSpec, Population
from sandbox.clock import Clock
from sandbox.crypto.keys import RootKey
from sandbox.crypto.suite import INTL, KEY_SIZE
from sandbox.errors import Conflict, Denied, NotFound, RequestError
from sandbox.flow import Cost, Principal
from sandbox.ids import new_id
from sandbox.ingest.duty import lineage_cap
from sandbox.ingest.lifecycle import INGEST
from sandbox.names import nearest
from sandbox.privacy.accounting import delta_0
from sandbox.store import datasets, ingests, ledger, principals
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


def submit(session: Session, clock: Clock, principal: Principal, spec: DatasetSpec, manifest: str) -> Ingest:
    """Queue a dataset's first ingest; `manifest` is the text that `spec` was read from.

    Raises:
        Conflict: `dataset_exists` (an update of a dataset comes with a later release); `ingest_under_way`.
        Denied: `owner_not_yours`: a steward speaks for the own bureau alone.
        RequestError: `population_not_registered`, with the nearest name.
    """
    owner = principals.find_tenant(session, principal.tenant)
    if owner is None or spec.owner != owner.name:
        raise Denied("owner_not_yours", owner=spec.owner, yours=owner.name if owner else None)
    if datasets.dataset_exists(session, spec.name):
        raise Conflict("dataset_exists", dataset=spec.name)
    if spec.population is not None:
        try:
            datasets.population(session, spec.population)
        except NotFound:
            known = [p.spec.name for p in datasets.populations(session, limit=1000)]
            near = nearest(spec.population, known)
            raise RequestError("population_not_registered", population=spec.population, nearest=near) from None
    sha256 = INTL.digest(manifest.encode()).hex()
    return ingests.submit(session, clock, principal, machine=INGEST, spec=spec, manifest=manifest, sha256=sha256)
