"""Sessions: where every transaction begins, one writer on SQLite, many on PostgreSQL, every commit on the disk."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from sqlalchemy import event, text
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session, sessionmaker

from sandbox import crash
from sandbox.errors import DependencyFailed, IntegrityFailed
from sandbox.store.connecting import engines, is_url
from sandbox.store.failures import ours

WRITES: Final = "writes"
"""Set in the `info` of a session that may write, and so may lock rows."""

TOLD: Final = "told"
"""Set in the `info` of a session that appended an event: its commit rings the bell."""


_ORDERED: Final = text("SELECT word FROM (VALUES ('a_b'), ('B'), ('a'), ('é'), ('a-c'), ('ab')) w (word) ORDER BY word")


class Sessions:
    """Where every transaction begins: `begin()` to write, `reading()` to read.

    `database` is the path of an SQLite file, or `postgresql://user@host:port/name`; the password is in a file.
    On SQLite writers take turns (BEGIN IMMEDIATE). On PostgreSQL they run at one time under READ COMMITTED, and what
    they read to decide upon they lock; readers see one instant (REPEATABLE READ) and can change nothing.
    """

    def __init__(self, database: str | Path, *, password_file: Path | None = None, pool: int = 10) -> None:
        """Nothing is connected yet.

        Raises:
            RequestError: `database_url_refused`, `database_password_in_url`.
        """
        made = engines(database, password_file=password_file, pool=pool)
        self.embedded = not is_url(database)
        self.writer, self.reader, self._bell = made.writer, made.reader, made.bell
        self._write = sessionmaker(self.writer, expire_on_commit=False, info={WRITES: True})
        self._read = sessionmaker(self.reader, expire_on_commit=False)
        self._frozen: str | None = None
        self._closed = False
        for engine in (self.writer, self.reader):
            event.listen(engine, "checkin", self._let_go)

    @contextmanager
    def begin(self, *, although_frozen: bool = False) -> Iterator[Session]:
        """A write transaction: committed at the end of the block, rolled back by an exception.

        `although_frozen` is for who froze it, to write down why, and to mend it.

        Raises:
            DependencyFailed: `database_busy` (a deadlock or a lock that did not come free; nothing was done, begin
                again), `database_full`, `database_failed`, `home_read_only`; the driver's text stays here.
            IntegrityFailed: `database_refused`, a constraint or trigger said no.
            RequestError: `text_refused`, a text is too long for its column or holds a NUL.
        """
        if self._frozen is not None and not although_frozen:
            raise DependencyFailed("home_read_only", reason=self._frozen)
        try:
            with self._write.begin() as session:
                yield session
                crash.point("committing")
            crash.point("committed")
        except SQLAlchemyError as error:
            raise ours(error) or error from None
        if session.info.get(TOLD):
            self._bell.ring()

    @contextmanager
    def reading(self) -> Iterator[Session]:
        """A read-only snapshot.

        Raises:
            DependencyFailed: `database_busy`, `database_failed`.
        """
        try:
            with self._read() as session:
                yield session
        except SQLAlchemyError as error:
            raise ours(error) or error from None

    @property
    def frozen(self) -> str | None:
        """Why nothing may be written now; None if it may."""
        return self._frozen

    def freeze(self, reason: str | None) -> None:
        """Refuse to write from now on, for this reason (a code); None thaws. Reading goes on."""
        self._frozen = reason

    def wait(self, seconds: float) -> None:
        """Rest until somebody has committed an event, at most so long. It may wake for nothing, or be late."""
        self._bell.wait(seconds)

    def wake(self) -> None:
        """Wake this process's waiters, so that they can see that they should stop."""
        self._bell.wake()

    def check(self) -> None:
        """Connect, and refuse a database that would order texts otherwise than by their bytes.

        Raises:
            DependencyFailed: `database_unreachable`, `database_password_refused`, `database_missing`,
                `database_failed`, `key_file_failed`.
            IntegrityFailed: `database_collation`.
        """
        with self.reading() as session:
            if self.embedded:
                return
            encoding = session.scalar(text("SHOW server_encoding"))
            ordered = session.scalars(_ORDERED).all()
        check_order(str(encoding), [str(word) for word in ordered])

    def close(self) -> None:
        """Let go of all connections; one that a thread still uses is closed when it comes back."""
        self._closed = True
        self._bell.close()
        self.writer.dispose()
        self.reader.dispose()

    def _let_go(self, connection: Any, _record: Any) -> None:
        # Its pool is disposed of, and nobody else would close it.
        if self._closed and connection is not None:
            connection.close()


def of_transaction(session: Session, what: str) -> dict[Any, Any]:
    """A place to remember what holds until this transaction ends; empty in the next one."""
    found: tuple[object, dict[Any, Any]] = session.info.get(what, (None, {}))
    if found[0] is not session.get_transaction():
        found = session.info[what] = (session.get_transaction(), {})
    return found[1]


def check_order(encoding: str, ordered: list[str]) -> None:
    """Pages go by keyset, and what is signed goes in order: a database must not order by a language's habits.

    Raises:
        IntegrityFailed: `database_collation`.
    """
    if encoding != "UTF8" or ordered != sorted(ordered):
        raise IntegrityFailed("database_collation", encoding=encoding)
