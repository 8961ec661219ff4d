"""Leases: one holder at a time, taken over when its time is over, and whoever slept does no harm."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from sandbox.errors import Conflict
from sandbox.flow import Principal
from sandbox.store import duties, log
from sandbox.store.sessions import Sessions
from sandbox.work.leases import Lease
from tests.unit.work.conftest import Opener
from tests.unit.work.times import Times

NOBODY = Principal(id="prn_x", tenant="ten_x", roles=frozenset())


def take(sessions: Sessions, times: Times, owner: str, seconds: float = 10.0) -> int | None:
    with sessions.begin() as session:
        return duties.take(session, times.clock(), "sequence", owner, seconds)


def lost(sessions: Sessions, owner: str, fence: int) -> bool:
    try:
        with sessions.begin() as session:
            duties.fence(session, "sequence", owner, fence)
    except Conflict as error:
        return (error.code, error.params) == ("lease_lost", {"duty": "sequence"})
    return False


def test_one_holds_it_and_every_lease_has_a_larger_fence(sessions: Sessions) -> None:
    times = Times()
    assert take(sessions, times, "a") == 1
    assert take(sessions, times, "b") is None
    assert take(sessions, times, "a") == 2, "a worker that lost its memory may take its own again"
    assert lost(sessions, "a", 1)
    assert not lost(sessions, "a", 2)
    times.pass_(9.9)
    assert take(sessions, times, "b") is None
    times.pass_(0.1)
    assert take(sessions, times, "b") == 3
    assert lost(sessions, "a", 2)
    assert not lost(sessions, "b", 3)


def test_of_many_that_take_at_one_time_one_gets_it(open_sessions: Opener) -> None:
    times, gate = Times(), threading.Barrier(8)

    def race(owner: int) -> int | None:
        sessions = open_sessions()
        gate.wait()
        return take(sessions, times, f"w{owner}")

    with ThreadPoolExecutor(8) as threads:
        found = list(threads.map(race, range(8)))
    assert sorted(f for f in found if f is not None) == [1]


def test_what_is_let_go_is_free_at_once_and_only_by_its_holder(sessions: Sessions) -> None:
    times = Times()
    fence = take(sessions, times, "a")
    assert fence is not None
    with sessions.begin() as session:
        duties.release(session, "sequence", "b", fence)
        duties.release(session, "sequence", "a", fence + 1)
    assert take(sessions, times, "b") is None
    with sessions.begin() as session:
        duties.release(session, "sequence", "a", fence)
    assert lost(sessions, "a", fence)
    assert take(sessions, times, "b") == fence + 1


def test_a_lease_that_ran_out_untaken_is_good_again(sessions: Sessions) -> None:
    times = Times()
    fence = take(sessions, times, "a")
    assert fence is not None
    times.pass_(60)
    assert not lost(sessions, "a", fence), "nobody else has done the duty: no harm was done"
    with sessions.begin() as session:
        duties.renew(session, times.clock(), "sequence", "a", fence=fence, seconds=10)
    assert take(sessions, times, "b") is None
    times.pass_(10)
    assert take(sessions, times, "b") == fence + 1
    with pytest.raises(Conflict), sessions.begin() as session:
        duties.renew(session, times.clock(), "sequence", "a", fence=fence, seconds=10)


def test_a_sleeper_that_wakes_up_changes_nothing(open_sessions: Opener) -> None:
    """A worker that was stopped past its lease goes on where it was: its transaction ends at the fence."""
    times = Times()
    sleeper, other = open_sessions(), open_sessions()
    lease = Lease(sleeper, times.clock(), name="sequence", owner="a", seconds=10)
    assert lease.hold()
    times.pass_(11)
    assert take(other, times, "b") == 2

    def go_on() -> None:
        with sleeper.begin() as session:
            log.append(session, times.clock(), "access.deny", actor=NOBODY, subject="x", details={})
            lease.guard(session)

    with pytest.raises(Conflict) as caught:
        go_on()
    assert caught.value.code == "lease_lost"
    with other.reading() as session:
        assert log.last_at(session) is None
    lease.lose()
    assert not lease.hold()


def test_nobody_takes_over_inside_a_guarded_transaction(open_sessions: Opener) -> None:
    """However late it is, a transaction that passed the fence ends before the next holder begins."""
    times = Times()
    holder, other = open_sessions(), open_sessions()
    fence = take(holder, times, "a")
    assert fence is not None
    order: list[str] = []
    begun = threading.Event()

    def take_over() -> None:
        begun.set()
        assert take(other, times, "b") == fence + 1
        order.append("taken")

    thread = threading.Thread(target=take_over)
    with holder.begin() as session:
        duties.fence(session, "sequence", "a", fence)
        times.pass_(60)
        thread.start()
        begun.wait()
        thread.join(0.5)
        order.append("done")
    thread.join(20)
    assert order == ["done", "taken"]


def test_clocks_that_differ_cost_time_and_not_safety(sessions: Sessions) -> None:
    times = Times()
    fence = take(sessions, times, "a")
    assert fence is not None
    ahead = times.clock(ahead=3600)
    with sessions.begin() as session:
        assert duties.take(session, ahead, "sequence", "b", 10) == fence + 1
    assert lost(sessions, "a", fence)
    assert take(sessions, times, "a") is None


def test_waiting_for_a_lease_writes_nothing(sessions: Sessions, monkeypatch: pytest.MonkeyPatch) -> None:
    times = Times()
    take(sessions, times, "a", seconds=3600)
    lease = Lease(sessions, times.clock(), name="sequence", owner="b")
    monkeypatch.setattr(sessions, "begin", None)
    assert not lease.hold()


def test_a_lease_is_renewed_in_time_and_not_all_the_time(sessions: Sessions, monkeypatch: pytest.MonkeyPatch) -> None:
    times, now = Times(), [100.0]
    monkeypatch.setattr("sandbox.work.leases.time.monotonic", lambda: now[0])
    lease = Lease(sessions, times.clock(), name="sequence", owner="a", seconds=9)

    def until() -> str | None:
        with sessions.reading() as session:
            return duties.all_duties(session)[0].until

    lease.hold()
    first = until()
    for seconds, renewed in ((2.9, False), (0.2, True)):
        now[0] += seconds
        times.pass_(seconds)
        assert lease.hold()
        assert (until() != first) == renewed
    lease.release()
    assert until() is None
    with pytest.raises(Conflict), sessions.begin() as session:
        lease.guard(session)


# --- standing -----------------------------------------------------------------------------------------------------------


def told(sessions: Sessions, times: Times, worker: str, error: str | None, name: str = "ingest") -> duties.Duty:
    with sessions.begin() as session:
        duties.report(session, times.clock(), name, worker=worker, error=error)
    with sessions.reading() as session:
        return next(d for d in duties.all_duties(session) if d.name == name)


def test_success_and_failure_are_kept(sessions: Sessions) -> None:
    times = Times()
    first = told(sessions, times, "a", None)
    assert (first.last_ok, first.error, first.holder) == (times.clock().text(), None, "a")
    times.pass_(5)
    failed = told(sessions, times, "a", "object_store_full")
    assert (failed.last_ok, failed.error) == (first.last_ok, "object_store_full")
    assert told(sessions, times, "a", None).error is None


def test_one_workers_failure_is_not_covered_up_by_anothers_success(sessions: Sessions) -> None:
    times = Times()
    told(sessions, times, "a", "object_store_full")
    times.pass_(20)
    assert told(sessions, times, "b", None).error == "object_store_full"
    assert told(sessions, times, "b", None).holder == "a"
    times.pass_(20)  # the failing one is silent: perhaps it is gone
    assert told(sessions, times, "b", None).error is None


def test_a_report_does_not_touch_a_lease(sessions: Sessions) -> None:
    times = Times()
    fence = take(sessions, times, "a")
    found = told(sessions, times, "a", None, "sequence")
    assert (found.fence, found.holder, found.until) == (fence, "a", times.clock().text(plus_seconds=10))


def test_two_that_report_first_at_one_time_both_report(open_sessions: Opener) -> None:
    times, gate = Times(), threading.Barrier(4)

    def report(worker: str) -> None:
        sessions = open_sessions()
        gate.wait()
        with sessions.begin() as session:
            duties.report(session, times.clock(), "resume", worker=worker, error=None)

    with ThreadPoolExecutor(4) as threads:
        list(threads.map(report, "abcd"))
