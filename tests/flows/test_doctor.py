"""The doctor reads to the end: a changed event, a lost object and a flipped byte are found, and a sound home is well."""

from __future__ import annotations

import shutil
import sqlite3
from pathlib import Path

import pytest

from sandbox.cli.doctor import examine
from tests.house import city
from tests.trips import some_rows


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("doctor")
    with city(folder) as town:
        town.load(some_rows(6))
        town.sequence()
    return folder / "home"


def wrong(home: Path) -> list[str]:
    return [f.check for f in examine(home) if f.what is not None and f.check != "disk"]


def damaged(home: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(home, tmp_path / "home"))


def test_a_sound_home_is_well(home: Path) -> None:
    assert wrong(home) == []


def test_a_changed_event_is_found(home: Path, tmp_path: Path) -> None:
    copy = damaged(home, tmp_path)
    database = sqlite3.connect(copy / "sandbox.db")
    for (trigger,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall():
        database.execute(f"DROP TRIGGER {trigger}")
    database.execute("UPDATE events SET body = CAST(replace(CAST(body AS TEXT), 'tenant', 'tenamt') AS BLOB) WHERE idx = 3")
    database.commit()
    database.close()
    assert "events" in wrong(copy)


def test_a_lost_or_flipped_object_is_found(home: Path, tmp_path: Path) -> None:
    copy = damaged(home, tmp_path)
    files = sorted(p for p in (copy / "objects").rglob("b0000.*") if p.is_file())
    content = bytearray(files[0].read_bytes())
    content[len(content) // 2] ^= 1
    files[0].chmod(0o600)
    files[0].write_bytes(bytes(content))
    assert wrong(copy) == ["versions"]
    files[0].unlink()
    assert wrong(copy) == ["versions"]


def test_a_damaged_database_is_found(home: Path, tmp_path: Path) -> None:
    copy = damaged(home, tmp_path)
    database = copy / "sandbox.db"
    whole = bytearray(database.read_bytes())
    for page in range(4, len(whole) // 4096):
        whole[page * 4096] ^= 0xFF  # the byte that says what kind of page it is
    database.write_bytes(bytes(whole))
    assert {"pages", "database"} & set(wrong(copy))
