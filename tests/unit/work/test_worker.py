"""The worker: duties under leases, failures told and not covered up, a stop that lets go."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from sandbox.clock import Clock
from sandbox.errors import Conflict, DependencyFailed
from sandbox.store import duties, processes
from sandbox.store.sessions import Sessions
from sandbox.work import presence
from sandbox.work.leases import Lease
from sandbox.work.presence import present
from sandbox.work.worker import Duty, Worker
from tests.servers.fleet import until
from tests.unit.work.conftest import Opener


class Task:
    """A duty's function: counts its runs, and does what it is told."""

    def __init__(self) -> None:
        self.runs = 0
        self.fails: Exception | None = None

    def run(self) -> bool:
        self.runs += 1
        if self.fails is not None:
            raise self.fails
        return False


@contextmanager
def working(sessions: Sessions, *made: Duty, owner: str = "wrk_a") -> Iterator[Worker]:
    worker = Worker(made, sessions=sessions, clock=Clock(), worker_id=owner)
    worker.start()
    try:
        yield worker
    finally:
        worker.stop()


def standing(sessions: Sessions, name: str) -> duties.Duty | None:
    with sessions.reading() as session:
        return next((d for d in duties.all_duties(session) if d.name == name), None)


def leased(sessions: Sessions, task: Task, owner: str, seconds: float = 10.0) -> Duty:
    lease = Lease(sessions, Clock(), name="sequence", owner=owner, seconds=seconds)
    return Duty(name="sequence", run=task.run, beat=0.01, lease=lease)


def test_a_worker_whose_duty_was_taken_meanwhile_reports_nothing_over_the_other_s_word(sessions: Sessions) -> None:
    task = Task()

    def run() -> bool:
        if not task.runs:
            with sessions.begin() as session:
                duties.release(session, "sequence", "wrk_a", 1)
                duties.take(session, Clock(), "sequence", "wrk_b", 3600)
                duties.report(session, Clock(), "sequence", worker="wrk_b", error="object_store_failed")
        return task.run()

    lease = Lease(sessions, Clock(), name="sequence", owner="wrk_a", seconds=3600)
    with working(sessions, Duty(name="sequence", run=run, beat=0.01, lease=lease), owner="wrk_a"):
        until(lambda: task.runs > 3)
    found = standing(sessions, "sequence")
    assert found is not None
    assert (found.error, found.last_ok, found.holder) == ("object_store_failed", None, "wrk_b")


def test_a_duty_under_a_lease_runs_in_one_worker_and_in_the_other_when_that_stops(open_sessions: Opener) -> None:
    first, second = open_sessions(), open_sessions()
    one, two = Task(), Task()
    with working(first, leased(first, one, "wrk_a"), owner="wrk_a") as worker:
        until(lambda: one.runs > 2)
        with working(second, leased(second, two, "wrk_b"), owner="wrk_b"):
            runs = one.runs
            until(lambda: one.runs > runs + 5)
            assert two.runs == 0
            worker.stop()
            runs = one.runs
            until(lambda: two.runs > 2)
            assert one.runs == runs
            found = standing(first, "sequence")
            assert found is not None
            assert (found.holder, found.fence) == ("wrk_b", 2)
    after = standing(first, "sequence")
    assert after is not None
    assert (after.holder, after.until) == (None, None)


def test_a_lost_lease_is_no_failure_of_the_duty(sessions: Sessions) -> None:
    task = Task()
    with working(sessions, leased(sessions, task, "wrk_a")):
        until(lambda: task.runs > 1)
        with sessions.begin() as session:  # as if its time had been over
            duties.release(session, "sequence", "wrk_a", 1)
            assert duties.take(session, Clock(), "sequence", "wrk_b", 3600) == 2
        task.fails = Conflict("lease_lost", duty="sequence")
        runs = task.runs
        until(lambda: task.runs > runs)
        runs = task.runs
        threading.Event().wait(0.3)
        assert task.runs <= runs + 1, "it does not go on with a duty that it has lost"
    found = standing(sessions, "sequence")
    assert found is not None
    assert (found.error, found.holder, found.fence) == (None, "wrk_b", 2)


@pytest.mark.parametrize(
    ("failure", "code"), [(DependencyFailed("object_store_full"), "object_store_full"), (ZeroDivisionError("1/0 = secret"), "ZeroDivisionError")]
)
def test_a_failing_duty_says_so_by_code_and_goes_on(sessions: Sessions, failure: Exception, code: str) -> None:
    task = Task()
    task.fails = failure
    with working(sessions, Duty(name="ingest", run=task.run, beat=0.01)):
        until(lambda: (s := standing(sessions, "ingest")) is not None and s.error == code)
        task.fails = None
        until(lambda: (s := standing(sessions, "ingest")) is not None and s.error is None and s.last_ok is not None)


def test_while_the_home_is_frozen_only_the_guard_works(sessions: Sessions) -> None:
    task, guard = Task(), Task()
    sessions.freeze("home_restored")
    made = [Duty(name="resume", run=task.run, beat=0.01), Duty(name="guard", run=guard.run, beat=0.01, always=True)]
    with working(sessions, *made):
        until(lambda: guard.runs > 5)
        assert task.runs == 0
        sessions.freeze(None)
        until(lambda: task.runs > 0)


def test_a_ring_wakes_a_duty_that_would_rest(sessions: Sessions) -> None:
    task = Task()
    with working(sessions, Duty(name="sequence", run=task.run, beat=3600.0, wakes=True)):
        until(lambda: task.runs == 1)
        sessions.wake()
        until(lambda: task.runs >= 2)


# --- presence -----------------------------------------------------------------------------------------------------------


def test_a_process_is_known_while_it_lives(sessions: Sessions, monkeypatch: pytest.MonkeyPatch) -> None:
    from sandbox.audit.event import decode
    from sandbox.store import log

    monkeypatch.setattr(presence, "BEAT_SECONDS", 0.05)

    def living() -> list[processes.Process]:
        with sessions.reading() as session:
            return processes.living(session, Clock())

    with present(sessions, Clock(), worker_id="wrk_a", role="worker", settings="d" * 64):
        (first,) = until(living)
        assert (first.id, first.role, first.settings) == ("wrk_a", "worker", "d" * 64)
        until(lambda: living()[0].seen_at > first.seen_at)
        with sessions.begin() as session:  # taken for dead, wrongly
            processes.stop(session, Clock(), first)
        again = until(living)[0]
        assert again.started_at == first.started_at
    assert living() == []
    with sessions.reading() as session:
        events = [decode(body) for _, _, body in log.of_tenant(session, "system", "", 10)]
    assert [(e.type, e.subject) for e in events] == [("process.start", "wrk_a")]
    assert set(events[0].details) == {"role", "settings", "release"}, "no machine is named"


def test_a_home_that_opens_later_hears_of_who_runs(sessions: Sessions, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(presence, "RETRY_SECONDS", 0.02)
    sessions.freeze("home_restored")
    with present(sessions, Clock(), worker_id="wrk_a", role="gateway", settings="d" * 64):
        sessions.freeze(None)

        def known() -> bool:
            with sessions.reading() as session:
                return bool(processes.all_processes(session))

        until(known)


def test_the_dead_are_forgotten_in_time(sessions: Sessions) -> None:
    clock = Clock()
    dead = processes.Process(id="wrk_old", role="worker", host="h", release="0", settings="s", started_at="2020-01-01T00:00:00.000Z")
    young = processes.Process(id="wrk_new", role="worker", host="h", release="0", settings="s", started_at=clock.text())
    past = Clock(lambda: Clock().now().replace(year=2020))
    with sessions.begin() as session:
        processes.start(session, past, dead)
    with sessions.reading() as session:
        assert processes.living(session, clock) == []
        assert [p.id for p in processes.all_processes(session)] == ["wrk_old"]
    with sessions.begin() as session:
        processes.seen(session, clock, young)
    with sessions.reading() as session:
        assert [p.id for p in processes.all_processes(session)] == ["wrk_new"]
