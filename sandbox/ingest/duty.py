"""The ingest duty: claims a waiting or abandoned ingest under a lease, runs one attempt, commits it whole or fails it.

Nothing of an attempt is visible before its one transaction; what a failed or killed attempt has uploaded is deleted by
itself, by the next attempt, or by `sweep`.
"""

from __future__ import annotations

import logging
import time
from typing import Final

from sqlalchemy.orm import Session

from sandbox import crash
from sandbox.errors import Conflict, DependencyFailed, RequestError, SandboxError
from sandbox.ids import new_id
from sandbox.ingest.commit import commit_first, commit_update, lineage_cap
from sandbox.ingest.earlier import Earlier
from sandbox.ingest.lifecycle import INGEST, MOST_ATTEMPTS
from sandbox.ingest.run import Base, Built, Names, Parts, Tick, build, prepare
from sandbox.objects.versions import Versions
from sandbox.store import datasets, ingests, versions
from sandbox.store.datasets import StoredPopulation
from sandbox.store.ingests import Ingest

__all__ = ["Parts", "run_next", "sweep"]

TICK_SECONDS: Final = 0.5
"""Progress is written at most so often."""

_log = logging.getLogger(__name__)


def run_next(parts: Parts) -> bool:
    """Do the next ingest if there is one; True if there was. Its outcome stands in its row, never in an exception.

    Raises:
        DependencyFailed: the database fails; the lease then runs out and another attempt follows.
    """
    with parts.sessions.begin() as session:
        due = ingests.due(session, parts.clock.text())
        if due is None:
            return False
        if due.state == "running" and due.attempt >= MOST_ATTEMPTS:
            _give_up(parts, session, due)
            taken = None
        else:
            taken = ingests.take(
                session, parts.clock, due, machine=INGEST, owner=parts.worker_id, version=new_id("ver"),
                lease_seconds=parts.lease_seconds,
            )  # fmt: skip
    if taken is not None:
        _sweep_before(parts)
        crash.point("ingest.claimed")
        _attempt(parts, taken)
    return True


def sweep(parts: Parts) -> int:
    """Delete the objects of versions that nobody commits any more; gives how many. Call it when a worker starts.

    Raises:
        DependencyFailed: `object_store_failed` or `database_failed`.
    """
    # The store first: a version that is being committed meanwhile is then found among the committed ones.
    keys = list(parts.objects.list("v1/ver_"))
    found = sorted({key.split("/")[1] for key in keys})
    with parts.sessions.reading() as session:
        kept = datasets.known_versions(session, found) | ingests.living_versions(session, parts.clock.text())
    lost = [key for key in keys if key.split("/")[1] not in kept]
    for key in lost:
        parts.objects.delete(key)
    return len(lost)


def _attempt(parts: Parts, ingest: Ingest) -> None:
    try:
        prepare(parts.work_dir)
        population = _population(parts, ingest)
        names, base = _base(parts, ingest)
        built = build(parts, ingest.spec, population, names, _ticker(parts, ingest), base=base)
        if not built.report.rows_new:  # a mistake, which a version without new rows would hide
            raise RequestError("ingest_empty", dataset=ingest.dataset, file=ingest.spec.source.path)
        crash.point("ingest.committing")
        _commit(parts, ingest, built, population, base)
    except SandboxError as e:
        _fail(parts, ingest, e)
    except Exception as e:  # noqa: BLE001  # an attempt must end in its row whatever happens; a traceback may quote cells
        _log.error("ingest %s broke: %s", ingest.id, type(e).__name__)
        _fail(parts, ingest, DependencyFailed("ingest_broke"))
    crash.point("ingest.committed")


def _population(parts: Parts, ingest: Ingest) -> StoredPopulation | None:
    if ingest.spec.population is None:
        return None
    with parts.sessions.reading() as session:
        return datasets.population(session, ingest.spec.population)


def _ticker(parts: Parts, ingest: Ingest) -> Tick:
    """Writes progress and renews the lease, not more often than `TICK_SECONDS`."""
    last = time.monotonic()
    phases: set[str] = set()

    def tick(phase: str, rows: int) -> None:
        nonlocal last
        if phase in phases and time.monotonic() - last < TICK_SECONDS:
            return
        phases.add(phase)
        with parts.sessions.begin() as session:
            progress = {"phase": phase, "rows": rows}
            ingests.renew(session, parts.clock, ingest, lease_seconds=parts.lease_seconds, progress=progress)
        last = time.monotonic()

    return tick


def _base(parts: Parts, ingest: Ingest) -> tuple[Names, Base | None]:
    """The names of what an ingest builds, and for an update the version that it begins with.

    Raises:
        NotFound: `dataset_unknown`.
        Denied: `dataset_retired`, `dataset_destroyed`.
        IntegrityFailed, DependencyFailed: the version before cannot be opened.
    """
    version = str(ingest.version)
    if ingest.kind == "add":
        return Names(version=version, dataset=new_id("ds"), number=1), None
    with parts.sessions.reading() as session:
        found = datasets.dataset(session, ingest.dataset)
        versions.require_active(found.spec.name, found.state)
        record = datasets.newest_version(session, found.id)
        population = None if found.population is None else datasets.population_by_id(session, found.population)
    opener = Versions(parts.objects, parts.root_key)
    spec, opened = opener.open(record, population)
    earlier = Earlier(objects=parts.objects, spec=spec, version=opened, key=opener.key(record, population))
    names = Names(version=version, dataset=found.id, number=record.number + 1)
    return names, Base(earlier=earlier, append=ingest.kind == "append")


def _commit(parts: Parts, ingest: Ingest, built: Built, population: StoredPopulation | None, base: Base | None) -> None:
    """All of it in one transaction, if this worker still holds the lease."""
    if base is not None:
        with parts.sessions.begin() as session:
            commit_update(session, parts.clock, ingest, built, population=population, base=base)
        return
    cap = None if population is None else lineage_cap(population.spec)
    with parts.sessions.begin() as session:
        commit_first(session, parts.clock, ingest, built, population=population, cap=cap)


def _give_up(parts: Parts, session: Session, ingest: Ingest) -> None:
    details = {"attempt": ingest.attempt, "reason": "lost"}
    ingests.end(
        session, parts.clock, ingest, machine=INGEST, action="give_up", details=details,
        error={"code": "ingest_lost", "params": {}, "position": None},
    )  # fmt: skip


def _fail(parts: Parts, ingest: Ingest, error: SandboxError) -> None:
    """Say why to those who may know, and leave nothing behind. The log says only what kind of reason it was."""
    at = error.position
    told = {
        "code": error.code,
        "params": error.params,
        "position": None if at is None else {"file": at.file, "line": at.line, "column": at.column},
    }
    details = {"attempt": ingest.attempt, "reason": "source" if isinstance(error, RequestError) else "dependency"}
    version = str(ingest.version)
    with parts.sessions.begin() as session:
        try:
            ingests.end(session, parts.clock, ingest, machine=INGEST, action="fail", details=details, error=told)
        except Conflict:
            _log.warning("ingest %s: another worker has it now", ingest.id)
        # A commit whose success was not heard of is a success.
        committed = version in datasets.known_versions(session, [version])
    if not committed:
        _clear(parts, version)


def _sweep_before(parts: Parts) -> None:
    """An attempt begins on a clean floor; if it cannot, it says so itself when it needs the store."""
    try:
        sweep(parts)
    except SandboxError as e:
        _log.warning("objects of dead attempts stay until the next sweep: %s", e.code)


def _clear(parts: Parts, version: str) -> None:
    """Delete an attempt's objects; what cannot be deleted now is left for `sweep`."""
    try:
        _delete_objects(parts, version)
    except SandboxError as e:
        _log.warning("objects of version %s stay until the next sweep: %s", version, e.code)


def _delete_objects(parts: Parts, version: str) -> None:
    for key in list(parts.objects.list(f"v1/{version}/")):
        parts.objects.delete(key)
