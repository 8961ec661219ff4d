from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from sandbox.store import migrations
from tests.servers.postgres import Server, database_of, postgres
from tests.unit.store.home import Home

__all__ = ["home", "kind", "postgres"]


@pytest.fixture(params=["sqlite", "postgresql"])
def kind(request: pytest.FixtureRequest) -> str:
    """Every test that has a `home` runs on both."""
    return str(request.param)


@pytest.fixture(scope="session")
def blank(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A migrated SQLite file, to be copied."""
    file = tmp_path_factory.mktemp("blank") / "home.db"
    migrations.upgrade(file)
    return file


@pytest.fixture
def home(kind: str, tmp_path: Path, blank: Path, request: pytest.FixtureRequest) -> Iterator[Home]:
    if kind == "sqlite":
        made = Home(tmp_path, str(shutil.copy(blank, tmp_path / "home.db")))
        yield made
        made.sessions.close()
        return
    server: Server = request.getfixturevalue("postgres")
    with database_of(server) as url:
        made = Home(tmp_path, url, server.password_file)
        yield made
        made.sessions.close()
