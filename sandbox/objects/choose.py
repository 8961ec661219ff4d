"""Which object store a home uses: the folder or the bucket that its settings name."""

from __future__ import annotations

from pathlib import Path
from typing import TypeVar
from urllib.parse import urlsplit

from sandbox.errors import RequestError
from sandbox.objects.local import LocalObjects
from sandbox.ports import ObjectStore
from sandbox.settings import Settings, is_loopback

Given = TypeVar("Given")


def open_objects(home: Path, settings: Settings, *, sweep: bool = False) -> ObjectStore:
    """The home's object store; a bucket is looked at before it is given. `sweep` removes what dead puts have left.

    Raises:
        RequestError: `s3_setting_missing`, `s3_endpoint_refused`, `s3_plain_refused`, `s3_ca_missing`.
        DependencyFailed: `bucket_missing`, `object_store_refused`, `object_store_failed`, `key_file_failed`.
        IntegrityFailed: `key_file_malformed`.
    """
    place = settings.bucket()
    if place is None:
        folder = LocalObjects(home / settings.objects)
        if sweep:
            folder.sweep()
        return folder
    from sandbox.objects.s3 import open_s3

    endpoint = _given(settings.s3_endpoint, "s3_endpoint")
    _check_endpoint(endpoint, secure=settings.s3_secure)
    ca = None if settings.s3_ca is None else home / settings.s3_ca
    if ca is not None and not ca.is_file():
        raise RequestError("s3_ca_missing", path=str(ca))
    bucket = open_s3(
        endpoint=endpoint,
        bucket=place[0],
        prefix=place[1],
        region=settings.s3_region,
        access_key=home / _given(settings.s3_access_key, "s3_access_key"),
        secret_key=home / _given(settings.s3_secret_key, "s3_secret_key"),
        secure=settings.s3_secure,
        ca=ca,
        deadline=settings.s3_seconds,
    )
    if sweep:
        bucket.sweep()
    return bucket


def _given(value: Given | None, setting: str) -> Given:
    if value is None:
        raise RequestError("s3_setting_missing", setting=setting)
    return value


def _check_endpoint(endpoint: str, *, secure: bool) -> None:
    """A host and a port; in the clear only to this machine, where nobody listens between."""
    try:
        parts = urlsplit(f"//{endpoint}")
        host, plain = parts.hostname, parts.netloc == endpoint and "@" not in endpoint and parts.port is not None
    except ValueError:
        host, plain = None, False
    if not host or not plain:
        raise RequestError("s3_endpoint_refused", endpoint=endpoint)
    if not secure and not is_loopback(host):
        raise RequestError("s3_plain_refused", endpoint=endpoint)
