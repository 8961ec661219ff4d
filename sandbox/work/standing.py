"""Standing: what the database says of duties, processes, schema, log and mode, looked up in one snapshot and judged."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Final

from sqlalchemy.orm import Session

from sandbox.clock import Clock, parse_rfc3339
from sandbox.store import duties as duties_store
from sandbox.store import home_state, log, migrations, processes
from sandbox.store.duties import Duty
from sandbox.store.home_state import HomeState
from sandbox.store.processes import Process
from sandbox.work.duties import NAMES

DUTY_SECONDS: Final = 60.0
"""A duty that has not succeeded for so long is late."""

LOG_SECONDS: Final = 5.0
"""An event that has waited for its place for so long means that nobody sequences."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """A home as its database tells it. `checkpoint` is (size, time) of the newest, `waiting_since` an event's time."""

    duties: tuple[Duty, ...]
    processes: tuple[Process, ...]
    schema: str | None
    checkpoint: tuple[int, str] | None
    waiting_since: str | None
    home: HomeState

    def settings(self) -> dict[str, list[Process]]:
        """The living processes by their settings' digest; more than one is a rolling change, or a mistake."""
        found: dict[str, list[Process]] = {}
        for process in self.processes:
            found.setdefault(process.settings, []).append(process)
        return found

    def checks(self, now: datetime) -> dict[str, bool]:
        """What has to be well for this home to take requests: mode, log, every duty."""
        well = {duty.name: duty.error is None and not late(duty, now) for duty in self.duties}
        return {
            "writable": self.home.mode == home_state.OPEN,
            "log": self.waiting_since is None or _age(self.waiting_since, now) <= LOG_SECONDS,
            **{name: well.get(name, False) for name in NAMES},
        }


def look(session: Session, clock: Clock) -> Standing:
    """The standing as this reader sees it."""
    newest, at = log.checkpoint(session), log.checkpoint_at(session)
    return Standing(
        duties=tuple(duties_store.all_duties(session)),
        processes=tuple(processes.living(session, clock)),
        schema=migrations.revision(session),
        checkpoint=None if newest is None or at is None else (newest[0], at),
        waiting_since=log.waiting_since(session),
        home=home_state.read(session),
    )


def late(duty: Duty, now: datetime) -> bool:
    """Whether a duty has not succeeded for too long, or never."""
    return duty.last_ok is None or _age(duty.last_ok, now) > DUTY_SECONDS


def _age(at: str, now: datetime) -> float:
    return (now - parse_rfc3339(at)).total_seconds()
