"""Watched objects: every call is passed on, failures are counted, refusals are not."""

from __future__ import annotations

import hashlib
import io
from pathlib import Path

import pytest

from sandbox.errors import Conflict, DependencyFailed, IntegrityFailed, RequestError
from sandbox.objects.local import LocalObjects
from sandbox.objects.watched import WatchedObjects


def test_every_call_is_passed_on_and_failures_are_counted(tmp_path: Path) -> None:
    objects = WatchedObjects(LocalObjects(tmp_path))
    digest = hashlib.sha256(b"bytes").hexdigest()
    objects.put("v1/a", io.BytesIO(b"bytes"), size=5, sha256=digest, keep_until="2099-01-01T00:00:00Z")
    objects.replace("v1/b", b"newest")
    assert (objects.read("v1/a", 1, 3), objects.size("v1/b"), objects.size("v1/c")) == (b"yte", 6, None)
    assert list(objects.list("v1/")) == ["v1/a", "v1/b"]
    with pytest.raises(Conflict):
        objects.put("v1/b", io.BytesIO(b"bytes"), size=5, sha256=digest)
    with pytest.raises(RequestError):
        objects.size("../a")
    assert objects.failures() == {}
    objects.delete("v1/a")
    for _ in range(2):
        with pytest.raises(IntegrityFailed):
            objects.read("v1/a", 0, 1)
    with pytest.raises(IntegrityFailed):
        objects.read("v1/b", 0, 100)
    assert objects.failures() == {"object_missing": 2, "object_truncated": 1}


def test_a_store_that_is_gone_is_counted_where_it_is_listed(tmp_path: Path) -> None:
    class Gone(LocalObjects):
        def list(self, prefix: str):  # type: ignore[no-untyped-def]
            yield f"{prefix}a"
            raise DependencyFailed("object_store_failed")

    objects = WatchedObjects(Gone(tmp_path))
    with pytest.raises(DependencyFailed):
        list(objects.list("v1/"))
    assert objects.failures() == {"object_store_failed": 1}
