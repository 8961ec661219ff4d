"""The duties of a gateway: sequence and publish the log, ask witnesses, ingest, resume, expire, remove, forget."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from pathlib import Path
from typing import Final, Protocol

from sqlalchemy.orm import Session

from sandbox.clock import Clock
from sandbox.committee import applications, destroying
from sandbox.crypto.keys import RootKey
from sandbox.ingest import duty as ingest
from sandbox.ports import Connector, ObjectStore
from sandbox.query.forget import forget_destroyed
from sandbox.query.parts import Parts
from sandbox.settings import Settings
from sandbox.store import committee
from sandbox.store.sessions import Sessions
from sandbox.work.guard import BEAT, Guard
from sandbox.work.leases import Lease
from sandbox.work.publish import Publisher
from sandbox.work.resume import Resumer
from sandbox.work.sequence import Sequencer
from sandbox.work.witnesses import Witness, Witnessing
from sandbox.work.worker import Duty, Worker


class Workplace(Protocol):
    """What the duties need of a house; `wiring.House` has it."""

    @property
    def settings(self) -> Settings:
        """What may differ between gateways."""
        ...

    @property
    def sessions(self) -> Sessions:
        """Where transactions begin."""
        ...

    @property
    def clock(self) -> Clock:
        """The time."""
        ...

    @property
    def objects(self) -> ObjectStore:
        """Sealed objects."""
        ...

    @property
    def root_key(self) -> RootKey:
        """The key over all keys."""
        ...

    @property
    def connectors(self) -> dict[str, Connector]:
        """What reads sources."""
        ...

    @property
    def log_name(self) -> str:
        """The log's origin."""
        ...

    @property
    def log_key(self) -> bytes:
        """The log's signing key."""
        ...

    @property
    def worker_id(self) -> str:
        """Who holds the leases."""
        ...

    @property
    def guard(self) -> Guard:
        """What allows writing."""
        ...

    def parts(self) -> Parts:
        """What the flow of a query needs."""
        ...

    def sources(self) -> tuple[Path, ...]:
        """Folders that manifests may read."""
        ...

    def work_dir(self) -> Path:
        """Where an ingest may lay sealed runs."""
        ...


SHARED: Final = ("guard", "ingest", "resume", "forget")
"""Duties that every worker runs: their rows have leases, or it is about the process itself."""

LEASED: Final = ("sequence", "publish", "expire", "remove")
"""Duties that one worker at a time runs, under a lease."""

EVERYWHERE: Final = ("guard", "forget")
"""Duties that gateways without a worker run too."""

NAMES: Final = (*LEASED, *SHARED)
"""Every duty but the witnesses'; a home is ready when all of them are well, whatever a third party does."""


def start(house: Workplace, *, only: Collection[str] | None = None) -> Worker:
    """Begin all duties, or those that are named; `stop` ends them. A gateway beside workers does `EVERYWHERE`."""
    leases = {name: Lease(house.sessions, house.clock, name=name, owner=house.worker_id) for name in LEASED}
    duties = [
        Duty(name="guard", run=house.guard.run, beat=BEAT, always=True),
        Duty(name="sequence", run=_sequence(house, leases["sequence"]), beat=0.5, lease=leases["sequence"], wakes=True),
        Duty(name="publish", run=_publish(house, leases["publish"]), beat=1.0, lease=leases["publish"]),
        Duty(name="expire", run=_expire(house, leases["expire"]), beat=1.0, lease=leases["expire"]),
        Duty(name="remove", run=_remove(house, leases["remove"]), beat=1.0, lease=leases["remove"]),
        Duty(name="forget", run=_forget(house), beat=2.0),
        Duty(name="ingest", run=_ingest(house), beat=0.3),
        Duty(name="resume", run=Resumer(house.parts()).run, beat=1.0),
        *_witnesses(house),
    ]
    chosen = [duty for duty in duties if only is None or duty.name in only]
    worker = Worker(chosen, sessions=house.sessions, clock=house.clock, worker_id=house.worker_id)
    worker.start()
    return worker


def _sequence(house: Workplace, lease: Lease) -> Callable[[], bool]:
    def guard(session: Session) -> None:
        lease.guard(session)
        house.guard.check(session)

    return Sequencer(house.sessions, house.clock, name=house.log_name, key=house.log_key, guard=guard).run


def _publish(house: Workplace, lease: Lease) -> Callable[[], bool]:
    return Publisher(
        house.sessions,
        house.clock,
        house.objects,
        house.root_key,
        name=house.log_name,
        key=house.log_key,
        retention_days=house.settings.log_retention_days,
        guard=lease.guard,
    ).run


def _witnesses(house: Workplace) -> Iterator[Duty]:
    """A duty for each witness, so that a slow one keeps no other waiting, and its failure bears its name."""
    for witness in map(Witness.parse, house.settings.witnesses):
        name = f"witness {witness.name}"[:40]
        lease = Lease(house.sessions, house.clock, name=name, owner=house.worker_id)
        witnessing = Witnessing(house.sessions, house.clock, house.objects, witness)
        yield Duty(name=name, run=witnessing.run, beat=1.0, lease=lease)


def _expire(house: Workplace, lease: Lease) -> Callable[[], bool]:
    def expire() -> bool:
        with house.sessions.reading() as session:
            over = committee.grants_over(session, house.clock.text())
        if over:
            with house.sessions.begin() as session:
                lease.guard(session)
                applications.expire(session, house.clock)
        return False

    return expire


def _remove(house: Workplace, lease: Lease) -> Callable[[], bool]:
    def remove() -> bool:
        return destroying.run_next(
            house.sessions, house.clock, house.objects, log_name=house.log_name, log_key=house.log_key, hold=lease.hold
        )

    return remove


def _forget(house: Workplace) -> Callable[[], bool]:
    """Another process may have destroyed what this one has opened."""
    parts = house.parts()

    def forget() -> bool:
        with house.sessions.reading() as session:
            forget_destroyed(session, parts.versions, parts.bench.opened, parts.bench.executor)
        return False

    return forget


def _ingest(house: Workplace) -> Callable[[], bool]:
    parts = ingest.Parts(
        sessions=house.sessions,
        clock=house.clock,
        objects=house.objects,
        root_key=house.root_key,
        connectors=house.connectors,
        source_dirs=house.sources(),
        work_dir=house.work_dir(),
        worker_id=house.worker_id,
    )
    swept: list[int] = []

    def load() -> bool:
        if not swept:  # what a killed process has left
            swept.append(ingest.sweep(parts))
        return ingest.run_next(parts)

    return load
