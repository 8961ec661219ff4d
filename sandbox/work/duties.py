"""The duties of a gateway: sequence the log, ingest, resume queries, expire grants."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

from sandbox.clock import Clock
from sandbox.committee import applications
from sandbox.crypto.keys import RootKey
from sandbox.ingest import duty as ingest
from sandbox.ports import Connector, ObjectStore
from sandbox.query import answer
from sandbox.store import committee
from sandbox.store.sessions import Sessions
from sandbox.work.sequence import Sequencer
from sandbox.work.worker import Duty, Worker


class Workplace(Protocol):
    """What the duties need of a house; `wiring.House` has it."""

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

    def parts(self) -> answer.Parts:
        """What the flow of a query needs."""
        ...

    def sources(self) -> tuple[Path, ...]:
        """Folders that manifests may read."""
        ...

    def work_dir(self) -> Path:
        """Where an ingest may lay sealed runs."""
        ...


def start(house: Workplace) -> Worker:
    """Begin all duties of a gateway; `stop` ends them."""
    sequencer = Sequencer(house.sessions, house.clock, name=house.log_name, key=house.log_key)
    parts = house.parts()
    ingest_parts = ingest.Parts(
        sessions=house.sessions,
        clock=house.clock,
        objects=house.objects,
        root_key=house.root_key,
        connectors=house.connectors,
        source_dirs=house.sources(),
        work_dir=house.work_dir(),
        worker_id=house.worker_id,
    )

    def expire() -> bool:
        with house.sessions.reading() as session:
            over = committee.grants_over(session, house.clock.text())
        if over:
            with house.sessions.begin() as session:
                applications.expire(session, house.clock)
        return False

    swept: list[int] = []

    def load() -> bool:
        if not swept:  # what a killed process has left
            swept.append(ingest.sweep(ingest_parts))
        return ingest.run_next(ingest_parts)

    duties = [
        Duty(name="sequence", run=sequencer.run, beat=0.2),
        Duty(name="ingest", run=load, beat=0.3),
        Duty(name="resume", run=lambda: answer.resume(parts), beat=1.0),
        Duty(name="expire", run=expire, beat=1.0),
    ]
    worker = Worker(duties, sessions=house.sessions, clock=house.clock, worker_id=house.worker_id)
    worker.start()
    return worker
