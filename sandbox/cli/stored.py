"""What the doctor reads to the end: the database's pages, the log's events, and every object of every version."""

from __future__ import annotations

from typing import Final

from sandbox.crypto.keys import RootKey
from sandbox.crypto.suite import INTL
from sandbox.errors import IntegrityFailed
from sandbox.objects.versions import Versions
from sandbox.ports import ObjectStore
from sandbox.store import dump, log
from sandbox.store.sessions import Sessions

_PIECE: Final = 1 << 22


def check_pages(sessions: Sessions) -> None:
    """SQLite finds its own file whole.

    Raises:
        IntegrityFailed: `doctor_pages`.
        DependencyFailed: `database_failed`.
    """
    if not sessions.embedded:
        return  # a server looks after its own files
    with sessions.reading() as session:
        found = session.connection().exec_driver_sql("PRAGMA integrity_check(1)").scalar()
    if found != "ok":
        raise IntegrityFailed("doctor_pages")


def check_events(sessions: Sessions) -> None:
    """Every event's body is the one that its leaf was made from.

    Raises:
        IntegrityFailed: `doctor_event_changed`, naming the first.
    """
    with sessions.reading() as session:
        dump.check_log(session, log.size(session), lambda _leaf: None)


def check_versions(sessions: Sessions, objects: ObjectStore, root_key: RootKey) -> None:
    """Every version that is not destroyed opens, and each of its objects is what its manifest says, byte by byte.

    Raises:
        IntegrityFailed: `doctor_object_changed`, or what opening raises, naming the first.
    """
    opener = Versions(objects, root_key)
    with sessions.reading() as session:
        stored = dump.stored_versions(session)
    for record, population in stored:
        _, version = opener.open(record, population)
        for file in version.sealed:
            whole = objects.size(file.key) == file.sealed_size
            if not whole or _digest(objects, file.key, file.sealed_size) != file.sha256:
                raise IntegrityFailed("doctor_object_changed", key=file.key)


def _digest(objects: ObjectStore, key: str, size: int) -> str:
    digest = INTL.new_digest()
    for start in range(0, size, _PIECE):
        digest.update(objects.read(key, start, min(_PIECE, size - start)))
    return digest.hexdigest()
