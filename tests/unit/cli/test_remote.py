"""Remote verbs against a gateway behind a real socket: a city's walk, from the first tenant to the auditor's proof."""

from __future__ import annotations

import csv
import io
import json
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from sandbox.audit import verify
from sandbox.cli.main import run
from tests.unit.gateway.living import AIRPORTS, POPULATION, VISITS, Living, living, served, working, write_sources

SQL = "SELECT year, count(*), avg(docvis) FROM health.visits GROUP BY year"


@dataclass
class Terminal:
    """Runs verbs as somebody and keeps what they print."""

    alive: Living
    url: str
    folder: Path
    capsys: pytest.CaptureFixture[str] | None = None

    def __call__(self, who: str, *arguments: str, code: int = 0) -> str:
        assert self.capsys is not None
        self.capsys.readouterr()
        got = run([*arguments, "--url", self.url, "--key", self.alive.keys[who]])
        out, err = self.capsys.readouterr()
        assert got == code, err
        assert len(err.splitlines()) == (2 if code else 0), err
        return err if code else out

    def json(self, who: str, *arguments: str) -> Any:
        return json.loads(self(who, *arguments, "--json"))


@pytest.fixture(scope="module")
def walk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Terminal]:
    folder = tmp_path_factory.mktemp("remote")
    for name, text in (("pop.yaml", POPULATION), ("visits.yaml", VISITS), ("airports.yaml", AIRPORTS)):
        (folder / name).write_text(text, "utf-8")
    with living(folder) as alive, working(alive), served(alive.house) as url:
        write_sources(alive.house)
        yield Terminal(alive, url, folder)


@pytest.fixture
def sandbox(walk: Terminal, capsys: pytest.CaptureFixture[str]) -> Terminal:
    walk.capsys = capsys
    return walk


def test_1_the_operator_admits(sandbox: Terminal) -> None:
    assert "company" in sandbox("operator", "tenant", "add", "--name", "乙公司", "--kind", "company")
    made = sandbox.json(
        "operator", "principal", "add", "--name", "li", "--tenant", "乙公司", "--role", "engineer"
    )
    sandbox.alive.keys["li"] = made["key"]
    assert sandbox.json("li", "me")["tenant_name"] == "乙公司"
    assert "乙公司" in sandbox("operator", "tenant", "list")
    assert made["id"] in sandbox("operator", "principal", "list")
    assert "Keep the key" in sandbox(
        "operator", "principal", "add", "--name", "wu", "--tenant", "乙公司", "--role", "engineer"
    )
    assert "Revoked" in sandbox("operator", "key", "revoke", made["key_id"])
    assert "revoked" in sandbox("li", "me", code=3)
    assert "operator" in sandbox("engineer", "tenant", "add", "--name", "x", "--kind", "company", code=3)


def test_2_the_steward_declares_and_loads(sandbox: Terminal) -> None:
    assert "residents" in sandbox("steward", "population", "add", str(sandbox.folder / "pop.yaml"))
    assert "residents" in sandbox("engineer", "population", "list")
    out = sandbox("steward", "dataset", "add", str(sandbox.folder / "visits.yaml"))
    assert "committed" in out
    assert "2500" in out
    assert "clamped" in out
    ingest = sandbox("steward", "dataset", "add", str(sandbox.folder / "airports.yaml"), "--no-wait").split()[1]
    assert "committed" in sandbox("steward", "ingest", "show", ingest)
    listed = sandbox("engineer", "dataset", "list")
    assert "health.visits" in listed
    assert "public 公开" in listed
    shown = sandbox("engineer", "dataset", "show", "health.visits")
    assert "0 … 60" in shown
    assert "2500" not in shown


def test_3_a_manifests_error_has_file_line_and_column(sandbox: Terminal) -> None:
    broken = sandbox.folder / "broken.yaml"
    broken.write_text(VISITS.replace("type: integer", "type: integr"), "utf-8")
    err = sandbox("steward", "dataset", "add", str(broken), code=2)
    assert all(line.startswith("broken.yaml:") for line in err.splitlines())
    missing = sandbox.folder / "missing.yaml"
    missing.write_text(VISITS.replace("visits.csv", "gone.csv").replace("health.visits", "health.gone"), "utf-8")
    sandbox("steward", "dataset", "add", str(missing), code=2)


def test_4_a_public_table_is_downloaded_and_a_protected_one_is_not(sandbox: Terminal) -> None:
    out = sandbox.folder / "airports.parquet"
    sandbox("engineer", "dataset", "download", "transport.airports", "--out", str(out))
    assert pq.read_table(out).num_rows == 3
    refused = sandbox.folder / "visits.parquet"
    sandbox("engineer", "dataset", "download", "health.visits", "--out", str(refused), code=3)
    assert not refused.exists()
    assert not list(sandbox.folder.glob("*.part"))


def test_5_a_company_applies_and_two_members_approve(sandbox: Terminal) -> None:
    assert "health.visits" in sandbox("engineer", "query", SQL, "--epsilon", "1", code=3)
    ask = ["--scenario", "triage", "--purpose", "research", "--dataset", "health.visits", "--until", "2099-01-01"]
    made = sandbox.json("engineer", "apply", *ask, "--preset", "research")["id"]
    assert made in sandbox("engineer", "application", "list")
    assert "consent_pending" in sandbox("engineer", "application", "show", made)
    sandbox("engineer", "application", "approve", made, code=3)
    sandbox("steward", "application", "consent", made, "--dataset", "health.visits")
    assert "in_review" in sandbox("member1", "application", "approve", made, "--reason", "clear")
    sandbox("member1", "application", "approve", made, code=2)
    assert "approved" in sandbox("member2", "application", "approve", made)
    granted = sandbox.json("engineer", "application", "show", made)["grant"]
    assert granted in sandbox("engineer", "grant", "list")
    assert "left_pure" in sandbox("engineer", "grant", "show", granted)
    other = sandbox.json("engineer", "apply", *ask, "--epsilon", "0.5")["id"]
    assert "withdrawn" in sandbox("engineer", "application", "withdraw", other)
    third = sandbox.json("engineer", "apply", *ask, "--epsilon", "0.5")["id"]
    sandbox("steward", "application", "consent", third, "--dataset", "health.visits")
    sandbox("member1", "application", "reject", third)
    assert "rejected" in sandbox("member2", "application", "reject", third)


def test_6_it_asks_in_every_form(sandbox: Terminal) -> None:
    out = sandbox("engineer", "query", SQL, "--epsilon", "0.5")
    for told in ("1984", "95 %", "laplace", "epsilon 0.5", "evt_", "at most 5"):
        assert told in out, told
    body = json.loads(sandbox("engineer", "query", SQL, "--epsilon", "0.1", "--format", "json"))
    again = json.loads(sandbox("engineer", "answer", body["id"], "--format", "json"))
    assert again == body
    rows = list(csv.reader(io.StringIO(sandbox("engineer", "answer", body["id"], "--format", "csv"))))
    assert rows[0][:4] == ["year", "count", "count_low", "count_high"]
    assert [r[0] for r in rows[1:]] == ["1984", "1985", "1986", "1987", "1988"]
    assert "touched no data" in sandbox("engineer", "query", SQL, "--within", "100", "--explain")
    keyed = ["query", SQL, "--epsilon", "0.1", "--idempotency-key", "once-only", "--format", "json"]
    assert sandbox("engineer", *keyed) == sandbox("engineer", *keyed)


@pytest.mark.parametrize(
    ("arguments", "code", "word"),
    [
        (["SELECT * FROM health.visits", "--epsilon", "1"], 2, "COUNT"),
        (["SELECT count(docvi) FROM health.visits", "--epsilon", "1"], 2, "docvis"),
        ([SQL, "--epsilon", "50"], 3, "50"),
        ([SQL, "--epsilon", "1", "--purpose", "ads"], 3, "ads"),
        ([SQL, "--epsilon", "0"], 2, "epsilon"),
        ([SQL, "--epsilon", "-1"], 2, "epsilon"),
        ([SQL, "--epsilon", "nan"], 2, "epsilon"),
        ([SQL, "--epsilon", "1e300"], 2, "epsilon"),
        ([SQL, "--within", "nan"], 2, "within"),
        ([SQL], 2, "epsilon"),
    ],
)
def test_7_refusals_are_one_line_in_each_language(
    sandbox: Terminal, arguments: list[str], code: int, word: str
) -> None:
    english, chinese = sandbox("engineer", "query", *arguments, code=code).splitlines()
    assert word in english
    assert any("\u4e00" <= c <= "\u9fff" for c in chinese)


def test_8_a_company_reads_its_events(sandbox: Terminal) -> None:
    assert "query.charge" in sandbox("engineer", "events", "--limit", "1000")
    first = sandbox.json("engineer", "events", "--limit", "1")
    second = sandbox.json("engineer", "events", "--limit", "1", "--after", first[0]["id"])
    assert second[0]["id"] > first[0]["id"]


def test_8_a_company_keeps_a_receipt_and_proves_it_alone(sandbox: Terminal) -> None:
    events = sandbox.json("engineer", "events", "--limit", "1000")
    charge = next(e for e in events if e["event"]["type"] == "query.charge")
    kept, key = sandbox.folder / "receipt.json", f"@{sandbox.alive.house.home / 'log.vkey'}"
    assert f"sandbox verify-receipt {kept}" in sandbox("engineer", "receipt", charge["event"]["subject"], "--save", str(kept))
    assert json.loads(kept.read_text("utf-8")) == json.loads(sandbox("engineer", "receipt", charge["id"]))
    assert run(["verify-receipt", str(kept), "--key", key]) == 0
    assert "no such answer" in sandbox("rival", "receipt", charge["event"]["subject"], code=2)
    assert "no such event" in sandbox("rival", "receipt", charge["id"], code=2)


def test_9_the_auditor_takes_an_export_away(sandbox: Terminal) -> None:
    folder, key = sandbox.folder / "taken" / "export", f"@{sandbox.alive.house.home / 'log.vkey'}"
    assert "verify.py" in sandbox("auditor", "audit", "export", str(folder))
    alone = [sys.executable, verify.__file__, str(folder), "--key", key]
    assert subprocess.run(alone, capture_output=True, check=False).returncode == 0
    assert str(folder) in sandbox("auditor", "audit", "export", str(folder), code=2)
    sandbox("engineer", "audit", "export", str(sandbox.folder / "no"), code=3)
    assert not (sandbox.folder / "no").exists()


def test_9_the_auditor_keeps_a_month(sandbox: Terminal) -> None:
    month, kept = sandbox.alive.house.clock.text()[:7], sandbox.folder / "month.md"
    assert str(kept) in sandbox("auditor", "audit", "report", "--month", month, "--save", str(kept))
    assert f"日志月报 {month}" in kept.read_text("utf-8")
    assert "— sandbox/" in sandbox("auditor", "audit", "report", "--month", month)
    assert "month" in sandbox("auditor", "audit", "report", "--month", "2026-13", code=2)
    assert "not begun" in sandbox("auditor", "audit", "report", "--month", "2199-01", code=2)
    assert "begins in" in sandbox("auditor", "audit", "report", "--month", "1999-01", code=2)
    sandbox("engineer", "audit", "report", "--month", month, code=3)


def test_9_the_auditor_proves_the_log_and_finds_a_changed_record(sandbox: Terminal) -> None:
    home = sandbox.alive.house.home
    saved = sandbox.folder / "saved"
    out = sandbox("auditor", "audit", "verify", "--vkey", str(home / "log.vkey"), "--save", str(saved))
    assert "Verified" in out
    assert "核验通过" in out
    assert (saved / "tile").is_dir()
    assert "out of band" in sandbox("auditor", "audit", "verify")
    sandbox("auditor", "audit", "verify", "--earlier", str(saved / "checkpoint"))
    assert str(saved) in sandbox("auditor", "audit", "verify", "--save", str(saved), code=2)
    sandbox("engineer", "audit", "verify", code=3)
    (grant,) = sandbox.json("engineer", "grant", "list")
    connection = sqlite3.connect(home / "sandbox.db")
    with connection:
        connection.execute("UPDATE caps SET epsilon = epsilon + 1 WHERE subject = ?", (grant["id"],))
    connection.close()
    assert sandbox.capsys is not None
    assert run(["audit", "verify", "--url", sandbox.url, "--key", sandbox.alive.keys["auditor"]]) == 1
    out, err = sandbox.capsys.readouterr()
    assert f"caps/grant/{grant['id']}" in out
    assert len(err.splitlines()) == 2
