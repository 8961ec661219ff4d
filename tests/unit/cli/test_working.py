"""Processes on the command line: work and migrate start or refuse, and the doctor tells of servers, machines and processes."""

from __future__ import annotations

import dataclasses
import sqlite3
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from sandbox.cli import processes
from sandbox.cli.doctor import examine
from sandbox.cli.failures import UNREACHABLE, USAGE
from sandbox.cli.home import make_home
from sandbox.cli.main import run
from sandbox.cli.processes import Wrong
from sandbox.clock import Clock
from sandbox.store import calibration, home_state, log, migrations
from sandbox.store import duties as duties_store
from sandbox.store import processes as processes_store
from sandbox.store.processes import Process
from sandbox.store.sessions import Sessions
from sandbox.wiring import cost_model, only_writer, open_house
from sandbox.work.duties import NAMES
from sandbox.work.standing import Standing, look
from tests.servers.postgres import Server, postgres

__all__ = ["postgres"]

GOLDEN = Path(__file__).parents[2] / "golden" / "0.1" / "home.tar.gz"
NOW = Clock()


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return make_home(tmp_path / "home", "operator").home


@pytest.fixture
def old_home(tmp_path: Path) -> Path:
    """A home that the first release made."""
    with tarfile.open(GOLDEN) as archive:
        archive.extractall(tmp_path, filter="data")
    return tmp_path / "home"


def wrong(home: Path) -> dict[str, str]:
    return {f.check: f.what["en"] for f in examine(home) if f.what is not None and f.check != "disk"}


# --- work and migrate ---------------------------------------------------------------------------------------------------


def test_work_refuses_a_home_whose_gateway_does_it(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["work", str(home)]) == USAGE
    err = capsys.readouterr().err
    assert "sandbox serve" in err
    assert str(home) in err


def test_an_old_home_is_not_served_but_upgraded_by_the_command_that_is_named(
    old_home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = (old_home / "sandbox.db").read_bytes()
    assert run(["serve", str(old_home), "--port", "0"]) == UNREACHABLE
    assert "sandbox migrate" in capsys.readouterr().err
    assert (old_home / "sandbox.db").read_bytes() == before
    assert "sandbox migrate" in wrong(old_home)["database"]
    with only_writer(old_home / "work", "a gateway of the release before"):
        assert run(["migrate", str(old_home)]) == USAGE, "on SQLite the gateway must stop first"
    assert run(["migrate", str(old_home)]) == 0
    assert f"0001 -> {migrations.head()}" in capsys.readouterr().out
    assert "database" not in wrong(old_home)
    assert run(["migrate", str(old_home)]) == 0
    assert "nothing to do" in capsys.readouterr().out


@pytest.mark.parametrize("verb", ["serve", "migrate"])
def test_a_newer_releases_database_is_named_and_not_touched(
    home: Path, verb: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with sqlite3.connect(home / "sandbox.db") as database:
        database.execute("UPDATE alembic_version SET version_num = '9999'")
    database.close()
    before = (home / "sandbox.db").read_bytes()
    assert run([verb, str(home)]) == UNREACHABLE
    err = capsys.readouterr().err
    assert "9999" in err
    assert migrations.head() in err
    assert (home / "sandbox.db").read_bytes() == before


def test_a_newer_releases_database_on_a_server_is_refused_too(
    tmp_path: Path, postgres: Server, capsys: pytest.CaptureFixture[str]
) -> None:
    name = postgres.new_database()
    url = postgres.url(name)
    home = make_home(tmp_path / "home", "operator", database=url, password=postgres.password_file).home
    postgres.run("UPDATE alembic_version SET version_num = '9999'", name)
    for verb in ("serve", "work", "migrate"):
        assert run([verb, str(home)]) == UNREACHABLE
        assert "9999" in capsys.readouterr().err
    assert "9999" in wrong(home)["database"]
    postgres.drop_database(name)


# --- kinds of machine ---------------------------------------------------------------------------------------------------

COEFFICIENTS = {"row_column": 1e-9, "row_node": 1e-9, "number": 1e-7, "fixed": 0.1}


@pytest.fixture
def sessions(tmp_path: Path) -> Iterator[Sessions]:
    migrations.upgrade(tmp_path / "db")
    opened = Sessions(tmp_path / "db")
    yield opened
    opened.close()


def test_the_cost_model_in_force_is_the_slowest_at_the_fewest_threads(
    sessions: Sessions, monkeypatch: pytest.MonkeyPatch
) -> None:
    measured: list[int] = []

    def machine(name: str, threads: int, **slower: float) -> object:
        """The model that a gateway on such a machine has."""
        from sandbox.query.planning.rung import CostModel

        def measure(threads: int) -> CostModel:
            measured.append(threads)
            return CostModel(**{**COEFFICIENTS, **slower}, threads=threads)

        monkeypatch.setattr("sandbox.wiring._processor", lambda: name)
        monkeypatch.setattr("sandbox.wiring.calibrate", measure)
        return cost_model(sessions, NOW, threads)

    first = machine("aaaa", 8)
    assert first == machine("aaaa", 8)
    assert measured == [8], "a kind of machine is measured once"
    second = machine("bbbb", 8, row_column=5e-9)
    assert second == machine("aaaa", 8), "the same rungs, whoever prices"
    assert second.row_column == 5e-9
    third = machine("aaaa", 2)
    assert (third.threads, third.row_column, third.fixed) == (2, 5e-9, 0.1)
    assert third == machine("bbbb", 8)
    assert measured == [8, 8, 2]


def test_a_frozen_home_is_opened_on_a_machine_it_does_not_know(sessions: Sessions) -> None:
    sessions.freeze("home_restored")
    model = cost_model(sessions, NOW, 1)
    assert model.threads == 1
    with sessions.reading() as session:
        assert calibration.read_all(session) == {}


# --- what the doctor finds -----------------------------------------------------------------------------------------------


def test_a_server_that_may_lose_what_it_promised_is_named(postgres: Server) -> None:
    """The tests' own server does not wait for its disk; nobody should keep a ledger on it."""
    opened = Sessions(postgres.url(), password_file=postgres.password_file)
    try:
        with pytest.raises(Wrong) as caught:
            processes.check_server(opened)
    finally:
        opened.close()
    assert caught.value.code == "doctor_server_unsafe"
    assert caught.value.params["settings"] == ["fsync=off", "full_page_writes=off"]


def test_a_server_too_old_or_of_another_time_is_named(postgres: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    opened = Sessions(postgres.url(), password_file=postgres.password_file)
    try:
        monkeypatch.setattr(processes, "UNSAFE", "never")
        assert next(iter(processes.check_server(opened))).startswith("PostgreSQL 18")
        with monkeypatch.context() as patch:
            patch.setattr(processes, "OLDEST_SERVER", 190_000)
            with pytest.raises(Wrong, match="doctor_server_old"):
                processes.check_server(opened)
        monkeypatch.setattr(processes, "CLOCKS", processes.CLOCKS * -1)
        with pytest.raises(Wrong, match="doctor_server_clock"):
            processes.check_server(opened)
    finally:
        opened.close()


@pytest.fixture
def standing(sessions: Sessions) -> Standing:
    """A home at work, everything well."""
    process = Process(id="wrk_a", role="worker", host="h1", release="0", settings="s" * 64, started_at=NOW.text(plus_seconds=-600))
    with sessions.begin() as session:
        processes_store.start(session, NOW, process)
        for name in NAMES:
            duties_store.report(session, NOW, name, worker="wrk_a", error=None)
    with sessions.reading() as session:
        found = look(session, NOW)
    return dataclasses.replace(found, waiting_since=None)


def duty(standing: Standing, name: str, **changes: object) -> Standing:
    changed = [dataclasses.replace(d, **changes) if d.name == name else d for d in standing.duties]  # type: ignore[arg-type]
    return dataclasses.replace(standing, duties=tuple(changed))


def test_a_home_at_work_is_well(standing: Standing) -> None:
    assert all(standing.checks(NOW.now()).values())
    told = processes.check_duties(standing, running=True)
    assert [line.split(":")[0] for line in told] == sorted(NAMES)
    assert all("worker wrk_a on h1" in line for line in told)
    processes.check_mode(standing)
    processes.check_log(standing, running=True)
    (line,) = processes.check_processes(standing, settings="s" * 64, measured=NOW.text(plus_seconds=-700))
    assert line.startswith("worker wrk_a on h1")


def test_a_failing_a_late_and_a_missing_duty_are_red(standing: Standing) -> None:
    failing = duty(standing, "ingest", error="object_store_full")
    assert [n for n, well in failing.checks(NOW.now()).items() if not well] == ["ingest"]
    with pytest.raises(Wrong) as caught:
        processes.check_duties(failing, running=False)
    assert caught.value.params["error"] == "object_store_full"
    late = duty(standing, "resume", last_ok="2020-01-01T00:00:00.000Z")
    assert [n for n, well in late.checks(NOW.now()).items() if not well] == ["resume"]
    with pytest.raises(Wrong, match="doctor_duty_late"):
        processes.check_duties(late, running=True)
    processes.check_duties(late, running=False)
    missing = dataclasses.replace(standing, duties=standing.duties[1:])
    assert [n for n, well in missing.checks(NOW.now()).items() if not well] == [standing.duties[0].name]
    with pytest.raises(Wrong, match="doctor_duty_late"):
        processes.check_duties(missing, running=True)


def test_an_event_that_waits_is_red_after_some_seconds(standing: Standing) -> None:
    for seconds, well in ((1, True), (10, False)):
        waiting = dataclasses.replace(standing, waiting_since=Clock().text(plus_seconds=-seconds))
        assert waiting.checks(NOW.now())["log"] is well
        if well:
            processes.check_log(waiting, running=True)
        else:
            with pytest.raises(Wrong, match="doctor_log_waits"):
                processes.check_log(waiting, running=True)
        processes.check_log(waiting, running=False)


def test_a_read_only_home_is_red_and_says_why(standing: Standing) -> None:
    closed = dataclasses.replace(standing, home=home_state.HomeState(mode="read_only", reason="home_rolled_back"))
    assert [n for n, well in closed.checks(NOW.now()).items() if not well] == ["writable"]
    with pytest.raises(Wrong) as caught:
        processes.check_mode(closed)
    assert caught.value.params["reason"] == "home_rolled_back"


def test_processes_that_differ_or_know_no_slower_machine_are_named(standing: Standing) -> None:
    with pytest.raises(Wrong) as caught:
        processes.check_processes(standing, settings="t" * 64, measured=None)
    assert (caught.value.code, caught.value.params["processes"]) == ("doctor_settings_differ", ["worker wrk_a on h1"])
    with pytest.raises(Wrong, match="doctor_cost_model_old"):
        processes.check_processes(standing, settings="s" * 64, measured=NOW.text())


def test_a_running_gateways_own_home_is_well(home: Path) -> None:
    with open_house(home) as house:
        assert wrong(home) == {}
        with house.sessions.reading() as session:
            assert log.waiting_since(session) is not None
    assert wrong(home) == {}
