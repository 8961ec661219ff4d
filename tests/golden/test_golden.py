"""The frozen past: homes that earlier releases wrote are opened, upgraded, answered from, verified, moved and restored."""

from __future__ import annotations

import json
import tarfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from sandbox.cli.doctor import examine
from sandbox.cli.main import run
from sandbox.errors import IntegrityFailed
from sandbox.messages import both
from sandbox.store import log, migrations
from tests.house import City, opened
from tests.restoring import SQL, back_up, findings, home_from, publish, reconciled, spent
from tests.servers.postgres import Server, postgres

__all__ = ["postgres"]

PAST = sorted(folder for folder in Path(__file__).parent.iterdir() if (folder / "home.tar.gz").is_file())
WORDS = {"text", "promise"}
"""Sentences for people, which a release may put better."""


@dataclass(frozen=True, slots=True)
class Frozen:
    """A home of the past, unpacked and not yet touched."""

    home: Path
    keys: dict[str, str]
    grant: str
    answers: dict[str, dict[str, Any]]
    checkpoint: str

    def migrated(self) -> Frozen:
        assert run(["migrate", str(self.home)]) == 0
        return self


@pytest.fixture(params=PAST, ids=lambda folder: folder.name)
def frozen(request: pytest.FixtureRequest, tmp_path: Path) -> Frozen:
    folder: Path = request.param
    with tarfile.open(folder / "home.tar.gz") as archive:
        archive.extractall(tmp_path, filter="data")
    told = json.loads((folder / "keys.json").read_text())
    assert (tmp_path / "home" / "log.vkey").read_text().strip() == (folder / "log.vkey").read_text().strip()
    return Frozen(
        home=tmp_path / "home", keys=told["keys"], grant=told["grant"],
        answers=json.loads((folder / "answers.json").read_text()), checkpoint=(folder / "checkpoint").read_text(),
    )  # fmt: skip


def overlap(old: Any, new: Any, where: str = "") -> list[str]:
    """Where a new answer says otherwise than the old one did; what is only in the new one is let be."""
    if isinstance(old, dict) and isinstance(new, dict):
        return [
            wrong
            for name, value in old.items()
            if name not in WORDS
            for wrong in (overlap(value, new[name], f"{where}.{name}") if name in new else [f"{where}.{name} is gone"])
        ]
    if isinstance(old, list) and isinstance(new, list) and len(old) == len(new):
        pairs = enumerate(zip(old, new, strict=True))
        return [wrong for at, (one, other) in pairs for wrong in overlap(one, other, f"{where}[{at}]")]
    return [] if json.dumps(old) == json.dumps(new) else [f"{where}: {new!r} was {old!r}"]


def check_answers(town: City, frozen: Frozen) -> None:
    for query, answer in frozen.answers.items():
        assert overlap(answer, town.ok("GET", f"/v1/answers/{query}")) == []


def test_there_is_a_past() -> None:
    assert [folder.name for folder in PAST][:1] == ["0.1"]


def test_it_is_refused_before_it_is_upgraded_and_says_how(frozen: Frozen) -> None:
    if migrations.current(frozen.home / "sandbox.db") == migrations.head():
        return
    with pytest.raises(IntegrityFailed, match="schema_old") as refused, opened(frozen.home, frozen.keys):
        pass
    assert "sandbox migrate" in both(refused.value.code, refused.value.params)["en"]


def test_it_upgrades_answers_asks_and_verifies(frozen: Frozen) -> None:
    with opened(frozen.migrated().home, frozen.keys) as town:
        assert town.house.sessions.frozen is None
        check_answers(town, frozen)
        before = spent(town, frozen.grant)
        assert findings(town, frozen.checkpoint) == []
        asked = town.ask(SQL, "in-a-later-release", epsilon="0.1", grant=frozen.grant)
        assert asked.status_code == 200, asked.text
        assert spent(town, frozen.grant) > before
        publish(town)
        assert findings(town, frozen.checkpoint) == []
        check_answers(town, frozen)
    assert [f.check for f in examine(frozen.home) if f.what is not None and f.check not in {"disk", "duties"}] == []


def test_it_verifies_with_what_is_kept_outside_and_a_changed_past_does_not(frozen: Frozen) -> None:
    with opened(frozen.migrated().home, frozen.keys) as town:
        town.sequence()
        with town.house.sessions.reading() as session:
            size = log.size(session)
        lines = frozen.checkpoint.split("\n")
        assert int(lines[1]) <= size
        assert findings(town, frozen.checkpoint.replace(lines[2], lines[2][::-1])) != []


def test_it_is_backed_up_and_restored(frozen: Frozen, tmp_path: Path) -> None:
    with opened(frozen.migrated().home, frozen.keys) as town:
        publish(town)
    back_up(frozen.home, tmp_path / "backup", copies=True)
    home_from(tmp_path / "backup", tmp_path / "new", frozen.home)
    with opened(tmp_path / "new", frozen.keys) as town:
        assert town.house.sessions.frozen is None, "nothing was published since"
        check_answers(town, frozen)
        assert town.ask(SQL, "in-a-restored-home", epsilon="0.1", grant=frozen.grant).status_code == 200
        publish(town)
        assert findings(town, frozen.checkpoint) == []
    home_from(tmp_path / "backup", tmp_path / "behind", frozen.home)
    assert reconciled(tmp_path / "behind").recovered > 0


def test_it_moves_to_postgresql(frozen: Frozen, tmp_path: Path, postgres: Server) -> None:
    with opened(frozen.migrated().home, frozen.keys) as town:
        publish(town)
    back_up(frozen.home, tmp_path / "backup")
    url = postgres.url(postgres.new_database())
    home_from(tmp_path / "backup", tmp_path / "new", frozen.home, database=url, password=postgres.password_file)
    with opened(tmp_path / "new", frozen.keys) as town:
        assert not town.house.sessions.embedded
        assert town.house.sessions.frozen is None
        check_answers(town, frozen)
        asked = town.ask(SQL, "on-a-server", epsilon="0.1", grant=frozen.grant)
        assert asked.status_code == 200, asked.text
        publish(town)
        assert findings(town, frozen.checkpoint) == []
