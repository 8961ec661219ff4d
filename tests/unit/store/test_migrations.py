"""The migrated schema is that of the models, it is upgraded once and in whole, and its triggers hold."""

from __future__ import annotations

import re
import sqlite3
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import create_engine, text

from sandbox.errors import IntegrityFailed
from sandbox.store import migrations
from sandbox.store import tables as t
from sandbox.store.sessions import Sessions


def test_models_and_migrated_schema_agree(tmp_path: Path) -> None:
    migrations.upgrade(tmp_path / "home.db")
    sessions = Sessions(tmp_path / "home.db")
    with sessions.reading() as session:
        assert compare_metadata(MigrationContext.configure(session.connection()), t.Row.metadata) == []
    sessions.close()


def schema(path: Path) -> dict[str, str]:
    """Tables and indexes as SQLite has them: Alembic does not compare CHECKs."""
    connection = sqlite3.connect(path)
    query = "SELECT name, sql FROM sqlite_master WHERE type IN ('table', 'index') AND sql IS NOT NULL"
    rows = dict(connection.execute(query).fetchall())
    connection.close()
    rows.pop("alembic_version", None)
    return {name: parts(sql) for name, sql in rows.items()}


def parts(sql: str) -> list[str]:
    """What a definition lists, in no order: an added column stands last, and on no line of its own."""
    head, _, listed = " ".join(sql.split()).partition("(")
    return [head, *sorted(part.strip(" )") for part in re.split(r",(?![^(]*\))", listed))]


def test_checks_and_names_agree_too(tmp_path: Path) -> None:
    migrations.upgrade(tmp_path / "migrated.db")
    engine = create_engine(f"sqlite:///{tmp_path / 'made.db'}")
    t.Row.metadata.create_all(engine)
    engine.dispose()
    assert schema(tmp_path / "migrated.db") == schema(tmp_path / "made.db")


def test_current_and_head(tmp_path: Path) -> None:
    path = tmp_path / "home.db"
    assert migrations.current(path) is None
    assert not path.exists()
    migrations.upgrade(path)
    assert migrations.current(path) == migrations.head() == "0004"
    migrations.upgrade(path)  # a second time does nothing
    assert migrations.current(path) == "0004"


def test_a_foreign_revision_is_refused_and_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "home.db"
    migrations.upgrade(path)
    sessions = Sessions(path)
    with sessions.begin() as session:
        session.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    sessions.close()
    with pytest.raises(IntegrityFailed) as caught:
        migrations.upgrade(path)
    assert caught.value.code == "schema_foreign"
    assert migrations.current(path) == "9999"
