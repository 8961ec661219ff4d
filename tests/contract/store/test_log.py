"""The log's rows: events as written, in pages by index, and the records that their digests vouch for."""

from __future__ import annotations

import json
import threading

import pytest

from sandbox.audit.event import decode
from sandbox.audit.merkle import leaf_hash
from sandbox.audit.records import record_digest
from sandbox.audit.tiles import FULL, WIDTH
from sandbox.errors import DependencyFailed
from sandbox.store import cosignatures, log, numbering, tiles, writing
from sandbox.store import tables as t
from tests.unit.store.home import Home, ask

LINE = "— {} " + "A" * 100 + "\n"
NOTE = "sandbox/x\n{size}\n" + "A" * 43 + "=\n\n" + LINE.format("sandbox/x")


def told(home: Home, count: int, tenant: str = "") -> list[str]:
    with home.sessions.begin() as session:
        return [
            log.append(
                session, home.clock, "log.read", actor=home.engineer, subject=f"s{number}", details={"what": "é"},
                tenant=tenant or None,
            )
            for number in range(count)
        ]  # fmt: skip


def test_an_event_is_found_by_its_id_and_by_its_owner(home: Home) -> None:
    before = len(home.events())
    ours, theirs = told(home, 3), told(home, 1, home.rival)
    with home.sessions.begin() as session:
        assert log.unnumbered(session)
        assert log.waiting_since(session) is not None
        assert log.find(session, ours[0]) is not None
        assert numbering.waiting_ids(session)[before:] == [*ours, *theirs]
        assert numbering.my_turn(session)
        numbering.hold_numbering(session)
        assert numbering.number(session, only=[ours[1]]) == 1
        assert numbering.number(session) == before + 3
        assert not log.unnumbered(session)
        assert log.waiting_since(session) is None
    with home.sessions.reading() as session:
        found = log.find(session, ours[1])
        assert found is not None
        assert found[:2] == (home.company, 0)
        assert decode(found[2]).details == {"what": "é"}
        assert log.find(session, "evt_none") is None
        own = log.of_tenant(session, home.company, "", 100)
        assert [event for event, _, _ in own if event in ours] == ours
        assert [event for event, _, _ in own] == sorted(event for event, _, _ in own)
        assert log.of_tenant(session, home.company, own[0][0], 1) == own[1:2]
        assert [event for event, _, _ in log.of_tenant(session, home.rival, ours[-1], 9)] == theirs
        assert log.last_at(session) == home.clock.text()
        now = home.clock.text()
        assert log.bodies_between(session, now, now + "0", 0, 2) == [(i, b) for i, b, _ in log.entries(session, 1, 2)]
        assert log.bodies_between(session, "", now, -1, 2) == []
        assert log.first_at(session) == now


def test_entries_go_by_index(home: Home) -> None:
    told(home, 5)
    with home.sessions.begin() as session:
        count = numbering.number(session)
        assert log.size(session) == count
        entries = log.entries(session, 0, 10_000)
    with home.sessions.reading() as session:
        assert [index for index, _, _ in entries] == list(range(count))
        assert all(leaf_hash(body).hex() == leaf for _, body, leaf in entries)
        assert log.entries(session, 2, 3) == entries[2:5]
        assert log.entries(session, count, 3) == []
        assert log.bodies(session, 1, 4) == [body for _, body, _ in entries[1:4]]
        assert log.leaves(session, 1, 4) == [bytes.fromhex(leaf) for _, _, leaf in entries[1:4]]
        assert len(log.leaves(session)) == count
        subjects = [decode(body).subject for _, body, _ in entries[-5:]]
    assert subjects == [f"s{number}" for number in range(5)]


def test_two_that_number_at_one_time(home: Home, kind: str) -> None:
    """The second says busy or finds nothing left; no place is given twice, and none is left out."""
    told(home, 5)
    both, codes = threading.Barrier(2), []

    def number() -> None:
        both.wait()
        try:
            with home.sessions.begin() as session:
                numbering.number(session)
        except DependencyFailed as error:
            codes.append(error.code)

    threads = [threading.Thread(target=number) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert codes in ([], ["database_busy"])
    assert kind == "postgresql" or not codes
    with home.sessions.reading() as session:
        assert log.size(session) == len(home.events())
        assert not log.unnumbered(session)


def test_a_later_event_of_one_transaction_has_a_later_place(home: Home) -> None:
    """Ids and times of one transaction may be equal or run back; the order of insertion does not."""
    with home.sessions.begin() as session:
        for number in (2, 1, 0):
            log.append(
                session, home.clock, "log.read", actor=home.engineer, subject=str(number), details={},
                event_id=f"evt_{number}",
            )  # fmt: skip
        numbering.number(session)
        assert [decode(body).subject for _, body, _ in log.entries(session, 0, 10_000)][-3:] == ["2", "1", "0"]


@pytest.mark.parametrize("size", [1, 2, 7, 1000])
def test_records_are_read_page_by_page_and_vouched_for(home: Home, size: int) -> None:
    grant = home.grant()
    for number in range(3):
        ask(home, grant, key=(f"a/b/{number}", "d"))
    vouched: dict[str, str] = {}
    for event in sorted(home.events(), key=lambda e: e.seq or 0):
        vouched |= json.loads(event.body)["details"].get("records", {})
    seen: list[str] = []
    with home.sessions.reading() as session:
        for table in log.AUDITED:
            after = ""
            while page := list(log.records(session, table, after, size)):
                assert len(page) <= size
                assert all(vouched[path] == record_digest(values) for path, values in page)
                seen += [path for path, _ in page]
                after = page[-1][0]
        row = session.get_one(t.GrantRow, grant.id)
        assert log.record_of(row)[0] == f"grants/{grant.id}"
    assert sorted(seen) == sorted(vouched)
    assert any(path.endswith("/a/b/1") for path in seen)


# --- checkpoints, tiles, cosignatures ---------------------------------------------------------------------------------


def test_checkpoints(home: Home) -> None:
    with home.sessions.begin() as session:
        assert log.checkpoint(session) is None
        assert log.checkpoint_at(session) is None
        for size in (3, 2**53):
            log.save_checkpoint(session, size=size, root="ab" * 32, note=NOTE.format(size=size), at=home.clock.text())
        log.save_checkpoint(session, size=3, root="ab" * 32, note=NOTE.format(size=3), at=home.clock.text())
        assert log.checkpoint(session) == (2**53, NOTE.format(size=2**53))
        assert log.checkpoint_at(session) == home.clock.text()


def test_tiles(home: Home) -> None:
    full = {(0, n): bytes([n]) * FULL for n in range(3)}
    with home.sessions.begin() as session:
        assert tiles.covered(session) == 0
        tiles.save(session, {**full, (0, 3): b"part", (1, 0): bytes(FULL)})
        tiles.save(session, {})
        numbering.number(session)
    with home.sessions.reading() as session:
        assert tiles.covered(session) == 3 * WIDTH
        assert tiles.read(session, 0, 1) == full[0, 1]
        assert tiles.read(session, 0, 3) is None
        assert tiles.read_row(session, 0, 1, 9) == [full[0, 1], full[0, 2]]
        assert tiles.tail(session, 5) == b"".join(log.leaves(session, 0, 5))


def test_cosignatures(home: Home) -> None:
    with home.sessions.begin() as session:
        for size in (1, 2, 3):
            log.save_checkpoint(session, size=size, root="", note=NOTE.format(size=size), at=home.clock.text())
        assert cosignatures.newest_of(session, "w1") == 0
        for size, witness in ((1, "w1"), (2, "w1"), (2, "w0"), (2, "w0")):
            cosignatures.save(session, size=size, witness=witness, line=LINE.format(witness), at=home.clock.text())
        assert cosignatures.newest_of(session, "w1") == 2
        assert cosignatures.note(session) == (3, NOTE.format(size=3))
        found = cosignatures.note(session, 2)
        assert found is not None
        assert found[1] == NOTE.format(size=2) + LINE.format("w0") + LINE.format("w1")
        assert cosignatures.note(session, 9) is None
        assert cosignatures.best_note(session, 0) == cosignatures.cosigned_note(session) == found
        assert cosignatures.cosigned_note(session, 2) is None
        assert cosignatures.best_note(session, 2) == (3, NOTE.format(size=3))
        assert cosignatures.best_note(session, 3) is None
        minutes = cosignatures.of_minutes(session, after="", before="9", limit=5)
        assert minutes == [(3, home.clock.text())]
        assert cosignatures.prune(session, after=0, before="9") == 3
        assert [cosignatures.note(session, size) is None for size in (1, 2, 3)] == [True, False, False]


# --- writes that know what is there -----------------------------------------------------------------------------------


def test_the_first_wins_or_is_overtaken(home: Home) -> None:
    def row(digest: str) -> t.IdempotencyRow:
        return t.IdempotencyRow(principal="prn_1", key="k", digest=digest, resource="r", at="at")

    with home.sessions.begin() as session:
        assert writing.insert_new(session, row("one"))
        assert not writing.insert_new(session, row("two"))
        assert session.get_one(t.IdempotencyRow, ("prn_1", "k")).digest == "one"
        session.expire_all()
        writing.insert_or_update(session, row("three"), {"digest": "three"})
        assert session.get_one(t.IdempotencyRow, ("prn_1", "k"), populate_existing=True).digest == "three"
    assert [found["resource"] for found in home.rows(t.IdempotencyRow)] == ["r"]
