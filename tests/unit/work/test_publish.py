"""The publisher: whatever checkpoint is found outside of the database, its events lie sealed in the object store."""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, BinaryIO

import pytest

from sandbox.audit.checkpoint import open_note
from sandbox.audit.merkle import Frontier
from sandbox.audit.tiles import WIDTH
from sandbox.crypto.keys import RootKey
from sandbox.crypto.suite import INTL
from sandbox.errors import Conflict, DependencyFailed, IntegrityFailed
from sandbox.objects.local import LocalObjects
from sandbox.store import log, migrations
from sandbox.store import tables as t
from sandbox.store.sessions import Sessions
from sandbox.work.leases import Lease
from sandbox.work.published import LATEST, bundle_key, copy_key, newest_copy, read_published, whole
from tests.unit.work.conftest import Opener
from tests.unit.work.logs import NAME, Log


@pytest.fixture
def kept(tmp_path: Path) -> Iterator[Log]:
    migrations.upgrade(tmp_path / "home.db")
    sessions = Sessions(tmp_path / "home.db")
    yield Log(sessions, tmp_path)
    sessions.close()


def grow(kept: Log, count: int, minutes: int = 0) -> None:
    kept.write_many(count)
    kept.sequence()
    kept.publish()
    if minutes:
        kept.times.pass_(60 * minutes)
        kept.publish()


def check(kept: Log) -> None:
    """Everything that was signed lies in the object store, proves itself, and is readable to nobody."""
    published, bodies = kept.published(), kept.bodies()
    size, note = kept.note()
    assert (published.note, published.size) == (note, size)
    assert list(published.follow(Frontier())) == bodies
    keys = list(kept.objects.list("log/"))
    assert [k for k in keys if k.startswith("log/entries/")] == [bundle_key(n) for n in range(size // WIDTH)]
    for key in keys:
        assert b"log.read" not in whole(kept.objects, key)


@pytest.mark.parametrize("counts", [[1], [255, 1, 1], [700, 3000]])
def test_events_are_published_sealed_and_lead_to_the_checkpoint(kept: Log, counts: list[int]) -> None:
    for count in counts:
        grow(kept, count)
        check(kept)


def test_nothing_is_published_of_an_empty_log(kept: Log) -> None:
    kept.publish()
    assert list(kept.objects.list("")) == []
    assert read_published(kept.objects, kept.root_key, kept.vkey) is None
    assert newest_copy(kept.objects) is None


def test_published_events_are_read_from_any_place(kept: Log) -> None:
    grow(kept, 600)
    for start in (0, 1, 255, 256, 257, 511, 512, 599, 600):
        assert list(kept.published().bodies(start)) == kept.bodies()[start:]


def test_an_older_tree_is_followed_to_the_published_one(kept: Log) -> None:
    """What a restore does: the events that its database does not know, proved against the checkpoint."""
    grow(kept, 300)
    with kept.sessions.reading() as session:
        edge = Frontier(log.leaves(session))
    grow(kept, 400)
    assert list(kept.published().follow(edge)) == kept.bodies()[300:]
    forked = Frontier([bytes(32)] * 300)
    with pytest.raises(IntegrityFailed, match="published_differs"):
        list(kept.published().follow(forked))


def test_events_lie_there_before_any_checkpoint_tells_of_them(kept: Log, monkeypatch: pytest.MonkeyPatch) -> None:
    laid: dict[str, None] = {}
    put, replace = LocalObjects.put, LocalObjects.replace

    def noted_put(self: LocalObjects, key: str, *given: Any, **named: Any) -> None:
        laid[key] = None
        put(self, key, *given, **named)

    def noted_replace(self: LocalObjects, key: str, content: bytes) -> None:
        laid[key] = None
        replace(self, key, content)

    monkeypatch.setattr(LocalObjects, "put", noted_put)
    monkeypatch.setattr(LocalObjects, "replace", noted_replace)
    grow(kept, 600, minutes=1)
    assert list(laid) == [bundle_key(0), bundle_key(1), LATEST, copy_key(600)]


def test_a_restarted_publisher_rewrites_nothing_immutable(kept: Log) -> None:
    grow(kept, 600, minutes=1)
    before = {key: whole(kept.objects, key) for key in kept.objects.list("log/") if key != LATEST}
    grow(kept, 600, minutes=1)
    after = {key: whole(kept.objects, key) for key in kept.objects.list("log/")}
    assert before == {key: after[key] for key in before}
    check(kept)


def test_the_last_checkpoint_of_each_minute_is_copied_once_and_kept(kept: Log) -> None:
    class Recording(LocalObjects):
        def put(self, key: str, data: BinaryIO, *, size: int, sha256: str, keep_until: str | None = None) -> None:
            promised[key] = keep_until
            super().put(key, data, size=size, sha256=sha256, keep_until=keep_until)

    promised: dict[str, str | None] = {}
    kept.objects = Recording(kept.folder / "objects")
    publisher = kept.publisher()
    for _ in range(3):  # three checkpoints a minute, in three minutes
        for _ in range(3):
            kept.write(2)
            kept.sequence()
            publisher.run()
            kept.times.pass_(20)
    publisher.run()
    assert promised == {
        copy_key(6): "2027-05-23T08:01:00.000Z",
        copy_key(12): "2027-05-23T08:02:00.000Z",
        copy_key(18): "2027-05-23T08:03:00.000Z",
    }
    newest = newest_copy(kept.objects)
    assert newest is not None
    assert open_note(newest, kept.vkey)[1] == 18


def test_minutes_without_a_publisher_are_copied_later(kept: Log) -> None:
    for _ in range(4):
        kept.write(1)
        kept.sequence()
        kept.times.pass_(60)
    kept.publish()
    assert list(kept.objects.list("log/checkpoints/")) == [copy_key(n) for n in (1, 2, 3, 4)]


def test_checkpoints_are_pruned_to_one_a_minute_and_the_newest(kept: Log) -> None:
    publisher = kept.publisher()
    sizes: list[int] = []
    for _ in range(14):
        kept.write(1)
        kept.sequence()
        publisher.run()
        kept.times.pass_(10)
    with kept.sessions.reading() as session:
        sizes = list(session.scalars(t.CheckpointRow.__table__.select().with_only_columns(t.CheckpointRow.size)))
    assert sizes == [6, 12, 13, 14]


def test_a_publisher_whose_lease_was_taken_overwrites_nothing(kept: Log) -> None:
    held = [Lease(kept.sessions, kept.times.clock(), name="publish", owner=who, seconds=10) for who in "ab"]
    sleeper, other = (kept.publisher(guard=lease.guard) for lease in held)
    assert held[0].hold()
    kept.write(3)
    kept.sequence()
    kept.times.pass_(60)
    assert held[1].hold()
    with pytest.raises(Conflict, match="lease_lost"):
        sleeper.run()
    assert kept.objects.size(LATEST) is None
    other.run()
    assert kept.published().size == 3


def test_what_a_sleeper_has_overwritten_is_written_again(kept: Log) -> None:
    publisher = kept.publisher()
    kept.write(3)
    kept.sequence()
    publisher.run()
    old = whole(kept.objects, LATEST)
    kept.write(3)
    kept.sequence()
    publisher.run()
    kept.objects.replace(LATEST, old)
    publisher.run()
    assert kept.published().size == 3, "nothing tells us yet"
    kept.times.pass_(60)
    publisher.run()
    check(kept)


def test_two_publishers_at_one_time_agree(kept: Log) -> None:
    kept.write_many(3000)
    kept.sequence()
    publishers = [kept.publisher() for _ in range(3)]
    with ThreadPoolExecutor(3) as pool:
        list(pool.map(lambda publisher: publisher.run(), publishers))
    check(kept)


def test_an_older_database_overwrites_nothing(kept: Log) -> None:
    grow(kept, 10)
    older = kept.copy(kept.folder / "older.db")
    grow(kept, 10)
    there = whole(kept.objects, LATEST)
    restored = Sessions(older)
    publisher = kept.publisher(restored)
    with pytest.raises(IntegrityFailed, match="published_ahead") as caught:
        publisher.run()
    assert caught.value.params == {"size": 10, "published": 20}
    assert whole(kept.objects, LATEST) == there
    restored.close()


@pytest.mark.parametrize("more", [10, 20, 300])
def test_another_history_of_the_same_log_overwrites_nothing(kept: Log, more: int) -> None:
    grow(kept, 10)
    older = kept.copy(kept.folder / "older.db")
    grow(kept, 10)
    there = whole(kept.objects, LATEST)
    other = Log(Sessions(older), kept.folder, times=kept.times, key=kept.key)
    other.root_key = kept.root_key
    other.write(more)
    other.sequence()
    with pytest.raises(IntegrityFailed, match="published_forked"):
        other.publisher().run()
    assert whole(kept.objects, LATEST) == there
    other.sessions.close()


def test_another_log_in_the_same_place_is_left_alone(kept: Log, tmp_path: Path) -> None:
    grow(kept, 3)
    kept.key = INTL.new_signing_key()
    with pytest.raises(IntegrityFailed, match="note_not_signed"):
        kept.publisher().run()


def test_a_full_bundle_of_another_history_is_noticed(kept: Log) -> None:
    """`log/latest` is gone, and what is left is another log's bundle."""
    grow(kept, 300)
    kept.objects.delete(LATEST)
    folder = kept.folder / "other"
    folder.mkdir()
    migrations.upgrade(folder / "home.db")
    other = Log(Sessions(folder / "home.db"), kept.folder, key=kept.key)
    other.root_key = kept.root_key
    other.write(300)
    other.sequence()
    publisher = other.publisher()
    publisher._laid = 0  # as if another publisher laid it down a moment ago
    with pytest.raises(IntegrityFailed, match="published_forked"):
        publisher.run()
    other.sessions.close()


def test_damage_of_the_pointer_is_mended(kept: Log) -> None:
    grow(kept, 300, minutes=1)
    for damaged in (b"", b"{", whole(kept.objects, LATEST)[:-5], b'{"v":2}'):
        kept.objects.replace(LATEST, damaged)
        with pytest.raises(IntegrityFailed, match="published_malformed"):
            kept.published()
        kept.publish()
        check(kept)


def replaced(kept: Log, change: dict[str, Any]) -> None:
    body = json.loads(whole(kept.objects, LATEST)) | change
    kept.objects.replace(LATEST, json.dumps(body).encode())


def test_forged_and_swapped_objects_are_refused(kept: Log) -> None:
    grow(kept, 600)
    tail = json.loads(whole(kept.objects, LATEST))["tail"]
    first = whole(kept.objects, bundle_key(0))
    (kept.folder / "objects" / bundle_key(1)).write_bytes(first)
    with pytest.raises(IntegrityFailed, match="sealed_open_failed"):
        list(kept.published().bodies())
    other = RootKey(secret=INTL.random(32))
    stranger = read_published(kept.objects, other, kept.vkey)
    assert stranger is not None
    with pytest.raises(IntegrityFailed, match="wrapping_key_differs"):
        list(stranger.bodies())
    grow(kept, 7)
    replaced(kept, {"tail": tail})  # of an earlier size
    with pytest.raises(IntegrityFailed, match="sealed_open_failed"):
        list(kept.published().bodies(600))
    (kept.folder / "objects" / bundle_key(0)).unlink()
    with pytest.raises(IntegrityFailed, match="object_missing"):
        list(kept.published().bodies())


def test_an_object_store_that_fails_stops_nothing_for_good(kept: Log) -> None:
    publisher = kept.publisher()
    kept.write(300)
    kept.sequence()
    (kept.folder / "objects").rename(kept.folder / "away")
    with pytest.raises(DependencyFailed, match="object_store_failed"):
        publisher.run()
    (kept.folder / "away").rename(kept.folder / "objects")
    publisher.run()
    check(kept)


def test_it_publishes_from_either_database(sessions: Sessions, open_sessions: Opener, tmp_path: Path) -> None:
    kept = Log(sessions, tmp_path)
    grow(kept, 700, minutes=1)
    check(kept)
    other = kept.publisher(open_sessions())
    kept.write(5)
    kept.sequence()
    other.run()
    check(kept)
    assert NAME in kept.published().note
