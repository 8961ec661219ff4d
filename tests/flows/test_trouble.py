"""Trouble with the disk: one clear 503, nothing half-written, and the next try works."""

from __future__ import annotations

import dataclasses
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import pytest
from starlette.testclient import TestClient

from sandbox.audit.export import verify_bundle
from sandbox.errors import DependencyFailed
from sandbox.gateway.app import create_app
from sandbox.objects.local import LocalObjects
from sandbox.store import ledger
from tests.house import City, bundle_of, city
from tests.promises import promise
from tests.trips import MANIFEST, some_rows

SQL = "SELECT count(*) FROM city.trips"


class FullObjects(LocalObjects):
    """A local store whose disk is full."""

    def put(self, key: str, data: BinaryIO, *, size: int, sha256: str) -> None:
        raise DependencyFailed("object_store_full", reason="ENOSPC")


@contextmanager
def no_room() -> Iterator[None]:
    """No file of this process may grow: what a full disk does to the database and the object folder alike."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[City]:
    with city(tmp_path_factory.mktemp("trouble")) as town:
        town.load(some_rows(8))
        town.grant()
        yield town


def spent(town: City) -> int:
    with town.house.sessions.reading() as session:
        ((_, _, cost),) = ledger.read_caps(session, [("grant", town.grants[0])])
    return cost.eps_p


def test_a_full_database_disk_charges_nothing(place: City, capfd: pytest.CaptureFixture[str]) -> None:
    before = spent(place)
    with capfd.disabled(), no_room():
        got = place.ask(SQL, "full-disk", epsilon="0.1")
    assert (got.status_code, got.json()["code"]) == (503, "database_failed")
    assert spent(place) == before
    assert place.ask(SQL, "full-disk", epsilon="0.1").status_code == 200
    assert spent(place) == before + 10**11


def read_only(town: City, switch: str) -> None:
    """On the one connection that writes; outside of any transaction."""
    connection = town.house.sessions.writer.raw_connection()
    try:
        connection.cursor().execute(f"PRAGMA query_only={switch}")
    finally:
        connection.close()


def test_a_read_only_database_disk_charges_nothing_and_lets_reading_go_on(place: City) -> None:
    """What SQLite says of a disk that was remounted read-only: SQLITE_READONLY at the first write."""
    before = spent(place)
    read_only(place, "ON")
    try:
        got = place.ask(SQL, "read-only-disk", epsilon="0.1")
        assert (got.status_code, got.json()["code"]) == (503, "database_failed")
        assert got.headers["Retry-After"].isdigit()
        assert place.ok("GET", "/v1/grants")["items"], "reading goes on"
    finally:
        read_only(place, "OFF")
    assert spent(place) == before
    assert place.ask(SQL, "read-only-disk", epsilon="0.1").status_code == 200
    assert spent(place) == before + 10**11


@promise("P7.1")
def test_a_full_object_store_after_the_charge_has_the_one_text(place: City) -> None:
    before = spent(place)
    house = dataclasses.replace(place.house, objects=FullObjects(place.house.home / "objects"))
    with TestClient(create_app(house), raise_server_exceptions=False) as client:
        town = City(house=house, client=client, keys=place.keys, grants=place.grants)
        got = town.ask(SQL, "full-objects", epsilon="0.1")
    assert (got.status_code, got.json()["code"]) == (503, "query_no_answer")
    assert "full" not in got.text.replace("full-objects", "")
    assert spent(place) == before + 10**11, "what was charged stays charged"
    assert verify_bundle(*bundle_of(place)) == []


def test_an_ingest_without_room_leaves_nothing_and_the_next_works(
    place: City, capfd: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    from sandbox.ingest import duty as ingest

    manifest = MANIFEST.replace("city.trips", "city.more")
    before = sorted(place.house.objects.list("v1/ver_"))
    parts = dataclasses.replace(place.ingest_parts(), objects=FullObjects(place.house.home / "objects"))
    accepted = place.ok("POST", "/v1/datasets", {"file": "m.yaml", "text": manifest}, part="steward")
    while ingest.run_next(parts):
        pass
    failed = place.ok("GET", f"/v1/ingests/{accepted['ingest']}", part="steward")
    assert failed["state"] == "failed"
    assert failed["error"]["code"] == "object_store_full"
    assert sorted(place.house.objects.list("v1/ver_")) == before
    assert place.call("GET", "/v1/datasets/city.more").status_code == 404
    assert place.load(some_rows(8), manifest)["state"] == "committed"
