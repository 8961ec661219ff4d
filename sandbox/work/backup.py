"""Backup: one snapshot of all tables in a folder, with a signed manifest and an inventory of the sealed objects."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import shutil
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, Final

from sqlalchemy.orm import Session

from sandbox import __version__, crash
from sandbox.audit.checkpoint import open_note, sign_note, vkey
from sandbox.clock import Clock
from sandbox.crypto.keys import RootKey
from sandbox.crypto.suite import INTL
from sandbox.errors import Conflict, DependencyFailed, IntegrityFailed
from sandbox.ids import new_id
from sandbox.objects.versions import Versions
from sandbox.ports import ObjectStore
from sandbox.store import dump, home_state, log, migrations
from sandbox.store.sessions import Sessions

FORMAT: Final = 1
"""The format of backups that this release writes and reads."""
MANIFEST: Final = "manifest.json"
NOTE: Final = "manifest.note"
SETTINGS: Final = "settings.toml"
VKEY: Final = "log.vkey"
OBJECTS: Final = "objects.jsonl"
TABLES: Final = "tables"
COPIES: Final = "objects"

_LOCK: Final = ".lock"
_PIECE: Final = 1 << 22
_NO_ROOM: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """What is backed up. `settings` is the text of the home's settings file."""

    sessions: Sessions
    clock: Clock
    objects: ObjectStore
    root_key: RootKey
    log_key: bytes = field(repr=False)
    log_name: str
    settings: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Made:
    """A finished backup. `missing` are objects that the tables tell of and the store has not, or has otherwise."""

    backup: str
    folder: Path
    size: int
    rows: int
    objects: int
    missing: tuple[str, ...]
    logged: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class _Object:
    """An object that the snapshot tells of. Its size is asked for when nothing states it."""

    key: str
    sha256: str
    size: int | None = None


def make(source: Source, folder: Path, *, copies: bool) -> Made:
    """Back a home up into a folder that is not there yet, while it is being used; event `home.backup`.

    Everything is written beside its place, under a name that no restore takes, and renamed when it is whole.

    Raises:
        Conflict: `backup_exists`.
        DependencyFailed: `backup_full`, `backup_failed` (the folder), and as the database and the object store do.
        IntegrityFailed: `wrapping_key_differs`.
    """
    with told(folder, full="backup_full"), _building(folder) as building:
        backup, files, size, root, note = new_id("bak"), _Files(building), 0, "", ""
        with source.sessions.reading() as session:
            dump.take_time(session)
            newest = log.checkpoint(session)
            if newest is not None:
                size, note = newest
                root = open_note(note, vkey(source.log_name, INTL.public_key(source.log_key)))[2].hex()
            for name in dump.tables():
                files.write(f"{TABLES}/{name}.jsonl", dump.lines(session, name))
            wanted = building / "wanted"
            _spool(wanted, _told_of(session, source))
        crash.point("backup.tables")
        missing: list[str] = []
        files.write(OBJECTS, _inventory(source.objects, wanted, building if copies else None, missing))
        wanted.unlink()
        crash.point("backup.objects")
        files.write(SETTINGS, [source.settings.encode()])
        files.write(VKEY, [vkey(source.log_name, INTL.public_key(source.log_key)).encode(), b"\n"])
        manifest = {
            "v": FORMAT, "backup": backup, "release": __version__, "schema": migrations.head(),
            "at": source.clock.text(), "log": {"name": source.log_name, "size": size, "root": root, "note": note},
            "files": files.written, "copies": copies, "missing": missing,
        }  # fmt: skip
        raw = json.dumps(manifest, ensure_ascii=False, indent=1, sort_keys=True).encode() + b"\n"
        digest = INTL.digest(raw).hex()
        files.write(MANIFEST, [raw])
        signed = sign_note(note_text(source.log_name, backup, digest), source.log_name, source.log_key)
        files.write(NOTE, [signed.encode()])
        files.sync()
        crash.point("backup.manifest")
        logged = _logged(source, {"backup": backup, "size": size, "root": root, "manifest": digest})
    rows = sum(file["count"] for name, file in files.written.items() if name.startswith(TABLES))
    return Made(
        backup=backup, folder=folder, size=size, rows=rows, objects=files.written[OBJECTS]["count"],
        missing=tuple(missing), logged=logged,
    )  # fmt: skip


def note_text(log_name: str, backup: str, digest: str) -> str:
    """What the log's key signs of a backup: whose it is, which one, and its manifest's digest."""
    return f"{log_name}/backup\n{backup}\n{digest}\n"


def _logged(source: Source, details: Mapping[str, Any]) -> bool:
    """Tell the log, in a short transaction of its own; a home that may not be written to is backed up untold."""
    with source.sessions.reading() as session:
        if home_state.read(session).mode != home_state.OPEN:
            return False
        last = log.last_at(session)
    if last is not None:
        source.clock.not_before(last)
    with source.sessions.begin() as session:
        log.append(session, source.clock, "home.backup", actor=log.SYSTEM, subject=details["backup"], details=details)
    return True


# --- objects ----------------------------------------------------------------------------------------------------------


def _told_of(session: Session, source: Source) -> Iterator[_Object]:
    """Every object that the snapshot tells of: manifests, the files and sidecars that they name, answers."""
    versions = Versions(source.objects, source.root_key)
    for record, population in dump.stored_versions(session):
        yield _Object(key=record.manifest_object, sha256=record.manifest_sha256)
        try:
            _, version = versions.open(record, population)
        except IntegrityFailed as error:
            if error.code == "wrapping_key_differs":
                raise
            continue  # the manifest is then found missing, or not what it was
        yield from (_Object(key=f.key, sha256=f.sha256, size=f.sealed_size) for f in version.sealed)
    yield from (_Object(key=key, sha256=sha256) for key, sha256 in dump.stored_answers(session))


def _spool(path: Path, objects: Iterable[_Object]) -> None:
    """Keep what the snapshot told on the disk: it may be much, and the snapshot should not wait for the store."""
    with path.open("wb") as file:
        for one in objects:
            file.write(json.dumps([one.key, one.sha256, one.size]).encode() + b"\n")


def _inventory(store: ObjectStore, wanted: Path, building: Path | None, missing: list[str]) -> Iterator[bytes]:
    """A JSON line for each object: key, size, digest; copied below `building`, if told, and checked on the way."""
    with wanted.open("rb") as file:
        for line in file:
            key, sha256, stated = json.loads(line)
            size = store.size(key)
            well = size is not None and size == (stated or size)
            if well and size is not None and building is not None:
                well = _copy(store, key, size, sha256, building / COPIES / key)
            if not well:
                missing.append(key)
            told = {"key": key, "sha256": sha256, "size": stated or size, "there": well}
            yield json.dumps(told, sort_keys=True, separators=(",", ":")).encode() + b"\n"


def _copy(store: ObjectStore, key: str, size: int, sha256: str, target: Path) -> bool:
    """Copy one object, whole and right, or not at all."""
    target.parent.mkdir(parents=True, exist_ok=True)
    digest = INTL.new_digest()
    try:
        with target.open("wb") as file:
            target.chmod(0o600)
            for start in range(0, size, _PIECE):
                piece = store.read(key, start, min(_PIECE, size - start))
                digest.update(piece)
                file.write(piece)
            _sync(file)
    except IntegrityFailed:  # deleted meanwhile
        target.unlink()
        return False
    if digest.hexdigest() != sha256:
        target.unlink()
        return False
    return True


# --- files ------------------------------------------------------------------------------------------------------------


class _Files:
    """Writes files below a folder, and keeps what a manifest says of each: size, lines, digest."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.written: dict[str, dict[str, Any]] = {}

    def write(self, name: str, lines: Iterable[bytes]) -> None:
        path = self._folder / name
        path.parent.mkdir(mode=0o700, exist_ok=True)
        digest, size, count = INTL.new_digest(), 0, 0
        with path.open("wb") as file:
            path.chmod(0o600)
            for line in lines:
                digest.update(line)
                file.write(line)
                size, count = size + len(line), count + 1
            _sync(file)
        self.written[name] = {"sha256": digest.hexdigest(), "size": size, "count": count}

    def sync(self) -> None:
        """The names as well."""
        for folder, _, _ in os.walk(self._folder):
            sync_folder(Path(folder))


def _sync(file: BinaryIO) -> None:
    file.flush()
    os.fsync(file.fileno())


def sync_folder(folder: Path) -> None:
    """Make the names in a folder durable."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def told(folder: Path, code: str = "backup_failed", *, full: str | None = None) -> Iterator[None]:
    """The disk's errors as ours, with a code of its own for a disk that is full."""
    try:
        yield
    except OSError as failure:
        reason = errno.errorcode.get(failure.errno or 0, "unknown")
        code = full if full is not None and failure.errno in _NO_ROOM else code
        raise DependencyFailed(code, folder=str(folder), reason=reason) from None


@contextmanager
def _building(folder: Path) -> Iterator[Path]:
    """A folder beside the place, which gets its name at the end of the block, or is removed."""
    if folder.exists() or folder.is_symlink():
        raise Conflict("backup_exists", folder=str(folder))
    _clear_dead(folder)
    building = folder.with_name(f".{folder.name}.{INTL.random(8).hex()}.unfinished")
    building.mkdir(mode=0o700)
    try:
        with (building / _LOCK).open("wb") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield building
            (building / _LOCK).unlink()
        if folder.exists():
            raise Conflict("backup_exists", folder=str(folder))
        building.rename(folder)
    except BaseException:
        shutil.rmtree(building, ignore_errors=True)
        raise
    sync_folder(folder.parent)


def _clear_dead(folder: Path) -> None:
    """Remove what killed backups to the same place have left; one that is under way holds its lock."""
    for left in folder.parent.glob(f".{folder.name}.*.unfinished"):
        try:
            with (left / _LOCK).open("rb") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(left, ignore_errors=True)
        except (BlockingIOError, FileNotFoundError, NotADirectoryError):
            continue
