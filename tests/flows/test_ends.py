"""The end of a paid query: at a moment that no rows decide, whatever died, was destroyed or was not published meanwhile."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from sandbox.clock import Clock, parse_rfc3339
from sandbox.errors import DependencyFailed, IntegrityFailed
from sandbox.flow import Request
from sandbox.query import answer, ends
from sandbox.store import duties, queries, versions
from sandbox.work.resume import Resumer
from tests.faults.one_query import request_of
from tests.house import City, city
from tests.promises import promise
from tests.trips import some_rows


@pytest.fixture
def town(tmp_path: Path) -> Iterator[City]:
    with city(tmp_path) as it:
        it.load(some_rows(8))
        it.grant()
        yield it


def request(town: City, key: str) -> Request:
    me = town.ok("GET", "/v1/me")
    return dataclasses.replace(request_of(me["id"], me["tenant"]), idempotency_key=key)


def later(town: City, **jump: float) -> Any:
    return dataclasses.replace(town.house.parts(), clock=Clock(lambda: datetime.now(UTC) + timedelta(**jump)))


def state(town: City, query_id: str) -> str:
    with town.house.sessions.reading() as session:
        record = queries.get(session, query_id)
    assert record is not None
    return record.state


@promise("P6.2", "P7.1")
def test_an_outage_longer_than_the_later_rung_is_no_overrun(town: City) -> None:
    asked = [answer.submit(town.house.parts(), request(town, f"outage-{n}")) for n in range(3)]
    parts = later(town, hours=1)  # all processes were away meanwhile
    for _ in asked:
        pending = ends.take_over(parts)
        assert pending is not None
        assert pending.leaves_in() >= 10, "it leaves as late after the take-over as declared facts say"
        answer.finish(parts, pending)
        ends.end(parts, pending)
        assert state(town, pending.query_id) == "settled"
    assert town.ok("GET", f"/v1/grants/{town.grants[0]}")["state"] == "active"


@promise("P7.1")
def test_one_resumed_querys_computing_does_not_hold_up_anothers_end(town: City, monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = (answer.submit(town.house.parts(), request(town, f"resumed-{n}")) for n in (1, 2))
    computed: list[str] = []

    def finish(parts: answer.Parts, pending: answer.Pending) -> None:
        if pending.query_id == second.query_id:
            time.sleep(4)
        real(parts, pending)
        computed.append(pending.query_id)

    real = answer.finish
    monkeypatch.setattr("sandbox.work.resume.answer.finish", finish)
    offset = [timedelta(hours=1)]
    parts = dataclasses.replace(town.house.parts(), clock=Clock(lambda: datetime.now(UTC) + offset[0]))
    resumer = Resumer(parts)
    assert resumer.run()
    assert resumer.run()
    while first.query_id not in computed:
        time.sleep(0.02)
    offset[0] += timedelta(seconds=60)  # the rungs of both have come
    resumer.run()
    assert second.query_id not in computed
    assert state(town, first.query_id) == "settled"
    assert state(town, second.query_id) == "overrun"
    while second.query_id not in computed:
        time.sleep(0.02)
    assert list(town.house.objects.list(f"v1/answers/{second.query_id}")) == [], "what came too late is not kept"


def test_who_took_a_query_over_keeps_it_until_its_later_rung_is_past(town: City) -> None:
    answer.submit(town.house.parts(), request(town, "taken-over"))
    start = datetime.now(UTC) + timedelta(hours=1)
    taken = ends.take_over(dataclasses.replace(town.house.parts(), clock=Clock(lambda: start)))
    assert taken is not None
    past = parse_rfc3339(taken.leaves_at) + timedelta(seconds=5)  # its end is being written
    assert ends.take_over(dataclasses.replace(town.house.parts(), clock=Clock(lambda: past))) is None


def test_nothing_is_stored_once_the_rung_is_past(town: City) -> None:
    pending = answer.submit(town.house.parts(), request(town, "computed-late"))
    answer.finish(later(town, minutes=1), pending)
    assert (pending.outcome.stored, pending.outcome.failure) == (None, "query_overrun")
    assert list(town.house.objects.list("v1/answers/")) == []


def test_an_answer_whose_storing_outlasts_the_rung_is_not_kept(town: City) -> None:
    parts = town.house.parts()
    pending = answer.submit(parts, request(town, "stored-late"))

    class Slow:
        def __getattr__(self, name: str) -> Any:
            return getattr(parts.objects, name)

        def put(self, *told: Any, **named: Any) -> None:
            ends.end(parts, pending)
            parts.objects.put(*told, **named)

    answer.finish(dataclasses.replace(parts, objects=Slow()), pending)
    assert state(town, pending.query_id) == "overrun"
    assert list(town.house.objects.list("v1/answers/")) == []


def test_what_was_computed_on_a_version_that_is_destroyed_before_the_rung_never_leaves(town: City) -> None:
    parts = town.house.parts()
    asked = request(town, "destroyed-1")
    pending = answer.submit(parts, asked)
    answer.finish(parts, pending)
    assert pending.charged is not None
    with town.house.sessions.begin() as session:
        versions.shred(session, pending.charged.priced.plan.dataset_id)
    ends.end(parts, pending)
    assert state(town, pending.query_id) == "lost"
    assert list(town.house.objects.list("v1/answers/")) == []


FAILURES = {
    "an exception of the kernel": (ZeroDivisionError("a row was 0"), "failed"),
    "memory that ran out": (MemoryError(), "failed"),
    "a value outside its bounds": (IntegrityFailed("values_out_of_bounds", key="v1/x", column="x"), "failed"),
    "a key outside its domain": (IntegrityFailed("key_outside_domain"), "failed"),
    "bytes that are not what they were": (IntegrityFailed("object_corrupt", key="v1/x"), "failed"),
    "a worker that died": (DependencyFailed("cluster_lost"), "failed"),
    "descriptors that ran out": (DependencyFailed("object_store_failed", reason="EMFILE"), "failed"),
    "a store that is away": (DependencyFailed("object_store_failed", reason="EIO"), "lost"),
    "a store that is full": (DependencyFailed("object_store_full", reason="ENOSPC"), "lost"),
    "a store that lets nobody in": (DependencyFailed("object_store_refused", reason="AccessDenied"), "lost"),
}


@promise("P7.1")
@pytest.mark.parametrize("what", FAILURES)
def test_what_rows_may_have_a_part_in_counts_towards_the_stop(
    town: City, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    error, ending = FAILURES[what]

    def compute(*_: object) -> None:
        raise error

    monkeypatch.setattr(answer, "compute", compute)
    for number in range(3):
        assert town.ok("GET", f"/v1/grants/{town.grants[0]}")["state"] == "active"
        pending = answer.submit(town.house.parts(), request(town, f"failing-{number}"))
        answer.finish(town.house.parts(), pending)
        ends.end(town.house.parts(), pending)
        assert state(town, pending.query_id) == ending
    after = town.ok("GET", f"/v1/grants/{town.grants[0]}")["state"]
    assert after == ("stopped" if ending == "failed" else "active")
    refused = town.ask("SELECT count(*) FROM city.trips", "after-the-third", epsilon="0.1")
    if ending == "failed":
        assert (refused.status_code, refused.json()["code"]) == (403, "grant_not_active")


@promise("P7.1")
def test_what_was_under_way_at_the_stop_ends_alike_whatever_became_of_it(
    town: City, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Six asked at once of which five fail: three tell so, and of the others nobody learns what they would have said."""
    pendings = [answer.submit(town.house.parts(), request(town, f"at-once-{n}")) for n in range(6)]
    answer.finish(town.house.parts(), pendings[5])

    def compute(*_: object) -> None:
        raise IntegrityFailed("key_outside_domain")

    monkeypatch.setattr(answer, "compute", compute)
    for pending in pendings[:5]:
        answer.finish(town.house.parts(), pending)
    for pending in pendings:
        ends.end(town.house.parts(), pending)
    found = [state(town, p.query_id) for p in pendings]
    assert found == ["failed"] * 3 + ["lost"] * 3, f"figure: {found.count('failed')} failures told of rows"
    assert list(town.house.objects.list(f"v1/answers/{pendings[5].query_id}")) == []


@promise("P6.2")
def test_nothing_is_charged_while_the_log_cannot_be_published(town: City) -> None:
    with town.house.sessions.begin() as session:
        duties.report(session, town.house.clock, "publish", worker="wrk_1", error=None)
    parts = later(town, minutes=2)
    with pytest.raises(DependencyFailed, match="log_not_published"):
        answer.submit(parts, request(town, "unpublished"))
    got = town.ask("SELECT count(*) FROM city.trips", "published-1", epsilon="0.1")
    assert got.status_code == 200, "it was published just now"
