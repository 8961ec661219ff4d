"""Engines: how a database is reached, SQLite or PostgreSQL, and how its transactions begin."""

from __future__ import annotations

import select
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from sqlalchemy import URL, Engine, create_engine, event, make_url
from sqlalchemy.exc import ArgumentError, InvalidatePoolError

from sandbox.errors import DependencyFailed, RequestError
from sandbox.store.bell import Bell

_POOL_SECONDS: Final = 5
"""A connection comes free in this time, or the caller is told to come again."""

_QUERY_WORDS: Final = frozenset(
    {"host", "port", "sslmode", "sslrootcert", "sslcert", "sslkey", "sslcrl", "sslnegotiation", "channel_binding",
     "target_session_attrs", "application_name", "gssencmode"}
)  # fmt: skip
"""What a database's URL may say after its question mark."""

_LIMITS: Final = {
    "statement_timeout": "30s",
    "lock_timeout": "10s",
    "idle_in_transaction_session_timeout": "60s",
    "timezone": "UTC",
    # Whatever the server's default is: what was committed is on the disk.
    "synchronous_commit": "on",
}

_CONNECT: Final = {
    "connect_timeout": 5,
    "keepalives": 1,
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 20_000,
    "client_encoding": "utf8",
}


POLICY: Final = "SELECT version FROM policy_version WHERE id = 1"
"""What a writing transaction on PostgreSQL looks up as it begins: every event names it. In the connection's `info`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Engines:
    """Two pools on one database: whoever reads never keeps a writer waiting. The bell tells of new events."""

    writer: Engine
    reader: Engine
    bell: Bell


def is_url(database: str | Path) -> bool:
    """Whether it names a server, not a file."""
    return "://" in str(database)


def engines(database: str | Path, *, password_file: Path | None, pool: int) -> Engines:
    """The engines of a database.

    Raises:
        RequestError: `database_url_refused`, `database_password_in_url`.
    """
    if not is_url(database):
        url = URL.create("sqlite", database=str(database))
        return Engines(writer=_sqlite(url, writes=True), reader=_sqlite(url, writes=False), bell=Bell(None))
    url = _url(str(database))

    def password() -> str | None:
        return None if password_file is None else _read(password_file)

    return Engines(
        writer=_postgresql(url, password, pool, "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE", POLICY),
        reader=_postgresql(url, password, pool, "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"),
        bell=Bell(lambda: _line(url, password())),
    )


# --- SQLite -----------------------------------------------------------------------------------------------------------


def _sqlite(url: URL, *, writes: bool) -> Engine:
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

    @event.listens_for(engine, "before_cursor_execute")
    def texts(_connection: Any, _cursor: Any, _statement: str, parameters: Any, _context: Any, many: bool) -> None:
        # SQLite would take a NUL, and some of its functions would stop reading there; PostgreSQL refuses it.
        for row in parameters if many else (parameters,):
            for value in row:
                if type(value) is str and "\0" in value:
                    raise RequestError("text_refused")

    return engine


# --- PostgreSQL -------------------------------------------------------------------------------------------------------


def _url(database: str) -> URL:
    """A checked URL for the driver; what is wrong with it is told without it, since it may hold a password."""
    try:
        url = make_url(database)
    except (ArgumentError, ValueError):
        raise RequestError("database_url_refused", part="form") from None
    if url.password is not None or "password" in url.query or "passfile" in url.query:
        raise RequestError("database_password_in_url")
    if url.drivername != "postgresql":
        raise RequestError("database_url_refused", part="scheme")
    for part, value in (("user", url.username), ("name", url.database), ("host", url.host or url.query.get("host"))):
        if not value:
            raise RequestError("database_url_refused", part=part)
    unknown = sorted(set(url.query) - _QUERY_WORDS)
    if unknown:
        raise RequestError("database_url_refused", part=unknown[0])
    return url.set(drivername="postgresql+psycopg")


def _read(file: Path) -> str:
    try:
        return file.read_text("utf-8").rstrip("\r\n")
    except (OSError, UnicodeDecodeError):
        raise DependencyFailed("key_file_failed", path=str(file)) from None


def _arguments(password: str | None) -> dict[str, Any]:
    options = " ".join(f"-c {name}={value}" for name, value in _LIMITS.items())
    return {**_CONNECT, "options": options, **({} if password is None else {"password": password})}


def _postgresql(url: URL, password: Callable[[], str | None], pool: int, begins: str, look: str = "") -> Engine:
    """An engine whose transactions begin so, and look at one number on the same way to the server and back."""
    engine = create_engine(
        url, pool_size=pool, max_overflow=0, pool_timeout=_POOL_SECONDS, pool_use_lifo=True, use_native_hstore=False
    )

    @event.listens_for(engine, "do_connect")
    def arguments(_dialect: Any, _record: Any, _positional: Any, named: dict[str, Any]) -> None:
        # The file is read for every connection, so that a password can be changed without a restart.
        named.update(_arguments(password()))

    @event.listens_for(engine, "connect")
    def connect(connection: Any, _record: Any) -> None:
        connection.autocommit = True  # transactions are begun by `begin` below

    @event.listens_for(engine, "checkout")
    def alive(connection: Any, _record: Any, _proxy: Any) -> None:
        if _hung_up(connection):
            raise InvalidatePoolError

    at_once = f"{begins}; {look}".encode()

    @event.listens_for(engine, "begin")
    def begin(connection: Any) -> None:
        libpq = connection.connection.driver_connection.pgconn
        done = libpq.exec_(at_once)
        connection.info[POLICY] = None
        if done.error_message:  # there is no such table yet, or no server any more
            libpq.exec_(b"ROLLBACK")
            connection.exec_driver_sql(begins)
        elif look:
            connection.info[POLICY] = int(done.get_value(0, 0)) if done.ntuples else 0

    return engine


def _hung_up(connection: Any) -> bool:
    """Whether the server closed a resting connection: its goodbye lies in the socket, and looking costs no round trip.

    A server that vanished without a goodbye is found by the keepalives, or by the first statement.
    """
    poll = select.poll()
    poll.register(connection.fileno(), select.POLLIN)
    if not poll.poll(0):
        return False
    from psycopg import Error

    try:
        connection.execute("SELECT 1")
    except Error:
        return True
    return False


def _line(url: URL, password: str | None) -> Any:
    """A connection for the bell."""
    from psycopg import connect

    named = url.translate_connect_args(username="user", database="dbname")
    return connect(autocommit=True, **{**named, **url.query, **_arguments(password)})
