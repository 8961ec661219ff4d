"""Objects as files below one folder: written whole or not at all, on the disk when `put` returns."""

from __future__ import annotations

import errno
import fcntl
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import BinaryIO, Final

from sandbox.crypto.suite import INTL
from sandbox.errors import Conflict, DependencyFailed, IntegrityFailed
from sandbox.objects.keys import checked_key, folder_of

_PIECE: Final = 1 << 20
_FULL: Final = frozenset({errno.ENOSPC, errno.EDQUOT})
_UNFINISHED: Final = ".unfinished"
"""The folder of puts under way; no key can name it, since none starts with a dot."""


class LocalObjects:
    """The object store of one machine.

    `root` must exist: a disk that is not mounted is an error, not an empty store.
    """

    locks = False
    """A folder cannot keep a file against its owner: `keep_until` is only a wish here."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def put(self, key: str, data: BinaryIO, *, size: int, sha256: str, keep_until: str | None = None) -> None:  # noqa: ARG002  # see `locks`
        """Store `size` bytes under `key`, whole or not at all; durable when it returns. Same key, same bytes: no-op.

        Raises:
            Conflict: `object_exists`, the key holds other bytes, or is the folder of other keys.
            DependencyFailed: `object_store_full` or `object_store_failed`.
            IntegrityFailed: `object_corrupt`, the bytes read from `data` do not match `sha256` and `size`.
            RequestError: `object_key_refused`.
        """
        path = self._path(key)
        with _told():
            if not path.is_file():
                with self._unfinished() as (temporary, descriptor):
                    _copy(data, descriptor, size=size, sha256=sha256)
                    os.fsync(descriptor)
                    if self._publish(temporary, path):
                        return
            if not _holds(path, size=size, sha256=sha256):
                raise Conflict("object_exists", key=key)
            _sync(path.parent)  # the put that stored it may have died between its link and its sync

    def replace(self, key: str, data: bytes) -> None:
        """Store these bytes under `key`, whole, in place of what was there; durable when it returns.

        Raises:
            Conflict: `object_exists`, the key is the folder of other keys, or an object is its folder.
            DependencyFailed: `object_store_full` or `object_store_failed`.
            RequestError: `object_key_refused`.
        """
        path = self._path(key)
        with _told(), self._unfinished() as (temporary, descriptor):
            _copy(BytesIO(data), descriptor, size=len(data), sha256=INTL.digest(data).hex())
            os.fsync(descriptor)
            try:
                self._make_folder(path.parent)
                temporary.rename(path)
            except (FileExistsError, IsADirectoryError, NotADirectoryError):
                raise Conflict("object_exists", key=key) from None
            _sync(path.parent)

    def read(self, key: str, start: int, length: int) -> bytes:
        """Exactly `length` bytes from `start`.

        Raises:
            IntegrityFailed: `object_missing` or `object_truncated`.
            DependencyFailed: `object_store_failed`.
            RequestError: `object_key_refused`.
        """
        path = self._path(key)
        with _told():
            try:
                descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
            except (FileNotFoundError, NotADirectoryError):
                raise IntegrityFailed("object_missing", key=key) from None
            try:
                if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                    raise IntegrityFailed("object_missing", key=key)
                return _pread(descriptor, start, length, key)
            finally:
                os.close(descriptor)

    def size(self, key: str) -> int | None:
        """Bytes stored under `key`, or None.

        Raises:
            DependencyFailed: `object_store_failed`.
            RequestError: `object_key_refused`.
        """
        path = self._path(key)
        with _told():
            try:
                found = path.stat()
            except (FileNotFoundError, NotADirectoryError):
                return None
        return found.st_size if stat.S_ISREG(found.st_mode) else None

    def list(self, prefix: str) -> Iterator[str]:
        """Every key that starts with `prefix`, sorted.

        Raises:
            DependencyFailed: `object_store_failed`.
            RequestError: `object_key_refused`.
        """
        top = self._root / folder_of(prefix)
        keys: list[str] = []
        with _told():
            for here, _, names in os.walk(top, onerror=_unless_missing):
                below = Path(here).relative_to(self._root).as_posix()
                if below != _UNFINISHED:
                    keys += [name if below == "." else f"{below}/{name}" for name in names]
        return iter(sorted(key for key in keys if key.startswith(prefix)))

    def delete(self, key: str) -> None:
        """Remove the object; no error if there is none.

        Raises:
            DependencyFailed: `object_store_failed`.
            RequestError: `object_key_refused`.
        """
        path = self._path(key)
        with _told():
            try:
                path.unlink()
            except (FileNotFoundError, NotADirectoryError):
                return
            _sync(path.parent)

    def sweep(self) -> int:
        """Remove what puts that died have left; gives their number. Puts under way hold a lock and are let be.

        Raises:
            DependencyFailed: `object_store_failed`.
        """
        swept = 0
        with _told():
            try:
                left = list((self._root / _UNFINISHED).iterdir())
            except FileNotFoundError:
                return 0
            for path in left:
                swept += _remove_if_dead(path)
        return swept

    def _path(self, key: str) -> Path:
        return self._root / checked_key(key)

    @contextmanager
    def _unfinished(self) -> Iterator[tuple[Path, int]]:
        """A locked temporary file in the same tree; whatever happens, its name is gone afterwards."""
        folder = self._root / _UNFINISHED
        folder.mkdir(exist_ok=True)
        while True:
            temporary = folder / INTL.random(16).hex()
            descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX)
                if os.fstat(descriptor).st_nlink:  # else a sweep came between open and lock
                    yield temporary, descriptor
                    return
            finally:
                temporary.unlink(missing_ok=True)
                os.close(descriptor)

    def _publish(self, temporary: Path, path: Path) -> bool:
        """Give the finished file its name. A link, not a rename: it never replaces what another put has stored."""
        try:
            self._make_folder(path.parent)
            path.hardlink_to(temporary)
        except (FileExistsError, NotADirectoryError):
            return False
        _sync(path.parent)
        return True

    def _make_folder(self, folder: Path) -> None:
        if folder == self._root or folder.is_dir():
            return
        self._make_folder(folder.parent)
        folder.mkdir(exist_ok=True)
        _sync(folder.parent)


@contextmanager
def _told() -> Iterator[None]:
    """Turns an error of the disk into ours, without the driver's text."""
    try:
        yield
    except OSError as failure:
        code = "object_store_full" if failure.errno in _FULL else "object_store_failed"
        raise DependencyFailed(code, reason=errno.errorcode.get(failure.errno or 0, "unknown")) from None


def _copy(data: BinaryIO, descriptor: int, *, size: int, sha256: str) -> None:
    digest, count = INTL.new_digest(), 0
    while piece := data.read(_PIECE):
        count += len(piece)
        if count > size:
            break
        digest.update(piece)
        view = memoryview(piece)
        while view:
            view = view[os.write(descriptor, view) :]
    if count != size or digest.hexdigest() != sha256:
        raise IntegrityFailed("object_corrupt")


def _holds(path: Path, *, size: int, sha256: str) -> bool:
    """Whether the file holds just these bytes."""
    if not path.is_file() or path.stat().st_size != size:
        return False
    digest = INTL.new_digest()
    with path.open("rb") as file:
        while piece := file.read(_PIECE):
            digest.update(piece)
    return digest.hexdigest() == sha256


def _pread(descriptor: int, start: int, length: int, key: str) -> bytes:
    """Exactly `length` bytes; one call to the system, unless it gives less than asked for."""
    pieces: list[bytes] = []
    while length:
        piece = os.pread(descriptor, length, start)
        if not piece:
            raise IntegrityFailed("object_truncated", key=key)
        pieces.append(piece)
        start, length = start + len(piece), length - len(piece)
    return pieces[0] if len(pieces) == 1 else b"".join(pieces)


def _sync(folder: Path) -> None:
    """Make names in the folder durable."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _remove_if_dead(path: Path) -> bool:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        path.unlink(missing_ok=True)
    except BlockingIOError:
        return False
    finally:
        os.close(descriptor)
    return True


def _unless_missing(failure: OSError) -> None:
    if not isinstance(failure, FileNotFoundError | NotADirectoryError):
        raise failure
