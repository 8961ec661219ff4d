"""Calls to an S3 server: signed by the minio SDK, tried again by urllib3, over at a deadline, with our own errors."""

from __future__ import annotations

import http.client
import io
import re
import socket
import threading
import time
from collections.abc import Callable
from contextvars import ContextVar
from pathlib import Path
from typing import Any, Final, TypeVar
from xml.etree.ElementTree import ParseError

import urllib3
from minio import Minio
from minio.credentials.credentials import Credentials
from minio.credentials.providers import Provider
from minio.error import InvalidResponseError, S3Error, ServerError
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.exceptions import (
    ConnectTimeoutError,
    HTTPError,
    MaxRetryError,
    NewConnectionError,
    ProtocolError,
    ReadTimeoutError,
    SSLError,
)

from sandbox.errors import DependencyFailed, IntegrityFailed, SandboxError

Found = TypeVar("Found")

_UNTIL: ContextVar[float] = ContextVar("until", default=float("inf"))
"""The moment, in monotonic seconds, when the answer that is being read must be there."""

_AGAIN: Final = frozenset({429, 500, 502, 503, 504})
_FULL: Final = frozenset({"QuotaExceeded", "XMinioStorageFull", "XMinioAdminBucketQuotaExceeded", "StorageFull"})
_GARBLED: Final = frozenset({"BadDigest", "XAmzContentSHA256Mismatch"})
_REFUSED: Final = frozenset(
    {
        "AccessDenied", "AuthorizationHeaderMalformed", "ExpiredToken", "InvalidAccessKeyId", "InvalidToken",
        "RequestTimeTooSkewed", "SignatureDoesNotMatch", "TokenRefreshRequired",
        "BadRequest",  # what is left of an expired token when the answer to HEAD has no body
    }
)  # fmt: skip
_REASONS: Final[tuple[tuple[type[Exception], str], ...]] = (
    (NewConnectionError, "unreachable"),
    (ConnectTimeoutError, "timeout"),
    (ReadTimeoutError, "timeout"),
    (SSLError, "tls"),
    (ProtocolError, "cut_off"),
)
_NAME: Final = re.compile(r"[A-Za-z0-9.]{1,60}")


class S3Calls:
    """A client that cannot hang: no try begins after half the deadline, and no answer is read beyond it."""

    def __init__(
        self,
        *,
        endpoint: str,
        region: str,
        access_key: Path,
        secret_key: Path,
        secure: bool,
        ca: Path | None,
        deadline: float,
    ) -> None:
        self._keys = _Keys(access_key, secret_key)
        http = _Http(
            deadline,
            timeout=urllib3.Timeout(connect=deadline / 3, read=deadline / 3),
            maxsize=32,
            cert_reqs="CERT_REQUIRED",
            ca_certs=None if ca is None else str(ca),
        )
        self._client = Minio(endpoint, region=region, credentials=self._keys, secure=secure, http_client=http)

    def call(self, ask: Callable[[Minio], Found], *, known: frozenset[str] = frozenset()) -> Found:
        """What `ask` gives; an S3Error whose code is `known` passes through, all else is told in our words.

        Refused credentials are read from their files again, and if they are others now, `ask` is called once more.

        Raises:
            DependencyFailed: `object_store_failed`, `object_store_full`, `object_store_refused`, `bucket_missing`,
                `key_file_failed`.
            IntegrityFailed: `object_corrupt`, the server got other bytes than were sent; `key_file_malformed`.
        """
        try:
            used = self._keys.retrieve()
            try:
                return ask(self._client)
            except S3Error as refusal:
                if refusal.code in known or not _is_refusal(refusal) or not self._keys.changed_since(used):
                    raise
                return ask(self._client)
        except S3Error as answer:
            if answer.code in known:
                raise
            raise _told(answer) from None
        except ServerError as answer:
            raise _failed_with(answer.status_code) from None
        except InvalidResponseError as answer:
            raise _failed_with(answer._code) from None  # the SDK offers no other way to the status
        except HTTPError as failure:
            raise _failed(_reason(failure)) from None
        except (ParseError, ValueError):
            raise _failed("malformed_answer") from None


class _Keys(Provider):
    """Credentials from two files; a session token, if there is one, is the second line of the secret's file."""

    def __init__(self, access_key: Path, secret_key: Path) -> None:
        self._files = access_key, secret_key
        self._lock = threading.Lock()
        self._read: Credentials | None = None

    def retrieve(self) -> Credentials:
        with self._lock:
            if self._read is None:
                self._read = self._from_files()
            return self._read

    def changed_since(self, used: Credentials) -> bool:
        """Read the files again; whether the credentials are others than those that were used."""
        with self._lock:
            self._read = self._from_files()
            return self._read != used

    def _from_files(self) -> Credentials:
        access, secret = (_lines(file) for file in self._files)
        return Credentials(access[0], secret[0], secret[1] if len(secret) > 1 else None)


def _lines(file: Path) -> list[str]:
    try:
        lines = file.read_text("ascii").split()
    except OSError:
        raise DependencyFailed("key_file_failed", path=str(file)) from None
    except UnicodeDecodeError:
        lines = []
    if not lines:
        raise IntegrityFailed("key_file_malformed", path=str(file))
    return lines


class _Http(urllib3.PoolManager):
    """A pool that follows no redirect and gives every request a deadline, its retries included."""

    def __init__(self, deadline: float, **options: Any) -> None:
        super().__init__(**options)
        self.pool_classes_by_scheme = {"http": _Pool, "https": _SecurePool}
        self._deadline = deadline

    def urlopen(  # type: ignore[override]  # as urllib3's own pool manager
        self,
        method: str,
        url: str,
        redirect: bool = False,  # noqa: ARG002  # the signature is urllib3's
        **asked: Any,
    ) -> urllib3.BaseHTTPResponse:
        now = time.monotonic()
        retries = _Retries(
            until=now + self._deadline / 2,
            total=8,
            allowed_methods=None,  # every request of ours may be sent twice
            status_forcelist=_AGAIN,
            backoff_factor=0.1,
            backoff_max=self._deadline / 10,
            backoff_jitter=0.05,
            raise_on_status=False,
            respect_retry_after_header=False,  # a server may ask for an hour
        )
        token = _UNTIL.set(now + self._deadline)
        try:
            return super().urlopen(method, url, redirect=False, retries=retries, **asked)
        finally:
            _UNTIL.reset(token)


class _Retries(urllib3.Retry):
    """Retries, none of which begins after a given moment."""

    def __init__(self, *args: Any, until: float, **options: Any) -> None:
        super().__init__(*args, **options)
        self._until = until

    def new(self, **changed: Any) -> _Retries:
        return super().new(until=self._until, **changed)

    def is_exhausted(self) -> bool:
        return super().is_exhausted() or time.monotonic() >= self._until


class _Timed(io.RawIOBase):
    """A socket's bytes up to a moment: urllib3's timeout begins anew with every byte that trickles in."""

    def __init__(self, raw: io.RawIOBase, until: float) -> None:
        self._raw = raw
        self._until = until
        self.ended = False

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any, /) -> int | None:
        if time.monotonic() >= self._until:
            raise TimeoutError
        count = self._raw.readinto(buffer)
        self.ended = self.ended or count == 0
        return count

    def close(self) -> None:
        super().close()
        self._raw.close()


class _Answer(http.client.HTTPResponse):
    def __init__(self, sock: socket.socket, *args: Any, **options: Any) -> None:
        super().__init__(sock, *args, **options)
        self._timed = _Timed(self.fp.detach(), _UNTIL.get())
        self.fp = io.BufferedReader(self._timed)

    def begin(self) -> None:
        super().begin()
        if self._timed.ended:  # http.client takes headers that were cut off for complete ones
            raise http.client.IncompleteRead(b"")


class _Connection(HTTPConnection):
    response_class = _Answer


class _SecureConnection(HTTPSConnection):
    response_class = _Answer


class _Pool(HTTPConnectionPool):
    ConnectionCls = _Connection


class _SecurePool(HTTPSConnectionPool):
    ConnectionCls = _SecureConnection


def _is_refusal(answer: S3Error) -> bool:
    return answer.code in _REFUSED or answer.response.status in {401, 403}


def _told(answer: S3Error) -> SandboxError:
    """An S3 server's error in our words: its code is a name, its text is never told."""
    name = answer.code if answer.code and _NAME.fullmatch(answer.code) else f"http_{answer.response.status}"
    if answer.code == "NoSuchBucket":
        return DependencyFailed("bucket_missing", bucket=str(answer.bucket_name))
    if answer.code in _FULL:
        return DependencyFailed("object_store_full", reason=name)
    if answer.code in _GARBLED:
        return IntegrityFailed("object_corrupt")
    if _is_refusal(answer):
        return DependencyFailed("object_store_refused", reason=name)
    return _failed_with(answer.response.status) if answer.response.status >= 500 else _failed(name)


def _failed_with(status: int) -> DependencyFailed:
    reason = f"http_{status}"
    return DependencyFailed("object_store_full", reason=reason) if status == 507 else _failed(reason)


def _failed(reason: str) -> DependencyFailed:
    return DependencyFailed("object_store_failed", reason=reason)


def _reason(failure: HTTPError) -> str:
    cause: Exception | None = failure.reason if isinstance(failure, MaxRetryError) else failure
    return next((name for kind, name in _REASONS if isinstance(cause, kind)), "connection")
