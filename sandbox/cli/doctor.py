"""The doctor: looks at a home from outside, changes nothing, and says of each thing whether it is well."""

from __future__ import annotations

import os
import shlex
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import Final

from sandbox.audit import merkle
from sandbox.audit.checkpoint import open_note, vkey
from sandbox.cli import processes, stored
from sandbox.cli.homes import check_published
from sandbox.cli.processes import Wrong
from sandbox.clock import Clock, parse_rfc3339
from sandbox.crypto.keys import RootKey, load_log_key
from sandbox.crypto.suite import INTL
from sandbox.errors import DependencyFailed, IntegrityFailed, Param, RequestError, SandboxError
from sandbox.messages import both
from sandbox.objects.choose import open_objects
from sandbox.settings import Settings, load
from sandbox.store import calibration, datasets, log
from sandbox.store.sessions import Sessions
from sandbox.wiring import check_schema, load_connectors, open_sessions, writer_mark
from sandbox.work.standing import Standing, look


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One check: its name, and if something is wrong, what and how to mend it, in both languages.

    `told` is what was found, in names, numbers and times that need no language.
    """

    check: str
    what: Mapping[str, str] | None
    mend: Mapping[str, str]
    told: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class _Patient:
    home: Path
    settings: Settings
    sessions: Sessions

    def path(self, relative: Path) -> Path:
        return self.home / relative


def examine(home: Path) -> Iterator[Finding]:
    """Every check in turn; those that need what is missing are left out. Commands to run name this home."""
    home = home.absolute()
    for found in _examine(home):
        yield replace(found, what=found.what and _named(found.what, home), mend=_named(found.mend, home))


def _named(texts: Mapping[str, str], home: Path) -> dict[str, str]:
    return {language: text.replace(" HOME", f" {shlex.quote(str(home))}") for language, text in texts.items()}


def _examine(home: Path) -> Iterator[Finding]:
    found: list[Settings] = []
    yield _tried("settings", lambda: found.append(load(home)))
    yield _tried("packages", _packages)
    if not found:
        return
    settings = found[0]
    schema = _tried("database", lambda: check_schema(settings.database_in(home), settings.password_in(home)))
    yield schema
    try:
        sessions = open_sessions(home, settings)
    except RequestError:  # the URL itself is wrong, which the finding tells
        return
    patient = _Patient(home=home, settings=settings, sessions=sessions)
    try:
        for name, check, needs_database in _CHECKS:
            if needs_database and schema.what is not None:
                continue
            yield _tried(name, lambda check=check: check(patient))  # type: ignore[misc]  # bound now, called at once
    finally:
        sessions.close()


def _tried(name: str, check: Callable[[], Iterable[str] | None]) -> Finding:
    try:
        told = tuple(check() or ())
    except SandboxError as error:
        return Finding(check=name, what=both(error.code, error.params), mend=both(f"mend_{name}", error.params))
    except OSError as error:
        params: dict[str, Param] = {"file": str(error.filename or "-"), "problem": error.strerror or "-"}
        return Finding(check=name, what=both("file_failed", params), mend=both(f"mend_{name}", params))
    return Finding(check=name, what=None, mend={}, told=told)


def _packages() -> None:
    """Two distributions that overwrite each other's files."""
    try:
        distribution("casbin")
    except PackageNotFoundError:
        return
    raise Wrong("doctor_casbin_twice")


def _root_key(patient: _Patient) -> None:
    RootKey.load(patient.path(patient.settings.root_key))


def _log_key(patient: _Patient) -> None:
    """The signing key belongs to the public key that auditors were given."""
    private = load_log_key(patient.path(patient.settings.log_key))
    known = patient.path(patient.settings.log_vkey).read_text("utf-8").strip()
    if known != vkey(patient.settings.log_name, INTL.public_key(private)):
        raise Wrong("doctor_log_key_differs", file=str(patient.settings.log_vkey))


def _checkpoint(patient: _Patient) -> None:
    """The newest checkpoint is signed by the log's key and covers the stored leaves."""
    known = patient.path(patient.settings.log_vkey).read_text("utf-8").strip()
    with patient.sessions.reading() as session:
        newest = log.checkpoint(session)
        if newest is None:
            return
        size, note = newest
        leaves = log.leaves(session, 0, size)
    _, signed_size, root = open_note(note, known)
    if signed_size != size or len(leaves) != size or merkle.root(leaves) != root:
        raise IntegrityFailed("doctor_checkpoint_differs", size=size)


def _objects(patient: _Patient) -> None:
    if patient.settings.bucket():
        open_objects(patient.home, patient.settings)
        return
    folder = patient.path(Path(patient.settings.objects))
    try:
        with tempfile.TemporaryFile(dir=folder) as file:
            file.write(b"x")
    except OSError:
        raise DependencyFailed("doctor_objects", folder=str(folder)) from None


def _disk(patient: _Patient) -> None:
    free = shutil.disk_usage(patient.home).free // 1_000_000
    if free < patient.settings.free_disk_mb:
        raise Wrong("doctor_disk", free=free, wanted=patient.settings.free_disk_mb)


def _sources(patient: _Patient) -> None:
    for folder in patient.settings.sources:
        if not patient.path(folder).is_dir() or not os.access(patient.path(folder), os.R_OK | os.X_OK):
            raise Wrong("doctor_source", folder=str(patient.path(folder)))


def _connectors(patient: _Patient) -> None:
    load_connectors(patient.settings.connectors)


def _clock(patient: _Patient) -> None:
    with patient.sessions.reading() as session:
        last = log.last_at(session)
    if last is not None and datetime.now(UTC) + timedelta(seconds=1) < parse_rfc3339(last):
        raise Wrong("doctor_clock", last=last)


def _pages(patient: _Patient) -> None:
    stored.check_pages(patient.sessions)


def _events(patient: _Patient) -> None:
    stored.check_events(patient.sessions)


def _versions(patient: _Patient) -> None:
    with patient.sessions.reading() as session:
        if not datasets.datasets(session, limit=1):
            return
    objects = open_objects(patient.home, patient.settings)
    stored.check_versions(patient.sessions, objects, RootKey.load(patient.path(patient.settings.root_key)))


def _standing(patient: _Patient) -> Standing:
    with patient.sessions.reading() as session:
        return look(session, Clock())


def _running(patient: _Patient) -> bool:
    """On a file of our own the lock knows at once; on a server, who was seen lately."""
    if patient.sessions.embedded:
        return writer_mark(patient.path(patient.settings.work)) is not None
    return bool(_standing(patient).processes)


def _process(patient: _Patient) -> Iterable[str]:
    """Running processes were started with the settings as they are now."""
    now = patient.settings.digest(INTL.digest)
    if patient.sessions.embedded:
        started = writer_mark(patient.path(patient.settings.work))
        if started is not None and started != now:
            raise Wrong("doctor_settings_changed")
        if started is None:
            return ()
    with patient.sessions.reading() as session:
        measured = calibration.newest_at(session)
    return processes.check_processes(_standing(patient), settings=now, measured=measured)


_CHECKS: Final[tuple[tuple[str, Callable[[_Patient], Iterable[str] | None], bool], ...]] = (
    ("root key", _root_key, False),
    ("log key", _log_key, False),
    ("objects", _objects, False),
    ("disk", _disk, False),
    ("sources", _sources, False),
    ("connectors", _connectors, False),
    ("pages", _pages, True),
    ("events", _events, True),
    ("checkpoint", _checkpoint, True),
    ("versions", _versions, True),
    ("clock", _clock, True),
    ("server", lambda patient: processes.check_server(patient.sessions), True),
    ("mode", lambda patient: processes.check_mode(_standing(patient)), True),
    ("duties", lambda patient: processes.check_duties(_standing(patient), running=_running(patient)), True),
    ("published", lambda patient: check_published(patient.home, patient.settings, patient.sessions), True),
    ("log", lambda patient: processes.check_log(_standing(patient), running=_running(patient)), True),
    ("process", _process, True),
)
