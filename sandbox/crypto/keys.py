"""Key files with mode 0600, and keys wrapped by keys: root over population over version."""

from __future__ import annotations

import base64
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Literal, TypeAlias

from sandbox.crypto.suite import INTL, KEY_SIZE, Suite
from sandbox.errors import Conflict, DependencyFailed, IntegrityFailed

KeyKind: TypeAlias = Literal["root", "log"]

_ID_SIZE: Final = 8


def wrap(suite: Suite, kek: bytes, key: bytes, aad: str) -> bytes:
    """`key` sealed under `kek` for the place `aad`: the wrapping key's id (8 bytes), then the sealed key.

    Raises:
        IntegrityFailed: `key_size_wrong`.
    """
    return _key_id(suite, kek) + suite.seal(kek, key, _wrap_aad(suite, aad))


def unwrap(suite: Suite, kek: bytes, wrapped: bytes, aad: str) -> bytes:
    """The key that `wrap` sealed.

    Raises:
        IntegrityFailed: `wrapping_key_differs`, another key wrapped it; `sealed_open_failed`, it was changed or belongs
            to another place.
    """
    if wrapped[:_ID_SIZE] != _key_id(suite, kek):
        raise IntegrityFailed("wrapping_key_differs")
    return suite.open(kek, wrapped[_ID_SIZE:], _wrap_aad(suite, aad))


def _key_id(suite: Suite, kek: bytes) -> bytes:
    """A public name for a secret key, so that a wrong key is told from damage."""
    return suite.kdf(kek, b"sandbox key id", _ID_SIZE)


def _wrap_aad(suite: Suite, aad: str) -> bytes:
    return f"sandbox wrapped key\n{suite.id}\n{aad}".encode()


@dataclass(frozen=True, slots=True, kw_only=True)
class RootKey:
    """The key over all keys of a home; its loss is the loss of every sealed object, its destruction erases them."""

    secret: bytes = field(repr=False)
    suite: Suite = field(default=INTL, repr=False)

    @classmethod
    def create(cls, path: Path) -> RootKey:
        """A fresh key in a new file of mode 0600.

        Raises:
            Conflict: `key_file_exists`.
            DependencyFailed: `key_file_failed`.
        """
        secret = INTL.random(KEY_SIZE)
        _write(path, "root", secret)
        return cls(secret=secret)

    @classmethod
    def load(cls, path: Path) -> RootKey:
        """The key of a file that nobody but its owner may touch.

        Raises:
            DependencyFailed: `key_file_failed`.
            IntegrityFailed: `root_key_mode`, or `key_file_malformed`.
        """
        return cls(secret=_read(path, "root"))

    def wrap(self, key: bytes, aad: str) -> bytes:
        """`key` sealed under the root for the place `aad` (a population's id)."""
        return wrap(self.suite, self.secret, key, aad)

    def unwrap(self, wrapped: bytes, aad: str) -> bytes:
        """The key that `wrap` sealed.

        Raises:
            IntegrityFailed: `wrapping_key_differs` or `sealed_open_failed`.
        """
        return unwrap(self.suite, self.secret, wrapped, aad)


def create_log_key(path: Path) -> bytes:
    """A fresh signing key of the log in a new file of mode 0600; gives the raw private key.

    Raises:
        Conflict: `key_file_exists`.
        DependencyFailed: `key_file_failed`.
    """
    private = INTL.new_signing_key()
    _write(path, "log", private)
    return private


def load_log_key(path: Path) -> bytes:
    """The log's raw private key.

    Raises:
        DependencyFailed: `key_file_failed`.
        IntegrityFailed: `log_key_mode`, or `key_file_malformed`.
    """
    return _read(path, "log")


def _write(path: Path, kind: KeyKind, secret: bytes) -> None:
    """One line: the kind, the suite, the key in base64. O_EXCL, so no key is ever overwritten."""
    line = f"sandbox-{kind}-key {INTL.id} {base64.b64encode(secret).decode('ascii')}\n"
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    except FileExistsError:
        raise Conflict("key_file_exists", path=str(path)) from None
    except OSError:
        raise DependencyFailed("key_file_failed", path=str(path)) from None
    try:
        with os.fdopen(descriptor, "w", encoding="ascii") as file:
            file.write(line)
            file.flush()
            os.fsync(descriptor)
        _sync_folder(path.parent)
    except OSError:
        path.unlink(missing_ok=True)  # half a key would look like one
        raise DependencyFailed("key_file_failed", path=str(path)) from None


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _read(path: Path, kind: KeyKind) -> bytes:
    try:
        with path.open("rb") as file:
            mode = os.fstat(file.fileno()).st_mode  # of what was opened, not of what the path says a moment later
            words = file.read(4096).split()
    except OSError:
        raise DependencyFailed("key_file_failed", path=str(path)) from None
    if mode & (0o037 if _is_credential(path) else 0o077):
        code = "root_key_mode" if kind == "root" else "log_key_mode"
        raise IntegrityFailed(code, path=str(path), mode=f"{mode & 0o777:04o}")
    expected = [f"sandbox-{kind}-key".encode("ascii"), INTL.id.encode("ascii")]
    try:
        secret = base64.b64decode(words[2], validate=True) if words[:2] == expected and len(words) == 3 else b""
    except ValueError:
        secret = b""
    if len(secret) != KEY_SIZE:
        raise IntegrityFailed("key_file_malformed", path=str(path))
    return secret


def _is_credential(path: Path) -> bool:
    """Whether systemd gives it to this service alone: the group's bit is then the mask of an access list of one user.

    Source: systemd.exec(5), LoadCredential=.
    """
    folder = os.environ.get("CREDENTIALS_DIRECTORY")
    return bool(folder) and path.absolute().parent == Path(str(folder))
