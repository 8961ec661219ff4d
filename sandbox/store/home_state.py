"""Home state: the one row that says whether a home may be written to, and why not; a home without it is open."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from sqlalchemy.orm import Session

from sandbox.clock import Clock
from sandbox.store import tables as t
from sandbox.store.writing import insert_or_update

OPEN: Final = "open"
READ_ONLY: Final = "read_only"
RESTORED: Final = "home_restored"
"""Loaded from a backup, and not yet compared with what was published since."""
ROLLED_BACK: Final = "home_rolled_back"
"""Something newer was published than this home knows."""
FORKED: Final = "home_forked"
"""What was published is not what this home's log began with."""
UNCHECKED: Final = "home_unchecked"
"""What was published could not be looked up; said by a process of itself, never written down."""

_ONE: Final = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class HomeState:
    """The mode; `reason` is a code, with the backup's id behind it where the home was restored from one."""

    mode: str
    reason: str = ""

    @property
    def code(self) -> str:
        """The reason's code."""
        return self.reason.partition(" ")[0]

    @property
    def backup(self) -> str | None:
        """The backup that the home was restored from, until that is logged."""
        return self.reason.partition(" ")[2] or None


def read(session: Session) -> HomeState:
    """The state as it is now."""
    row = session.get(t.HomeStateRow, _ONE, populate_existing=True)
    return HomeState(mode=OPEN) if row is None else HomeState(mode=row.mode, reason=row.reason)


def close(session: Session, clock: Clock, code: str, backup: str | None = None) -> None:
    """Say that nobody may write from now on."""
    _set(session, clock, READ_ONLY, code if backup is None else f"{code} {backup}")


def open_again(session: Session, clock: Clock) -> None:
    """Say that the home may be written to."""
    _set(session, clock, OPEN, "")


def _set(session: Session, clock: Clock, mode: str, reason: str) -> None:
    values = {"mode": mode, "reason": reason, "at": clock.text()}
    insert_or_update(session, t.HomeStateRow(id=_ONE, **values), values)
