"""What the doctor finds of a home at work: its database server, its processes, its duties, and how far the log is."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Final

from sqlalchemy import text

from sandbox.clock import parse_rfc3339
from sandbox.errors import SandboxError
from sandbox.store import home_state
from sandbox.store.processes import Process
from sandbox.store.sessions import Sessions
from sandbox.work.duties import NAMES
from sandbox.work.standing import LOG_SECONDS, Standing, late

OLDEST_SERVER: Final = 140_000
"""The oldest server (version 14) that the schema and its locks were thought through for."""

UNSAFE: Final = "off"
"""The value of a server's settings that lets it lose what it has committed."""

CLOCKS: Final = timedelta(seconds=2)
"""How far the server's clock may be from this machine's: leases are compared between machines."""


class Wrong(SandboxError):
    """A check that failed without being an error of the house."""


def check_server(sessions: Sessions) -> Iterable[str]:
    """A PostgreSQL server keeps what it has said it keeps, and its clock is ours.

    Raises:
        Wrong: `doctor_server_old`, `doctor_server_unsafe`, `doctor_server_clock`.
    """
    if sessions.embedded:
        return ()
    with sessions.reading() as session:
        number = int(str(session.scalar(text("SHOW server_version_num"))))
        version = str(session.scalar(text("SHOW server_version")))
        # What our own connections ask for is on anyway; these are the server's own, which no connection can change.
        values = {name: str(session.scalar(text(f"SHOW {name}"))) for name in ("fsync", "full_page_writes")}
        before = datetime.now(UTC)
        there = session.execute(text("SELECT clock_timestamp()")).scalar_one()
        after = datetime.now(UTC)
        asked = str(session.scalar(text("SHOW synchronous_commit")))
    if number < OLDEST_SERVER:
        raise Wrong("doctor_server_old", version=version)
    off = [f"{name}={value}" for name, value in {**values, "synchronous_commit": asked}.items() if value == UNSAFE]
    if off:
        raise Wrong("doctor_server_unsafe", settings=off)
    apart = max(before - there, there - after, timedelta())
    if apart > CLOCKS:
        raise Wrong("doctor_server_clock", seconds=round(apart.total_seconds()))
    return (f"PostgreSQL {version}, synchronous_commit={asked}",)


def check_mode(standing: Standing) -> None:
    """The home may be written to.

    Raises:
        Wrong: `doctor_read_only`.
    """
    if standing.home.mode != home_state.OPEN:
        raise Wrong("doctor_read_only", reason=standing.home.code)


def check_duties(standing: Standing, *, running: bool) -> Iterable[str]:
    """While something runs, each duty has succeeded lately; otherwise only its last error counts.

    Raises:
        Wrong: `doctor_duty_error`, `doctor_duty_late`.
    """
    known = {duty.name: duty for duty in standing.duties}
    for duty in standing.duties:
        if duty.error:
            raise Wrong("doctor_duty_error", duty=duty.name, error=duty.error, last_ok=duty.last_ok)
        if running and late(duty, datetime.now(UTC)):
            raise Wrong("doctor_duty_late", duty=duty.name, last_ok=duty.last_ok)
    missing = [name for name in NAMES if name not in known]
    if running and missing and not _young(standing):
        raise Wrong("doctor_duty_late", duty=missing[0], last_ok=None)
    hosts = {process.id: _named(process) for process in standing.processes}
    return [f"{d.name}: ok {d.last_ok}, {hosts.get(d.holder or '', d.holder or '-')}" for d in standing.duties]


def check_log(standing: Standing, *, running: bool) -> Iterable[str]:
    """While something runs, no event waits long for its place and its checkpoint.

    Raises:
        Wrong: `doctor_log_waits`.
    """
    since = standing.waiting_since
    if running and since is not None and not _young(standing):
        waited = (datetime.now(UTC) - parse_rfc3339(since)).total_seconds()
        if waited > LOG_SECONDS:
            raise Wrong("doctor_log_waits", since=since)
    return () if standing.checkpoint is None else (f"checkpoint {standing.checkpoint[0]} at {standing.checkpoint[1]}",)


def check_processes(standing: Standing, *, settings: str, measured: str | None) -> Iterable[str]:
    """Whoever lives was started with the settings as they are here and now, and knows every kind of machine.

    `settings` is their digest here; `measured` is when a kind of machine was last measured.

    Raises:
        Wrong: `doctor_settings_differ`, `doctor_cost_model_old`.
    """
    others = [_named(p) for p in standing.processes if p.settings != settings]
    if others:
        raise Wrong("doctor_settings_differ", processes=others)
    stale = [_named(p) for p in standing.processes if measured is not None and p.started_at < measured]
    if stale:
        raise Wrong("doctor_cost_model_old", processes=stale)
    return [
        f"{_named(p)}, release {p.release}, settings {p.settings[:12]}, since {p.started_at}"
        for p in standing.processes
    ]


def _named(process: Process) -> str:
    return f"{process.role} {process.id} on {process.host}"


def _young(standing: Standing) -> bool:
    """Whether everything has only just started, and had no time yet to do its duties."""
    soon = datetime.now(UTC) - timedelta(seconds=10)
    return all(parse_rfc3339(process.started_at) > soon for process in standing.processes)
