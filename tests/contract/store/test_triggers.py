"""Against accidents: no statement, whoever sends it, rewrites the log, refunds a charge, or overspends a cap."""

from __future__ import annotations

import pytest
from sqlalchemy import text

from sandbox.errors import DependencyFailed, IntegrityFailed
from sandbox.flow import Cost
from sandbox.privacy.accounting import UNIT
from sandbox.store import ledger, numbering, tiles
from sandbox.store import tables as t
from tests.promises import promise
from tests.unit.store.home import Home


def refused(home: Home, statement: str, *, because: str) -> None:
    """The statement fails for that reason, which stays inside."""
    with pytest.raises(IntegrityFailed) as caught, home.sessions.begin() as session:
        session.execute(text(statement))
    assert caught.value.code == "database_refused"
    assert caught.value.params == {}
    assert because in str(caught.value.__context__)


def only_on(kind: str, statement: str) -> str:
    """SQLite alone can replace a row without a word of UPDATE or DELETE."""
    if "REPLACE" not in statement:
        return statement
    assert "OR REPLACE" in statement
    if kind == "sqlite":
        return statement
    if statement.startswith("UPDATE"):
        return statement.replace("OR REPLACE ", "").replace("idx = 0", "tenant = 'x'")
    table = statement.split()[4]
    return f"DELETE FROM {table}"


@pytest.mark.parametrize(
    "statement",
    [
        "DELETE FROM events",
        "UPDATE events SET body = leaf" + "::bytea",
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
def test_events_are_only_ever_numbered(home: Home, kind: str, statement: str) -> None:
    with home.sessions.begin() as session:
        numbering.number(session, limit=1)
    before = home.rows(t.EventRow)
    statement = statement if kind == "postgresql" else statement.replace("leaf::bytea", "x'00'")
    refused(home, only_on(kind, statement), because="events are never")
    assert home.rows(t.EventRow) == before
    with home.sessions.begin() as session:
        assert numbering.number(session) == len(before) - 1


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
        "INSERT OR REPLACE INTO caps SELECT scope, subject, tenant, epsilon, delta, conversion, frontier, 0, 0, 0, 'x' FROM caps",
    ],
)
def test_nothing_is_refunded_whatever_the_statement(home: Home, kind: str, statement: str) -> None:
    grant = home.grant()
    keys = ledger.keys_of(grant=grant.id, datasets=[home.datasets["health.visits"]], population=home.population)
    with home.sessions.begin() as session:
        ledger.charge(
            session, home.clock, actor=home.engineer, query_id="qry_1", step="main", grant=grant.id, keys=keys,
            cost=Cost(eps_p=UNIT // 10, rho=UNIT // 1000, delta=1), details={},
        )  # fmt: skip
    before = home.rows(t.LedgerRow), home.rows(t.CapRow)
    refused(home, only_on(kind, statement), because="never" if "spent_" not in statement else "stays spent")
    assert (home.rows(t.LedgerRow), home.rows(t.CapRow)) == before


def test_the_database_itself_refuses_a_cap_that_is_overspent(home: Home) -> None:
    for column in ("spent_eps_p", "spent_delta"):
        refused(home, f"UPDATE caps SET {column} = 4000000000000000000", because="in_cap")


def test_tiles_are_as_they_were_written(home: Home) -> None:
    with home.sessions.begin() as session:
        tiles.save(session, {(0, 0): bytes(range(256)) * 32})
    for statement in ("UPDATE tiles SET idx = 1", "DELETE FROM tiles"):
        refused(home, statement, because="tiles are never")


@pytest.mark.parametrize("table", ["events", "ledger", "caps", "tiles"])
def test_no_table_is_emptied_at_once(home: Home, kind: str, table: str) -> None:
    if kind == "postgresql":
        refused(home, f"TRUNCATE {table}", because="never emptied")
    else:
        with pytest.raises(DependencyFailed), home.sessions.begin() as session:  # SQLite has no such statement
            session.execute(text(f"TRUNCATE {table}"))
