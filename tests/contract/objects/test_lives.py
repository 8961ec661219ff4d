"""Versions and retention, as the server itself tells of them: what is deleted is gone, what is kept stays."""

from __future__ import annotations

import contextlib
import datetime as dt
import io
import time

import pytest
from minio.commonconfig import COMPLIANCE
from minio.error import S3Error

from sandbox.clock import rfc3339
from sandbox.crypto.suite import INTL
from sandbox.errors import Conflict, DependencyFailed
from sandbox.objects.s3 import S3Objects
from sandbox.objects.s3_upload import PART
from tests.contract.objects.conftest import Opens
from tests.servers.proxy import Fault, Proxy
from tests.servers.seaweed import Seaweed

KEY = "v1/ver_1/b0000.t00"
NOW = dt.datetime.now(dt.UTC)


def put(objects: S3Objects, content: bytes = b"content", keep_until: str | None = None) -> None:
    sha256 = INTL.digest(content).hex()
    objects.put(KEY, io.BytesIO(content), size=len(content), sha256=sha256, keep_until=keep_until)


def lying(server: Seaweed, objects: S3Objects, key: str = KEY) -> list[tuple[str, bool]]:
    """Every version that lies under a key, and whether it is only a mark of a deletion."""
    found = server.client().list_objects(
        objects._bucket, prefix=objects._base + key, recursive=True, include_version=True
    )
    return [(str(o.version_id), o.is_delete_marker) for o in found if o.object_name == objects._base + key]


@pytest.fixture(params=["bucket", "versioned bucket", "locked bucket"])
def objects(request: pytest.FixtureRequest, opens: Opens, buckets: dict[str, str]) -> S3Objects:
    return opens(bucket=buckets[request.param])


@pytest.fixture
def locked(opens: Opens, buckets: dict[str, str]) -> S3Objects:
    return opens(bucket=buckets["locked bucket"])


def test_a_store_knows_whether_it_can_lock(opens: Opens, buckets: dict[str, str]) -> None:
    assert {kind: opens(bucket=name).locks for kind, name in buckets.items()} == {
        "bucket": False, "versioned bucket": False, "locked bucket": True,
    }  # fmt: skip


def test_a_deletion_leaves_no_version(objects: S3Objects, server: Seaweed) -> None:
    """Others, with the SDK, have written over the object and marked it deleted: all of it goes."""
    client, name = server.client(), objects._base + KEY
    put(objects)
    client.put_object(objects._bucket, name, io.BytesIO(b"over"), 4)
    client.remove_object(objects._bucket, name)
    client.put_object(objects._bucket, name, io.BytesIO(b"again"), 5)
    client.put_object(objects._bucket, name + "0", io.BytesIO(b"neighbour"), 9)
    objects.delete(KEY)
    assert lying(server, objects) == []
    assert objects.size(KEY + "0") == 9


def test_what_only_a_mark_hides_is_deleted_as_well(opens: Opens, buckets: dict[str, str], server: Seaweed) -> None:
    objects = opens(bucket=buckets["versioned bucket"])
    put(objects)
    server.client().remove_object(objects._bucket, objects._base + KEY)
    assert objects.size(KEY) is None
    assert len(lying(server, objects)) == 2
    objects.delete(KEY)
    assert lying(server, objects) == []


def test_a_pointer_leaves_no_older_versions(objects: S3Objects, server: Seaweed) -> None:
    for content in (b"1", b"2", b"3"):
        objects.replace("log/latest", content)
    assert len(lying(server, objects, "log/latest")) == 1
    assert objects.read("log/latest", 0, 1) == b"3"


def test_an_object_put_twice_is_one_version(objects: S3Objects, server: Seaweed) -> None:
    put(objects)
    put(objects)
    with pytest.raises(Conflict):
        put(objects, b"other")
    assert len(lying(server, objects)) == 1


@pytest.mark.parametrize("content", [b"content", bytes(PART + 1)], ids=["one part", "parts"])
def test_what_is_kept_cannot_be_removed(locked: S3Objects, server: Seaweed, content: bytes) -> None:
    until = NOW + dt.timedelta(days=30)
    put(locked, content, rfc3339(until))
    kept = server.client().get_object_retention(locked._bucket, locked._base + KEY)
    assert kept is not None
    assert (kept.mode, kept.retain_until_date) == (COMPLIANCE, until.replace(microsecond=0))
    with pytest.raises(Conflict) as refused:
        locked.delete(KEY)
    assert refused.value.code == "object_kept"
    assert refused.value.params == {"key": KEY, "until": rfc3339(until.replace(microsecond=0))}
    assert locked.read(KEY, 0, len(content)) == content
    ((version, _),) = lying(server, locked)
    with pytest.raises(S3Error):  # the house is an administrator there, and still cannot
        server.client().remove_object(locked._bucket, locked._base + KEY, version_id=version)


def test_what_was_kept_may_go_when_its_time_is_over(locked: S3Objects, server: Seaweed) -> None:
    put(locked, keep_until=rfc3339(dt.datetime.now(dt.UTC) + dt.timedelta(seconds=2)))
    with pytest.raises(Conflict, match="object_kept"):
        locked.delete(KEY)
    for _ in range(100):
        with contextlib.suppress(Conflict):
            locked.delete(KEY)
            break
        time.sleep(0.1)
    assert lying(server, locked) == []


def test_putting_again_can_only_lengthen_the_time(locked: S3Objects, server: Seaweed) -> None:
    for days, days_kept in ((None, None), (20, 20), (30, 30), (10, 30), (None, 30)):
        put(locked, keep_until=None if days is None else rfc3339(NOW + dt.timedelta(days=days)))
        kept = None
        with contextlib.suppress(S3Error):  # this server's way to say that nothing is kept
            kept = server.client().get_object_retention(locked._bucket, locked._base + KEY)
        assert (kept and kept.retain_until_date) == (
            days_kept and (NOW + dt.timedelta(days=days_kept)).replace(microsecond=0)
        )


def test_a_kept_pointer_is_replaced_and_its_past_stays(locked: S3Objects, server: Seaweed) -> None:
    put(locked, keep_until=rfc3339(NOW + dt.timedelta(days=1)))
    locked.replace(KEY, b"newer")
    assert locked.read(KEY, 0, 5) == b"newer"
    assert len(lying(server, locked)) == 2


def test_a_deletion_that_is_refused_for_another_reason_says_so(opens: Opens, between: Proxy) -> None:
    objects = opens(endpoint=between.endpoint)
    put(objects)
    between.fault(Fault.DENIED, when=lambda asked: asked.method == "DELETE")
    with pytest.raises(DependencyFailed) as refused:
        objects.delete(KEY)
    assert (refused.value.code, refused.value.params) == ("object_store_refused", {"reason": "AccessDenied"})
    assert objects.size(KEY) == len(b"content")
