"""kill -9 at every step of a destruction: its keys are gone at once, and the next worker ends it with one certificate."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from sandbox.audit.event import decode
from sandbox.committee import destroying
from sandbox.crash import VARIABLE
from sandbox.crypto.suite import INTL
from sandbox.store import log
from sandbox.store import removals as store
from tests.house import City, city, opened
from tests.trips import some_rows

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def confirmed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, str]]:
    """A home with a destruction that is confirmed, and nothing of it done."""
    folder = tmp_path_factory.mktemp("removal")
    with city(folder) as town:
        town.load(some_rows(10))
        asked = town.ok("POST", "/v1/datasets/city.trips/destroy", {"reason": "r"}, part="steward")
        town.ok("POST", f"/v1/removals/{asked['id']}/confirm", part="committee1")
        return folder / "home", dict(town.keys)


def objects(town: City) -> list[str]:
    return list(town.house.objects.list("v1/ver_"))


@pytest.mark.parametrize("point", destroying.STEPS)
def test_kill_at_every_step(tmp_path: Path, confirmed: tuple[Path, dict[str, str]], point: str) -> None:
    home, keys = confirmed
    shutil.copytree(home, tmp_path / "home")
    done = subprocess.run(
        [sys.executable, "-m", "tests.faults.one_removal", str(tmp_path / "home")],
        cwd=ROOT, env={**os.environ, VARIABLE: point}, capture_output=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == -signal.SIGKILL, done.stderr.decode()
    with opened(tmp_path / "home", keys) as town:
        house = town.house
        left = len(objects(town))
        assert left == {"destroy.listed": 4, "destroy.deleting": 3}.get(point, 0)
        with house.sessions.reading() as session:
            assert all(values["wrapped_key"] == b"" for _, values in log.records(session, "versions", "", 10))
        again = destroying.run_next(
            house.sessions, house.clock, house.objects, log_name=house.log_name, log_key=house.log_key
        )
        assert again == (point != "destroy.finished")
        assert objects(town) == []
        town.sequence()
        with house.sessions.reading() as session:
            (found,) = store.listed(session)
            told = [decode(body) for _, body, _ in log.entries(session, 0, 1000)]
        assert found.state == "destroyed"
        assert found.certificate is not None
        assert "objects 4 deleted" in found.certificate, "also those that the dead had deleted"
        (event,) = [e for e in told if e.type == "dataset.destroy"]
        assert event.details["certificate"] == INTL.digest(found.certificate.encode()).hex()
