"""A bucket whose server or network fails: errors by name, in bounded time, and never half an object."""

from __future__ import annotations

import datetime as dt
import io
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from uuid import uuid4

import pytest

from sandbox.crypto.stream import SegmentReader, seal_stream
from sandbox.crypto.suite import INTL, KEY_SIZE
from sandbox.errors import DependencyFailed, IntegrityFailed, SandboxError
from sandbox.objects.s3 import S3Objects
from sandbox.objects.s3_upload import PART
from tests.contract.objects.conftest import Opens
from tests.servers.proxy import Asked, Fault, Proxy
from tests.servers.seaweed import Seaweed, key_files, seaweed

KEY = "v1/ver_1/b0000.t00"
CONTENT = INTL.random(300_000)
LARGE = INTL.random(PART * 2 + 777)
AT_ONCE = dt.timedelta(0)

pytestmark = pytest.mark.timeout(60)  # a hang is what these tests are about


def put(objects: S3Objects, content: bytes = CONTENT, key: str = KEY, source: io.BytesIO | None = None) -> None:
    objects.put(key, source or io.BytesIO(content), size=len(content), sha256=INTL.digest(content).hex())


def whole(objects: S3Objects) -> bytes:
    return objects.read(KEY, 0, objects.size(KEY) or 0)


class Source(io.BytesIO):
    """Bytes that do something when the second part is asked for."""

    def __init__(self, content: bytes, then: Callable[[], object]) -> None:
        super().__init__(content)
        self.then = then

    def read(self, size: int | None = -1) -> bytes:
        if self.tell() == PART:
            self.then()
        return super().read(size)


@pytest.fixture
def objects(opens: Opens, between: Proxy) -> S3Objects:
    return opens(endpoint=between.endpoint, prefix=f"faults/{uuid4()}")


@pytest.fixture
def hasty(objects: S3Objects, opens: Opens, between: Proxy) -> S3Objects:
    """The same place, for whoever does not wait long."""
    return opens(endpoint=between.endpoint, prefix=objects._base, deadline=1.5)


OPERATIONS: dict[str, Callable[[S3Objects], object]] = {
    "put": lambda o: put(o, b"other", "v1/other"),
    "put of parts": lambda o: put(o, LARGE, "v1/large"),
    "put again": put,
    "replace": lambda o: o.replace("log/latest", b"newest"),
    "read": whole,
    "size": lambda o: o.size(KEY),
    "list": lambda o: list(o.list("")),
    "delete": lambda o: o.delete(KEY),
    "sweep": lambda o: o.sweep(),
    "check": lambda o: o.check(),
}


@pytest.mark.parametrize("operation", OPERATIONS)
@pytest.mark.parametrize("fault", [Fault.UNAVAILABLE, Fault.CUT, Fault.DROP])
def test_a_fault_that_passes_is_not_noticed(objects: S3Objects, between: Proxy, fault: Fault, operation: str) -> None:
    put(objects)
    before = sorted(objects.list(""))
    between.calm()
    between.fault(fault, when=lambda _: len(between.asked) % 2 == 1)  # each request fails, and its second try does not
    OPERATIONS[operation](objects)
    asked = len(between.asked)
    between.calm()
    assert asked > 1
    after = set(objects.list(""))
    assert after - set(before) == {"put": {"v1/other"}, "put of parts": {"v1/large"}, "replace": {"log/latest"}}.get(
        operation, set()
    )
    if operation != "delete":
        assert whole(objects) == CONTENT
    if operation == "put of parts":
        assert objects.read("v1/large", 0, len(LARGE)) == LARGE


STAYS = {
    Fault.UNAVAILABLE: ("object_store_failed", "http_503", ["put", "read", "delete"]),
    Fault.DROP: ("object_store_failed", "cut_off", ["replace", "read", "list"]),
    Fault.FULL: ("object_store_full", "XMinioStorageFull", OPERATIONS),
    Fault.EXPIRED: ("object_store_refused", "ExpiredToken", OPERATIONS),
}


@pytest.mark.parametrize(
    ("fault", "code", "reason", "operation"),
    [(fault, code, reason, op) for fault, (code, reason, operations) in STAYS.items() for op in operations],
)
def test_a_fault_that_stays_is_named(
    objects: S3Objects, hasty: S3Objects, between: Proxy, fault: Fault, code: str, reason: str, operation: str
) -> None:
    put(objects)
    between.fault(fault)
    with pytest.raises(DependencyFailed) as refused:
        OPERATIONS[operation](hasty)
    assert refused.value.code == code
    # An answer to HEAD has no body that could tell more.
    assert refused.value.params["reason"] in {reason, "http_507", "AccessDenied"}
    between.calm()
    assert sorted(objects.list("")) == [KEY]
    assert whole(objects) == CONTENT


@pytest.mark.parametrize(
    ("fault", "reason", "operation"),
    [
        (Fault.TRICKLE, "timeout", "read"),
        (Fault.TRICKLE, "timeout", "put"),
        (Fault.SILENCE, "timeout", "list"),
        (Fault.SILENCE, "timeout", "put"),
        (Fault.CUT, "cut_off", "read"),
        (Fault.CUT, "cut_off", "replace"),
    ],
)
def test_a_server_that_never_ends_its_answer_is_left(
    objects: S3Objects, hasty: S3Objects, between: Proxy, fault: Fault, reason: str, operation: str
) -> None:
    put(objects)
    between.fault(fault)
    with pytest.raises(DependencyFailed) as refused:
        OPERATIONS[operation](hasty)
    assert (refused.value.code, refused.value.params) == ("object_store_failed", {"reason": reason})


def test_what_is_no_answer_at_all_is_named(objects: S3Objects, between: Proxy) -> None:
    between.fault(Fault.GARBAGE, when=lambda asked: asked.method != "HEAD")
    for operation in (lambda: list(objects.list("")), lambda: objects.delete(KEY), lambda: put(objects, LARGE)):
        with pytest.raises(DependencyFailed) as refused:
            operation()
        assert refused.value.params == {"reason": "malformed_answer"}


def test_a_part_that_fails_leaves_no_object_and_no_parts(objects: S3Objects, between: Proxy) -> None:
    between.fault(Fault.FULL, when=lambda asked: "partNumber=2" in asked.path)
    with pytest.raises(DependencyFailed, match="object_store_full"):
        put(objects, LARGE)
    assert objects.size(KEY) is None
    assert objects.sweep(AT_ONCE) == 0
    between.calm()
    put(objects, LARGE)
    assert objects.read(KEY, 0, len(LARGE)) == LARGE


def test_a_lost_end_of_an_upload_is_found_out(objects: S3Objects, between: Proxy) -> None:
    """The server has put the parts together, but the answer is lost each time: what lies there counts."""
    between.fault(Fault.CUT, times=3, when=lambda asked: asked.method == "POST" and "uploadId" in asked.path)
    put(objects, LARGE)
    assert objects.read(KEY, 0, len(LARGE)) == LARGE


# ── Lies ──


def test_a_lie_about_a_whole_object_is_read_again_or_refused(objects: S3Objects, between: Proxy) -> None:
    put(objects)
    between.fault(Fault.LIE, times=1, when=lambda asked: asked.method == "GET")
    assert whole(objects) == CONTENT
    between.fault(Fault.LIE, when=lambda asked: asked.method == "GET")
    with pytest.raises(IntegrityFailed, match="object_corrupt"):
        whole(objects)


def test_a_lie_about_a_part_of_a_sealed_object_is_refused_by_its_seal(objects: S3Objects, between: Proxy) -> None:
    sealed, key = io.BytesIO(), INTL.random(KEY_SIZE)
    result = seal_stream(io.BytesIO(INTL.random(1_000_000)), sealed, key=key, aad=b"x")
    put(objects, sealed.getvalue())
    reader = SegmentReader(
        lambda start, length: objects.read(KEY, start, length), sealed_size=result.sealed_size, key=key, aad=b"x"
    )
    between.fault(Fault.LIE, when=lambda asked: asked.method == "GET")
    with pytest.raises(IntegrityFailed, match="object_corrupt"):
        reader.read(400_000, 10)


@pytest.mark.parametrize("content", [CONTENT, LARGE], ids=["one part", "parts"])
def test_bytes_changed_on_their_way_up_are_not_stored(objects: S3Objects, between: Proxy, content: bytes) -> None:
    between.fault(Fault.LIE_UP, when=lambda asked: asked.method == "PUT")
    with pytest.raises(IntegrityFailed, match="object_corrupt"):
        put(objects, content)
    with pytest.raises(IntegrityFailed, match="object_corrupt"):
        objects.replace("log/latest", content[:1000])
    between.calm()
    assert list(objects.list("")) == []
    assert objects.sweep(AT_ONCE) == 0


def test_bytes_changed_on_their_way_up_by_tls_are_not_stored(opens: Opens, secured: Proxy, authority: Path) -> None:
    """By TLS the SDK signs no payload: the server has only the checksum to go by."""
    secured.calm()
    objects = opens(endpoint=secured.endpoint, secure=True, ca=authority)
    secured.fault(Fault.LIE_UP, when=lambda asked: asked.method == "PUT")
    for content in (CONTENT, LARGE):
        with pytest.raises(IntegrityFailed, match="object_corrupt"):
            put(objects, content)
    secured.calm()
    assert list(objects.list("")) == []


# ── Servers that know less ──


def test_a_server_without_conditional_writes_is_asked_before_and_after(objects: S3Objects, between: Proxy) -> None:
    between.fault(Fault.NO_CONDITIONS)
    put(objects)
    put(objects)
    with pytest.raises(SandboxError, match="object_exists"):
        put(objects, CONTENT[:-1])
    put(objects, LARGE, "v1/large")
    assert whole(objects) == CONTENT
    assert objects.read("v1/large", 0, len(LARGE)) == LARGE
    assert sum("If-None-Match" in asked.headers for asked in between.asked) == 1


def test_a_race_that_no_condition_decides_is_found_out(objects: S3Objects, between: Proxy, server: Seaweed) -> None:
    def overtake(asked: Asked) -> bool:
        if asked.method == "HEAD" and any(earlier.method == "PUT" for earlier in between.asked):
            server.client().put_object(objects._bucket, objects._base + KEY, io.BytesIO(b"other"), 5)
        return False

    between.fault(Fault.CUT, when=overtake)
    between.fault(Fault.NO_CONDITIONS)
    with pytest.raises(SandboxError, match="object_exists"):
        put(objects)


def test_a_success_that_is_none_is_found_out(objects: S3Objects, between: Proxy) -> None:
    """S3 may begin an answer of 200 before it knows that the parts cannot be put together."""
    between.fault(Fault.GARBAGE, when=lambda asked: asked.method == "POST" and "uploadId" in asked.path)
    with pytest.raises(DependencyFailed) as refused:
        put(objects, LARGE)
    assert refused.value.params == {"reason": "upload_lost"}


# ── Credentials ──


def test_credentials_renewed_on_disk_are_taken_up(objects: S3Objects, between: Proxy, tmp_path: Path) -> None:
    def expired(asked: Asked) -> bool:
        return "Credential=house/" in asked.headers["Authorization"]

    def renew() -> None:
        between.fault(Fault.EXPIRED, when=expired)
        key_files(tmp_path / "keys", "successor")

    put(objects, LARGE, source=Source(LARGE, renew))
    assert objects.read(KEY, 0, len(LARGE)) == LARGE
    assert {"house", "successor"} == {
        asked.headers["Authorization"].partition("Credential=")[2].partition("/")[0] for asked in between.asked
    }


def test_credentials_that_expire_in_mid_upload_are_named(objects: S3Objects, between: Proxy) -> None:
    with pytest.raises(DependencyFailed) as refused:
        put(objects, LARGE, source=Source(LARGE, lambda: between.fault(Fault.EXPIRED)))
    assert (refused.value.code, refused.value.params) == ("object_store_refused", {"reason": "ExpiredToken"})
    between.calm()
    assert objects.size(KEY) is None
    assert objects.sweep(AT_ONCE) == 1, "the parts could not be forgotten with those credentials"


def test_a_session_token_goes_along(objects: S3Objects, between: Proxy, tmp_path: Path, opens: Opens) -> None:
    secret = key_files(tmp_path / "more")[1]
    secret.write_text(secret.read_text() + "a-token\n")
    with pytest.raises(DependencyFailed, match="object_store_refused"):  # this server has given no tokens
        opens(endpoint=between.endpoint, secret=secret.read_text())
    assert {asked.headers.get("X-Amz-Security-Token") for asked in between.asked if asked.method == "GET"} >= {
        "a-token"
    }


@pytest.mark.parametrize(
    ("given", "code", "params"),
    [
        ({"bucket": "no-such-bucket"}, "bucket_missing", {"bucket": "no-such-bucket"}),
        ({"who": "nobody", "secret": "x"}, "object_store_refused", {"reason": "InvalidAccessKeyId"}),
        ({"secret": "wrong"}, "object_store_refused", {"reason": "SignatureDoesNotMatch"}),
        ({"who": "stranger"}, "object_store_refused", {"reason": "AccessDenied"}),
        ({"secret": " "}, "key_file_malformed", None),
        ({"endpoint": "127.0.0.1:1", "deadline": 2.0}, "object_store_failed", {"reason": "unreachable"}),
        ({"secure": True, "deadline": 2.0}, "object_store_failed", {"reason": "tls"}),
    ],
)
def test_what_is_wrong_with_a_bucket_is_named_at_once(
    opens: Opens, given: dict[str, object], code: str, params: dict[str, str] | None
) -> None:
    with pytest.raises(SandboxError) as refused:
        opens(**given)
    assert refused.value.code == code
    assert params is None or refused.value.params == params


def test_a_certificate_of_nobody_we_trust_is_refused(opens: Opens, secured: Proxy) -> None:
    with pytest.raises(DependencyFailed) as refused:
        opens(endpoint=secured.endpoint, secure=True, deadline=2.0)
    assert refused.value.params == {"reason": "tls"}


def test_a_bucket_that_vanishes_is_named(server: Seaweed, opens: Opens) -> None:
    name = server.bucket()
    objects = opens(bucket=name)
    server.client().remove_bucket(name)
    for operation in ("size", "read", "list", "put", "delete", "replace"):
        with pytest.raises(DependencyFailed) as refused:
            OPERATIONS[operation](objects)
        assert (refused.value.code, refused.value.params) == ("bucket_missing", {"bucket": name}), operation


# ── Deaths ──

DIES = """
import os, sys
from pathlib import Path
from sandbox.objects.s3 import S3Objects
from sandbox.objects.s3_upload import PART

class Source:
    left = 2
    def read(self, size):
        if not self.left:
            os._exit(9)
        self.left -= 1
        return bytes(size)

endpoint, bucket, prefix, access, secret, key = sys.argv[1:]
S3Objects(
    endpoint=endpoint, bucket=bucket, prefix=prefix, region="us-east-1", access_key=Path(access),
    secret_key=Path(secret), secure=False, ca=None,
).put(key, Source(), size=3 * PART, sha256="00" * 32)
"""


def test_a_put_that_died_is_invisible_and_swept(
    opens: Opens, server: Seaweed, buckets: dict[str, str], tmp_path: Path
) -> None:
    objects = opens(prefix="mortal")
    files = [str(file) for file in key_files(tmp_path / "keys")]
    arguments = [server.endpoint, buckets["bucket"], "mortal", *files, KEY]
    died = subprocess.run([sys.executable, "-c", DIES, *arguments], check=False)
    assert died.returncode == 9
    assert objects.size(KEY) is None
    assert list(objects.list("")) == []
    uploads = server.client()._list_multipart_uploads(buckets["bucket"], prefix="mortal/").uploads
    assert [upload.object_name for upload in uploads] == [f"mortal/{KEY}"]
    assert objects.sweep() == 0, "it may still be under way"
    put(objects)
    assert objects.sweep(AT_ONCE) == 1
    assert objects.sweep(AT_ONCE) == 0
    assert whole(objects) == CONTENT


def test_a_server_killed_in_mid_upload_has_nothing_of_it(opens: Opens) -> None:
    with seaweed() as mortal:
        bucket = mortal.bucket()
        objects = opens(endpoint=mortal.endpoint, bucket=bucket, prefix="x", deadline=3.0)
        hasty = opens(endpoint=mortal.endpoint, bucket=bucket, prefix="x", deadline=0.5)
        put(objects)
        with pytest.raises(DependencyFailed) as refused:
            put(objects, LARGE, "v1/large", Source(LARGE, mortal.kill))
        assert refused.value.code == "object_store_failed"
        for operation in OPERATIONS.values():
            with pytest.raises(DependencyFailed, match="object_store_failed"):
                operation(hasty)
        mortal.restart()
        objects = opens(endpoint=mortal.endpoint, bucket=bucket, prefix="x")
        assert list(objects.list("")) == [KEY]
        assert whole(objects) == CONTENT
        assert [o.object_name for o in mortal.client().list_objects(bucket, recursive=True)] == [f"x/{KEY}"]
        objects.sweep(AT_ONCE)
        put(objects, LARGE, "v1/large")
        assert objects.read("v1/large", 0, len(LARGE)) == LARGE
