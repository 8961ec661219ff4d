"""Lives of S3 objects: how long a bucket must keep one, and how all its versions are removed."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Final

from minio.commonconfig import COMPLIANCE
from minio.error import S3Error
from minio.retention import Retention
from minio.time import to_iso8601utc

from sandbox.clock import rfc3339
from sandbox.errors import Conflict
from sandbox.objects.s3_calls import S3Calls

_HELD: Final = frozenset({"AccessDenied", "InvalidRequest", "ObjectLocked"})
_UNLOCKED: Final = frozenset(
    {
        "ObjectLockConfigurationNotFoundError", "NoSuchObjectLockConfiguration", "NotImplemented", "MethodNotAllowed",
        "InvalidRequest",
    }
)  # fmt: skip


def retention(until: datetime) -> dict[str, str]:
    """Headers of an upload that nobody, an administrator included, may remove before then."""
    return {
        "x-amz-object-lock-mode": COMPLIANCE,
        "x-amz-object-lock-retain-until-date": to_iso8601utc(until) or "",
    }


class Lives:
    """What a bucket keeps, and until when. All methods raise what `S3Calls.call` does."""

    def __init__(self, s3: S3Calls, bucket: str) -> None:
        self._s3 = s3
        self._bucket = bucket

    def can_be_kept(self) -> bool:
        """Whether the bucket has object lock."""
        try:
            self._s3.call(lambda c: c.get_object_lock_config(self._bucket), known=_UNLOCKED)
        except S3Error:
            return False
        return True

    def keep(self, name: str, until: datetime) -> None:
        """Keep an object at least until then; what is kept longer stays so."""
        kept = self._kept_until(name, None)
        if kept is None or kept < until:
            self._s3.call(lambda c: c.set_object_retention(self._bucket, name, Retention(COMPLIANCE, until)))

    def versions(self, name: str) -> Sequence[str | None]:
        """Every version of an object, the newest last: who removes them in this order brings no older one to light."""
        found = self._s3.call(
            lambda c: [
                (o.is_latest == "true", o.last_modified, o.version_id)
                for o in c.list_objects(self._bucket, prefix=name, recursive=True, include_version=True)
                if o.object_name == name
            ]
        )
        return [version for _, _, version in sorted(found)]

    def remove(self, key: str, name: str, version: str | None) -> None:
        """Remove one version.

        Raises:
            Conflict: `object_kept`, it is under retention.
        """
        try:
            self._s3.call(lambda c: c.remove_object(self._bucket, name, version_id=version), known=_HELD)
        except S3Error:
            until = self._kept_until(name, version)
            if until is not None and until > datetime.now(UTC):
                raise Conflict("object_kept", key=key, until=rfc3339(until)) from None
            # Refused for another reason, which the second try tells.
            self._s3.call(lambda c: c.remove_object(self._bucket, name, version_id=version))

    def _kept_until(self, name: str, version: str | None) -> datetime | None:
        try:
            kept = self._s3.call(
                lambda c: c.get_object_retention(self._bucket, name, version_id=version), known=_UNLOCKED
            )
        except S3Error:
            return None
        return None if kept is None else kept.retain_until_date
