"""The auditor: everything verifies with the public key alone, and one changed byte in the database is named."""

from __future__ import annotations

import shutil
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from sandbox.audit import verify as verifier
from sandbox.audit.export import verify_bundle
from sandbox.cli.exports import take
from tests.house import City, bundle_of, city, opened
from tests.trips import some_rows


@pytest.fixture(scope="module")
def audited(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, str]]:
    folder = tmp_path_factory.mktemp("audit")
    with city(folder) as town:
        town.load(some_rows(8))
        town.grant()
        for i in range(3):
            assert town.ask("SELECT count(*) FROM city.trips", f"audited-{i}", epsilon="0.1").status_code == 200
        assert town.ask("SELECT count(*) FROM city.trips", "audited-no", epsilon="2.9").status_code == 403
        assert verify_bundle(*bundle_of(town)) == []
        keys = dict(town.keys)
    return folder / "home", keys


def reopened(audited: tuple[Path, dict[str, str]], folder: Path, change: str, *values: object) -> list[str]:
    """Change the database behind the gateway's back, then let the auditor look."""
    home, keys = audited
    shutil.copytree(home, folder / "home")
    database = sqlite3.connect(folder / "home" / "sandbox.db")
    for (trigger,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall():
        database.execute(f"DROP TRIGGER {trigger}")
    assert database.execute(change, values).rowcount == 1
    database.commit()
    database.close()
    with opened(folder / "home", keys) as town:
        return verify_bundle(*bundle_of(town))


CHANGES = [
    ("ledger", "UPDATE ledger SET eps_p = eps_p - 1 WHERE scope = 'grant' AND rowid = (SELECT min(rowid) FROM ledger WHERE scope = 'grant')", "ledger/"),
    ("cap", "UPDATE caps SET spent_eps_p = spent_eps_p - 1 WHERE scope = 'population'", "caps/population"),
    ("cap raised", "UPDATE caps SET epsilon = epsilon + 1 WHERE scope = 'grant'", "caps/grant"),
    ("grant", "UPDATE grants SET expires_at = '2100-01-01T00:00:00.000Z'", "grants/"),
    ("vote", "UPDATE votes SET reason = 'x' WHERE rowid = (SELECT min(rowid) FROM votes)", "votes/"),
    ("query", "UPDATE queries SET state = 'failed' WHERE rowid = (SELECT min(rowid) FROM queries)", "queries/"),
    ("version", "UPDATE versions SET manifest_sha256 = replace(manifest_sha256, substr(manifest_sha256, 1, 1), 'z')", "versions/"),
    ("role", "UPDATE principals SET roles = '[\"operator\"]' WHERE name = 'company'", "principals/"),
    ("query's population", "UPDATE queries SET population = 'pop_x' WHERE rowid = (SELECT min(rowid) FROM queries)", "queries/"),
    ("idempotency", "DELETE FROM idempotency WHERE rowid = (SELECT min(rowid) FROM idempotency)", "idempotency/"),
    ("ledger row gone", "DELETE FROM ledger WHERE rowid = (SELECT max(rowid) FROM ledger)", "ledger/"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "change", "named"), CHANGES, ids=[c[0] for c in CHANGES])
def test_a_changed_record_is_named(
    audited: tuple[Path, dict[str, str]], tmp_path: Path, name: str, change: str, named: str
) -> None:
    findings = reopened(audited, tmp_path, change)
    assert any(named in f for f in findings), findings


def test_one_byte_of_one_event_is_named(audited: tuple[Path, dict[str, str]], tmp_path: Path) -> None:
    database = sqlite3.connect(audited[0] / "sandbox.db")
    event, body = database.execute("SELECT id, body FROM events WHERE type = 'query.charge' LIMIT 1").fetchone()
    database.close()
    changed = bytearray(body)
    changed[len(changed) // 2] ^= 1
    findings = reopened(audited, tmp_path, "UPDATE events SET body = ? WHERE id = ?", bytes(changed), event)
    assert any(event in f for f in findings), findings


def test_an_event_left_out_is_noticed(audited: tuple[Path, dict[str, str]], tmp_path: Path) -> None:
    """The gateway itself signs nothing more, and what was signed before has no place for a shorter log."""
    with pytest.raises(AssertionError, match="tile_missing"):
        reopened(audited, tmp_path, "DELETE FROM events WHERE type = 'query.charge' AND idx = (SELECT max(idx) FROM events WHERE type = 'query.charge')")


def test_the_verifier_runs_alone(audited: tuple[Path, dict[str, str]], tmp_path: Path) -> None:
    """With the public key, the export and its two files: none of the house is on its path."""
    home, keys = audited
    shutil.copytree(home, tmp_path / "home")
    with opened(tmp_path / "home", keys) as town:
        take([town.call("GET", "/v1/log/export", part="auditor").content], tmp_path / "export")
    alone = tmp_path / "alone"
    alone.mkdir()
    for name in ("verify.py", "books.py", "rows.py"):
        shutil.copy(Path(verifier.__file__).with_name(name), alone / name)
        assert len((alone / name).read_text().splitlines()) < 260
    done = subprocess.run(
        [sys.executable, "verify.py", "../export", "--key", f"@{home / 'log.vkey'}"], cwd=alone, capture_output=True,
        text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert "verified" in done.stdout


def test_only_the_auditor_reads_the_log(audited: tuple[Path, dict[str, str]], tmp_path: Path) -> None:
    home, keys = audited
    shutil.copytree(home, tmp_path / "home")
    with opened(tmp_path / "home", keys) as town:
        assert isinstance(town, City)
        for part in ("operator", "steward", "committee1", "company"):
            for path in ("entries", "bundle", "export", "records?table=ledger", "checkpoint", "report?month=2026-11"):
                assert town.call("GET", f"/v1/log/{path}", part=part).status_code == 403
