"""Verbs on a home: init makes it whole or not at all, doctor finds what is broken, serve starts, stops and refuses."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import sqlite3
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx2
import pytest

from sandbox.cli import home as home_module
from sandbox.cli.doctor import examine
from sandbox.cli.home import make_home
from sandbox.cli.main import run
from sandbox.cli.serving import listen
from sandbox.errors import Conflict, DependencyFailed, IntegrityFailed
from sandbox.gateway.keys import digest_of, well_formed
from sandbox.store import duties, log, principals
from sandbox.store.sessions import Sessions
from sandbox.wiring import only_writer, open_house, writer_mark
from sandbox.work.duties import NAMES
from sandbox.work.sequence import Sequencer


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home that tests copy and never change."""
    return make_home(tmp_path_factory.mktemp("made") / "home", "operator").home


@pytest.fixture
def home(made: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(made, tmp_path / "home"))


# --- init -------------------------------------------------------------------------------------------------------------


def test_init_makes_a_home_and_tells_the_key_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["init", str(tmp_path / "a" / "home"), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert well_formed(told["key"])
    folder = tmp_path / "a" / "home"
    assert {p.name for p in folder.iterdir()} == {
        "settings.toml", "keys", "log.vkey", "sandbox.db", "objects", "work", "sources",
    }  # fmt: skip
    assert (folder / "log.vkey").read_text("utf-8").strip() == told["vkey"]
    for private in (folder / "keys" / "root.key", folder / "keys" / "log.key"):
        assert stat.S_IMODE(private.stat().st_mode) == 0o600
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    everything = b"".join(p.read_bytes() for p in folder.rglob("*") if p.is_file())
    assert told["key"].encode() not in everything
    assert digest_of(told["key"]).encode() in everything


def test_the_first_events_tell_of_the_home_and_its_operator(made: Path) -> None:
    from sandbox.audit.event import decode

    sessions = Sessions(made / "sandbox.db")
    with sessions.reading() as session:
        (operator,) = principals.list_principals(session)
        events = [decode(b).type for t in ("system", operator.tenant) for _, _, b in log.of_tenant(session, t, "", 99)]
    sessions.close()
    assert operator.roles == ("operator",)
    assert sorted(events) == ["home.create", "key.create", "principal.create", "tenant.create"]


def test_an_empty_folder_may_become_a_home(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    assert (make_home(tmp_path / "empty", "operator").home / "settings.toml").exists()


def test_a_foreign_folder_a_file_and_a_home_are_let_be(home: Path, tmp_path: Path) -> None:
    before = (home / "keys" / "root.key").read_bytes()
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "thesis.txt").write_text("x")
    (tmp_path / "file").write_text("x")
    taken = {home: "home_exists", tmp_path / "other": "home_not_empty", tmp_path / "file": "home_not_empty"}
    for path, code in taken.items():
        with pytest.raises(Conflict) as caught:
            make_home(path, "operator")
        assert caught.value.code == code
    assert (home / "keys" / "root.key").read_bytes() == before
    assert [p.name for p in (tmp_path / "other").iterdir()] == ["thesis.txt"]


def test_a_failed_init_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_path: Path, **_: object) -> None:
        raise DependencyFailed("database_failed")

    monkeypatch.setattr(home_module.migrations, "upgrade", full)
    with pytest.raises(DependencyFailed):
        make_home(tmp_path / "home", "operator")
    assert list(tmp_path.iterdir()) == []


# --- doctor -----------------------------------------------------------------------------------------------------------


def wrong(home: Path) -> dict[str, str]:
    """What the doctor finds: check -> what, in English."""
    found = {f.check: f for f in examine(home)}
    for finding in found.values():
        if finding.what is not None:
            assert finding.mend["en"] != f"mend_{finding.check}", finding.check
            assert finding.mend["zh"]
    return {name: f.what["en"] for name, f in found.items() if f.what is not None}


def test_a_fresh_home_is_well(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert wrong(home) == {}
    assert run(["doctor", str(home)]) == 0
    assert "WRONG" not in capsys.readouterr().out


def test_no_home(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["doctor", str(tmp_path / "none")]) == 1
    out = capsys.readouterr().out
    assert "WRONG  settings" in out
    assert "问题   settings" in out


def test_what_the_doctor_advises_names_the_home(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    at = "2026-01-01T00:00:00.000Z"
    alter(home, f"INSERT OR REPLACE INTO home_state VALUES (1, 'read_only', 'home_rolled_back', '{at}')")
    assert run(["doctor", str(home)]) == 1
    out = capsys.readouterr().out
    assert out.count(f"sandbox reconcile {home}") == 2
    assert " HOME" not in out


def test_a_root_key_that_others_may_read(home: Path) -> None:
    (home / "keys" / "root.key").chmod(0o644)
    assert list(wrong(home)) == ["root key"]


def test_missing_keys(home: Path) -> None:
    (home / "keys" / "root.key").unlink()
    (home / "keys" / "log.key").unlink()
    assert list(wrong(home)) == ["root key", "log key"]


def test_a_log_key_of_another_home(home: Path, tmp_path: Path) -> None:
    other = make_home(tmp_path / "other", "operator").home
    shutil.copy(other / "keys" / "log.key", home / "keys" / "log.key")
    assert list(wrong(home)) == ["log key"]


def test_a_broken_settings_file(home: Path) -> None:
    with (home / "settings.toml").open("a") as file:
        file.write("prot = 1\n")
    assert list(wrong(home)) == ["settings"]


def test_missing_folders(home: Path) -> None:
    (home / "sources").rmdir()
    (home / "objects").rmdir()
    assert list(wrong(home)) == ["objects", "sources"]


def test_a_full_disk(home: Path) -> None:
    with (home / "settings.toml").open("a") as file:
        file.write("free_disk_mb = 1000000000000\n")
    assert list(wrong(home)) == ["disk"]


def test_two_distributions_over_the_same_files(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    record = tmp_path / "site" / "casbin-1.43.0.dist-info"
    record.mkdir(parents=True)
    (record / "METADATA").write_text("Metadata-Version: 2.1\nName: casbin\nVersion: 1.43.0\n")
    monkeypatch.syspath_prepend(record.parent)
    assert list(wrong(home)) == ["packages"]


def test_a_missing_connector(home: Path) -> None:
    with (home / "settings.toml").open("a") as file:
        file.write('connectors = ["csv", "oracle"]\n')
    found = wrong(home)
    assert list(found) == ["connectors"]
    assert "oracle" in found["connectors"]


def alter(home: Path, sql: str) -> None:
    connection = sqlite3.connect(home / "sandbox.db")
    with connection:
        connection.execute(sql)
    connection.close()


def test_a_database_of_another_release(home: Path) -> None:
    alter(home, "UPDATE alembic_version SET version_num = '9999'")
    assert list(wrong(home)) == ["database"]
    with pytest.raises(IntegrityFailed) as refused, open_house(home):
        pass
    assert refused.value.code == "schema_foreign"


def test_a_missing_database(home: Path) -> None:
    (home / "sandbox.db").unlink()
    assert "database" in wrong(home)
    assert not (home / "sandbox.db").exists()


def test_a_database_that_is_none(home: Path) -> None:
    (home / "sandbox.db").write_bytes(b"not a database" * 1000)
    assert "database" in wrong(home)


def test_a_clock_behind_the_last_event(home: Path) -> None:
    sessions = Sessions(home / "sandbox.db")
    with sessions.begin() as session:
        from sandbox.clock import Clock

        late = Clock()
        late.not_before("2999-01-01T00:00:00.000Z")
        log.append(session, late, "access.deny", actor=log.SYSTEM, subject="x", details={})
    sessions.close()
    assert list(wrong(home)) == ["clock"]


def test_a_checkpoint_that_does_not_cover_the_log(home: Path) -> None:
    with open_house(home) as house:
        Sequencer(house.sessions, house.clock, name=house.log_name, key=house.log_key).run()
    assert wrong(home) == {}
    alter(home, "UPDATE checkpoints SET size = size - 1 WHERE size = (SELECT max(size) FROM checkpoints)")
    assert "checkpoint" in wrong(home)


def test_a_failing_duty(home: Path) -> None:
    with open_house(home) as house, house.sessions.begin() as session:
        duties.report(session, house.clock, "ingest", worker="w", error="object_store_full")
    assert "object_store_full" in wrong(home)["duties"]


def test_a_duty_that_hangs_under_a_running_gateway(home: Path) -> None:
    with open_house(home) as house:
        with house.sessions.begin() as session:
            duties.report(session, house.clock, "sequence", worker="w", error=None)
        assert wrong(home) == {}
        alter(home, "UPDATE duties SET last_ok = '2020-01-01T00:00:00.000Z'")
        assert "2020-01-01" in wrong(home)["duties"]
    assert wrong(home) == {}


def test_settings_that_changed_under_a_running_gateway(home: Path) -> None:
    with open_house(home):
        assert wrong(home) == {}
        with (home / "settings.toml").open("a") as file:
            file.write("query_slots = 3\n")
        assert list(wrong(home)) == ["process"]
    assert wrong(home) == {}


# --- serve ------------------------------------------------------------------------------------------------------------


@contextmanager
def serving(home: Path, *flags: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """A gateway as a process of its own; gives it with its address, and ends it by SIGTERM."""
    command = [sys.executable, "-m", "sandbox.cli.main", "serve", str(home), "--port", "0", *flags]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    try:
        assert process.stdout is not None
        ready = process.stdout.readline().strip()
        assert ready.startswith("ready on http"), ready
        yield process, ready.removeprefix("ready on ")
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(30)
        assert process.stdout is not None
        process.stdout.close()


def test_serve_says_where_it_is_answers_alone_and_stops_by_sigterm(home: Path) -> None:
    with serving(home) as (process, url):
        assert httpx2.get(f"{url}/health/live").json() == {"status": "ok", "checks": {}}
        checks = {}
        for _ in range(500):
            checks = httpx2.get(f"{url}/health/ready").json()["checks"]
            if all(checks.values()):
                break
            time.sleep(0.05)
        assert set(checks) == {"database", "objects", "writable", "log", *NAMES}
        with pytest.raises(Conflict) as caught, open_house(home):
            pass
        assert caught.value.code == "home_in_use"
    assert process.returncode == 0
    assert not list(home.glob("*.db-wal"))


def test_a_killed_gateway_leaves_no_lock_behind(home: Path) -> None:
    with serving(home) as (process, _):
        process.kill()
        process.wait(30)
    with open_house(home):
        pass


def test_a_port_that_is_taken() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(DependencyFailed) as caught:
            listen("127.0.0.1", port)
    assert caught.value.params == {"host": "127.0.0.1", "port": port}


@pytest.mark.parametrize(
    ("settings", "code"),
    [
        ("", "serve_insecure"),
        ('tls_key = "k.pem"\n', "tls_incomplete"),
        ('tls_certificate = "c.pem"\n', "tls_incomplete"),
    ],
)
def test_no_key_travels_in_clear_over_a_network(
    home: Path, capsys: pytest.CaptureFixture[str], settings: str, code: str
) -> None:
    with (home / "settings.toml").open("a") as file:
        file.write(settings)
    assert run(["serve", str(home), "--host", "10.0.0.1"]) == 2
    err = capsys.readouterr().err
    assert ("10.0.0.1" in err) == (code == "serve_insecure")


def certificate(folder: Path) -> None:
    """A certificate for 127.0.0.1, signed by itself."""
    import ipaddress
    from datetime import UTC, datetime, timedelta

    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "sandbox")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
        .serial_number(1).not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )  # fmt: skip
    (folder / "c.pem").write_bytes(made.public_bytes(serialization.Encoding.PEM))
    secret = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    (folder / "k.pem").write_bytes(secret)


def test_tls_is_served_and_the_client_checks_it(
    home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    certificate(home)
    with (home / "settings.toml").open("a") as file:
        file.write(f'tls_certificate = "{home}/c.pem"\ntls_key = "{home}/k.pem"\n')
    with serving(home) as (_, url):
        assert url.startswith("https://127.0.0.1:")
        arguments = ["me", "--url", url, "--key", "sbx_wrong"]
        monkeypatch.delenv("SSL_CERT_FILE", raising=False)
        assert run(arguments) == 4
        assert "SSL_CERT_FILE" in capsys.readouterr().err
        monkeypatch.setenv("SSL_CERT_FILE", str(home / "c.pem"))
        assert run(arguments) == 3


# --- the lock ---------------------------------------------------------------------------------------------------------


def test_the_lock_tells_its_mark_while_it_is_held(tmp_path: Path) -> None:
    assert writer_mark(tmp_path) is None
    with only_writer(tmp_path, "mark"):
        assert writer_mark(tmp_path) == "mark"
        with pytest.raises(Conflict), only_writer(tmp_path, "other"):
            pass
        assert writer_mark(tmp_path) == "mark"
    assert writer_mark(tmp_path) is None


def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(DependencyFailed) as caught, only_writer(tmp_path / "file", "mark"):
        pass
    assert caught.value.code == "home_failed"


def test_the_cost_model_is_measured_once(home: Path) -> None:
    with open_house(home) as house:
        first = house.model
    with open_house(home) as house:
        assert house.model == first
    assert os.cpu_count()
