"""Committing an attempt: a dataset with its cap, or a lineage that goes on; its version and their events; in one go."""

from __future__ import annotations

from sqlalchemy.orm import Session

from sandbox.catalog import Population
from sandbox.clock import Clock
from sandbox.errors import RequestError
from sandbox.flow import Cost, Principal
from sandbox.ingest.lifecycle import INGEST
from sandbox.ingest.run import Base, Built
from sandbox.privacy.accounting import Cap, delta_0, open_cap
from sandbox.privacy.mechanisms import epsilon_of_rho
from sandbox.store import datasets, ingests, ledger, versions
from sandbox.store.datasets import StoredPopulation
from sandbox.store.ingests import Ingest


def lineage_cap(population: Population) -> Cap:
    """The cap that a population declares; a dataset's own lineage gets an equal one (P1.5). Half of D converts."""
    return open_cap(
        epsilon=population.epsilon,
        delta=population.delta,
        conversion=population.delta // 2,
        epsilon_of_rho=epsilon_of_rho,
        pure=population.pure,
    )


def commit_first(
    session: Session, clock: Clock, ingest: Ingest, built: Built, *, population: StoredPopulation | None,
    cap: Cap | None,
) -> None:  # fmt: skip
    """Begin a lineage: dataset, cap and version.

    Raises:
        Conflict: `dataset_exists`, `lease_lost`.
        RequestError: `ingest_too_many_ids`.
    """
    version, steward = built.version, _steward(ingest)
    if population is not None:
        _check_identifiers(session, population, ingest.tenant, built.report.units_new)
    datasets.add_dataset(
        session, clock, steward, id=version.dataset_id, tenant=ingest.tenant, spec=ingest.spec,
        population_id=None if population is None else population.id, bits=version.bits,
    )  # fmt: skip
    if population is not None and cap is not None:
        ledger.open_cap(
            session, clock, steward, scope="dataset", subject=version.dataset_id, tenant=ingest.tenant,
            cap=cap, spent=Cost(delta=delta_0(population.spec.n_ids)),
        )  # fmt: skip
    _end(session, clock, ingest, built)


def commit_update(
    session: Session, clock: Clock, ingest: Ingest, built: Built, *, population: StoredPopulation | None, base: Base
) -> None:
    """Let a lineage go on: no cap is opened and none is raised (P1.5). A correction withdraws the version before it.

    Raises:
        Conflict: `version_moved`, `lease_lost`.
        Denied: `dataset_retired`, `dataset_destroyed`.
        RequestError: `ingest_too_many_ids`.
    """
    version, before = built.version, base.earlier.version
    if population is not None:
        _check_identifiers(session, population, ingest.tenant, built.report.units_new)
    dataset = versions.accept(session, version.dataset_id, ingest.spec, after=before.id)
    if ingest.kind == "correct":
        versions.withdraw(session, clock, _steward(ingest), before.id)
    _end(session, clock, ingest, built, dataset)


def _end(session: Session, clock: Clock, ingest: Ingest, built: Built, *records: versions.DatasetRecord) -> None:
    version = built.version
    row = datasets.add_version(
        session, clock, tenant=ingest.tenant, version=version, manifest_object=built.manifest_object,
        manifest_sha256=built.manifest_sha256, kind=ingest.kind,
    )  # fmt: skip
    details = {"dataset": version.dataset_id, "version": version.id, "manifest": built.manifest_sha256}
    ingests.end(
        session, clock, ingest, machine=INGEST, action="commit", details=details, records=(row, *records),
        report=built.report.plain(),
    )  # fmt: skip


def _steward(ingest: Ingest) -> Principal:
    return Principal(id=ingest.principal, tenant=ingest.tenant, roles=frozenset())


def _check_identifiers(session: Session, population: StoredPopulation, owner: str, units: int) -> None:
    """N_ids is what delta_0 was computed from, so no owner may bring more units than that (P2.2).

    Units of other owners are not added: a refusal would tell one bureau how many another has.

    Raises:
        RequestError: `ingest_too_many_ids`.
    """
    declared = population.spec
    if ingests.units_of(session, declared.name, owner) + units > declared.n_ids:
        raise RequestError("ingest_too_many_ids", population=declared.name, n_ids=declared.n_ids)
