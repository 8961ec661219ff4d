"""The local store: whole objects or none, never replaced, and clear errors when the disk will not."""

from __future__ import annotations

import errno
import io
import os
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from sandbox.crypto.suite import INTL
from sandbox.errors import Conflict, DependencyFailed, IntegrityFailed, RequestError, SandboxError
from sandbox.objects.local import LocalObjects
from sandbox.ports import ObjectStore

KEY = "v1/ver_0190-ab/b0000.t00"
CONTENT = INTL.random(3_000_001)


@pytest.fixture
def objects(tmp_path: Path) -> LocalObjects:
    return LocalObjects(tmp_path)


def put(objects: ObjectStore, key: str = KEY, content: bytes = CONTENT) -> None:
    objects.put(key, io.BytesIO(content), size=len(content), sha256=INTL.digest(content).hex())


def files(root: Path) -> list[str]:
    return sorted(path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file())


def test_what_was_put_is_read(objects: LocalObjects, tmp_path: Path) -> None:
    put(objects)
    assert objects.size(KEY) == len(CONTENT)
    assert objects.read(KEY, 0, len(CONTENT)) == CONTENT
    assert objects.read(KEY, 1_000, 5) == CONTENT[1_000:1_005]
    assert objects.read(KEY, len(CONTENT), 0) == b""
    assert files(tmp_path) == [KEY]


def test_an_empty_object_is_an_object(objects: LocalObjects) -> None:
    put(objects, content=b"")
    assert objects.size(KEY) == 0
    assert list(objects.list("")) == [KEY]


def test_putting_the_same_again_changes_nothing(objects: LocalObjects, tmp_path: Path) -> None:
    put(objects)
    before = (tmp_path / KEY).stat()
    put(objects)
    after = (tmp_path / KEY).stat()
    assert (before.st_ino, before.st_mtime_ns) == (after.st_ino, after.st_mtime_ns)


@pytest.mark.parametrize("content", [b"", CONTENT[:-1], CONTENT[:-1] + b"x", CONTENT + b"x"])
def test_other_bytes_never_replace_an_object(objects: LocalObjects, content: bytes) -> None:
    put(objects)
    if content == CONTENT:
        content = content[:-1] + b"y"
    with pytest.raises(Conflict, match="object_exists"):
        put(objects, content=content)
    assert objects.read(KEY, 0, len(CONTENT)) == CONTENT


@pytest.mark.parametrize(
    ("size", "sha256"),
    [
        (len(CONTENT) - 1, INTL.digest(CONTENT).hex()),
        (len(CONTENT) + 1, INTL.digest(CONTENT).hex()),
        (len(CONTENT), INTL.digest(b"other").hex()),
        (0, INTL.digest(b"").hex()),
    ],
    ids=["shorter", "longer", "other bytes", "nothing"],
)
def test_bytes_that_are_not_as_announced_are_not_stored(
    objects: LocalObjects, tmp_path: Path, size: int, sha256: str
) -> None:
    with pytest.raises(IntegrityFailed, match="object_corrupt"):
        objects.put(KEY, io.BytesIO(CONTENT), size=size, sha256=sha256)
    assert objects.size(KEY) is None
    assert files(tmp_path) == []


def test_a_missing_object_and_a_short_one_are_told_apart(objects: LocalObjects) -> None:
    put(objects)
    with pytest.raises(IntegrityFailed, match="object_missing"):
        objects.read("v1/none", 0, 1)
    with pytest.raises(IntegrityFailed, match="object_missing"):
        objects.read(f"{KEY}/below", 0, 1)
    for start, length in ((0, len(CONTENT) + 1), (len(CONTENT), 1), (len(CONTENT) + 5, 1)):
        with pytest.raises(IntegrityFailed, match="object_truncated"):
            objects.read(KEY, start, length)
    assert objects.size("v1/none") is None
    assert objects.size(f"{KEY}/below") is None
    assert objects.size("v1") is None, "a folder is no object"


def test_keys_are_listed_by_prefix_in_the_order_of_their_text(objects: LocalObjects) -> None:
    keys = ["a", "b/a-b", "b/a.b", "b/a/x", "b/aa", "b/b/c/d", "bb"]
    for key in reversed(keys):
        put(objects, key, key.encode())
    assert list(objects.list("")) == keys
    assert list(objects.list("b/a")) == ["b/a-b", "b/a.b", "b/a/x", "b/aa"]
    assert list(objects.list("b/")) == keys[1:6]
    assert list(objects.list("b/b/c/d")) == ["b/b/c/d"]
    assert list(objects.list("none/x")) == []
    assert list(objects.list("a/x")) == []


def test_a_deleted_object_is_gone_and_deleting_again_is_no_error(objects: LocalObjects) -> None:
    put(objects)
    objects.delete(KEY)
    objects.delete(KEY)
    objects.delete("v1/none")
    assert objects.size(KEY) is None
    assert list(objects.list("")) == []
    put(objects, content=b"anew")


@pytest.mark.parametrize(
    "key",
    [
        "", "/", "/etc/passwd", "..", "../x", "a/../b", "a/..", ".", "./a", "a//b", "a/", ".unfinished/x", "a/.b",
        "a\0b", "a b", "a\nb", "ключ", "-a", "a" * 201,
    ],
)  # fmt: skip
def test_keys_that_could_lead_elsewhere_are_refused(objects: LocalObjects, key: str) -> None:
    attempts: list[Callable[[], object]] = [
        lambda: put(objects, key),
        lambda: objects.read(key, 0, 1),
        lambda: objects.size(key),
        lambda: objects.delete(key),
    ]
    for attempt in attempts:
        with pytest.raises(RequestError, match="object_key_refused"):
            attempt()


@pytest.mark.parametrize("prefix", ["../", "/etc/", ".unfinished/", "a/../../b"])
def test_prefixes_that_could_lead_elsewhere_are_refused(objects: LocalObjects, prefix: str) -> None:
    with pytest.raises(RequestError, match="object_key_refused"):
        list(objects.list(prefix))


def test_a_key_cannot_be_both_object_and_folder(objects: LocalObjects) -> None:
    put(objects, "a/b", b"1")
    for key in ("a", "a/b/c"):
        with pytest.raises(Conflict, match="object_exists"):
            put(objects, key, b"2")
    assert list(objects.list("")) == ["a/b"]


DIES = """
import os, sys
from pathlib import Path
from sandbox.objects.local import LocalObjects

class Source:
    def __init__(self):
        self.pieces = [b"half"]
    def read(self, size):
        if not self.pieces:
            os._exit(9)
        return self.pieces.pop()

LocalObjects(Path(sys.argv[1])).put(sys.argv[2], Source(), size=8, sha256="00" * 32)
"""


def test_a_put_that_died_is_invisible_and_swept(objects: LocalObjects, tmp_path: Path) -> None:
    died = subprocess.run([sys.executable, "-c", DIES, str(tmp_path), KEY], check=False)
    assert died.returncode == 9
    assert objects.size(KEY) is None
    assert list(objects.list("")) == []
    assert len(files(tmp_path)) == 1
    put(objects)
    assert objects.sweep() == 1
    assert objects.sweep() == 0
    assert files(tmp_path) == [KEY]


def test_a_put_under_way_is_not_swept(objects: LocalObjects) -> None:
    reached, go_on = threading.Event(), threading.Event()

    class Waits(io.BytesIO):
        def read(self, size: int | None = -1) -> bytes:
            reached.set()
            assert go_on.wait(30)
            return super().read(size)

    waiting = threading.Thread(
        target=lambda: objects.put(KEY, Waits(CONTENT), size=len(CONTENT), sha256=INTL.digest(CONTENT).hex())
    )
    waiting.start()
    assert reached.wait(30)
    assert objects.sweep() == 0
    go_on.set()
    waiting.join(30)
    assert objects.read(KEY, 0, len(CONTENT)) == CONTENT


def test_of_many_puts_to_one_key_one_wins_whole(objects: LocalObjects, tmp_path: Path) -> None:
    outcomes: list[tuple[bytes, str]] = []

    def attempt(content: bytes) -> None:
        try:
            put(objects, content=content)
            outcomes.append((content, "stored"))
        except SandboxError as refused:
            outcomes.append((content, refused.code))

    contents = [bytes([n]) * 500_000 for n in range(4)]
    threads = [threading.Thread(target=attempt, args=(content,)) for content in contents * 2]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    stored = {content for content, outcome in outcomes if outcome == "stored"}
    assert {outcome for _, outcome in outcomes} == {"stored", "object_exists"}
    assert stored == {objects.read(KEY, 0, 500_000)}
    assert files(tmp_path) == [KEY]


@pytest.mark.parametrize(
    ("number", "code"),
    [
        (errno.ENOSPC, "object_store_full"),
        (errno.EDQUOT, "object_store_full"),
        (errno.EROFS, "object_store_failed"),
        (errno.EACCES, "object_store_failed"),
        (errno.EIO, "object_store_failed"),
    ],
)
def test_a_disk_that_will_not_is_a_clear_error_and_leaves_nothing(
    objects: LocalObjects, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, code: str
) -> None:
    def fails(_descriptor: int, _content: memoryview) -> int:
        raise OSError(number, "the driver's own words about a path")

    with monkeypatch.context() as disk:
        disk.setattr(os, "write", fails)
        with pytest.raises(DependencyFailed) as refused:
            put(objects)
    assert refused.value.code == code
    assert refused.value.params == {"reason": errno.errorcode[number]}
    assert files(tmp_path) == []
    put(objects)


def test_a_store_that_is_not_there_is_an_error_and_not_an_empty_one(tmp_path: Path) -> None:
    objects = LocalObjects(tmp_path / "not-mounted")
    with pytest.raises(DependencyFailed, match="object_store_failed"):
        put(objects)
    assert not (tmp_path / "not-mounted").exists()


def test_a_put_is_on_the_disk_before_it_returns(
    objects: LocalObjects, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[tuple[str, bool]] = []
    really = os.fsync

    def fsync(descriptor: int) -> None:
        path = str(Path(f"/proc/self/fd/{descriptor}").readlink()).removeprefix(str(tmp_path))
        synced.append(("file" if path.startswith("/.unfinished/") else path, (tmp_path / KEY).exists()))
        really(descriptor)

    monkeypatch.setattr(os, "fsync", fsync)
    put(objects)
    assert synced == [("file", False), ("", False), ("/v1", False), ("/v1/ver_0190-ab", True)]
