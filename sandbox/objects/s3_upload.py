"""Uploads to S3: in one request or in parts, checked by the server and never over what is there already."""

from __future__ import annotations

import base64
from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import BinaryIO, Final
from xml.sax.saxutils import escape

from minio.error import S3Error

from sandbox.crypto.suite import INTL, Digest
from sandbox.errors import IntegrityFailed, SandboxError
from sandbox.objects.s3_calls import S3Calls

PART: Final = 8 << 20
"""Bytes of a part, which must leave within a third of the deadline; S3 wants 5 MiB or more, and takes 10,000."""
META: Final = "x-amz-meta-sha256"
"""The header that tells the SHA-256 of the whole object, in hex."""

_CHECKSUM: Final = "x-amz-checksum-sha256"
_TAKEN: Final = frozenset({"PreconditionFailed", "ConditionalRequestConflict"})
_UNKNOWN: Final = frozenset({"NotImplemented"})


class Uploads:
    """Uploads into one bucket; every method tells whether it stored the object, or found another in its place."""

    def __init__(self, s3: S3Calls, bucket: str) -> None:
        self._s3 = s3
        self._bucket = bucket
        self.guarded = True
        """Until the server says that it knows no conditional writes."""

    def put(self, name: str, data: BinaryIO, *, size: int, sha256: str, headers: Mapping[str, str]) -> bool:
        """Upload `size` bytes as announced, where nothing is.

        Raises:
            IntegrityFailed: `object_corrupt`, `data` is not as announced, or did not arrive so.
            DependencyFailed: as `S3Calls.call`.
        """
        headers = {**headers, META: sha256, "Content-Type": "application/octet-stream"}
        if size > PART:
            return self._put_parts(name, data, size=size, sha256=sha256, headers=headers)
        content = _filled(data, size + 1)
        if len(content) != size or INTL.digest(content).hex() != sha256:
            raise IntegrityFailed("object_corrupt")
        return self._guarded("PUT", name, content, {**headers, _CHECKSUM: _base64(INTL.digest(content))}, {})

    def replace(self, name: str, content: bytes) -> None:
        """Upload these bytes, whatever is there.

        Raises:
            IntegrityFailed: `object_corrupt`, other bytes arrived.
            DependencyFailed: as `S3Calls.call`.
        """
        digest = INTL.digest(content)
        headers = {META: digest.hex(), _CHECKSUM: _base64(digest), "Content-Type": "application/octet-stream"}
        self._s3.call(lambda c: c._put_object(self._bucket, name, content, dict(headers)))

    def _put_parts(self, name: str, data: BinaryIO, *, size: int, sha256: str, headers: dict[str, str]) -> bool:
        created = {**headers, "x-amz-checksum-algorithm": "SHA256"}
        upload = self._s3.call(lambda c: c._create_multipart_upload(self._bucket, name, dict(created)))
        stored = False
        try:
            whole = INTL.new_digest()
            parts = "".join(self._parts(name, upload, data, size, whole))
            if data.read(1) or whole.hexdigest() != sha256:
                raise IntegrityFailed("object_corrupt")
            body = f"<CompleteMultipartUpload>{parts}</CompleteMultipartUpload>".encode("ascii")
            stored = self._guarded("POST", name, body, {"Content-Type": "application/xml"}, {"uploadId": upload})
            return stored
        finally:
            if not stored:
                self.abort(name, upload)

    def abort(self, name: str, upload: str) -> None:
        """Forget the parts of an upload, if the server can be reached; else a sweep will."""
        with suppress(SandboxError):
            self._s3.call(lambda c: c._abort_multipart_upload(self._bucket, name, upload))

    def _parts(self, name: str, upload: str, data: BinaryIO, size: int, whole: Digest) -> Iterator[str]:
        """Send the parts; gives what the server wants to be told of each at the end."""
        for number in range(1, -(-size // PART) + 1):
            wanted = min(PART, size - (number - 1) * PART)
            content = _filled(data, wanted)
            if len(content) != wanted:
                raise IntegrityFailed("object_corrupt")
            whole.update(content)
            checksum = _base64(INTL.digest(content))
            place = {"partNumber": str(number), "uploadId": upload}
            etag = self._s3.call(
                lambda c, content=content, checksum=checksum, place=place: c._put_object(  # type: ignore[misc]
                    self._bucket, name, content, {_CHECKSUM: checksum}, place
                )
            ).etag
            yield (
                f"<Part><PartNumber>{number}</PartNumber><ETag>&quot;{escape(etag)}&quot;</ETag>"
                f"<ChecksumSHA256>{checksum}</ChecksumSHA256></Part>"
            )

    def _guarded(self, method: str, name: str, body: bytes, headers: dict[str, str], query: dict[str, str]) -> bool:
        """Write on the condition that nothing is there, as far as the server knows conditions.

        False also when a second try, after an answer that was lost, finds what the first has stored.
        """
        condition = {"If-None-Match": "*"} if self.guarded else {}
        try:
            self._s3.call(
                lambda c: c._execute(
                    method, self._bucket, name, body=body, headers={**headers, **condition}, query_params={**query}
                ),
                known=_TAKEN | (_UNKNOWN if condition else frozenset()) | {"NoSuchUpload"},
            )
        except S3Error as answer:
            if answer.code not in _UNKNOWN:
                return False
            self.guarded = False
            return self._guarded(method, name, body, headers, query)
        return True


def _filled(data: BinaryIO, size: int) -> bytes:
    """`size` bytes, or what there is."""
    pieces: list[bytes] = []
    while size and (piece := data.read(size)):
        pieces.append(piece)
        size -= len(piece)
    return b"".join(pieces)


def _base64(digest: bytes) -> str:
    return base64.b64encode(digest).decode("ascii")
