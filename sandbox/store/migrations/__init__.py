"""Migrations, forward only: bring a home's database to the schema of this release, or say how far it is."""

from __future__ import annotations

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from alembic.util.exc import CommandError

from sandbox.errors import IntegrityFailed
from sandbox.store.sessions import Sessions


def _config() -> Config:
    config = Config()  # no alembic.ini: nothing here is a deployment's choice
    config.set_main_option("script_location", str(Path(__file__).parent).replace("%", "%%"))
    return config


def head() -> str:
    """The revision that this release works with."""
    revision = ScriptDirectory.from_config(_config()).get_current_head()
    assert revision is not None  # noqa: S101 - the package always carries its first revision
    return revision


def current(path: Path) -> str | None:
    """The revision of the database at `path`; None if there is no database, or an empty one.

    Raises:
        DependencyFailed: `database_failed`.
    """
    if not path.exists():
        return None
    sessions = Sessions(path)
    try:
        with sessions.reading() as session:
            return MigrationContext.configure(session.connection()).get_current_revision()
    finally:
        sessions.close()


def upgrade(path: Path) -> None:
    """Bring the database at `path` to `head()` in one transaction, making it if it is not there.

    Raises:
        IntegrityFailed: `schema_foreign`, the database is of a revision that this release does not know (a newer one).
        DependencyFailed: `database_failed`.
    """
    sessions = Sessions(path)
    config = _config()
    try:
        with sessions.begin() as session:
            config.attributes["connection"] = session.connection()
            command.upgrade(config, "head")
    except CommandError:
        raise IntegrityFailed("schema_foreign", found=current(path), known=head()) from None
    finally:
        sessions.close()
