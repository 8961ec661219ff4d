"""Errors: one base class with a code and typed params; each kind knows its HTTP status, none is ever 500."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, TypeAlias

Param: TypeAlias = str | int | bool | list[str] | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Position:
    """A place in a text that somebody wrote: line and column count from 1."""

    line: int
    column: int
    file: str | None = None


class SandboxError(Exception):
    """What went wrong, as a code that `sandbox.messages` renders in Chinese and English.

    Params are declared facts or things the caller typed, never a cell of data and never a driver's text.
    """

    status: ClassVar[int] = 400

    def __init__(self, code: str, *, position: Position | None = None, **params: Param) -> None:
        super().__init__(code)
        self.code = code
        self.params = params
        self.position = position

    def __str__(self) -> str:
        return f"{self.code} {self.params}" if self.params else self.code


class RequestError(SandboxError):
    """The request cannot be understood or is refused for what it says."""

    status = 400


class Unauthenticated(SandboxError):
    """No key, or a key that is not known."""

    status = 401


class Denied(SandboxError):
    """The caller is known and may not do this."""

    status = 403


class NotFound(SandboxError):
    """It does not exist, or its existence may not be told."""

    status = 404


class Conflict(SandboxError):
    """The state of the thing forbids it (also: an idempotency key reused with another body)."""

    status = 409


class TooLarge(SandboxError):
    """The request is over a limit on size."""

    status = 413


class TooSlow(SandboxError):
    """The request took too long to arrive."""

    status = 408


class TooMany(SandboxError):
    """The caller asks too often or has too much under way."""

    status = 429


class DependencyFailed(SandboxError):
    """Something the gateway needs (disk, database, object store) fails; try again later."""

    status = 503


class IntegrityFailed(SandboxError):
    """Stored bytes are not what was stored; nothing is answered from them."""

    status = 503
