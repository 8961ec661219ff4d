"""Readiness: green when all is well, red when a store is away, gone, or hangs, and never waited for by a request."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from sandbox.errors import DependencyFailed
from sandbox.gateway import readiness as module
from sandbox.gateway.readiness import Readiness
from sandbox.store.sessions import Sessions
from tests.servers.fleet import until
from tests.unit.gateway.living import Living, living, working


@pytest.fixture(scope="module")
def alive(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Living]:
    with living(tmp_path_factory.mktemp("ready")) as it, working(it):
        yield it


@contextmanager
def looking(alive: Living, monkeypatch: pytest.MonkeyPatch) -> Iterator[Readiness]:
    """A readiness of its own over the house, that looks often; its checks have been green."""
    monkeypatch.setattr(module, "LOOK_SECONDS", 0.02)
    found = Readiness(alive.house)
    found.start()
    try:
        until(lambda: all(found.seen().checks.values()))
        yield found
    finally:
        found.stop()


def red(found: Readiness) -> list[str]:
    return [name for name, well in found.seen().checks.items() if not well]


def test_the_route_tells_what_it_rests_on(alive: Living) -> None:
    told = until(lambda: (r := alive.client.get("/health/ready")).status_code == 200 and r.json())
    assert told["status"] == "ok"
    assert told["database"] == {"found": "0004", "known": "0004"}
    assert told["settings_differ"] is False
    assert told["read_only"] is None
    assert {d["name"] for d in told["duties"]} >= {"sequence", "publish", "ingest", "resume", "expire", "guard"}
    assert all(len(d["last_ok"]) == 17 for d in told["duties"]), "to the minute: 2026-11-24T08:00Z"
    assert told["checkpoint"]["size"] > 0


def test_nothing_was_seen_yet_is_red(alive: Living) -> None:
    found = Readiness(alive.house)
    assert found.seen().checks == {"database": False, "objects": False}


def test_a_database_that_fails_and_one_that_hangs_are_red(alive: Living, monkeypatch: pytest.MonkeyPatch) -> None:
    real, hang = Sessions.reading, threading.Event()
    with looking(alive, monkeypatch) as found:

        def failing(_self: Sessions) -> object:
            raise DependencyFailed("database_failed")

        monkeypatch.setattr(Sessions, "reading", failing)
        until(lambda: red(found) == ["database"])
        assert found.seen().standing is None
        monkeypatch.setattr(Sessions, "reading", real)
        until(lambda: not red(found))

        def hanging(self: Sessions) -> object:
            hang.wait()
            return real(self)

        monkeypatch.setattr(module, "OLD_SECONDS", 0.2)
        monkeypatch.setattr(Sessions, "reading", hanging)
        until(lambda: red(found) == ["database"])
        hang.set()
        until(lambda: not red(found))


def test_an_object_store_that_is_away_hangs_or_is_another_is_red(alive: Living, monkeypatch: pytest.MonkeyPatch) -> None:
    objects = type(alive.house.objects)
    real, hang = objects.size, threading.Event()
    with looking(alive, monkeypatch) as found:
        until(lambda: alive.house.objects.size(module.PROBE))

        def failing(_self: object, _key: str) -> int | None:
            raise DependencyFailed("object_store_failed", reason="EIO")

        monkeypatch.setattr(objects, "size", failing)
        until(lambda: red(found) == ["objects"])
        monkeypatch.setattr(objects, "size", lambda _self, _key: None)
        until(lambda: red(found) == ["objects"])  # an empty disk in the store's place

        def hanging(self: object, key: str) -> int | None:
            hang.wait()
            return real(self, key)  # type: ignore[arg-type]

        monkeypatch.setattr(objects, "size", real)
        until(lambda: not red(found))
        monkeypatch.setattr(module, "OLD_SECONDS", 0.2)
        monkeypatch.setattr(objects, "size", hanging)
        until(lambda: red(found) == ["objects"])
        hang.set()
        until(lambda: not red(found))


def test_a_frozen_home_is_red_with_its_reason(alive: Living, monkeypatch: pytest.MonkeyPatch) -> None:
    with looking(alive, monkeypatch) as found:
        monkeypatch.setattr(Sessions, "frozen", property(lambda _self: "home_rolled_back"))
        assert "writable" in red(found)
        assert found.seen().frozen == "home_rolled_back"


def test_a_gateway_about_to_stop_is_red(alive: Living, monkeypatch: pytest.MonkeyPatch) -> None:
    with looking(alive, monkeypatch) as found:
        found.leave()
        assert red(found) == ["serving"]


def test_a_lost_object_folder_is_found_by_a_real_look(tmp_path: Path) -> None:
    with living(tmp_path) as it, working(it):
        until(lambda: it.client.get("/health/ready").status_code == 200)
        until(lambda: it.house.objects.size(module.PROBE))
        shutil.rmtree(it.house.home / "objects")
        told = until(lambda: (r := it.client.get("/health/ready").json())["checks"]["objects"] is False and r)
        assert told["status"] == "not ready"
