"""Dump and load: the same text from both databases, in the order of the keys, out of one instant, into empty ones only."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import inspect, select, update

from sandbox.errors import Conflict, IntegrityFailed
from sandbox.store import dump, log, migrations, queries
from sandbox.store import tables as t
from sandbox.store.sessions import Sessions
from tests.servers.postgres import Server, database_of, postgres
from tests.unit.store.home import Home, ask

__all__ = ["postgres"]

Dump = dict[str, list[bytes]]


def dumped(sessions: Sessions) -> Dump:
    with sessions.reading() as session:
        dump.take_time(session)
        return {name: list(dump.lines(session, name)) for name in dump.tables()}


def loaded(sessions: Sessions, tables: Dump) -> None:
    with sessions.begin() as session:
        dump.take_time(session)
        dump.check_empty(session)
        for name, rows in tables.items():
            assert dump.load(session, name, rows) == len(rows)
        dump.go_on(session)


@pytest.fixture
def busy(home: Home) -> Home:
    """With every kind of value in it: bytes, JSON, large numbers, words, nothing."""
    grant = home.grant()
    first, second = ask(home, grant, key=("key/with/slashes", "d" * 64)), ask(home, grant)
    with home.sessions.begin() as session:
        queries.settle(
            session, home.clock, first.id, 1, answer_object=f"v1/answers/{first.id}", answer_sha256="e" * 64
        )
        session.get_one(t.QueryRow, second.id).request = {"sql": "SELECT '數據\u2028\x7f'", "rows": 2**60, "within": 0.1}
        session.add(t.TileRow(level=0, idx=0, hashes=bytes(range(256)) * 32))
    return home


@pytest.fixture
def url(postgres: Server) -> Iterator[str]:
    with database_of(postgres) as made:
        yield made


def test_every_table_is_dumped_or_left_out_on_purpose() -> None:
    assert set(t.Row.metadata.tables) - set(dump.tables()) == {"processes", "home_state"}


def test_from_sqlite_to_postgresql_and_back_nothing_changes(
    busy: Home, url: str, postgres: Server, tmp_path: Path
) -> None:
    first = dumped(busy.sessions)
    assert sum(map(len, first.values())) > 50
    there = Sessions(url, password_file=postgres.password_file, pool=2)
    loaded(there, first)
    assert dumped(there) == first
    # The order of insertion goes on behind what was loaded: both kinds of database write their next event.
    with there.begin() as session:
        log.append(session, busy.clock, "log.read", actor=log.SYSTEM, subject="x", details={})
    with there.reading() as session:
        seqs = session.scalars(select(t.EventRow.seq).order_by(t.EventRow.seq)).all()
    assert len(set(seqs)) == len(seqs)
    second = dumped(there)
    there.close()
    migrations.upgrade(tmp_path / "back.db")
    back = Sessions(tmp_path / "back.db")
    loaded(back, second)
    assert dumped(back) == second
    with back.begin() as session:
        log.append(session, busy.clock, "log.read", actor=log.SYSTEM, subject="y", details={})
    back.close()


def test_rows_stand_in_the_order_of_their_keys(busy: Home) -> None:
    for name, lines in dumped(busy.sessions).items():
        keys = [c.name for c in inspect(t.Row.metadata.tables[name]).primary_key.columns]
        rows = [tuple(json.loads(line)[k] for k in keys) for line in lines]
        assert rows == sorted(rows), name


def test_a_dump_is_of_one_instant(busy: Home) -> None:
    """A charge that comes in the middle is in all tables of it or in none."""
    with busy.sessions.reading() as session:
        dump.take_time(session)
        before = list(dump.lines(session, "caps"))
        ask(busy, busy.grant())
        after = {name: list(dump.lines(session, name)) for name in ("caps", "ledger", "events", "queries")}
    assert after["caps"] == before
    assert len(after["queries"]) == 2


def test_only_an_empty_database_is_loaded_into(busy: Home, tmp_path: Path) -> None:
    tables = dumped(busy.sessions)
    with pytest.raises(Conflict, match="restore_not_empty"):
        loaded(busy.sessions, tables)


BROKEN = [
    b"", b"{", b"[]", b"7", b'"x"', b'{"scope": "grant", "subject": "x", "nonsense": 1}', b'{"id": {"a": 1}}',
    b'{"hashes": "not base64", "level": 0, "idx": 0}', b'{"level": 0.5, "idx": 0, "hashes": ""}',
]  # fmt: skip


@pytest.mark.parametrize("line", BROKEN)
def test_a_line_that_is_no_row_is_named_by_its_table(tmp_path: Path, line: bytes) -> None:
    migrations.upgrade(tmp_path / "new.db")
    sessions = Sessions(tmp_path / "new.db")
    try:
        with pytest.raises(IntegrityFailed) as raised, sessions.begin() as session:
            dump.load(session, "tiles", [line + b"\n"])
        assert raised.value.code in {"backup_malformed", "database_refused"}
    finally:
        sessions.close()


def test_what_is_spent_cannot_be_refunded_after_a_load(busy: Home, tmp_path: Path) -> None:
    migrations.upgrade(tmp_path / "new.db")
    sessions = Sessions(tmp_path / "new.db")
    try:
        loaded(sessions, dumped(busy.sessions))
        with pytest.raises(IntegrityFailed), sessions.begin() as session:
            session.execute(update(t.CapRow).values(spent_delta=0))
    finally:
        sessions.close()
