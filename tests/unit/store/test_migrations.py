"""The migrated schema is that of the models, it is upgraded once and in whole, and its triggers hold."""

from __future__ import annotations

import re
import sqlite3
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import create_engine, text
from sqlalchemy.exc import IntegrityError

from sandbox.errors import IntegrityFailed
from sandbox.flow import Cost
from sandbox.privacy.accounting import UNIT
from sandbox.store import ledger, log, migrations
from sandbox.store import tables as t
from sandbox.store.sessions import Sessions
from tests.promises import promise
from tests.unit.store.home import Home


def test_models_and_migrated_schema_agree(tmp_path: Path) -> None:
    migrations.upgrade(tmp_path / "home.db")
    sessions = Sessions(tmp_path / "home.db")
    with sessions.reading() as session:
        assert compare_metadata(MigrationContext.configure(session.connection()), t.Row.metadata) == []
    sessions.close()


def schema(path: Path) -> dict[str, str]:
    """Tables and indexes as SQLite has them: Alembic does not compare CHECKs."""
    connection = sqlite3.connect(path)
    query = "SELECT name, sql FROM sqlite_master WHERE type IN ('table', 'index') AND sql IS NOT NULL"
    rows = dict(connection.execute(query).fetchall())
    connection.close()
    rows.pop("alembic_version", None)
    return {name: parts(sql) for name, sql in rows.items()}


def parts(sql: str) -> list[str]:
    """What a definition lists, in no order: an added column stands last, and on no line of its own."""
    head, _, listed = " ".join(sql.split()).partition("(")
    return [head, *sorted(part.strip(" )") for part in re.split(r",(?![^(]*\))", listed))]


def test_checks_and_names_agree_too(tmp_path: Path) -> None:
    migrations.upgrade(tmp_path / "migrated.db")
    engine = create_engine(f"sqlite:///{tmp_path / 'made.db'}")
    t.Row.metadata.create_all(engine)
    engine.dispose()
    assert schema(tmp_path / "migrated.db") == schema(tmp_path / "made.db")


def test_current_and_head(tmp_path: Path) -> None:
    path = tmp_path / "home.db"
    assert migrations.current(path) is None
    assert not path.exists()
    migrations.upgrade(path)
    assert migrations.current(path) == migrations.head() == "0002"
    migrations.upgrade(path)  # a second time does nothing
    assert migrations.current(path) == "0002"


def test_a_foreign_revision_is_refused_and_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "home.db"
    migrations.upgrade(path)
    sessions = Sessions(path)
    with sessions.begin() as session:
        session.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    sessions.close()
    with pytest.raises(IntegrityFailed) as caught:
        migrations.upgrade(path)
    assert caught.value.code == "schema_foreign"
    assert migrations.current(path) == "9999"


@pytest.mark.parametrize(
    "statement",
    [
        "DELETE FROM events",
        "UPDATE events SET body = x'00'",
        "UPDATE events SET leaf = 'x', idx = 7 WHERE idx IS NULL",
        "UPDATE events SET tenant = 'x'",
        "UPDATE OR REPLACE events SET idx = 0 WHERE idx IS NULL",
        "UPDATE events SET idx = 99 WHERE idx = 0",
        "UPDATE events SET idx = NULL WHERE idx = 0",
        "INSERT OR REPLACE INTO events SELECT id, idx, at, type, 'x', subject, body, leaf, seq FROM events",
        "INSERT OR REPLACE INTO events SELECT 'evt_new', 0, at, type, tenant, subject, body, leaf, 99 FROM events LIMIT 1",
        "INSERT OR REPLACE INTO events SELECT 'evt_new', NULL, at, type, tenant, subject, body, leaf, seq FROM events LIMIT 1",
        "UPDATE events SET seq = 99 WHERE idx IS NULL",
    ],
)
def test_events_are_only_ever_numbered(home: Home, statement: str) -> None:
    with home.sessions.begin() as session:
        log.number(session, limit=1)
    before = home.rows(t.EventRow)
    with pytest.raises(IntegrityError, match="never"), home.sessions.begin() as session:
        session.execute(text(statement))
    assert home.rows(t.EventRow) == before
    with home.sessions.begin() as session:
        assert log.number(session) == len(before) - 1


@promise("P6.5")
@pytest.mark.parametrize(
    "statement",
    [
        "DELETE FROM ledger",
        "UPDATE ledger SET eps_p = 0",
        "UPDATE ledger SET at = 'x'",
        "INSERT OR REPLACE INTO ledger SELECT request, step, scope, subject, tenant, 0, 0, 0, event, at FROM ledger",
        "UPDATE caps SET spent_eps_p = spent_eps_p - 1",
        "UPDATE caps SET spent_rho = 0",
        "UPDATE caps SET spent_delta = 0",
        "DELETE FROM caps",
        "REPLACE INTO caps SELECT scope, subject, tenant, epsilon, delta, conversion, frontier, 0, 0, 0, 'x' FROM caps",
    ],
)
def test_nothing_is_refunded_whatever_the_statement(home: Home, statement: str) -> None:
    grant = home.grant()
    keys = ledger.keys_of(grant=grant.id, datasets=[home.datasets["health.visits"]], population=home.population)
    with home.sessions.begin() as session:
        ledger.charge(
            session, home.clock, actor=home.engineer, query_id="qry_1", step="main", grant=grant.id, keys=keys,
            cost=Cost(eps_p=UNIT // 10, rho=UNIT // 1000, delta=1), details={},
        )  # fmt: skip
    before = home.rows(t.LedgerRow), home.rows(t.CapRow)
    with pytest.raises(IntegrityError, match=r"never|stays spent"), home.sessions.begin() as session:
        session.execute(text(statement))
    assert (home.rows(t.LedgerRow), home.rows(t.CapRow)) == before


def test_the_database_itself_refuses_a_cap_that_is_overspent(home: Home) -> None:
    for column in ("spent_eps_p", "spent_delta"):
        with pytest.raises(IntegrityError, match="in_cap"), home.sessions.begin() as session:
            session.execute(text(f"UPDATE caps SET {column} = 4000000000000000000"))
