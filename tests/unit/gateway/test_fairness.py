"""Fair shares: one organisation's flood makes it wait, nobody else, and health answers whatever is under way."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest
from fastapi import FastAPI

from sandbox.gateway.app import create_app
from tests.house import City, city
from tests.trips import some_rows
from tests.unit.gateway.living import living

SQL = "SELECT count(*) FROM city.trips"


@pytest.fixture(scope="module")
def town(tmp_path_factory: pytest.TempPathFactory) -> Iterator[City]:
    with city(tmp_path_factory.mktemp("fair")) as found:
        found.load(some_rows(8))
        for part in ("company", "rival"):
            terms = {
                "scenario": "a test", "purpose": "planning", "datasets": ["city.trips"], "actions": ["query"],
                "epsilon": "2", "expires_at": "2099-01-01",
            }  # fmt: skip
            made = found.ok("POST", "/v1/applications", terms, part=part)
            for member in ("committee1", "committee2"):
                found.ok("POST", f"/v1/applications/{made['id']}/vote", {"approve": True}, part=member)
        yield found


def client_of(app: FastAPI) -> httpx2.AsyncClient:
    return httpx2.AsyncClient(transport=httpx2.ASGITransport(app=app), base_url="http://gateway")


def key(town: City, part: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {town.keys[part]}"}


def test_two_hundred_questions_of_one_company_hold_up_nobody(town: City) -> None:
    app = create_app(town.house)

    async def day() -> None:
        async with client_of(app) as client:

            async def ask(part: str, number: int) -> int:
                headers = {**key(town, part), "Idempotency-Key": f"{part}-{number:06d}"}
                body = {"sql": SQL, "epsilon": "0.001"}
                return (await client.post("/v1/queries", json=body, headers=headers, timeout=None)).status_code

            noisy = [asyncio.create_task(ask("company", n)) for n in range(200)]
            while app.state.gate.slots.depth()[1] < 190:
                await asyncio.sleep(0.01)
            for _ in range(20):
                assert (await client.get("/health/live")).status_code == 200
            assert (await client.get("/v1/me", headers=key(town, "company"))).status_code == 200
            assert await ask("rival", 0) == 200
            # The company's own are still there: it is not that they had ended.
            assert sum(not task.done() for task in noisy) > 150
            for task in noisy:
                task.cancel()
            await asyncio.gather(*noisy, return_exceptions=True)
            for task in list(app.state.gate.behind):
                task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.gather(*app.state.gate.behind, return_exceptions=True)

    asyncio.run(day())


def test_slow_routes_of_one_caller_leave_threads_to_others_and_to_health(town: City) -> None:
    app, released, inside = create_app(town.house), threading.Event(), threading.Semaphore(0)

    @app.get("/v1/slow")
    def slow() -> str:
        inside.release()
        released.wait(100)
        return "done"

    async def day() -> None:
        async with client_of(app) as client:
            slow_ones = [
                asyncio.create_task(client.get("/v1/slow", headers=key(town, "company"), timeout=None))
                for _ in range(100)
            ]
            for _ in range(20):
                while not inside.acquire(blocking=False):
                    await asyncio.sleep(0.01)
            assert (await client.get("/v1/me", headers=key(town, "rival"))).status_code == 200
            assert (await client.get("/health/live")).status_code == 200
            assert not any(task.done() for task in slow_ones)
            released.set()
            assert {r.status_code for r in await asyncio.gather(*slow_ones)} == {200}

    try:
        asyncio.run(day())
    finally:
        released.set()


def test_what_waits_for_its_share_too_long_is_never_begun(tmp_path: Path) -> None:
    with living(tmp_path, request_seconds=1) as alive:
        app, released, begun = create_app(alive.house), threading.Event(), []

        @app.get("/v1/slow")
        def slow() -> str:
            begun.append(1)
            released.wait(100)
            return "done"

        async def day() -> list[int]:
            async with client_of(app) as client:
                asked = [client.get("/v1/slow", headers=alive.who("engineer"), timeout=None) for _ in range(30)]
                found = await asyncio.gather(*asked)
                released.set()
                while app.state.gate.flight.aboard:
                    await asyncio.sleep(0.01)
                return [r.status_code for r in found]

        assert set(asyncio.run(day())) == {503}
        assert len(begun) == 20
