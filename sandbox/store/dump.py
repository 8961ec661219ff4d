"""Dump and load: all tables as JSON lines out of one snapshot, the same text from SQLite and from PostgreSQL."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import islice
from typing import Any, Final

from sqlalchemy import JSON, Column, LargeBinary, func, insert, select, text
from sqlalchemy.orm import Session

from sandbox.audit.merkle import leaf_hash
from sandbox.errors import Conflict, IntegrityFailed
from sandbox.store import datasets, log
from sandbox.store import tables as t
from sandbox.store.datasets import StoredPopulation, StoredVersion

_LEFT_OUT: Final = frozenset({"processes", "home_state"})
"""What is true of one moment only: who runs, and whether writing is allowed."""
_BATCH: Final = 500


def tables() -> list[str]:
    """The tables of a dump, in order of their names."""
    return sorted(set(t.Row.metadata.tables) - _LEFT_OUT)


def take_time(session: Session) -> None:
    """Let this transaction take as long as the tables are large; on SQLite nothing hurries it."""
    if session.get_bind().dialect.name != "sqlite":
        session.execute(text("SET LOCAL statement_timeout = 0"))
        session.execute(text("SET LOCAL idle_in_transaction_session_timeout = 0"))


def lines(session: Session, name: str) -> Iterator[bytes]:
    """A table's rows as JSON lines, in order of the primary key, read as they are asked for."""
    table = t.Row.metadata.tables[name]
    query = select(table).order_by(*table.primary_key.columns).execution_options(yield_per=_BATCH)
    told = [(column.name, _telling(column)) for column in table.columns]
    for row in session.execute(query):
        values = {column: tell(value) for (column, tell), value in zip(told, row, strict=True)}
        yield json.dumps(values, ensure_ascii=False, separators=(",", ":")).encode() + b"\n"


def load(session: Session, name: str, rows: Iterable[bytes]) -> int:
    """Insert a table's lines; gives their number. A column that the dump's release did not have gets its default.

    Raises:
        IntegrityFailed: `backup_malformed`, a line is not a row of this table.
    """
    table = t.Row.metadata.tables[name]
    columns = {column.name: _reading(column) for column in table.columns}
    count, waiting = 0, iter(rows)
    while batch := [_row(line, columns, name) for line in islice(waiting, _BATCH)]:
        session.execute(insert(table), batch)
        count += len(batch)
    return count


def check_empty(session: Session) -> None:
    """Refuse to load into a database that holds anything.

    Raises:
        Conflict: `restore_not_empty`, naming a table.
    """
    for name, table in sorted(t.Row.metadata.tables.items()):
        if session.execute(select(table).limit(1)).first() is not None:
            raise Conflict("restore_not_empty", table=name)


def go_on(session: Session) -> None:
    """Let the order of insertion go on behind what was loaded."""
    if session.get_bind().dialect.name != "sqlite":
        last = session.scalar(select(func.max(t.EventRow.seq)))
        if last is not None:
            session.execute(select(func.setval("events_seq", last)))


def stored_versions(session: Session) -> list[tuple[StoredVersion, StoredPopulation | None]]:
    """Every version whose objects should be there, each with the population whose key wraps its own."""
    query = (
        select(t.VersionRow, t.DatasetRow.population)
        .join(t.DatasetRow, t.DatasetRow.id == t.VersionRow.dataset)
        .where(t.VersionRow.state != "destroyed")
        .order_by(t.VersionRow.id)
    )
    populations: dict[str, StoredPopulation] = {}
    found = []
    for version, population in session.execute(query).all():
        if population is not None and population not in populations:
            populations[population] = datasets.population_by_id(session, population)
        owner = None if population is None else populations[population]
        found.append((datasets.version_of(version), owner))
    return found


def stored_answers(session: Session) -> Iterator[tuple[str, str]]:
    """(object key, SHA-256) of every settled answer."""
    query = select(t.QueryRow.answer_object, t.QueryRow.answer_sha256).where(t.QueryRow.answer_object.is_not(None))
    for key, sha256 in session.execute(query.order_by(t.QueryRow.id).execution_options(yield_per=_BATCH)):
        yield str(key), str(sha256)


def check_log(session: Session, size: int, check: Callable[[bytes], None]) -> None:
    """Give each of the first `size` leaves to `check`, in order, once its event's body hashes to it.

    Raises:
        IntegrityFailed: `doctor_event_changed`, naming the first whose body does not.
    """
    for start in range(0, size, _BATCH):
        for index, body, leaf in log.entries(session, start, min(_BATCH, size - start)):
            if leaf_hash(body).hex() != leaf:
                raise IntegrityFailed("doctor_event_changed", index=index)
            check(bytes.fromhex(leaf))


def _row(line: bytes, columns: Mapping[str, Callable[[Any], Any]], name: str) -> dict[str, Any]:
    try:
        values = json.loads(line)
        return {column: columns[column](value) for column, value in values.items()}
    except (ValueError, LookupError, TypeError, AttributeError):
        raise IntegrityFailed("backup_malformed", table=name) from None


def _telling(column: Column[Any]) -> Callable[[Any], Any]:
    if isinstance(column.type, LargeBinary):
        return lambda value: None if value is None else base64.b64encode(value).decode("ascii")
    return lambda value: value


def _reading(column: Column[Any]) -> Callable[[Any], Any]:
    if isinstance(column.type, LargeBinary):
        return lambda value: None if value is None else base64.b64decode(value, validate=True)
    if isinstance(column.type, JSON):
        return lambda value: value
    return _plain


def _plain(value: Any) -> Any:
    if isinstance(value, dict | list | float):
        raise TypeError
    return value
