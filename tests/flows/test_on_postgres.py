"""The same walk on PostgreSQL: everything that the SQLite house does over HTTP, and what only several processes can."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from sandbox.audit.export import verify_bundle
from sandbox.cli.doctor import examine
from sandbox.cli.home import make_home
from sandbox.cli.main import run
from sandbox.errors import Conflict
from sandbox.settings import load
from tests.flows.test_walk import *  # noqa: F403
from tests.house import City, bundle_of, city
from tests.servers.postgres import Server, postgres
from tests.trips import some_rows

__all__ = ["postgres"]


@pytest.fixture(scope="session")
def town(postgres: Server) -> Iterator[City]:
    """Takes the place of the SQLite one in every test of the walk."""
    name = postgres.new_database()
    with (
        tempfile.TemporaryDirectory() as folder,
        city(Path(folder), database=postgres.url(name), password=postgres.password_file) as it,
    ):
        it.load(some_rows())
        it.grant()
        yield it
    postgres.drop_database(name)


def test_the_auditor_proves_the_log_and_the_records(town: City) -> None:
    grant = town.grant(purpose="audit")
    assert town.ask("SELECT count(*) FROM city.trips", "on-postgres", epsilon="0.1", grant=grant).status_code == 200
    assert not town.house.sessions.embedded
    assert verify_bundle(*bundle_of(town)) == []


def test_another_home_does_not_move_into_its_database(town: City, tmp_path: Path) -> None:
    settings = town.house.settings
    with pytest.raises(Conflict) as caught:
        make_home(tmp_path / "home", "other", database=settings.database, password=settings.database_password)
    assert caught.value.code == "database_not_empty"
    assert not (tmp_path / "home").exists()


def test_the_doctor_finds_it_well(town: City) -> None:
    wrong = {finding.check: finding.what for finding in examine(town.house.home) if finding.what}
    assert "fsync=off" in wrong.pop("server")["en"]  # as tests have it
    assert wrong == {}


def test_init_on_a_server_and_what_it_says_of_a_wrong_one(
    postgres: Server, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    name = postgres.new_database()
    place = ["--database", postgres.url(name), "--database-password", str(postgres.password_file)]
    assert run(["init", str(tmp_path / "home"), *place]) == 0
    settings = load(tmp_path / "home")
    assert (settings.database, settings.database_password) == (postgres.url(name), postgres.password_file)
    assert "sandbox.db" not in {path.name for path in (tmp_path / "home").iterdir()}
    capsys.readouterr()
    for wrong, told in {
        postgres.url("no_such"): "no database of that name",
        postgres.url(name).replace("@", ":secret@"): "may not hold a password",
        "postgresql://sandbox@127.0.0.1:1/x": "does not answer",
        "oracle://sandbox@127.0.0.1/x": "not understood (scheme)",
    }.items():
        assert run(["init", str(tmp_path / "other"), "--database", wrong, *place[2:]]) != 0
        said = capsys.readouterr().err
        assert told in said
        assert "secret" not in said
        assert not (tmp_path / "other").exists()
    (tmp_path / "home" / "settings.toml").write_text(f'log_name = "x"\ndatabase = "{postgres.url("no_such")}"\n')
    findings = {finding.check: finding.what for finding in examine(tmp_path / "home")}
    assert "does not let this user in" in (findings["database"] or {})["en"]
    postgres.drop_database(name)
