"""The composition root: from a home and its settings to the one set of parts that every room shares."""

from __future__ import annotations

import fcntl
import os
import platform
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field, fields
from importlib.metadata import entry_points
from pathlib import Path
from typing import Final

from sandbox.audit.checkpoint import vkey
from sandbox.clock import Clock
from sandbox.crypto.keys import RootKey, load_log_key
from sandbox.crypto.suite import INTL
from sandbox.errors import Conflict, DependencyFailed, IntegrityFailed, RequestError
from sandbox.executors.choose import cores, open_executor
from sandbox.ids import new_id
from sandbox.objects.choose import open_objects
from sandbox.objects.opened import OpenedFiles
from sandbox.objects.versions import Versions
from sandbox.objects.watched import WatchedObjects
from sandbox.policy.decisions import Policy
from sandbox.ports import CONTRACT, Connector, Executor, ObjectStore
from sandbox.query.answer import Parts
from sandbox.query.kernel.engines import Engines
from sandbox.query.kernel.remote import KernelCraft
from sandbox.query.kernel.task import Bench
from sandbox.query.planning.rung import CostModel, calibrate
from sandbox.query.warm import warm
from sandbox.settings import Settings, load
from sandbox.store import calibration, log, migrations
from sandbox.store.connecting import is_url
from sandbox.store.sessions import Sessions
from sandbox.work.guard import Guard
from sandbox.work.witnesses import Witness

LOCK: Final = "serve.lock"
"""The file below the work folder that the one writing process holds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class House:
    """All parts, made once; nothing else in the house reads settings or opens files of the home."""

    settings: Settings
    home: Path
    sessions: Sessions
    clock: Clock
    policy: Policy
    objects: ObjectStore
    root_key: RootKey
    log_key: bytes = field(repr=False)
    log_name: str
    executor: Executor
    engines: Engines
    opened: OpenedFiles
    versions: Versions
    model: CostModel
    connectors: dict[str, Connector]
    worker_id: str
    guard: Guard

    def parts(self) -> Parts:
        """What the flow of a query needs of the house."""
        return Parts(
            sessions=self.sessions,
            clock=self.clock,
            policy=self.policy,
            objects=self.objects,
            bench=Bench(executor=self.executor, engines=self.engines, opened=self.opened, root_key=self.root_key),
            versions=self.versions,
            model=self.model,
            worker_id=self.worker_id,
        )

    def path(self, relative: Path) -> Path:
        """A path of the settings, below the home unless it is absolute."""
        return self.home / relative

    def sources(self) -> tuple[Path, ...]:
        """The folders that manifests may read."""
        return tuple(self.path(folder) for folder in self.settings.sources)

    def work_dir(self) -> Path:
        """Where an ingest may lay sealed runs."""
        return self.path(self.settings.work)


@contextmanager
def open_house(home: Path, settings: Settings | None = None) -> Iterator[House]:
    """Open a home that this release may write to; closes everything at the end of the block.

    Raises:
        RequestError: `home_missing`, `settings_…`, `connector_…`.
        Conflict: `home_in_use`, another process serves it.
        IntegrityFailed: `schema_old`, `schema_foreign`, `root_key_mode`, `log_key_mode`, `key_file_malformed`,
            `policy_invalid`.
        DependencyFailed: `database_failed`, `key_file_failed`, `home_failed`; what `open_executor` raises.
    """
    home = home.absolute()
    settings = settings or load(home)
    embedded = not is_url(settings.database)
    with only_writer(home / settings.work, settings.digest(INTL.digest)) if embedded else nullcontext():
        check_schema(settings.database_in(home), settings.password_in(home))
        objects = WatchedObjects(open_objects(home, settings, sweep=True))
        threads = settings.threads or os.cpu_count() or 1
        executor, engines = open_executor(settings, KernelCraft(str(settings.ray_home or home))), Engines(threads)
        sessions = open_sessions(home, settings)
        opened = OpenedFiles(objects, limit=settings.cache_mb * 1_000_000)
        try:
            warm(engines)
            clock, root_key = _clock(sessions), RootKey.load(home / settings.root_key)
            log_key = load_log_key(home / settings.log_key)
            guard = _guard(settings, sessions, clock, objects, log_key)
            guard.start()  # before the first write
            yield House(
                settings=settings,
                home=home,
                sessions=sessions,
                clock=clock,
                policy=Policy.load(),
                objects=objects,
                root_key=root_key,
                log_key=log_key,
                log_name=settings.log_name,
                executor=executor,
                engines=engines,
                opened=opened,
                versions=Versions(objects, root_key),
                model=cost_model(sessions, clock, min(threads, cores(settings))),
                connectors=load_connectors(settings.connectors),
                worker_id=new_id("wrk"),
                guard=guard,
            )
        finally:
            executor.close()
            opened.close()
            engines.close()
            sessions.close()


def _guard(settings: Settings, sessions: Sessions, clock: Clock, objects: ObjectStore, log_key: bytes) -> Guard:
    return Guard(
        sessions, clock, objects,
        vkey=vkey(settings.log_name, INTL.public_key(log_key)),
        witnesses=[Witness.parse(text) for text in settings.witnesses],
        alone=settings.start_without_witnesses,
    )  # fmt: skip


def cost_model(sessions: Sessions, clock: Clock, threads: int) -> CostModel:
    """The home's cost model: that of the slowest kind of machine that ever opened it, at the fewest threads.

    A kind of machine is a processor and a number of threads. Each is measured once, on synthetic rows, and kept: so a
    rung depends neither on a restart nor on which gateway prices, and a worker elsewhere can keep it. A gateway takes
    in a slower kind that joins later when it starts again; `doctor` says so.
    """
    name = f"threads {threads} {_processor()}"
    with sessions.reading() as session:
        stored = calibration.read_all(session)
    if name not in stored:
        stored[name] = _values(calibrate(threads))
        try:
            with sessions.begin() as session:
                calibration.save(session, clock, name, stored[name])
        except DependencyFailed as error:
            if error.code != "home_read_only":  # then nothing is charged either
                raise
    slowest = {field_: max(values[field_] for values in stored.values()) for field_ in stored[name]}
    return CostModel(threads=min(int(known.split()[1]) for known in stored), **slowest)


def _values(model: CostModel) -> dict[str, float]:
    return {f.name: getattr(model, f.name) for f in fields(model) if f.name != "threads"}


def _processor() -> str:
    """A short name of this machine's kind of processor."""
    try:
        lines = Path("/proc/cpuinfo").read_text("utf-8", "replace").splitlines()
    except OSError:
        lines = []
    named = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return INTL.digest((named or [platform.machine()])[0].encode()).hex()[:8]


def open_sessions(home: Path, settings: Settings) -> Sessions:
    """Sessions on a home's database.

    Raises:
        RequestError: `database_url_refused`, `database_password_in_url`.
    """
    password, pool = settings.password_in(home), settings.database_pool
    return Sessions(settings.database_in(home), password_file=password, pool=pool)


def check_schema(database: str | Path, password_file: Path | None = None) -> None:
    """Refuse a database that cannot be reached, or that is missing, older or newer than this release.

    Raises:
        IntegrityFailed: `schema_old`, `schema_foreign`, `database_collation`.
        RequestError: `database_url_refused`, `database_password_in_url`.
        DependencyFailed: `database_unreachable`, `database_missing`, `database_password_refused`, `database_failed`,
            `key_file_failed`.
    """
    found, head = migrations.current(database, password_file=password_file), migrations.head()
    if migrations.is_older(found):
        raise IntegrityFailed("schema_old", found=found, known=head)
    if found != head:
        raise IntegrityFailed("schema_foreign", found=found, known=head)


def load_connectors(names: tuple[str, ...]) -> dict[str, Connector]:
    """The plug-ins that the settings name, and no other.

    Raises:
        RequestError: `connector_missing`, `connector_contract` (made for another release), `connector_broken`.
    """
    found = {point.name: point for point in entry_points(group="sandbox.connectors")}
    loaded: dict[str, Connector] = {}
    for name in names:
        if name not in found:
            raise RequestError("connector_missing", connector=name, installed=sorted(found))
        try:
            connector: Connector = found[name].load()()
        except Exception as error:  # noqa: BLE001  # a plug-in may fail in any way at all; its text is not ours
            raise RequestError("connector_broken", connector=name, kind=type(error).__qualname__) from None
        if connector.contract != CONTRACT:
            raise RequestError("connector_contract", connector=name, contract=connector.contract, wanted=CONTRACT)
        loaded[name] = connector
    return loaded


@contextmanager
def only_writer(work: Path, mark: str) -> Iterator[None]:
    """Hold the home's lock, with a mark in it: SQLite's ledger has one writing process.

    Raises:
        Conflict: `home_in_use`.
        DependencyFailed: `home_failed`.
    """
    try:
        work.mkdir(mode=0o700, exist_ok=True)
        descriptor = os.open(work / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError:
        raise DependencyFailed("home_failed", folder=str(work)) from None
    try:
        _lock(descriptor, work)
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, mark.encode("ascii"), 0)
        yield
    finally:
        os.close(descriptor)


def _lock(descriptor: int, work: Path) -> None:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise Conflict("home_in_use", home=str(work.parent)) from None


def writer_mark(work: Path) -> str | None:
    """The mark of the process that holds the home's lock; None when nobody does."""
    try:
        descriptor = os.open(work / LOCK, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return os.pread(descriptor, 200, 0).decode("ascii", "replace")
    finally:
        os.close(descriptor)
    return None


def _clock(sessions: Sessions) -> Clock:
    clock = Clock()
    with sessions.reading() as session:
        last = log.last_at(session)
    if last is not None:
        clock.not_before(last)
    return clock
