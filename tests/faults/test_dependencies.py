"""What the house rests on fails: the gateway answers 503 with Retry-After, readiness turns red, nothing hangs or tears."""

from __future__ import annotations

import base64
import dataclasses
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx2
import pytest
from sqlalchemy import text

from sandbox.audit import merkle
from sandbox.clock import Clock
from sandbox.errors import DependencyFailed
from sandbox.store import ledger, log
from tests.house import VERY_PATIENT, City, city
from tests.promises import promise
from tests.servers.postgres import Server
from tests.trips import some_rows

SQL = "SELECT count(*) FROM city.trips"
SOON = 40.0
"""No call may take longer, whatever is broken; the settings' own limits end each wait before."""


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with Server(fsync=True) as it:
        yield it


@pytest.fixture
def town(server: Server, tmp_path: Path) -> Iterator[City]:
    url = server.url(server.new_database())
    settings = {"database_pool": 2, "query_slots": 8}
    with city(tmp_path, database=url, password=server.password_file, settings=settings, model=VERY_PATIENT) as it:
        it.load(some_rows(8))
        it.grant()
        yield it


def spent(town: City) -> int:
    with town.house.sessions.reading() as session:
        ((_, _, cost),) = ledger.read_caps(session, [("grant", town.grants[0])])
    return cost.eps_p


def agree(town: City) -> None:
    """Charges, events and caps agree, and every place in the log is taken once."""
    town.sequence()
    with town.house.sessions.reading() as session:
        charges = session.execute(text("SELECT count(*), coalesce(sum(eps_p), 0) FROM ledger WHERE scope = 'grant'")).one()
        events = session.scalar(text("SELECT count(*) FROM events WHERE type = 'query.charge'"))
        places = list(session.scalars(text("SELECT idx FROM events ORDER BY idx")))
        leaves, newest = log.leaves(session), log.checkpoint(session)
    assert charges[0] == events
    assert int(charges[1]) == spent(town)
    assert places == list(range(len(places)))
    assert newest is not None
    assert newest[1].split("\n")[1:3] == [str(len(leaves)), base64.b64encode(merkle.root(leaves)).decode()]


def refused(got: httpx2.Response, *codes: str) -> None:
    """One clear 503 that says when to come again."""
    assert got.status_code == 503, got.text
    assert got.headers["Retry-After"].isdigit()
    assert got.json()["code"] in codes, got.text


def timed(call: Callable[[], Any]) -> Any:
    """The call's result; it must not have hung."""
    start = time.monotonic()
    result = call()
    assert time.monotonic() - start < SOON
    return result


def ready(town: City, wanted: bool, seconds: float = 40.0) -> dict[str, Any]:
    """Wait until readiness says so."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        got = town.client.get("/health/ready")
        checks: dict[str, Any] = got.json()["checks"]
        if (checks.get("database") is True) == wanted:
            return checks
        time.sleep(0.1)
    raise AssertionError(f"readiness never became {wanted}: {got.text}")


def test_a_database_that_restarts_under_way_heals_by_itself(town: City, server: Server) -> None:
    before = spent(town)
    server.stop("immediate")
    try:
        refused(timed(lambda: town.ask(SQL, "restart-key", epsilon="0.1")), "database_unreachable", "database_failed", "database_busy")
        ready(town, False)
    finally:
        server.start()
    assert timed(lambda: town.ask(SQL, "restart-key", epsilon="0.1")).status_code == 200
    assert spent(town) == before + 10**11, "the same key pays once, whatever became of its first try"
    ready(town, True)
    agree(town)


def test_a_transaction_that_the_restart_cuts_is_not_there(town: City, server: Server) -> None:
    before = spent(town)

    def cut() -> None:
        with town.house.sessions.begin() as session:
            session.execute(text("UPDATE caps SET spent_eps_p = spent_eps_p + 1"))
            server.restart("immediate")
            session.execute(text("SELECT 1"))

    with pytest.raises(DependencyFailed):
        cut()
    assert spent(town) == before
    agree(town)


def test_a_killed_database_keeps_what_was_answered(town: City, server: Server) -> None:
    got = town.ask(SQL, "killed-key", epsilon="0.1")
    assert got.status_code == 200
    server.kill9()
    server.start()
    again = timed(lambda: town.ask(SQL, "killed-key", epsilon="0.1"))
    assert again.status_code == 200
    assert (again.json()["id"], again.json()["rows"]) == (got.json()["id"], got.json()["rows"])
    assert spent(town) == 10**11
    agree(town)


def test_while_the_database_stands_still_the_gateway_says_that_it_is_not_ready(town: City, server: Server) -> None:
    with ThreadPoolExecutor(4) as pool:
        server.pause()
        try:
            calls = [pool.submit(town.ask, SQL, f"paused-{n}", epsilon="0.1") for n in range(4)]
            ready(town, False)
            assert timed(lambda: town.client.get("/health/live")).status_code == 200
        finally:
            server.resume()
        assert all(call.result().status_code in {200, 503} for call in calls)
    for n in range(4):
        assert timed(lambda n=n: town.ask(SQL, f"paused-{n}", epsilon="0.1")).status_code in {200, 503}  # type: ignore[misc]
    assert spent(town) == 4 * 10**11
    ready(town, True)
    agree(town)


def test_an_exhausted_pool_says_so_and_frees_itself(town: City) -> None:
    release = threading.Event()

    def hold() -> None:
        # More of them than connections: those that find none are told so as well.
        with suppress(DependencyFailed), town.house.sessions.begin() as session:
            session.execute(text("SELECT 1"))
            release.wait(SOON)

    threads = [threading.Thread(target=hold) for _ in range(8)]
    for thread in threads:
        thread.start()
    try:
        time.sleep(0.5)
        refused(timed(lambda: town.ask(SQL, "pool-key", epsilon="0.1")), "database_busy")
    finally:
        release.set()
        for thread in threads:
            thread.join()
    assert town.ask(SQL, "pool-key", epsilon="0.1").status_code == 200
    agree(town)


@contextmanager
def clock_of(town: City, **jump: float) -> Iterator[City]:
    """The same town, its clock somewhere else."""
    off = timedelta(**jump)
    clock = Clock(lambda: datetime.now(UTC) + off)
    with town.house.sessions.reading() as session:
        last = log.last_at(session)
    assert last is not None
    clock.not_before(last)
    yield dataclasses.replace(town, house=dataclasses.replace(town.house, clock=clock))


@promise("P6.2")
def test_a_clock_that_jumps_either_way_keeps_order_and_money(town: City) -> None:
    from sandbox.query import answer
    from tests.faults.one_query import request_of

    me = town.ok("GET", "/v1/me")
    assert town.ask(SQL, "now-key-1", epsilon="0.1").status_code == 200
    for hours, number in ((2, 1), (-3, 2)):
        with clock_of(town, hours=hours) as elsewhere:
            parts = dataclasses.replace(elsewhere.house.parts(), model=town.house.model)
            request = request_of(me["id"], me["tenant"])
            sql = request.sql.replace("GROUP", f"WHERE hour <> {number} GROUP")  # no repeat of the first, which is free
            request = dataclasses.replace(request, sql=sql, idempotency_key=f"jump-key-{number}")
            pending = answer.submit(parts, request)
            answer.finish(parts, pending)
            time.sleep(max(0.0, min(2.0, pending.leaves_in())))
    assert town.ask(SQL, "now-key-2", epsilon="0.1").status_code == 200
    town.sequence()
    with town.house.sessions.reading() as session:
        times = list(session.scalars(text("SELECT at FROM events ORDER BY idx")))
    assert times[-1] >= max(times[:3]), "what comes after is never stamped before what it follows"
    assert spent(town) == 4 * 10**11
    agree(town)
