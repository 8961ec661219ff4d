"""Backup and restore: while it is used, whole or not at all, checked before it is believed, and from database to database."""

from __future__ import annotations

import base64
import json
import os
import resource
import shutil
import signal
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from sandbox.audit.checkpoint import sign_note
from sandbox.audit.merkle import leaf_hash
from sandbox.cli.main import run
from sandbox.crash import VARIABLE
from sandbox.crypto.keys import load_log_key
from sandbox.crypto.suite import INTL
from sandbox.errors import DependencyFailed, IntegrityFailed, SandboxError
from sandbox.store import log
from sandbox.work.backup import note_text
from tests.house import city, opened
from tests.restoring import SQL, UNIT, back_up, findings, home_from, publish, reconciled, spent
from tests.servers.postgres import Server, postgres
from tests.trips import some_rows

__all__ = ["postgres"]


@dataclass(frozen=True, slots=True)
class Kept:
    """A published home, and a backup of it with copies of all objects."""

    home: Path
    backup: Path
    keys: dict[str, str]
    grant: str
    answer: dict[str, object]


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Kept:
    folder = tmp_path_factory.mktemp("kept")
    with city(folder) as town:
        town.load(some_rows(8))
        grant = town.grant()
        answer = town.ask(SQL, "first-question", epsilon="0.1").json()
        publish(town)
        made = back_up(folder / "home", folder / "backup", copies=True)
        assert made.missing == ()
        publish(town)
    return Kept(folder / "home", folder / "backup", dict(town.keys), grant, answer)


@pytest.fixture
def copy(kept: Kept, tmp_path: Path) -> Path:
    """A backup that the test may damage."""
    return Path(shutil.copytree(kept.backup, tmp_path / "backup"))


# --- what is in it ----------------------------------------------------------------------------------------------------


def test_no_key_is_in_a_backup_and_everything_in_it_is_private(kept: Kept) -> None:
    secrets = [(kept.home / "keys" / name).read_bytes().split()[2] for name in ("root.key", "log.key")]
    secrets += [base64.b64decode(secret) for secret in secrets] + [key.encode() for key in kept.keys.values()]
    files = [path for path in kept.backup.rglob("*") if path.is_file()]
    assert len(files) > 20
    for path in files:
        content = path.read_bytes()
        assert not any(secret in content for secret in secrets), path
        assert path.stat().st_mode & 0o077 == 0, path
    assert kept.backup.stat().st_mode & 0o077 == 0
    assert {path.name for path in kept.backup.iterdir()} == {
        "manifest.json", "manifest.note", "settings.toml", "log.vkey", "objects.jsonl", "tables", "objects",
    }  # fmt: skip


def test_the_log_tells_of_the_backup(kept: Kept) -> None:
    manifest = (kept.backup / "manifest.json").read_bytes()
    told = json.loads(manifest)
    with opened(kept.home, kept.keys) as town, town.house.sessions.reading() as session:
        events = [json.loads(body) for body in log.bodies(session, 0, log.size(session))]
    (event,) = [e for e in events if e["type"] == "home.backup"]
    assert event["details"] == {
        "backup": told["backup"], "size": told["log"]["size"], "root": told["log"]["root"],
        "manifest": INTL.digest(manifest).hex(),
    }  # fmt: skip


def test_without_copies_the_inventory_names_the_same_objects(kept: Kept, tmp_path: Path) -> None:
    shutil.copytree(kept.home, tmp_path / "home")
    back_up(tmp_path / "home", tmp_path / "bare")
    assert (tmp_path / "bare" / "objects.jsonl").read_bytes() == (kept.backup / "objects.jsonl").read_bytes()
    assert not (tmp_path / "bare" / "objects").exists()
    lines = [json.loads(line) for line in (tmp_path / "bare" / "objects.jsonl").read_text().splitlines()]
    assert {line["key"].rpartition("/")[2][:4] for line in lines} >= {"mani", "b000", "qry_"}
    for line in lines:
        copied = (kept.backup / "objects" / line["key"]).read_bytes()
        assert (len(copied), INTL.digest(copied).hex()) == (line["size"], line["sha256"])


def test_a_missing_or_changed_object_is_told_and_the_rest_is_saved(kept: Kept, tmp_path: Path) -> None:
    shutil.copytree(kept.home, tmp_path / "home")
    answers = tmp_path / "home" / "objects" / "v1" / "answers"
    (answer,) = answers.iterdir()
    answer.write_bytes(b"\0" * answer.stat().st_size)
    made = back_up(tmp_path / "home", tmp_path / "changed", copies=True)
    assert made.missing == (f"v1/answers/{answer.name}",)
    answer.unlink()
    assert back_up(tmp_path / "home", tmp_path / "gone").missing == made.missing
    home_from(tmp_path / "changed", tmp_path / "new", tmp_path / "home", objects=None)
    assert not (tmp_path / "new" / "objects" / "v1" / "answers" / answer.name).exists()


# --- and back ---------------------------------------------------------------------------------------------------------


def test_a_backup_with_copies_is_a_whole_home_again(kept: Kept, tmp_path: Path) -> None:
    """The machine is gone, with its object store; keys were kept elsewhere."""
    restored = home_from(kept.backup, tmp_path / "new", kept.home, objects=None)
    assert restored.objects > 3
    with pytest.raises(IntegrityFailed, match="reconcile_unseen"):
        reconciled(tmp_path / "new")
    assert reconciled(tmp_path / "new", unseen=True).opened
    with opened(tmp_path / "new", kept.keys) as town:
        assert town.ok("GET", f"/v1/answers/{kept.answer['id']}")["rows"] == kept.answer["rows"]
        assert town.ask(SQL, "first-question", epsilon="0.1").json()["rows"] == kept.answer["rows"]
        assert spent(town, kept.grant) == UNIT // 10
        assert town.ask(SQL, "second-question", epsilon="0.1").status_code == 200
        publish(town)
        assert findings(town) == []


def test_a_backup_while_sixteen_ask_is_of_one_instant(tmp_path: Path) -> None:
    with city(tmp_path) as town:
        town.load(some_rows(8))
        grant = town.grant()
        publish(town)
        stop = threading.Event()
        asked: list[int] = []

        def ask(worker: int) -> None:
            number = 0
            while not stop.is_set():
                number += 1
                asked.append(town.ask(SQL, f"worker-{worker}-{number}", epsilon="0.001").status_code)

        threads = [threading.Thread(target=ask, args=(n,)) for n in range(4)]
        for thread in threads:
            thread.start()
        backups = []
        for number in range(3):
            back_up(tmp_path / "home", tmp_path / f"backup{number}")
            backups.append(tmp_path / f"backup{number}")
            publish(town)
        stop.set()
        for thread in threads:
            thread.join()
        publish(town)
        truth = spent(town, grant)
    assert asked.count(200) == truth // (UNIT // 1000) > 0
    for backup in backups:
        old = tmp_path / f"{backup.name}-old"
        shutil.copytree(tmp_path / "home", old)
        home_from(backup, tmp_path / f"{backup.name}-new", old)
        reconciled(tmp_path / f"{backup.name}-new")
        with opened(tmp_path / f"{backup.name}-new", town.keys) as again:
            assert spent(again, grant) == truth
            assert findings(again) == []


def test_a_home_moves_to_postgresql_and_back(kept: Kept, tmp_path: Path, postgres: Server) -> None:
    shutil.copytree(kept.home, tmp_path / "old")
    url = postgres.url(postgres.new_database())
    move = {"database": url, "password": postgres.password_file}
    with opened(tmp_path / "old", kept.keys) as town:
        publish(town)
    back_up(tmp_path / "old", tmp_path / "out")
    home_from(tmp_path / "out", tmp_path / "server", tmp_path / "old", **move)
    assert reconciled(tmp_path / "server").opened
    with opened(tmp_path / "server", kept.keys) as town:
        assert not town.house.sessions.embedded
        assert town.ok("GET", f"/v1/answers/{kept.answer['id']}")["rows"] == kept.answer["rows"]
        assert town.ask(SQL, "on-the-server", epsilon="0.2").status_code == 200
        publish(town)
        assert findings(town) == []
    with pytest.raises(SandboxError, match="restore_not_empty"):
        home_from(tmp_path / "out", tmp_path / "twice", tmp_path / "old", **move)
    assert not (tmp_path / "twice").exists()
    back_up(tmp_path / "server", tmp_path / "in")
    home_from(tmp_path / "in", tmp_path / "file", tmp_path / "old", database="sandbox.db")
    with opened(tmp_path / "file", kept.keys) as town:
        assert town.house.sessions.embedded
        assert spent(town, kept.grant) == 3 * UNIT // 10
    reconciled(tmp_path / "file")
    with opened(tmp_path / "file", kept.keys) as town:
        assert town.ask(SQL, "in-a-file-again", epsilon="0.2").status_code == 200
        assert findings(town) == []


# --- what is refused --------------------------------------------------------------------------------------------------

FILES = [
    "manifest.json", "manifest.note", "settings.toml", "log.vkey", "objects.jsonl", "tables/ledger.jsonl",
    "tables/events.jsonl", "tables/caps.jsonl",
]  # fmt: skip


@pytest.mark.parametrize("damage", ["flipped", "cut", "gone", "longer"])
@pytest.mark.parametrize("name", FILES)
def test_a_damaged_file_is_named_and_nothing_is_made(kept: Kept, copy: Path, tmp_path: Path, name: str, damage: str) -> None:
    path = copy / name
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    damaged = {"flipped": bytes(content), "cut": path.read_bytes()[:-7], "longer": path.read_bytes() + b"\n", "gone": b""}
    path.write_bytes(damaged[damage])
    if damage == "gone":
        path.unlink()
    with pytest.raises(SandboxError) as raised:
        home_from(copy, tmp_path / "new", kept.home)
    assert raised.value.code in {"backup_damaged", "backup_missing", "restore_key_differs", "vkey_malformed"}
    if raised.value.code == "backup_damaged" and name not in {"manifest.json", "log.vkey", "manifest.note"}:
        assert raised.value.params["file"] == name
    assert not (tmp_path / "new").exists()
    assert [p for p in tmp_path.iterdir() if p.name.startswith(".")] == []


def test_a_damaged_copy_of_an_object_is_named(kept: Kept, copy: Path, tmp_path: Path) -> None:
    (answer,) = (copy / "objects" / "v1" / "answers").iterdir()
    answer.write_bytes(b"\0" * answer.stat().st_size)
    with pytest.raises(IntegrityFailed) as raised:
        home_from(copy, tmp_path / "new", kept.home, objects=None)
    assert raised.value.params["file"] == f"objects/v1/answers/{answer.name}"
    assert not (tmp_path / "new").exists()


def resigned(copy: Path, home: Path, **changes: object) -> None:
    """Change the manifest as somebody with the log's key could."""
    manifest = {**json.loads((copy / "manifest.json").read_text()), **changes}
    raw = json.dumps(manifest).encode()
    (copy / "manifest.json").write_bytes(raw)
    name = manifest["log"]["name"]
    text = note_text(name, manifest["backup"], INTL.digest(raw).hex())
    (copy / "manifest.note").write_text(sign_note(text, name, load_log_key(home / "keys" / "log.key")))


@pytest.mark.parametrize("changes", [{"v": 2}, {"schema": "9999"}])
def test_a_newer_release_s_backup_is_refused(kept: Kept, copy: Path, tmp_path: Path, changes: dict[str, object]) -> None:
    resigned(copy, kept.home, release="9.9.9", **changes)
    with pytest.raises(IntegrityFailed, match="backup_newer") as raised:
        home_from(copy, tmp_path / "new", kept.home)
    assert raised.value.params["release"] == "9.9.9"


@pytest.mark.parametrize(("also", "code"), [(True, "backup_log_differs"), (False, "doctor_event_changed")])
def test_a_log_that_was_changed_before_the_backup_is_not_restored(
    kept: Kept, tmp_path: Path, *, also: bool, code: str
) -> None:
    """Every file is as its manifest says, but the events are not those that the checkpoint was signed over."""
    home = Path(shutil.copytree(kept.home, tmp_path / "home"))
    database = sqlite3.connect(home / "sandbox.db")
    (body,) = database.execute("SELECT body FROM events WHERE idx = 1").fetchone()
    other = body.replace(b'"v":1', b'"v":9')
    assert other != body
    database.execute("DROP TRIGGER events_only_numbered")
    database.execute("UPDATE events SET body = ? WHERE idx = 1", (other,))
    if also:
        database.execute("UPDATE events SET leaf = ? WHERE idx = 1", (leaf_hash(other).hex(),))
    database.commit()
    database.close()
    back_up(home, tmp_path / "changed")
    with pytest.raises(IntegrityFailed) as refused:
        home_from(tmp_path / "changed", tmp_path / "new", home)
    assert refused.value.code == code
    assert not (tmp_path / "new").exists()


def test_a_backup_forged_with_another_key_is_refused(kept: Kept, copy: Path, tmp_path: Path) -> None:
    """All digests and the signature agree; but not with the key that the operator kept."""
    with city(tmp_path / "other") as other:
        publish(other)
        back_up(other.house.home, tmp_path / "forged")
    with pytest.raises(IntegrityFailed, match="restore_key_differs") as raised:
        home_from(tmp_path / "forged", tmp_path / "new", kept.home)
    assert raised.value.params["key"] == "log.key"


def test_keys_of_another_home_are_refused(kept: Kept, tmp_path: Path) -> None:
    keys = tmp_path / "keys"
    shutil.copytree(kept.home / "keys", keys)
    secret = base64.b64encode(bytes(32)).decode()
    (keys / "root.key").write_text(f"sandbox-root-key intl {secret}\n")
    with pytest.raises(IntegrityFailed, match="restore_key_differs") as raised:
        home_from(kept.backup, tmp_path / "new", kept.home, keys=keys)
    assert raised.value.params["key"] == "root.key"
    (keys / "log.key").chmod(0o644)
    with pytest.raises(IntegrityFailed, match="log_key_mode"):
        home_from(kept.backup, tmp_path / "new", kept.home, keys=keys)
    assert not (tmp_path / "new").exists()


def test_places_that_cannot_be(kept: Kept, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "x").write_text("x")
    for folder, code in (
        (tmp_path / "file" / "below", "backup_failed"),
        (tmp_path / "nowhere" / "below", "backup_failed"),
        (tmp_path / "full", "backup_exists"),
    ):
        with pytest.raises(SandboxError) as raised:
            back_up(kept.home, folder)
        assert raised.value.code == code
    for home, code in ((tmp_path / "full", "home_not_empty"), (tmp_path / "file" / "below", "restore_failed")):
        with pytest.raises(SandboxError) as raised:
            home_from(kept.backup, home, kept.home)
        assert raised.value.code == code
    with pytest.raises(SandboxError) as raised:
        home_from(tmp_path / "full", tmp_path / "new", kept.home)
    assert raised.value.code == "backup_missing"


@contextmanager
def no_room() -> Iterator[None]:
    """No file of this process may grow."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (40_000, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, before)


def test_a_full_disk_leaves_nothing(kept: Kept, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(DependencyFailed, match="backup_full"), capfd.disabled(), no_room():
        back_up(kept.home, tmp_path / "backup")
    assert list(tmp_path.iterdir()) == []
    back_up(kept.home, tmp_path / "backup")


# --- killed -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("point", ["backup.tables", "backup.objects", "backup.manifest"])
def test_a_killed_backup_does_not_pass_for_one(kept: Kept, tmp_path: Path, point: str) -> None:
    shutil.copytree(kept.home, tmp_path / "home")
    command = [sys.executable, "-m", "sandbox.cli.main", "backup", str(tmp_path / "home"), str(tmp_path / "backup"), "--objects"]
    done = subprocess.run(command, env={**os.environ, VARIABLE: point}, capture_output=True, check=False)
    assert done.returncode == -signal.SIGKILL, done.stderr
    assert not (tmp_path / "backup").exists()
    (half,) = tmp_path.glob(".backup.*.unfinished")
    with pytest.raises(SandboxError):
        home_from(half, tmp_path / "new", tmp_path / "home") if point != "backup.manifest" else home_from(
            tmp_path / "backup", tmp_path / "new", tmp_path / "home"
        )
    done = subprocess.run(command, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr
    assert not list(tmp_path.glob(".backup.*")), "the next one clears what the dead one left"
    home_from(tmp_path / "backup", tmp_path / "new", tmp_path / "home")


# --- the verbs --------------------------------------------------------------------------------------------------------


def test_the_verbs(kept: Kept, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shutil.copytree(kept.home, tmp_path / "home")
    home, backup, new = (str(tmp_path / name) for name in ("home", "backup", "new"))

    def told(*arguments: str) -> dict[str, object]:
        assert run([*arguments, "--json"]) == 0
        found: dict[str, object] = json.loads(capsys.readouterr().out)
        return found

    made = told("backup", home, backup, "--objects")
    assert (made["missing"], made["logged"]) == ([], True)
    restored = told("restore", backup, new, "--keys", f"{home}/keys", "--objects", f"{home}/objects")
    assert restored["backup"] == made["backup"]
    done = told("reconcile", new)
    assert (done["lost"], done["opened"]) == ([], True)
    assert told("reconcile", new)["opened"] is False
    assert run(["backup", home, f"{backup}2"]) == 0
    assert "root.key" in capsys.readouterr().out
    assert run(["restore", f"{backup}2", f"{new}2"]) == 0
    assert "0600" in capsys.readouterr().out
    assert run(["reconcile", new]) == 0
    assert run(["backup", home, backup]) == 2
    assert "备份" in capsys.readouterr().err
    assert run(["restore", backup, new]) == 2
    assert run(["backup", str(tmp_path / "nowhere"), backup]) == 2
    assert run(["reconcile", str(tmp_path / "nowhere")]) == 2
