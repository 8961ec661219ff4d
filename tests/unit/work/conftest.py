from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from sandbox.store import migrations
from sandbox.store.sessions import Sessions
from tests.servers.postgres import Server, database_of, postgres

__all__ = ["open_sessions", "postgres", "sessions"]

Opener = Callable[[], Sessions]


@pytest.fixture(params=["sqlite", "postgresql"])
def open_sessions(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Opener]:
    """Opens sessions on one migrated database, as one more process would; every test runs on both."""
    opened: list[Sessions] = []

    def keep(sessions: Sessions) -> Sessions:
        opened.append(sessions)
        return sessions

    if request.param == "sqlite":
        migrations.upgrade(tmp_path / "home.db")
        yield lambda: keep(Sessions(tmp_path / "home.db"))
    else:
        server: Server = request.getfixturevalue("postgres")
        with database_of(server) as url:
            yield lambda: keep(Sessions(url, password_file=server.password_file))
            for sessions in opened:
                sessions.close()
    for sessions in opened:
        sessions.close()


@pytest.fixture
def sessions(open_sessions: Opener) -> Sessions:
    return open_sessions()
