"""Sessions: one writer at a time under BEGIN IMMEDIATE, readers on an engine of their own, every commit on the disk."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import Engine, create_engine, event
from sqlalchemy.exc import DatabaseError, OperationalError
from sqlalchemy.orm import Session, sessionmaker

from sandbox.errors import DependencyFailed


def _engine(url: str, *, writes: bool) -> Engine:
    engine = create_engine(url, connect_args={"timeout": 30, "check_same_thread": False}, pool_size=1 if writes else 8)

    @event.listens_for(engine, "connect")
    def connect(connection: Any, _record: Any) -> None:
        # The driver would begin transactions by itself, and later than we need: we begin them (see `begin` below).
        connection.isolation_level = None
        cursor = connection.cursor()
        cursor.execute("PRAGMA journal_mode=WAL")
        cursor.execute("PRAGMA synchronous=FULL")
        cursor.execute("PRAGMA foreign_keys=ON")
        if not writes:
            cursor.execute("PRAGMA query_only=ON")
        cursor.close()

    @event.listens_for(engine, "begin")
    def begin(connection: Any) -> None:
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")

    return engine


class Sessions:
    """Where every transaction begins: `begin()` to write, `reading()` to read."""

    def __init__(self, path: Path) -> None:
        url = f"sqlite:///{path}"
        self.writer = _engine(url, writes=True)
        self.reader = _engine(url, writes=False)
        self._write = sessionmaker(self.writer, expire_on_commit=False)
        self._read = sessionmaker(self.reader, expire_on_commit=False)

    @contextmanager
    def begin(self) -> Iterator[Session]:
        """A write transaction: committed at the end of the block, rolled back by an exception.

        Raises:
            DependencyFailed: `database_failed`; the driver's text stays here.
        """
        try:
            with self._write.begin() as session:
                yield session
        except OperationalError:
            raise DependencyFailed("database_failed") from None

    @contextmanager
    def reading(self) -> Iterator[Session]:
        """A read-only snapshot.

        Raises:
            DependencyFailed: `database_failed`.
        """
        try:
            with self._read() as session:
                yield session
        except DatabaseError:
            raise DependencyFailed("database_failed") from None

    def close(self) -> None:
        """Let go of all connections."""
        self.writer.dispose()
        self.reader.dispose()
