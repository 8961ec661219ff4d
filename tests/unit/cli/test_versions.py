"""Verbs on versions against a gateway at work: update, ask by number, retire, destroy by two persons, certificate."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from sandbox.audit.checkpoint import open_signed
from sandbox.committee.destroying import TITLE
from tests.unit.cli.test_remote import Terminal
from tests.unit.gateway.living import AIRPORTS, POPULATION, VISITS, grant, living, load, served, working, write_sources

SQL = "SELECT count(*) FROM health.visits"


@pytest.fixture(scope="module")
def walk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Terminal]:
    folder = tmp_path_factory.mktemp("versions")
    texts = {
        "visits.yaml": VISITS, "more.yaml": VISITS.replace("rows: 20000", "rows: 30000"),
        "bad.yaml": VISITS.replace("rows_per_unit: 10", "rows_per_unit: 12").replace("[1, 5, 10]", "[1, 5, 12]"),
        "new.yaml": AIRPORTS,
    }  # fmt: skip
    for name, text in texts.items():
        (folder / name).write_text(text, "utf-8")
    with living(folder) as alive, working(alive), served(alive.house) as url:
        write_sources(alive.house)
        body = {"file": "p.yaml", "text": POPULATION}
        assert alive.client.post("/v1/populations", json=body, headers=alive.who("steward")).status_code == 201
        assert load(alive, VISITS)["state"] == "committed"
        grant(alive)
        yield Terminal(alive, url, folder)


@pytest.fixture
def sandbox(walk: Terminal, capsys: pytest.CaptureFixture[str]) -> Terminal:
    walk.capsys = capsys
    return walk


def test_1_a_dry_run_says_what_would_come_of_it(sandbox: Terminal) -> None:
    file = str(sandbox.folder / "more.yaml")
    said = sandbox("steward", "dataset", "update", "health.visits", file, "--mode", "append", "--check")
    assert "version 2" in said
    assert "limits.rows" in said
    bad = str(sandbox.folder / "bad.yaml")
    told = sandbox("steward", "dataset", "update", "health.visits", bad, "--mode", "append", "--check", code=2)
    assert "limits.rows_per_unit" in told
    assert "bad.yaml:" in told
    assert "version 1" in sandbox("steward", "dataset", "add", str(sandbox.folder / "new.yaml"), "--check")
    assert "health.visits" in sandbox("steward", "dataset", "add", str(sandbox.folder / "visits.yaml"), "--check", code=2)


def test_2_a_steward_updates(sandbox: Terminal) -> None:
    file = str(sandbox.folder / "more.yaml")
    done = sandbox("steward", "dataset", "update", "health.visits", file, "--mode", "append")
    assert "rows_earlier" in done
    assert "reason" in sandbox("steward", "dataset", "update", "health.visits", file, "--mode", "correct", code=2)
    sandbox("steward", "dataset", "update", "health.visits", file, "--mode", "correct", "--reason", "a slip")
    found = sandbox.json("engineer", "dataset", "versions", "health.visits")
    assert [(v["number"], v["kind"], v["state"]) for v in found] == [
        (1, "add", "open"), (2, "append", "withdrawn"), (3, "correct", "open"),
    ]  # fmt: skip
    assert "withdrawn" in sandbox("engineer", "dataset", "versions", "health.visits")


def test_3_a_question_names_a_version(sandbox: Terminal) -> None:
    asked = ("query", SQL, "--epsilon", "0.1")
    assert "version 版本 1" in sandbox("engineer", *asked, "--version", "1")
    assert "version 版本 3" in sandbox("engineer", *asked, "--explain")
    assert "open are: 1, 3" in sandbox("engineer", *asked, "--version", "2", code=2)
    assert "no version 9" in sandbox("engineer", *asked, "--version", "9", code=2).lower()


def test_4_a_dataset_is_retired(sandbox: Terminal) -> None:
    assert "moved" in sandbox("steward", "dataset", "retire", "health.visits", "--reason", "moved")
    assert "retired" in sandbox("engineer", "query", SQL, "--epsilon", "0.1", code=3)
    assert "retired" in sandbox("engineer", "dataset", "list")


def test_5_two_persons_destroy_it_and_a_certificate_remains(sandbox: Terminal) -> None:
    assert "sandbox dataset destroy" in sandbox("member1", "dataset", "destroy-confirm", "health.visits", code=2)
    first = sandbox.json("steward", "dataset", "destroy", "health.visits", "--reason", "contract over")
    assert "declined" in sandbox("member1", "dataset", "destroy-decline", first["id"])
    told = sandbox("steward", "dataset", "destroy", "health.visits", "--reason", "contract over")
    assert "sandbox dataset destroy-confirm health.visits" in told, "who is next, and with what"
    sandbox("steward", "dataset", "destroy-confirm", "health.visits", code=3)
    sandbox("auditor", "dataset", "certificate", "health.visits", code=2)
    assert "destroying" in sandbox("member2", "dataset", "destroy-confirm", "health.visits")
    while sandbox.json("auditor", "dataset", "show", "health.visits")["state"] != "destroyed":
        time.sleep(0.1)
    note = sandbox("auditor", "dataset", "certificate", "health.visits")
    vkey = (sandbox.alive.house.home / "log.vkey").read_text().strip()
    assert open_signed(note, vkey).startswith(TITLE)
    assert list(sandbox.alive.house.objects.list("v1/ver_")) == []
    again = sandbox("steward", "dataset", "add", str(sandbox.folder / "visits.yaml"), code=2)
    assert "never be used again" in again
