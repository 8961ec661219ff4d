"""Objects in a bucket of an S3 server: the same promises as a folder's, kept by conditional and checked uploads."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import BinaryIO, Final

from minio.datatypes import ListMultipartUploadsResult, Upload
from minio.error import S3Error
from urllib3 import BaseHTTPResponse

from sandbox.clock import parse_rfc3339
from sandbox.crypto.suite import INTL
from sandbox.errors import Conflict, DependencyFailed, IntegrityFailed
from sandbox.objects.keys import checked_key, folder_of
from sandbox.objects.s3_calls import S3Calls
from sandbox.objects.s3_lives import Lives, retention
from sandbox.objects.s3_upload import META, PART, Uploads

_PLACE: Final = re.compile(r"bytes (\d+)-\d+/(\d+)")
_ABSENT: Final = frozenset({"NoSuchKey", "NoSuchVersion"})
_GRACE: Final = timedelta(days=1)


def open_s3(
    *,
    endpoint: str,
    bucket: str,
    prefix: str,
    region: str,
    access_key: Path,
    secret_key: Path,
    secure: bool,
    ca: Path | None,
    deadline: float = 30.0,
) -> S3Objects:
    """The bucket's store, after a look whether it can be used.

    Raises:
        DependencyFailed, IntegrityFailed: as `S3Objects.check`.
    """
    objects = S3Objects(
        endpoint=endpoint, bucket=bucket, prefix=prefix, region=region, access_key=access_key, secret_key=secret_key,
        secure=secure, ca=ca, deadline=deadline,
    )  # fmt: skip
    objects.check()
    return objects


class S3Objects:
    """The object store of many machines. Every request ends within about `deadline` seconds, its retries included.

    Of two puts under one key at one time, the server's conditional write lets one win. A server without conditional
    writes is asked before and after instead, which leaves a moment in which the later one replaces the other.
    """

    def __init__(
        self,
        *,
        endpoint: str,
        bucket: str,
        prefix: str,
        region: str,
        access_key: Path,
        secret_key: Path,
        secure: bool,
        ca: Path | None,
        deadline: float = 30.0,
    ) -> None:
        self._bucket = bucket
        self._base = f"{prefix.strip('/')}/" if prefix.strip("/") else ""
        self._s3 = S3Calls(
            endpoint=endpoint, region=region, access_key=access_key, secret_key=secret_key, secure=secure, ca=ca,
            deadline=deadline,
        )  # fmt: skip
        self._uploads = Uploads(self._s3, bucket)
        self._lives = Lives(self._s3, bucket)
        self.locks = False
        """Whether the bucket keeps objects until a date (S3 Object Lock), as `check` found it."""

    def check(self) -> None:
        """Look whether bucket and credentials are good, and whether the bucket has object lock.

        Raises:
            DependencyFailed: `bucket_missing`, `object_store_refused`, `object_store_failed`, `key_file_failed`.
            IntegrityFailed: `key_file_malformed`.
        """
        self._s3.call(lambda c: next(c._list_objects(self._bucket, prefix=self._base, max_keys=1), None))
        self.locks = self._lives.can_be_kept()

    def put(self, key: str, data: BinaryIO, *, size: int, sha256: str, keep_until: str | None = None) -> None:
        """Store `size` bytes under `key`, whole or not at all; durable when it returns. Same key, same bytes: no-op.

        Raises:
            Conflict: `object_exists`, the key holds other bytes.
            DependencyFailed: `object_store_full`, `object_store_failed`, `object_store_refused`, `bucket_missing`.
            IntegrityFailed: `object_corrupt`, the bytes read from `data` do not match `sha256` and `size`, or did not
                arrive as they were sent.
            RequestError: `object_key_refused`.
        """
        name = self._base + checked_key(key)
        until = parse_rfc3339(keep_until) if keep_until and self.locks else None
        if self._head(name) is None:
            headers = {} if until is None else retention(until)
            if self._uploads.put(name, data, size=size, sha256=sha256, headers=headers):
                if size > PART or not self._uploads.guarded:
                    self._check_stored(key, name, size=size, sha256=sha256)
                return  # else the server has compared the bytes with their digest, and found nothing in their place
        if not self._holds(key, name, size=size, sha256=sha256):
            raise Conflict("object_exists", key=key)
        if until is not None:
            self._lives.keep(name, until)

    def replace(self, key: str, data: bytes) -> None:
        """Store these bytes under `key`, whole, in place of what was there; what was there is gone.

        Raises:
            DependencyFailed: as `put`.
            IntegrityFailed: `object_corrupt`, other bytes arrived.
            RequestError: `object_key_refused`.
        """
        name = self._base + checked_key(key)
        self._uploads.replace(name, data)
        for version in self._lives.versions(name)[:-1]:
            with suppress(Conflict):  # one that is kept stays, out of sight
                self._lives.remove(key, name, version)

    def read(self, key: str, start: int, length: int) -> bytes:
        """Exactly `length` bytes from `start`; of a whole object, the bytes are those that were put.

        Raises:
            IntegrityFailed: `object_missing`, `object_truncated`, or `object_corrupt` where the whole was read.
            DependencyFailed: `object_store_failed`, `object_store_refused`, `bucket_missing`.
            RequestError: `object_key_refused`.
        """
        name = self._base + checked_key(key)
        if not length:
            if self.size(key) is None:
                raise IntegrityFailed("object_missing", key=key)
            return b""
        for _ in range(2):  # bytes that were changed on their way may arrive the second time
            content, sha256 = self._range(key, name, start, length)
            if sha256 is None or INTL.digest(content).hex() == sha256:
                return content
        raise IntegrityFailed("object_corrupt")

    def size(self, key: str) -> int | None:
        """Bytes stored under `key`, or None.

        Raises:
            DependencyFailed: `object_store_failed`, `object_store_refused`, `bucket_missing`.
            RequestError: `object_key_refused`.
        """
        head = self._head(self._base + checked_key(key))
        if head is None and not self._s3.call(lambda c: c.bucket_exists(self._bucket)):
            raise DependencyFailed("bucket_missing", bucket=self._bucket)
        return None if head is None else head[0]

    def list(self, prefix: str) -> Iterator[str]:
        """Every key that starts with `prefix`, sorted.

        Raises:
            DependencyFailed: `object_store_failed`, `object_store_refused`, `bucket_missing`.
            RequestError: `object_key_refused`.
        """
        folder_of(prefix)
        found = self._s3.call(
            lambda c: [
                str(o.object_name)
                for o in c.list_objects(self._bucket, prefix=self._base + prefix, recursive=True)
                if not o.is_dir
            ]
        )
        return iter(sorted(name.removeprefix(self._base) for name in found))

    def delete(self, key: str) -> None:
        """Remove the object with all its versions; no error if there is none.

        Raises:
            Conflict: `object_kept`, it is under retention.
            DependencyFailed: `object_store_failed`, `object_store_refused`, `bucket_missing`.
            RequestError: `object_key_refused`.
        """
        name = self._base + checked_key(key)
        for version in self._lives.versions(name):
            self._lives.remove(key, name, version)

    def sweep(self, grace: timedelta = _GRACE) -> int:
        """Forget the parts of uploads that began longer than `grace` ago and were never ended; gives their number.

        Raises:
            DependencyFailed: `object_store_failed`, `object_store_refused`, `bucket_missing`.
        """
        before = datetime.now(UTC) - grace
        left = [u for u in self._unfinished() if u.initiated_time and u.initiated_time <= before]
        for upload in left:
            self._uploads.abort(str(upload.object_name), str(upload.upload_id))
        return len(left)

    def _unfinished(self) -> Iterator[Upload]:
        marker: str | None = None
        while True:
            page: ListMultipartUploadsResult = self._s3.call(
                lambda c, marker=marker: c._list_multipart_uploads(  # type: ignore[misc]
                    self._bucket, prefix=self._base, key_marker=marker
                )
            )
            yield from page.uploads
            marker = page.next_key_marker
            if not page.is_truncated or not marker:
                return

    def _head(self, name: str) -> tuple[int, str | None] | None:
        """Size and announced SHA-256 of an object, or None."""
        try:
            found = self._s3.call(lambda c: c.stat_object(self._bucket, name), known=_ABSENT)
        except S3Error:
            return None
        if found.size is None:
            raise DependencyFailed("object_store_failed", reason="malformed_answer")
        return found.size, (found.metadata or {}).get(META)

    def _range(self, key: str, name: str, start: int, length: int) -> tuple[bytes, str | None]:
        """The bytes asked for, and the SHA-256 that they must have where they are the whole object."""
        headers = {"Range": f"bytes={start}-{start + length - 1}"}
        try:
            answer: BaseHTTPResponse = self._s3.call(
                lambda c: c._execute("GET", self._bucket, name, headers=dict(headers)), known=_ABSENT | {"InvalidRange"}
            )
        except S3Error as refusal:
            code = "object_truncated" if refusal.code == "InvalidRange" else "object_missing"
            raise IntegrityFailed(code, key=key) from None
        content = answer.data
        place = _PLACE.fullmatch(answer.headers.get("Content-Range", ""))
        first, total = (int(place[1]), int(place[2])) if place else (0, len(content))
        if first != start or len(content) > length:
            raise DependencyFailed("object_store_failed", reason="range_ignored")
        if len(content) < length:
            raise IntegrityFailed("object_truncated", key=key)
        return content, answer.headers.get(META) if total == length else None

    def _holds(self, key: str, name: str, *, size: int, sha256: str) -> bool:
        """Whether the object has just these bytes, all read back."""
        if self._found(name)[0] != size:
            return False
        digest = INTL.new_digest()
        for start in range(0, size, PART):
            digest.update(self.read(key, start, min(PART, size - start)))
        return digest.hexdigest() == sha256

    def _check_stored(self, key: str, name: str, *, size: int, sha256: str) -> None:
        """After an upload whose answer does not say it all: what lies there is what was sent."""
        if self._found(name) != (size, sha256):
            raise Conflict("object_exists", key=key)

    def _found(self, name: str) -> tuple[int, str | None]:
        found = self._head(name)
        if found is None:
            raise DependencyFailed("object_store_failed", reason="upload_lost")
        return found
