"""What a driver raises, as an error of ours with a code: its own text quotes values, and stays where it was raised."""

from __future__ import annotations

import re
import sqlite3
from typing import Final

from sqlalchemy import exc

from sandbox.errors import DependencyFailed, IntegrityFailed, RequestError, SandboxError

_BUSY: Final = frozenset(
    {
        "40001",  # serialization_failure
        "40P01",  # deadlock_detected
        "55P03",  # lock_not_available, by lock_timeout
        "57014",  # query_canceled, by statement_timeout
        "25P03",  # idle_in_transaction_session_timeout
        "53300",  # too_many_connections
    }
)
_FULL: Final = frozenset({"53100", "53200", "53400"})
"""Disk, memory, or a configured limit is used up."""

_TEXT: Final = frozenset({"22001", "22021", "22P05"})
"""Too long for its column, or with a character (NUL) that no text can hold."""

_REFUSED: Final = frozenset({"P0001"})
"""A trigger of ours said no; the constraints are class 23."""

# libpq gives no code for a connection that was refused, only the server's words, in the server's language.
_AT_THE_DOOR: Final = (
    ("database_busy", re.compile(r"too many clients|connection slots are reserved|too many connections")),
    ("database_password_refused", re.compile(r"password|pg_hba\.conf|role \".*\" does not exist|认证|口令|密码|角色")),
    ("database_missing", re.compile(r"database \".*\" does not exist|数据库.*不存在")),
)


def ours(error: exc.SQLAlchemyError) -> SandboxError | None:
    """The error of ours that a driver's error becomes; None if it is a mistake in our own code.

    `database_busy`: try again (a deadlock, a lock or a connection that did not come free). `database_full`: make room.
    `database_failed`: anything else that a database may suffer. `text_refused`: no text column can hold it.
    `database_refused`: a constraint or a trigger that no caller should ever reach.
    """
    if isinstance(error, exc.StatementError) and isinstance(error.orig, SandboxError):
        return error.orig
    if isinstance(error, exc.TimeoutError):
        return DependencyFailed("database_busy")
    if isinstance(error, exc.IntegrityError):
        return IntegrityFailed("database_refused")
    if not isinstance(error, exc.DBAPIError):
        return None
    if isinstance(error.orig, sqlite3.Error):
        return _of_sqlite(error.orig)
    return _of_postgresql(error)


def _of_sqlite(error: sqlite3.Error) -> SandboxError | None:
    primary = getattr(error, "sqlite_errorcode", 0) & 0xFF
    if primary == sqlite3.SQLITE_FULL:
        return DependencyFailed("database_full")
    if primary in {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}:
        return DependencyFailed("database_busy")
    if isinstance(error, sqlite3.ProgrammingError | sqlite3.InterfaceError):
        return None
    return DependencyFailed("database_failed")


def _of_postgresql(error: exc.DBAPIError) -> SandboxError | None:
    state: str = getattr(error.orig, "sqlstate", None) or ""
    if state in _TEXT or (not state and isinstance(error, exc.DataError)):
        return RequestError("text_refused")
    for code, states in (("database_busy", _BUSY), ("database_full", _FULL)):
        if state in states:
            return DependencyFailed(code)
    if state in _REFUSED:
        return IntegrityFailed("database_refused")
    if isinstance(error, exc.ProgrammingError) and state != "42501":  # insufficient_privilege
        return None
    if state or error.statement is not None or error.connection_invalidated:
        return DependencyFailed("database_failed")
    return DependencyFailed(_at_the_door(str(error.orig)))


def _at_the_door(words: str) -> str:
    """Why the server did not let us in, or that there was none."""
    if "FATAL" in words or "致命" in words:
        for code, pattern in _AT_THE_DOOR:
            if pattern.search(words):
                return code
    return "database_unreachable" if "no password supplied" not in words else "database_password_refused"
