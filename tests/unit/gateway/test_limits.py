"""Limits: buckets refill, names are forgotten, and one tenant cannot take every slot."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path

import anyio
import httpx2
import pytest
from starlette.testclient import TestClient

from sandbox.errors import DependencyFailed, TooMany
from sandbox.gateway.app import create_app
from sandbox.gateway.limits import Buckets, Flight, QuerySlots
from tests.promises import promise
from tests.unit.gateway.living import Living, living


def test_a_bucket_empties_and_refills() -> None:
    now = [0.0]
    buckets = Buckets(60, time=lambda: now[0])
    assert [buckets.take("a") for _ in range(61)] == [True] * 60 + [False]
    assert buckets.take("b")
    now[0] = 1.0
    assert buckets.take("a")
    assert not buckets.take("a")


def test_a_full_bucket_holds_no_more() -> None:
    now = [0.0]
    buckets = Buckets(2, time=lambda: now[0])
    buckets.take("a")
    now[0] = 1e6
    assert [buckets.take("a") for _ in range(3)] == [True, True, False]


def test_the_oldest_names_are_forgotten() -> None:
    buckets = Buckets(1, most=2, time=lambda: 0.0)
    assert buckets.take("a")
    buckets.take("b")
    buckets.take("c")
    assert buckets.take("a")
    assert not buckets.take("c")


def test_a_tenant_has_half_of_the_slots() -> None:
    inside, most, other_ran = [0], [0], threading.Event()
    lock = threading.Lock()

    def greedy() -> None:
        with lock:
            inside[0] += 1
            most[0] = max(most[0], inside[0])
        assert other_ran.wait(20)
        with lock:
            inside[0] -= 1

    def other() -> None:
        while most[0] < 2:
            time.sleep(0.001)
        other_ran.set()

    async def both() -> None:
        slots = QuerySlots(4, 100)
        async with anyio.create_task_group() as tasks:
            for _ in range(10):
                tasks.start_soon(slots.run, "greedy", greedy)
            # The other tenant gets through while the greedy one has everything that it may have.
            tasks.start_soon(slots.run, "other", other)

    anyio.run(both)
    assert most[0] == 2


def test_a_tenant_that_queues_too_much_is_told() -> None:
    async def flood() -> int:
        slots, refused, gate = QuerySlots(2, 1), [0], threading.Event()

        async def one() -> None:
            try:
                await slots.run("t", gate.wait)
            except TooMany:
                refused[0] += 1
                if refused[0] == 3:
                    gate.set()

        async with anyio.create_task_group() as tasks:
            for _ in range(5):
                tasks.start_soon(one)
        return refused[0]

    assert anyio.run(flood) == 3


def test_the_result_and_the_error_come_back() -> None:
    async def run() -> int:
        slots = QuerySlots(2, 1)
        with pytest.raises(ZeroDivisionError):
            await slots.run("t", lambda: 1 // 0)
        return await slots.run("t", lambda: 7)

    assert anyio.run(run) == 7


@promise("P7.1")
def test_a_share_stays_taken_until_its_hold_is_over() -> None:
    """Else the tenant's next question would be charged when computing ended, and its event would tell how long it took."""

    async def ask() -> float:
        slots = QuerySlots(2, 10)
        began = anyio.current_time()
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(slots.run, "a", lambda: None, lambda: 0.3)
            await anyio.sleep(0.05)
            await slots.run("b", lambda: None)  # another tenant does not wait
            other = anyio.current_time() - began
            await slots.run("a", lambda: None)
            assert other < 0.3
            return anyio.current_time() - began

    assert anyio.run(ask) >= 0.3


# --- requests in flight -----------------------------------------------------------------------------------------------


def test_a_flight_has_so_many_seats_and_a_name_half_of_them() -> None:
    flight = Flight(4)
    seats = [flight.board() for _ in range(3)]
    seats[0].take("greedy")
    seats[1].take("greedy")
    with pytest.raises(TooMany, match="too_many_under_way"):
        seats[2].take("greedy")
    seats[2].take("other")
    flight.board()
    with pytest.raises(DependencyFailed, match="gateway_busy"):
        flight.board()
    seats[0].leave()
    flight.board().take("greedy")


def test_a_flight_forgets_who_has_left() -> None:
    flight = Flight(4)
    for name in ("a", "b", None):
        seat = flight.board()
        if name is not None:
            seat.take(name)
        seat.leave()
    assert (flight.aboard, flight._names) == (0, {})


# --- at the door ------------------------------------------------------------------------------------------------------


@pytest.fixture
def strict(tmp_path: Path) -> Iterator[Living]:
    with living(tmp_path, tenant_per_minute=5, open_per_minute=3, bad_keys_per_minute=2) as found:
        yield found


def codes(responses: list[httpx2.Response]) -> list[str]:
    return [r.json()["code"] if r.status_code >= 400 else "ok" for r in responses]


def test_a_tenant_over_its_rate_is_refused_before_anything_is_logged_or_parsed(strict: Living) -> None:
    strict.admit("colleague", "engineer", "acme")
    events = len(strict.events("access.deny"))
    who = strict.who("engineer")
    assert codes([strict.client.get("/v1/me", headers=who) for _ in range(3)]) == ["ok"] * 3
    colleague = strict.who("colleague")
    assert codes([strict.client.get("/v1/me", headers=colleague) for _ in range(3)]) == ["ok", "ok", "too_many_requests"]
    # What would be refused, and logged, is not even looked at.
    denied = strict.client.post("/v1/tenants", json={"name": "x", "kind": "company"}, headers=who)
    broken = strict.client.post("/v1/queries", content=b"{" * 1000, headers={**who, "Content-Type": "application/json"})
    assert codes([denied, broken]) == ["too_many_requests"] * 2
    assert denied.headers["retry-after"] == "5"
    assert denied.json()["params"] == {"limit": 5}
    assert len(strict.events("access.deny")) == events
    assert codes([strict.client.get("/v1/me", headers=strict.who("rival"))]) == ["ok"]


def test_an_address_over_its_rate_is_refused_what_needs_no_key_and_never_health(strict: Living) -> None:
    def of(path: str, address: str, times: int) -> list[str]:
        client = TestClient(strict.client.app, client=(address, 1))
        return codes([client.get(path) for _ in range(times)])

    assert of("/openapi.json", "192.0.2.1", 4) == ["ok"] * 3 + ["too_many_requests"]
    assert of("/log/nothing", "192.0.2.1", 1) == ["too_many_requests"]
    assert of("/nothing", "192.0.2.2", 1) == ["route_unknown"]
    assert of("/health/live", "192.0.2.1", 20) == ["ok"] * 20
    # Of IPv6 it is the network that counts: an address more costs nothing there.
    assert [of("/nothing", f"2001:db8::{n}", 1)[0] for n in range(4)] == ["route_unknown"] * 3 + ["too_many_requests"]
    # A key that is good is not stopped by what its address did.
    client = TestClient(strict.client.app, client=("192.0.2.1", 1))
    assert codes([client.get("/v1/me", headers=strict.who("engineer"))]) == ["ok"]


def test_every_503_says_when_to_come_again(tmp_path: Path) -> None:
    with living(tmp_path, requests_in_flight=16) as alive:
        flight = alive.client.app.state.gate.flight  # type: ignore[attr-defined]
        seats = [flight.board() for _ in range(16)]
        refused = alive.client.get("/v1/me", headers=alive.who("engineer"))
        assert (refused.status_code, refused.json()["code"], refused.headers["retry-after"]) == (503, "gateway_busy", "5")
        assert alive.client.get("/health/live").status_code == 200
        not_ready = TestClient(create_app(alive.house)).get("/health/ready")  # nothing has been looked at yet
        assert (not_ready.status_code, not_ready.headers["retry-after"]) == (503, "5")
        for seat in seats:
            seat.leave()
        assert alive.client.get("/v1/me", headers=alive.who("engineer")).status_code == 200
        assert flight.aboard == 0


def test_a_tenant_with_half_of_the_flight_waits_and_others_fly(tmp_path: Path) -> None:
    with living(tmp_path, requests_in_flight=16) as alive:
        flight = alive.client.app.state.gate.flight  # type: ignore[attr-defined]
        for _ in range(8):
            flight.board().take(alive.people["engineer"].tenant)
        refused = alive.client.get("/v1/me", headers=alive.who("engineer"))
        assert (refused.status_code, refused.json()["code"]) == (429, "too_many_under_way")
        assert alive.client.get("/v1/me", headers=alive.who("rival")).status_code == 200


def test_an_address_that_redirects_nowhere(strict: Living) -> None:
    """A redirect would be built from a Host header that the caller wrote."""
    response = strict.client.get("/v1/me/", headers=strict.who("engineer"), follow_redirects=False)
    assert (response.status_code, response.json()["code"]) == (404, "route_unknown")
