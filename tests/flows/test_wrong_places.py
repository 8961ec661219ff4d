"""A home that points to what is not there: each verb names it, says what to do, and ends with a code that is not zero."""

from __future__ import annotations

from pathlib import Path

import pytest

from sandbox.cli import catalogue
from sandbox.cli.failures import tell
from sandbox.cli.home import make_home
from sandbox.cli.main import run
from tests.servers.seaweed import key_files, shared


@pytest.fixture
def home(tmp_path: Path) -> Path:
    made, server = make_home(tmp_path / "home", "operator").home, shared()
    access, secret = key_files(tmp_path / "keys")
    with (made / "settings.toml").open("a") as file:
        file.write(
            f'objects = "s3://no-such-bucket/home"\ns3_endpoint = "{server.endpoint}"\ns3_secure = false\n'
            f's3_access_key = "{access}"\ns3_secret_key = "{secret}"\n'
        )
    return made


@pytest.mark.parametrize("verb", ["serve", "backup", "reconcile"])
def test_a_bucket_that_does_not_exist_is_named(home: Path, verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    more = {"serve": ["--port", "0"], "backup": [str(home.parent / "backup")], "reconcile": []}[verb]
    assert run([verb, str(home), *more]) != 0
    told = capsys.readouterr().err
    assert "no bucket no-such-bucket" in told
    assert "make it there" in told
    assert not (home.parent / "backup").exists()


def test_the_doctor_names_it_too(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["doctor", str(home)]) == 1
    assert "WRONG  objects: There is no bucket no-such-bucket" in capsys.readouterr().out


def test_credentials_that_expired_under_an_ingest_are_told_to_its_steward(capsys: pytest.CaptureFixture[str]) -> None:
    """What `dataset add` makes of the failure that `test_on_s3` provokes."""
    failed = {"code": "object_store_refused", "params": {"reason": "ExpiredToken"}, "position": None}
    assert tell(catalogue._failure(failed)) != 0
    told = capsys.readouterr().err
    assert "ExpiredToken" in told
    assert "s3_access_key" in told
