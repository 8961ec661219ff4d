"""Migrations, forward only: bring a home's database to the schema of this release, or say how far it is."""

from __future__ import annotations

import threading
import time
from pathlib import Path
from typing import Final

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from alembic.util.exc import CommandError
from sqlalchemy import text
from sqlalchemy.exc import ProgrammingError
from sqlalchemy.orm import Session

from sandbox.errors import IntegrityFailed, SandboxError
from sandbox.store.connecting import is_url
from sandbox.store.sessions import Sessions

_LOCK: Final = 0x73616E64626F78
"""What the advisory lock of a migration is about."""

_TRIES: Final = 5

_ONE_AT_A_TIME: Final = threading.Lock()
"""Alembic's context belongs to the process."""


def _config() -> Config:
    config = Config()  # no alembic.ini: nothing here is a deployment's choice
    config.set_main_option("script_location", str(Path(__file__).parent).replace("%", "%%"))
    return config


def head() -> str:
    """The revision that this release works with."""
    revision = ScriptDirectory.from_config(_config()).get_current_head()
    assert revision is not None  # noqa: S101 - the package always carries its first revision
    return revision


def current(database: str | Path, *, password_file: Path | None = None) -> str | None:
    """The revision of a database (a file, or a URL); None if there is no file, or it is empty.

    Raises:
        RequestError, DependencyFailed: as `Sessions` and its `check`.
        IntegrityFailed: `database_collation`.
    """
    if not is_url(database) and not Path(database).exists():
        return None
    sessions = Sessions(database, password_file=password_file, pool=1)
    try:
        sessions.check()
        with sessions.reading() as session:
            return revision(session)
    finally:
        sessions.close()


def known(revision: str) -> bool:
    """Whether this release knows the revision: its own, or an earlier one."""
    return any(one.revision == revision for one in ScriptDirectory.from_config(_config()).walk_revisions())


def revision(session: Session) -> str | None:
    """The revision of the database that a session is on; None for an empty one."""
    return MigrationContext.configure(session.connection()).get_current_revision()


def is_older(found: str | None) -> bool:
    """Whether `upgrade` brings a database of this revision to `head()`; a newer release's is unknown here."""
    return found is not None and found != head() and known(found)


def upgrade(database: str | Path, *, password_file: Path | None = None, revision: str | None = None) -> None:
    """Bring a database (a file, or a URL) to `head()` in one transaction, making the file if it is not there.

    An empty one can be brought to an earlier `revision`, to be filled from a backup of that time.

    Two that start at one time do not both migrate: the second waits, and finds it done.

    Raises:
        IntegrityFailed: `schema_foreign`, the database is of a revision that this release does not know (a newer one);
            `database_collation`.
        RequestError, DependencyFailed: as `Sessions` and its `check`.
    """
    sessions = Sessions(database, password_file=password_file, pool=1)
    wanted = revision or head()
    try:
        sessions.check()
        for tried in range(1, _TRIES + 1):
            try:
                return _upgrade(sessions, wanted)
            except (SandboxError, ProgrammingError) as error:
                # Where advisory locks do nothing, the second to make a table fails, at once or after the first has
                # ended; what it wanted is then done all the same.
                found = current(database, password_file=password_file)
                if found == wanted:
                    return None
                crossed = isinstance(error, ProgrammingError) or error.code in {"database_busy", "database_refused"}
                if not crossed or tried == _TRIES:
                    raise
                time.sleep(tried)
    except CommandError:
        found = current(database, password_file=password_file)
        raise IntegrityFailed("schema_foreign", found=found, known=head()) from None
    finally:
        sessions.close()


def _upgrade(sessions: Sessions, wanted: str) -> None:
    config = _config()
    with sessions.begin() as session:
        if not sessions.embedded:
            _alone(session)
        config.attributes["connection"] = session.connection()
        with _ONE_AT_A_TIME:
            command.upgrade(config, wanted)


def _alone(session: Session) -> None:
    """Wait for another migration; and then take the time that a table takes."""
    session.execute(text("SET LOCAL lock_timeout = '10min'"))
    session.execute(text("SET LOCAL statement_timeout = 0"))
    session.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _LOCK})
