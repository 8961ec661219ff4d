"""Sessions: what a transaction sees, and what the caller hears when the database is away, full, busy or wrong."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.orm import Session

from sandbox.clock import Clock
from sandbox.errors import DependencyFailed, IntegrityFailed, RequestError, SandboxError
from sandbox.messages import texts
from sandbox.store import home_state, log, migrations
from sandbox.store import tables as t
from sandbox.store.sessions import Sessions, check_order, of_transaction
from tests.servers.postgres import Server, database_of
from tests.unit.store.home import Home


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    """A cluster that these tests stop and kill; no other test is on it."""
    with Server() as made:
        yield made


@pytest.fixture
def url(server: Server) -> Iterator[str]:
    with database_of(server) as url:
        yield url


@pytest.fixture
def sessions(server: Server, url: str) -> Iterator[Sessions]:
    made = Sessions(url, password_file=server.password_file, pool=4)
    yield made
    made.close()


class Whatever(Exception):
    """What a caller's own code raises."""


def whatever(session: Session) -> None:
    """Writes something, and fails."""
    log.append(session, Clock(), "log.read", actor=log.SYSTEM, subject="x", details={})
    raise Whatever


def code_of(call: Callable[[], object]) -> str:
    with pytest.raises(SandboxError) as caught:
        call()
    assert caught.value.code in texts()
    assert "SELECT" not in str(caught.value.params)
    return caught.value.code


def event(sessions: Sessions) -> str:
    with sessions.begin() as session:
        return log.append(session, Clock(), "log.read", actor=log.SYSTEM, subject="x", details={})


def count(sessions: Sessions) -> int:
    with sessions.reading() as session:
        return session.query(t.EventRow).count()


# --- what a transaction sees ------------------------------------------------------------------------------------------


def test_a_reader_sees_one_instant(home: Home) -> None:
    with home.sessions.reading() as session:
        before = log.policy_version(session)
        with home.sessions.begin() as other:
            log.bump_policy(other)
        assert log.policy_version(session) == before
    with home.sessions.reading() as session:
        assert log.policy_version(session) == before + 1


def test_a_reader_changes_nothing(home: Home) -> None:
    def change() -> None:
        with home.sessions.reading() as session:
            log.bump_policy(session)
            session.commit()

    assert code_of(change) == "database_failed"


def test_an_exception_undoes_it_all(home: Home) -> None:
    before = len(home.events())
    with pytest.raises(Whatever), home.sessions.begin() as session:
        whatever(session)
    assert len(home.events()) == before


def test_what_is_remembered_is_forgotten_with_its_transaction(home: Home) -> None:
    with home.sessions.begin() as session:
        of_transaction(session, "x")["a"] = 1
        assert of_transaction(session, "x") == {"a": 1}
        assert of_transaction(session, "y") == {}
        session.commit()
        assert of_transaction(session, "x") == {}


def test_a_frozen_home_is_read_and_not_written(home: Home) -> None:
    home.sessions.freeze("behind_its_log")
    with pytest.raises(DependencyFailed) as caught:
        event(home.sessions)
    assert (caught.value.code, caught.value.params) == ("home_read_only", {"reason": "behind_its_log"})
    assert home.events()
    home.sessions.freeze(None)
    assert event(home.sessions)


def test_which_one_it_is(home: Home, kind: str) -> None:
    assert home.sessions.embedded is (kind == "sqlite")
    home.sessions.check()


# --- texts and numbers ------------------------------------------------------------------------------------------------

WORDS = "é 城市 🚲 ' \" \\ % : {} \t\n \u202e \U0010ffff"


def test_any_text_and_any_number_comes_back_as_it_was(home: Home) -> None:
    numbers = [2**63 - 1, -(2**63), 0]
    details = {"words": WORDS, "numbers": [str(n) for n in numbers], "none": None, "nested": {"a": [1, {"b": True}]}}
    with home.sessions.begin() as session:
        row = t.IdempotencyRow(principal="prn_x", key=WORDS, digest="", resource="r", at="at")
        session.add(row)
        session.add(t.CalibrationRow(name="x", value={**details, "nul": "\0", "half": "\ud800"}, at="at"))
        session.add(t.EventRow(id="evt_max", idx=numbers[0], seq=None, at="at", type="t", tenant="t", subject="s", body=bytes(range(256)), leaf=""))
        session.add(t.EventRow(id="evt_min", idx=numbers[1], seq=None, at="at", type="t", tenant="t", subject="s", body=b"", leaf=""))
        session.add(t.CheckpointRow(size=numbers[0], root="", note=WORDS, at="at"))
    with home.sessions.reading() as session:
        assert session.get_one(t.IdempotencyRow, ("prn_x", WORDS)).digest == ""
        assert session.get_one(t.CalibrationRow, "x").value == {**details, "nul": "\0", "half": "\ud800"}
        assert {e.idx: e.body for e in session.query(t.EventRow).filter(t.EventRow.idx.is_not(None))} == {
            numbers[0]: bytes(range(256)), numbers[1]: b"",
        }  # fmt: skip
        assert log.checkpoint(session) == (numbers[0], WORDS)


@pytest.mark.parametrize("key", ["a\0b", "\0"])
def test_a_nul_is_refused(home: Home, key: str) -> None:
    def add() -> None:
        with home.sessions.begin() as session:
            session.add(t.IdempotencyRow(principal="prn_x", key=key, digest="d", resource="r", at="at"))

    assert code_of(add) == "text_refused"
    assert home.rows(t.IdempotencyRow) == []


def test_texts_are_in_order_of_their_bytes(home: Home) -> None:
    keys = ["a", "B", "a_b", "a-c", "ab", "é", "Z", "0", "~", "城", "🚲", "\uffff"]
    with home.sessions.begin() as session:
        for key in keys:
            session.add(t.IdempotencyRow(principal="prn_x", key=key, digest="d", resource="r", at="at"))
    with home.sessions.reading() as session:
        assert [path.split("/")[2] for path, _ in log.records(session, "idempotency", "", 99)] == sorted(keys)
        paged: list[str] = []
        while page := list(log.records(session, "idempotency", paged[-1] if paged else "", 2)):
            paged += [path for path, _ in page]
        assert [path.split("/")[2] for path in paged] == sorted(keys)


def test_an_order_of_a_language_is_refused() -> None:
    check_order("UTF8", ["B", "a", "ab"])
    for encoding, ordered in (("UTF8", ["a", "ab", "B"]), ("SQL_ASCII", ["B", "a"])):
        with pytest.raises(IntegrityFailed) as caught:
            check_order(encoding, ordered)
        assert caught.value.code == "database_collation"


def test_a_database_of_another_encoding_is_refused(server: Server) -> None:
    server.run("CREATE DATABASE latin TEMPLATE template0 ENCODING 'LATIN1' LOCALE 'C'")
    assert code_of(lambda: migrations.upgrade(server.url("latin"), password_file=server.password_file)) == "database_collation"


# --- the wrong address ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("url", "code", "part"),
    [
        ("mysql://a@b/c", "database_url_refused", "scheme"),
        ("postgresql+asyncpg://a@b/c", "database_url_refused", "scheme"),
        ("://", "database_url_refused", "form"),
        ("postgresql://b:port/c", "database_url_refused", "form"),
        ("postgresql://b/c", "database_url_refused", "user"),
        ("postgresql://a@b", "database_url_refused", "name"),
        ("postgresql://a@/c", "database_url_refused", "host"),
        ("postgresql://a@b/c?options=-cfsync=off", "database_url_refused", "options"),
        ("postgresql://a@b/c?service=x", "database_url_refused", "service"),
        ("postgresql://a:secret@b/c", "database_password_in_url", None),
        ("postgresql://a@b/c?password=secret", "database_password_in_url", None),
        ("postgresql://a@b/c?passfile=/x", "database_password_in_url", None),
    ],
)
def test_a_url_that_is_refused_is_not_repeated(url: str, code: str, part: str | None) -> None:
    with pytest.raises(RequestError) as caught:
        Sessions(url)
    assert caught.value.code == code
    assert caught.value.params == ({"part": part} if part else {})
    assert "secret" not in repr(caught.value) + repr(caught.value.__cause__)


def test_nobody_answers(server: Server) -> None:
    assert code_of(lambda: migrations.current("postgresql://a@127.0.0.1:1/c")) == "database_unreachable"
    assert code_of(lambda: migrations.current("postgresql://a@/c?host=/nowhere")) == "database_unreachable"
    assert code_of(lambda: migrations.current("postgresql://a@no.such.host.invalid/c")) == "database_unreachable"


def test_they_do_not_let_us_in(server: Server, url: str, tmp_path: Path) -> None:
    wrong = tmp_path / "wrong"
    wrong.write_text("wrong\n")
    right = server.password_file
    assert code_of(lambda: migrations.current(url, password_file=wrong)) == "database_password_refused"
    assert code_of(lambda: migrations.current(url)) == "database_password_refused"
    assert code_of(lambda: migrations.current(url, password_file=tmp_path / "none")) == "key_file_failed"
    assert code_of(lambda: migrations.current(server.url("none"), password_file=right)) == "database_missing"
    assert code_of(lambda: migrations.current(server.url(user="nobody"), password_file=wrong)) == "database_password_refused"


def test_the_socket_and_a_new_password_without_a_restart(server: Server, tmp_path: Path) -> None:
    name = server.migrated()
    server.run("CREATE ROLE other LOGIN PASSWORD 'first'")
    server.run("GRANT SELECT ON ALL TABLES IN SCHEMA public TO other; GRANT INSERT ON events TO other", name)
    file = tmp_path / "password"
    file.write_text("first")
    sessions = Sessions(server.url(name, user="other", socket=True), password_file=file)
    assert count(sessions) == 0
    server.run("ALTER ROLE other PASSWORD 'second'")
    sessions.close()
    assert code_of(lambda: count(sessions)) == "database_password_refused"
    file.write_text("second\r\n")
    assert count(sessions) == 0
    assert code_of(lambda: event(sessions)) == "database_failed"  # it may not use the sequence
    sessions.close()


# --- a database that suffers ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("ends", ["fast", "immediate", "kill"])
def test_a_restart_heals_itself(server: Server, sessions: Sessions, ends: str) -> None:
    event(sessions)
    before = count(sessions)
    if ends == "kill":
        server.kill9()
        assert code_of(lambda: count(sessions)) == "database_unreachable"
        assert code_of(lambda: event(sessions)) == "database_unreachable"
        server.start()
    else:
        server.restart(ends)  # type: ignore[arg-type]
    assert count(sessions) == before  # the connections that rested are replaced, and nobody hears of it
    event(sessions)
    assert count(sessions) == before + 1


def test_a_restart_in_the_middle_undoes_the_transaction(server: Server, sessions: Sessions) -> None:
    before = count(sessions)

    def cut() -> None:
        with sessions.begin() as session:
            log.append(session, Clock(), "log.read", actor=log.SYSTEM, subject="x", details={})
            server.restart("immediate")
            log.append(session, Clock(), "log.read", actor=log.SYSTEM, subject="y", details={})

    assert code_of(cut) == "database_failed"
    assert count(sessions) == before

    def cut_before_commit() -> None:
        with sessions.begin() as session:
            log.append(session, Clock(), "log.read", actor=log.SYSTEM, subject="x", details={})
            server.restart("immediate")

    assert code_of(cut_before_commit) == "database_failed"
    assert count(sessions) == before


def test_connections_are_given_back_whatever_happens(sessions: Sessions) -> None:
    for _ in range(20):
        with pytest.raises(Whatever), sessions.begin() as session:
            whatever(session)
        with pytest.raises(DependencyFailed), sessions.reading() as session:
            whatever(session)
        assert code_of(lambda: raised_in(sessions, "P0001")) == "database_refused"
    assert sessions.writer.pool.checkedout() == sessions.reader.pool.checkedout() == 0  # type: ignore[attr-defined]


def test_a_connection_that_comes_back_after_the_end_is_closed(sessions: Sessions) -> None:
    with sessions.reading() as session:
        driver: Any = session.connection().connection.driver_connection
        sessions.close()
        assert not driver.closed
    assert driver.closed


def test_a_pool_without_a_free_connection_says_busy(sessions: Sessions, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sessions.writer.pool, "_timeout", 0.1)
    held = [sessions.writer.connect() for _ in range(4)]
    assert code_of(lambda: event(sessions)) == "database_busy"
    assert count(sessions) == 0  # readers have a pool of their own
    for connection in held:
        connection.close()
    assert event(sessions)


def test_a_server_without_a_free_connection_says_busy(server: Server, url: str) -> None:
    server.run("CREATE ROLE alone LOGIN PASSWORD 'p' CONNECTION LIMIT 0")
    file = server.folder / "p"
    file.write_text("p")
    crowded = url.replace("sandbox@", "alone@")
    assert code_of(lambda: migrations.current(crowded, password_file=file)) == "database_busy"


def raised_in(sessions: Sessions, state: str) -> None:
    """The server raises an error of this SQLSTATE."""
    with sessions.begin() as session:
        session.execute(text(f"DO $$ BEGIN RAISE EXCEPTION 'secret words' USING ERRCODE = '{state}'; END $$"))


@pytest.mark.parametrize(
    ("state", "code"),
    [
        ("53100", "database_full"), ("53200", "database_full"), ("25006", "database_failed"), ("40P01", "database_busy"),
        ("40001", "database_busy"), ("55P03", "database_busy"), ("57014", "database_busy"), ("58030", "database_failed"),
        ("XX001", "database_failed"), ("57P01", "database_failed"), ("23505", "database_refused"), ("22001", "text_refused"),
    ],
)  # fmt: skip
def test_what_the_server_says_has_a_code(sessions: Sessions, state: str, code: str) -> None:
    with pytest.raises(SandboxError) as caught:
        raised_in(sessions, state)
    assert caught.value.code == code
    assert "secret" not in str(caught.value)
    assert caught.value.__suppress_context__
    assert count(sessions) == 0


def test_a_text_too_long_for_its_column(sessions: Sessions) -> None:
    def add() -> None:
        with sessions.begin() as session:
            session.add(t.IdempotencyRow(principal="p" * 49, key="k", digest="d", resource="r", at="at"))

    assert code_of(add) == "text_refused"


def test_a_deadlock_and_a_lock_that_does_not_come_free_say_busy(sessions: Sessions) -> None:
    with sessions.begin() as session:
        home_state.close(session, Clock(), "x")
        log.bump_policy(session)
    both, outcomes = threading.Barrier(2), []

    def one(first: str, second: str) -> None:
        try:
            with sessions.begin() as session:
                session.execute(text(f"SELECT 1 FROM {first} FOR UPDATE"))
                both.wait(10)
                session.execute(text(f"SELECT 1 FROM {second} FOR UPDATE"))
            outcomes.append("done")
        except DependencyFailed as error:
            outcomes.append(error.code)

    tables = ("home_state", "policy_version")
    threads = [threading.Thread(target=one, args=order) for order in (tables, tables[::-1])]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert sorted(outcomes) == ["database_busy", "done"]

    def wait() -> None:
        with sessions.begin() as session:
            session.execute(text("SET LOCAL lock_timeout = '50ms'"))
            session.execute(text("SELECT 1 FROM home_state FOR UPDATE"))

    with sessions.begin() as session:
        session.execute(text("SELECT 1 FROM home_state FOR UPDATE"))
        assert code_of(wait) == "database_busy"


def test_nothing_may_take_for_ever(sessions: Sessions) -> None:
    with sessions.reading() as session:
        told = {name: session.scalar(text(f"SHOW {name}")) for name in (
            "statement_timeout", "lock_timeout", "idle_in_transaction_session_timeout", "synchronous_commit",
            "transaction_isolation", "transaction_read_only",
        )}  # fmt: skip
    assert told == {
        "statement_timeout": "30s", "lock_timeout": "10s", "idle_in_transaction_session_timeout": "1min",
        "synchronous_commit": "on", "transaction_isolation": "repeatable read", "transaction_read_only": "on",
    }  # fmt: skip
    with sessions.begin() as session:
        assert session.scalar(text("SHOW transaction_isolation")) == "read committed"

    def sleep() -> None:
        with sessions.begin() as session:
            session.execute(text("SET LOCAL statement_timeout = '50ms'"))
            session.execute(text("SELECT pg_sleep(60)"))

    assert code_of(sleep) == "database_busy"


# --- migrations -------------------------------------------------------------------------------------------------------


MIGRATE = """
import sys, pathlib
from sandbox.store import migrations
if sys.argv[3] == "unlocked":
    migrations._alone = lambda session: None
migrations.upgrade(sys.argv[1], password_file=pathlib.Path(sys.argv[2]))
"""


@pytest.mark.parametrize("how", ["locked", "unlocked"])
def test_several_that_start_at_one_time_migrate_once(server: Server, how: str) -> None:
    """It is right also where advisory locks do nothing."""
    url = server.url(server.new_database())
    command = [sys.executable, "-c", MIGRATE, url, str(server.password_file), how]
    started = [subprocess.Popen(command, stderr=subprocess.PIPE) for _ in range(3)]
    assert [one.communicate(timeout=120)[1] for one in started] == [b""] * 3
    assert [one.returncode for one in started] == [0] * 3
    assert migrations.current(url, password_file=server.password_file) == migrations.head()


def test_a_newer_databases_schema_is_refused(server: Server, url: str, sessions: Sessions) -> None:
    with sessions.begin() as session:
        session.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    assert code_of(lambda: migrations.upgrade(url, password_file=server.password_file)) == "schema_foreign"
    assert migrations.current(url, password_file=server.password_file) == "9999"


# --- the bell ---------------------------------------------------------------------------------------------------------

LONG = 60.0


def waits(sessions: Sessions, then: Callable[[], object]) -> float:
    """How long a wait of `LONG` takes when something happens meanwhile."""
    sessions.wait(0)
    took: list[float] = []

    def wait() -> None:
        began = time.monotonic()
        sessions.wait(LONG)
        took.append(time.monotonic() - began)

    thread = threading.Thread(target=wait)
    thread.start()
    while thread.is_alive():  # again and again: the first may come before the other process listens
        then()
        thread.join(0.2)
    return took[0]


def test_who_waits_hears_of_an_event_in_this_process(home: Home) -> None:
    assert waits(home.sessions, lambda: event(home.sessions)) < LONG
    home.sessions.wait(0)
    event(home.sessions)
    began = time.monotonic()
    home.sessions.wait(LONG)  # it rang before: nothing is missed between a look and a wait
    home.sessions.wait(0.01)
    assert time.monotonic() - began < LONG
    assert waits(home.sessions, home.sessions.wake) < LONG


def test_who_waits_hears_of_an_event_in_another_process(server: Server, url: str, sessions: Sessions) -> None:
    other = Sessions(url, password_file=server.password_file)
    try:
        assert waits(other, lambda: event(sessions)) < LONG
        server.restart()
        assert waits(other, lambda: event(sessions)) < LONG
    finally:
        other.close()


def test_a_transaction_that_tells_nothing_rings_no_bell(home: Home) -> None:
    rested = False
    while not rested:  # echoes of what made the home
        began = time.monotonic()
        home.sessions.wait(0.3)
        rested = time.monotonic() - began >= 0.3
    began = time.monotonic()
    with home.sessions.begin() as session:
        log.bump_policy(session)
    with pytest.raises(Whatever), home.sessions.begin() as session:
        whatever(session)
    home.sessions.wait(0.2)
    assert time.monotonic() - began >= 0.2


def test_a_bell_that_cannot_be_heard_costs_the_time_alone(tmp_path: Path) -> None:
    deaf = Sessions("postgresql://a@127.0.0.1:1/c")
    deaf.wait(0.05)
    deaf.close()
    began = time.monotonic()
    deaf.wait(LONG)  # closed: nobody is kept
    assert time.monotonic() - began < LONG
