"""Restore: a checked backup becomes a new home, on either database, read-only until the guard has looked."""

from __future__ import annotations

import json
import os
import re
import shutil
import tempfile
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from sqlalchemy.orm import Session

from sandbox import settings as settings_module
from sandbox.audit.checkpoint import open_note
from sandbox.audit.merkle import Frontier
from sandbox.clock import Clock
from sandbox.crypto.keys import RootKey
from sandbox.errors import Conflict, IntegrityFailed, RequestError
from sandbox.objects.choose import open_objects
from sandbox.ports import ObjectStore
from sandbox.settings import Settings
from sandbox.store import datasets, dump, home_state, migrations
from sandbox.store.connecting import is_url
from sandbox.store.sessions import Sessions
from sandbox.work.backup import COPIES, OBJECTS, SETTINGS, TABLES, sync_folder, told
from sandbox.work.backup_folder import Backup

_SECRETS: Final = ("database_password", "s3_access_key", "s3_secret_key", "s3_ca", "tls_certificate", "tls_key")
"""Settings that name files, which a folder of keys may have as well."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """Where a backup goes. What is None stays as the backup's settings say.

    `keys` is a folder with root.key and log.key; `objects` the folder or bucket in which the old home's objects still
    are; `database` a URL or a file, `password` the file of its password.
    """

    home: Path
    keys: Path | None = None
    database: str | None = None
    password: Path | None = None
    objects: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Restored:
    """What a restore has made."""

    home: Path
    backup: str
    size: int
    rows: int
    objects: int


def restore(folder: Path, wanted: Wanted, clock: Clock) -> Restored:
    """Make a home of a backup: read-only until the guard has compared it with what was published since.

    Raises:
        Conflict: `home_not_empty`, `restore_not_empty` (the database).
        RequestError: `backup_missing`; `settings_…`, `database_…`.
        IntegrityFailed: what `Backup` raises; `schema_foreign`; `backup_log_differs`.
        DependencyFailed: `backup_failed`, `restore_failed`, `database_…`, `object_store_…`.
    """
    home = wanted.home.absolute()
    backup = Backup(folder.absolute(), wanted.keys)
    if not migrations.known(backup.manifest["schema"]):
        raise IntegrityFailed("backup_newer", release=str(backup.manifest["release"]))
    if home.is_symlink() or (home.exists() and (not home.is_dir() or any(home.iterdir()))):
        raise Conflict("home_not_empty", home=str(home))
    text, settings = _settings(backup.settings, wanted)
    with told(home, "restore_failed"):
        home.parent.mkdir(parents=True, exist_ok=True)
        building = Path(tempfile.mkdtemp(prefix=f".{home.name}.", dir=home.parent))
        try:
            _furnish(building, backup, settings, text, wanted.keys)
            objects = _put_back(open_objects(building, settings), backup) if backup.manifest["copies"] else 0
            rows = _load(building, backup, settings, clock, wanted.keys)
            building.rename(home)
        except BaseException:
            shutil.rmtree(building, ignore_errors=True)
            raise
        sync_folder(home.parent)
    size = backup.manifest["log"]["size"]
    return Restored(home=home, backup=backup.backup, size=size, rows=rows, objects=objects)


def _furnish(folder: Path, backup: Backup, settings: Settings, text: str, keys: Path | None) -> None:
    """Folders, settings, public key, and the keys if they were given."""
    own = [settings.root_key.parent, settings.log_key.parent, settings.work, *settings.sources]
    places = [*own, *([] if settings.bucket() else [Path(settings.objects)])]
    for place in places:
        if not place.is_absolute():
            (folder / place).mkdir(mode=0o700, parents=True, exist_ok=True)
    (folder / settings_module.FILE).write_text(text, "utf-8")
    (folder / settings.log_vkey).write_text(backup.vkey + "\n", "utf-8")
    if keys is not None:
        RootKey.load(keys / "root.key")
        _bring_keys(folder, settings, keys)


def _bring_keys(folder: Path, settings: Settings, keys: Path) -> None:
    """Every secret that the settings look for below the home and the folder of keys has; the two keys must be there."""
    brought = {"root.key": settings.root_key, "log.key": settings.log_key}
    for name in _SECRETS:
        place = getattr(settings, name)
        if place is not None and (keys / place.name).is_file():
            brought[place.name] = place
    for name, place in brought.items():
        if place.is_absolute():
            continue
        (folder / place).parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(folder / place, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write((keys / name).read_bytes())
            file.flush()
            os.fsync(descriptor)


def _put_back(objects: ObjectStore, backup: Backup) -> int:
    """Put copies of objects into the store; what is there already stays. Gives how many copies there were."""
    count = 0
    for line in backup.lines(OBJECTS):
        one = json.loads(line)
        if not one["there"]:
            continue
        damaged = IntegrityFailed("backup_damaged", file=f"{COPIES}/{one['key']}")
        try:
            with (backup.folder / COPIES / one["key"]).open("rb") as file:
                objects.put(one["key"], file, size=one["size"], sha256=one["sha256"])
        except (FileNotFoundError, IntegrityFailed):
            raise damaged from None
        count += 1
    return count


def _load(folder: Path, backup: Backup, settings: Settings, clock: Clock, keys: Path | None) -> int:
    """All tables in one transaction, on the schema that they were dumped from, which is then brought up to date."""
    database, password = settings.database_in(folder), settings.password_in(folder)
    migrations.upgrade(database, password_file=password, revision=backup.manifest["schema"])
    sessions = Sessions(database, password_file=password, pool=1)
    rows = 0
    try:
        with sessions.begin() as session:
            dump.take_time(session)
            dump.check_empty(session)
            for name in dump.tables():
                file = f"{TABLES}/{name}.jsonl"
                if file in backup.manifest["files"]:
                    rows += dump.load(session, name, backup.lines(file))
            dump.go_on(session)
            size, root = _log_of(backup)
            edge = Frontier()
            dump.check_log(session, size, edge.push)
            if edge.size != size or edge.root() != root:
                raise IntegrityFailed("backup_log_differs", size=size)
            if keys is not None:
                _check_root_key(session, RootKey.load(keys / "root.key"))
            home_state.close(session, clock, home_state.RESTORED, backup.backup)
    finally:
        sessions.close()
    migrations.upgrade(database, password_file=password)
    return rows


def _check_root_key(session: Session, root_key: RootKey) -> None:
    """The root key opens what was wrapped under it."""
    for population in datasets.populations(session, limit=1):
        try:
            root_key.unwrap(population.wrapped_key, population.id)
        except IntegrityFailed:
            raise IntegrityFailed("restore_key_differs", key="root.key") from None


def _log_of(backup: Backup) -> tuple[int, bytes]:
    note = backup.manifest["log"]["note"]
    if not note:
        return 0, Frontier().root()
    _, size, root = open_note(note, backup.vkey)
    return size, root


# --- settings ---------------------------------------------------------------------------------------------------------


def _settings(text: str, wanted: Wanted) -> tuple[str, Settings]:
    """The backup's settings with the changes that were asked for: the text, and what it means."""
    changes: dict[str, str] = {}
    if wanted.database is not None:
        changes["database"] = wanted.database if is_url(wanted.database) else str(Path(wanted.database))
    if wanted.password is not None:
        changes["database_password"] = str(wanted.password.absolute())
    if wanted.objects is not None:
        changes["objects"] = wanted.objects if is_url(wanted.objects) else str(Path(wanted.objects).absolute())
    for name, value in changes.items():
        text = _replaced(text, name, value)
    try:
        values = tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        raise RequestError("settings_unreadable", file=SETTINGS) from None
    return text, settings_module.checked(values, SETTINGS)


def _replaced(text: str, name: str, value: str) -> str:
    """The text with one setting in place of an older one, or at its end; all settings stand at the top level."""
    line = f"{name} = {json.dumps(value, ensure_ascii=False)}"
    found = re.compile(rf"^{name}\s*=.*$", re.MULTILINE)
    if found.search(text):
        return found.sub(lambda _: line, text, count=1)
    return f"{text.rstrip()}\n{line}\n"
