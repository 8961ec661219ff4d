"""The check after a load can fail: each book that is changed behind the others' back is named."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from tests.house import city
from tests.load.check import wrong_states
from tests.trips import some_rows


@pytest.fixture(scope="module")
def stopped(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("checked")
    with city(folder) as town:
        town.load(some_rows(8))
        town.grant()
        body = {"sql": "SELECT count(*) FROM city.trips"}
        keys = (("the-first-key", "0.1"), ("the-second-key", "0.2"), ("the-free-key", "0.2"))
        answers = [(k, town.ok("POST", "/v1/queries", body | {"epsilon": e}, Idempotency_Key=k)) for k, e in keys]
        town.sequence()
        home = town.house.home
    told = folder / "told.jsonl"
    told.write_text("".join(json.dumps({"key": k, "id": a["id"], "event": a["event"]}) + "\n" for k, a in answers))
    return home, told


def copied(home: Path, folder: Path) -> Path:
    with closing(sqlite3.connect(home / "sandbox.db")) as old, closing(sqlite3.connect(folder / "sandbox.db")) as new:
        old.backup(new)
        new.execute("PRAGMA foreign_keys=OFF")
        for (name,) in list(new.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'")):
            new.execute(f'DROP TRIGGER "{name}"')
        new.commit()
    return folder


def test_a_home_that_is_well_has_no_wrong_state(stopped: tuple[Path, Path]) -> None:
    assert wrong_states(*stopped) == []


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ("UPDATE caps SET spent_eps_p = spent_eps_p - 1 WHERE scope = 'grant'", "cap grant"),
        ("DELETE FROM ledger WHERE scope = 'population'", "is spent"),
        ("DELETE FROM ledger", "a ledger row 0 times"),
        ("UPDATE queries SET state = 'charged'", "in state charged"),
        ("UPDATE queries SET state = 'failed'", "a query.fail event 0 times"),
        ("DELETE FROM events WHERE type = 'query.charge'", "a charge event 0 times"),
        ("DELETE FROM events WHERE type = 'query.settle'", "a query.settle event 0 times"),
        ("UPDATE events SET idx = NULL WHERE type = 'query.settle'", "have no place"),
        ("UPDATE idempotency SET resource = 'qry_other'", "bought qry_other"),
        ("DELETE FROM queries", "was given and is None"),
    ],
)
def test_a_book_that_was_changed_is_named(stopped: tuple[Path, Path], tmp_path: Path, change: str, named: str) -> None:
    home = copied(stopped[0], tmp_path)
    with closing(sqlite3.connect(home / "sandbox.db")) as database:
        assert database.execute(change).rowcount > 0
        database.commit()
    assert any(named in line for line in wrong_states(home, stopped[1]))
