"""Writes that know what is there already: a row that came first wins, or is overtaken, without a read before."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import inspect, literal
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session

from sandbox.store import tables as t


def insert_new(session: Session, row: t.Row) -> bool:
    """Insert a row unless something unique in it is taken; False if it is. Waits for whoever is inserting the same.

    The row stays outside of the session: it may be read, and its later changes are not written.
    """
    session.flush()
    statement = _insert(session, type(row)).values(**_values(row)).on_conflict_do_nothing()
    return session.execute(statement.returning(literal(1))).first() is not None


def insert_or_update(session: Session, row: t.Row, changes: Mapping[str, Any]) -> None:
    """Insert a row, or make these changes to the one that has its key."""
    session.flush()
    keys = [column.name for column in type(row).__table__.primary_key]
    statement = _insert(session, type(row)).values(**_values(row))
    session.execute(statement.on_conflict_do_update(index_elements=keys, set_=dict(changes)))


def _insert(session: Session, model: type[t.Row]) -> Any:
    embedded = session.get_bind().dialect.name == "sqlite"
    return (sqlite.insert if embedded else postgresql.insert)(t.Row.metadata.tables[model.__tablename__])


def _values(row: t.Row) -> dict[str, Any]:
    """The row's columns as they were set; what was not set is left to its default."""
    state = inspect(row)
    return {name: value for name, value in state.dict.items() if name in state.mapper.columns}
