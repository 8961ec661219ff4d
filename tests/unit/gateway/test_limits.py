"""Limits: buckets refill, names are forgotten, and one tenant cannot take every slot."""

from __future__ import annotations

import threading

import anyio
import pytest

from sandbox.errors import TooMany
from sandbox.gateway.limits import Buckets, QuerySlots
from tests.promises import promise


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

    async def both() -> None:
        slots = QuerySlots(4, 100)
        async with anyio.create_task_group() as tasks:
            for _ in range(10):
                tasks.start_soon(slots.run, "greedy", greedy)
            # The other tenant gets through while the greedy one has everything that it may have.
            tasks.start_soon(slots.run, "other", other_ran.set)

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
