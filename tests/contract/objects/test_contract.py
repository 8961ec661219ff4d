"""One suite for every object store: what `ObjectStore` promises, asked of each in turn."""

from __future__ import annotations

import io
import threading
from pathlib import Path

import pytest

from sandbox.crypto.suite import INTL
from sandbox.errors import Conflict, IntegrityFailed, RequestError, SandboxError
from sandbox.objects.local import LocalObjects
from sandbox.objects.s3_upload import PART
from sandbox.ports import ObjectStore
from tests.contract.objects.conftest import Opens
from tests.servers.proxy import Proxy

KEY = "v1/ver_0190-ab/b0000.t00"
CONTENT = INTL.random(700_001)
LARGE = INTL.random(PART * 2 + 12_345)


@pytest.fixture(params=["folder", "bucket", "locked bucket", "behind a proxy", "by TLS"])
def objects(request: pytest.FixtureRequest, tmp_path: Path) -> ObjectStore:
    if request.param == "folder":
        (tmp_path / "objects").mkdir()
        return LocalObjects(tmp_path / "objects")
    opens: Opens = request.getfixturevalue("opens")
    if request.param == "behind a proxy":
        board: Proxy = request.getfixturevalue("between")
        return opens(endpoint=board.endpoint)
    if request.param == "by TLS":
        board = request.getfixturevalue("secured")
        return opens(endpoint=board.endpoint, secure=True, ca=request.getfixturevalue("authority"))
    return opens(bucket=request.getfixturevalue("buckets")[request.param])


def put(objects: ObjectStore, key: str = KEY, content: bytes = CONTENT, **more: str) -> None:
    objects.put(key, io.BytesIO(content), size=len(content), sha256=INTL.digest(content).hex(), **more)


def whole(objects: ObjectStore, key: str = KEY) -> bytes | None:
    size = objects.size(key)
    return None if size is None else objects.read(key, 0, size)


def test_what_was_put_is_read(objects: ObjectStore) -> None:
    assert objects.size(KEY) is None
    put(objects)
    assert objects.size(KEY) == len(CONTENT)
    assert whole(objects) == CONTENT
    assert objects.read(KEY, 1_000, 5) == CONTENT[1_000:1_005]
    assert objects.read(KEY, len(CONTENT) - 1, 1) == CONTENT[-1:]
    assert objects.read(KEY, len(CONTENT), 0) == b""


def test_an_empty_object_is_an_object(objects: ObjectStore) -> None:
    put(objects, content=b"")
    put(objects, content=b"")
    assert objects.size(KEY) == 0
    assert objects.read(KEY, 0, 0) == b""
    assert list(objects.list("")) == [KEY]
    with pytest.raises(IntegrityFailed, match="object_truncated"):
        objects.read(KEY, 0, 1)


def test_an_object_of_several_parts_is_whole(objects: ObjectStore) -> None:
    put(objects, content=LARGE)
    put(objects, content=LARGE)
    assert objects.size(KEY) == len(LARGE)
    assert objects.read(KEY, PART - 3, 6) == LARGE[PART - 3 : PART + 3]
    assert INTL.digest(objects.read(KEY, 0, len(LARGE))) == INTL.digest(LARGE)
    with pytest.raises(Conflict, match="object_exists"):
        put(objects, content=LARGE[:-1] + bytes([LARGE[-1] ^ 1]))
    with pytest.raises(Conflict, match="object_exists"):
        put(objects, content=CONTENT)


@pytest.mark.parametrize("content", [b"", CONTENT[:-1], CONTENT[:-1] + b"x", CONTENT + b"x", LARGE])
def test_other_bytes_never_replace_an_object(objects: ObjectStore, content: bytes) -> None:
    put(objects)
    put(objects)
    if content == CONTENT:
        content = content[:-1] + b"y"
    with pytest.raises(Conflict) as refused:
        put(objects, content=content)
    assert (refused.value.code, refused.value.params) == ("object_exists", {"key": KEY})
    assert whole(objects) == CONTENT


@pytest.mark.parametrize("content", [CONTENT, LARGE], ids=["one part", "parts"])
@pytest.mark.parametrize("wrong", ["shorter", "longer", "other bytes", "nothing"])
def test_bytes_that_are_not_as_announced_are_not_stored(objects: ObjectStore, content: bytes, wrong: str) -> None:
    size = {"shorter": len(content) - 1, "longer": len(content) + 1, "nothing": 0}.get(wrong, len(content))
    sha256 = INTL.digest(b"" if wrong == "nothing" else b"other" if wrong == "other bytes" else content).hex()
    with pytest.raises(IntegrityFailed, match="object_corrupt"):
        objects.put(KEY, io.BytesIO(content), size=size, sha256=sha256)
    assert objects.size(KEY) is None
    assert list(objects.list("")) == []


@pytest.mark.parametrize("content", [CONTENT, LARGE], ids=["one part", "parts"])
def test_more_bytes_than_announced_are_not_stored(objects: ObjectStore, content: bytes) -> None:
    with pytest.raises(IntegrityFailed, match="object_corrupt"):
        objects.put(KEY, io.BytesIO(content), size=len(content) - 1, sha256=INTL.digest(content[:-1]).hex())
    assert objects.size(KEY) is None


def test_a_source_that_gives_little_at_a_time_is_read_to_its_end(objects: ObjectStore) -> None:
    class Sips(io.BytesIO):
        def read(self, size: int | None = -1) -> bytes:
            return super().read(min(size or 0, 99_991))

    objects.put(KEY, Sips(LARGE), size=len(LARGE), sha256=INTL.digest(LARGE).hex())
    assert objects.size(KEY) == len(LARGE)


def test_a_source_that_fails_in_the_middle_leaves_nothing(objects: ObjectStore) -> None:
    class Breaks(io.BytesIO):
        def read(self, size: int | None = -1) -> bytes:
            if self.tell() > PART:
                raise KeyboardInterrupt
            return super().read(size)

    with pytest.raises(KeyboardInterrupt):
        objects.put(KEY, Breaks(LARGE), size=len(LARGE), sha256=INTL.digest(LARGE).hex())
    assert objects.size(KEY) is None
    assert list(objects.list("")) == []
    put(objects, content=LARGE)


def test_a_missing_object_and_a_short_one_are_told_apart(objects: ObjectStore) -> None:
    put(objects, content=b"12345")
    for key in ("v1/none", "v1", KEY + ".more"):
        for length in (0, 1):
            with pytest.raises(IntegrityFailed, match="object_missing"):
                objects.read(key, 0, length)
        assert objects.size(key) is None
    for start, length in ((0, 6), (4, 2), (5, 1), (99, 1)):
        with pytest.raises(IntegrityFailed) as refused:
            objects.read(KEY, start, length)
        assert (refused.value.code, refused.value.params) == ("object_truncated", {"key": KEY})


def test_keys_are_listed_by_prefix_in_the_order_of_their_text(objects: ObjectStore) -> None:
    keys = ["v1/b", "v1/a.x", "v1/a/2", "v1/a/10", "v1/a-b/c", "v2/a", "V1/z"]
    for key in keys:
        put(objects, key, key.encode())
    assert list(objects.list("")) == sorted(keys)
    assert list(objects.list("v1/a")) == sorted(k for k in keys if k.startswith("v1/a"))
    assert list(objects.list("v1/a/")) == ["v1/a/10", "v1/a/2"]
    assert list(objects.list("v1/a/1")) == ["v1/a/10"]
    assert list(objects.list("v3/")) == []


def test_a_deleted_object_is_gone_and_deleting_again_is_no_error(objects: ObjectStore) -> None:
    put(objects)
    put(objects, KEY + "0", b"a neighbour")
    objects.delete(KEY)
    objects.delete(KEY)
    objects.delete("v1/none/at/all")
    assert objects.size(KEY) is None
    assert list(objects.list("")) == [KEY + "0"]
    put(objects, content=b"other")
    assert whole(objects) == b"other"


def test_a_pointer_is_replaced_whole(objects: ObjectStore) -> None:
    for content in (b"first", b"", LARGE[:100_000], b"last"):
        objects.replace("log/latest", content)
        assert whole(objects, "log/latest") == content
    assert list(objects.list("")) == ["log/latest"]
    with pytest.raises(Conflict, match="object_exists"):
        put(objects, "log/latest", b"other")
    objects.delete("log/latest")
    assert objects.size("log/latest") is None


def test_a_reader_sees_the_old_pointer_or_the_new_one(objects: ObjectStore) -> None:
    contents = [bytes([n]) * 20_000 for n in range(8)]
    objects.replace("log/latest", contents[0])
    over, seen = threading.Event(), set[bytes]()

    def watch() -> None:
        while not over.is_set():
            seen.add(objects.read("log/latest", 0, 20_000))

    watching = threading.Thread(target=watch)
    watching.start()
    try:
        for content in contents:
            objects.replace("log/latest", content)
    finally:
        over.set()
        watching.join(60)
    assert seen
    assert seen <= set(contents)


def test_a_wish_to_keep_never_hinders_the_put(objects: ObjectStore) -> None:
    put(objects, keep_until="2099-01-01T00:00:00Z")
    put(objects, keep_until="2099-01-01T00:00:00.000Z")
    assert whole(objects) == CONTENT


@pytest.mark.parametrize(
    "key",
    [
        "",
        "/a",
        "a/",
        "a//b",
        "../a",
        "a/../b",
        ".hidden",
        "a/.hidden",
        "a b",
        "a\n",
        "ä",
        "a" * 201,
        "a?b",
        "a%2fb",
        "a\\b",
    ],
)
def test_keys_that_could_lead_elsewhere_are_refused(objects: ObjectStore, key: str) -> None:
    for attempt in (
        lambda: put(objects, key, b"x"),
        lambda: objects.replace(key, b"x"),
        lambda: objects.read(key, 0, 1),
        lambda: objects.size(key),
        lambda: objects.delete(key),
    ):
        with pytest.raises(RequestError, match="object_key_refused"):
            attempt()
    if "/" in key.rstrip("/"):
        with pytest.raises(RequestError, match="object_key_refused"):
            list(objects.list(key.rstrip("/") + "/"))


def test_of_many_puts_to_one_key_one_wins_whole(objects: ObjectStore) -> None:
    outcomes: list[tuple[bytes, str]] = []

    def attempt(content: bytes) -> None:
        try:
            put(objects, content=content)
            outcomes.append((content, "stored"))
        except SandboxError as refused:
            outcomes.append((content, refused.code))

    contents = [bytes([n]) * 300_000 for n in range(4)]
    threads = [threading.Thread(target=attempt, args=(content,)) for content in contents * 2]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    stored = {content for content, outcome in outcomes if outcome == "stored"}
    assert {outcome for _, outcome in outcomes} == {"stored", "object_exists"}
    assert stored == {objects.read(KEY, 0, 300_000)}
    assert list(objects.list("")) == [KEY]


def test_two_homes_in_one_bucket_do_not_see_each_other(opens: Opens) -> None:
    one, other = opens(prefix="neighbours/a"), opens(prefix="neighbours/ab")
    put(one, "b/x", b"1")
    put(other, "x", b"2")
    assert (list(one.list("")), list(other.list(""))) == (["b/x"], ["x"])
    one.delete("b/x")
    assert list(other.list("")) == ["x"]
