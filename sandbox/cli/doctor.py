"""The doctor: looks at a home from outside, changes nothing, and says of each thing whether it is well."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import Final

from sandbox.audit import merkle
from sandbox.audit.checkpoint import open_note, vkey
from sandbox.cli import stored
from sandbox.clock import parse_rfc3339
from sandbox.crypto.keys import RootKey, load_log_key
from sandbox.crypto.suite import INTL
from sandbox.errors import DependencyFailed, IntegrityFailed, Param, SandboxError
from sandbox.messages import both
from sandbox.objects.local import LocalObjects
from sandbox.settings import Settings, load
from sandbox.store import datasets, log
from sandbox.store import duties as duties_store
from sandbox.store.sessions import Sessions
from sandbox.wiring import check_schema, load_connectors, writer_mark

_STALE: Final = timedelta(seconds=60)


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One check: its name, and if something is wrong, what and how to mend it, in both languages."""

    check: str
    what: Mapping[str, str] | None
    mend: Mapping[str, str]


class Wrong(SandboxError):
    """A check that failed without being an error of the house."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Patient:
    home: Path
    settings: Settings
    sessions: Sessions

    def path(self, relative: Path) -> Path:
        return self.home / relative


def examine(home: Path) -> Iterator[Finding]:
    """Every check in turn; those that need what is missing are left out."""
    home = home.absolute()
    found: list[Settings] = []
    yield _tried("settings", lambda: found.append(load(home)))
    yield _tried("packages", _packages)
    if not found:
        return
    settings = found[0]
    database = home / settings.database
    schema = _tried("database", lambda: check_schema(database))
    yield schema
    sessions = Sessions(database)
    patient = _Patient(home=home, settings=settings, sessions=sessions)
    try:
        for name, check, needs_database in _CHECKS:
            if needs_database and schema.what is not None:
                continue
            yield _tried(name, lambda check=check: check(patient))  # type: ignore[misc]  # bound now, called at once
    finally:
        sessions.close()


def _tried(name: str, check: Callable[[], object]) -> Finding:
    try:
        check()
    except SandboxError as error:
        return Finding(check=name, what=both(error.code, error.params), mend=both(f"mend_{name}", error.params))
    except OSError as error:
        params: dict[str, Param] = {"file": str(error.filename or "-"), "problem": error.strerror or "-"}
        return Finding(check=name, what=both("file_failed", params), mend=both(f"mend_{name}", params))
    return Finding(check=name, what=None, mend={})


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
    folder = patient.path(patient.settings.objects)
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


def _duties(patient: _Patient) -> None:
    """While a gateway runs, each duty has succeeded lately; otherwise only its last error counts."""
    running = writer_mark(patient.path(patient.settings.work)) is not None
    with patient.sessions.reading() as session:
        states = duties_store.all_duties(session)
    for state in states:
        if state.error:
            raise Wrong("doctor_duty_error", duty=state.name, error=state.error, last_ok=state.last_ok)
        if running and state.last_ok and datetime.now(UTC) - parse_rfc3339(state.last_ok) > _STALE:
            raise Wrong("doctor_duty_late", duty=state.name, last_ok=state.last_ok)


def _pages(patient: _Patient) -> None:
    stored.check_pages(patient.sessions)


def _events(patient: _Patient) -> None:
    stored.check_events(patient.sessions)


def _versions(patient: _Patient) -> None:
    with patient.sessions.reading() as session:
        if not datasets.datasets(session, limit=1):
            return
    objects = LocalObjects(patient.path(patient.settings.objects))
    stored.check_versions(patient.sessions, objects, RootKey.load(patient.path(patient.settings.root_key)))


def _process(patient: _Patient) -> None:
    """A running gateway was started with the settings as they are now."""
    started = writer_mark(patient.path(patient.settings.work))
    if started is not None and started != patient.settings.digest(INTL.digest):
        raise Wrong("doctor_settings_changed")


_CHECKS: Final[tuple[tuple[str, Callable[[_Patient], None], bool], ...]] = (
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
    ("duties", _duties, True),
    ("process", _process, False),
)
