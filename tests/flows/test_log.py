"""The log as a whole, on both databases: settled exports under writers, witnesses, and a receipt that is proved alone."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from sandbox.audit.cosign import cosigners
from sandbox.audit.receipt import check, read
from sandbox.audit.verify import verify
from sandbox.cli import witnessing
from sandbox.cli.exports import take
from sandbox.cli.main import run
from sandbox.store import log, principals
from sandbox.store.sessions import Sessions
from sandbox.wiring import open_sessions
from sandbox.work import duties
from sandbox.work.published import read_published
from tests.house import City, city, opened
from tests.servers.postgres import Server, postgres
from tests.trips import some_rows

__all__ = ["postgres"]


@contextmanager
def watching(folder: Path, name: str, log_vkey: str) -> Iterator[tuple[str, str]]:
    """A witness of one log: (its key, its address)."""
    vkey = witnessing.make(folder, name)
    witness = witnessing.Witness(folder, [log_vkey])
    with witnessing.Server(witness, "127.0.0.1", 0) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield vkey, server.url
        finally:
            server.shutdown()
            thread.join()
            witness.close()


@pytest.fixture(params=["sqlite", "postgresql"])
def place(request: pytest.FixtureRequest) -> Iterator[dict[str, Any]]:
    """Where a city keeps its database."""
    if request.param == "sqlite":
        yield {}
        return
    server: Server = request.getfixturevalue("postgres")
    name = server.new_database()
    yield {"database": server.url(name), "password": server.password_file}
    server.drop_database(name)


@contextmanager
def at_work(town: City) -> Iterator[City]:
    worker = duties.start(town.house)
    try:
        yield town
    finally:
        worker.stop()


def exported(town: City, folder: Path) -> Path:
    response = town.call("GET", "/v1/log/export", part="auditor")
    assert response.status_code == 200, response.text
    take([response.content], folder)
    return folder


def vkey_of(town: City) -> str:
    return (town.house.home / "log.vkey").read_text()


def receipt_of(town: City, query: str, witness: str) -> dict[str, Any]:
    """The receipt, once the witness stands in it."""
    for _ in range(400):
        response = town.call("GET", f"/v1/answers/{query}/receipt")
        if response.status_code == 200:
            found: dict[str, Any] = response.json()
            if cosigners(found["checkpoint"], [witness]):
                return found
        else:
            assert (response.status_code, response.json()["code"]) == (409, "receipt_not_ready")
        time.sleep(0.05)
    raise AssertionError("no cosigned receipt came")


def test_exports_are_settled_while_sixteen_write(place: dict[str, Any], tmp_path: Path) -> None:
    """Every event changes a record: were one of them newer than the leaves, or older, the verifier would name it."""
    with city(tmp_path, **place) as town, closing_sessions(town) as sessions, at_work(town):
        clock, stop = town.house.clock, threading.Event()
        with sessions.begin() as session:
            tenant = principals.create_tenant(session, clock, actor=log.SYSTEM, name="busy", kind="company").id

        def write(writer: int) -> None:
            while not stop.wait(0.002):
                with sessions.begin() as session:
                    made = principals.create_principal(
                        session, clock, actor=log.SYSTEM, tenant=tenant, name=f"{writer}", roles=["engineer"]
                    )
                    principals.create_key(session, clock, actor=log.SYSTEM, principal=made.id, sha256=made.id[-36:])

        writers = [threading.Thread(target=write, args=(n,)) for n in range(16)]
        for writer in writers:
            writer.start()
        try:
            folders = [exported(town, tmp_path / str(number)) for number in range(4)]
        finally:
            stop.set()
            for writer in writers:
                writer.join()
        notes = [(folder / "checkpoint").read_text() for folder in folders]
        for number, folder in enumerate(folders):
            assert verify(folder, vkey_of(town), notes[: number + 1])[0] == []


@contextmanager
def closing_sessions(town: City) -> Iterator[Sessions]:
    """Sessions of the writers: on a server they are another process, with connections of its own."""
    if town.house.sessions.embedded:
        yield town.house.sessions
        return
    sessions = open_sessions(town.house.home, town.house.settings)
    yield sessions
    sessions.close()


def test_a_charge_is_receipted_cosigned_and_published(place: dict[str, Any], tmp_path: Path, capsys: Any) -> None:
    with city(tmp_path, **place) as town:
        town.load(some_rows(10))
        town.grant()
        home, keys, vkey = town.house.home, dict(town.keys), vkey_of(town)
    with watching(tmp_path / "w", "w.example/one", vkey) as (witness, url):
        with (home / "settings.toml").open("a") as file:
            file.write(f"witnesses = {json.dumps([f'{witness} {url}'])}\n")
        with opened(home, keys) as town, at_work(town):
            answer = town.ask("SELECT count(*) FROM city.trips", "receipted", epsilon="0.1").json()
            got = receipt_of(town, answer["id"], witness)
            published = read_published(town.house.objects, town.house.root_key, vkey)
            folder = exported(town, tmp_path / "export")
    assert published is not None
    bodies = list(published.bodies())
    assert json.loads(bodies[got["index"]])["id"] == answer["event"], "what a witness saw can be had again"
    proved = check(read(json.dumps(got).encode()), vkey, [witness])
    assert (proved.event.id, list(proved.witnesses)) == (answer["event"], ["w.example/one"])
    assert verify(folder, vkey, [json.dumps(got)], [witness])[0] == [], "what the witness signed goes along"
    kept, key = tmp_path / "receipt.json", f"@{home / 'log.vkey'}"
    kept.write_text(json.dumps(got))
    assert run(["verify-receipt", str(kept), "--key", key, "--witness", witness]) == 0
    assert answer["id"] in capsys.readouterr().out
    kept.write_text(json.dumps(got | {"index": got["index"] + 1}))
    assert run(["verify-receipt", str(kept), "--key", key]) == 1
