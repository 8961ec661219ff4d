"""The home that a storm goes over: people, data, a large grant, on SQLite or PostgreSQL, with rungs of a second."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path

from starlette.testclient import TestClient

from sandbox.cli.home import make_home
from sandbox.gateway.app import create_app
from sandbox.store import calibration
from sandbox.wiring import open_house, open_sessions
from tests.house import PATIENT, PEOPLE, City
from tests.servers.postgres import Server
from tests.trips import POPULATION, some_rows

MODEL = dataclasses.replace(PATIENT, fixed=0.4)
"""Rungs of a second: an overrun would stop the company's grants, and the machine is busy."""

SETTINGS = """\
query_slots = 64
tenant_per_minute = 1000000
open_per_minute = 1000000
bad_keys_per_minute = 100000
denials_per_minute = 100000
log_level = "warning"
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """A prepared home: API keys by part, the port its gateway will take."""

    home: Path
    keys: dict[str, str]
    embedded: bool
    port: int


def prepare(folder: Path, server: Server | None, port: int) -> Place:
    """Make the home, its people, a dataset and a grant."""
    database = "" if server is None else server.url(server.new_database())
    password = None if server is None else server.password_file
    made = make_home(folder / "home", "operator", database=database, password=password)
    with (made.home / "settings.toml").open("a") as file:
        file.write(SETTINGS)
    keys = {"operator": made.key}
    with open_house(made.home) as built:
        with built.sessions.begin() as session:
            values = {f.name: getattr(MODEL, f.name) for f in dataclasses.fields(MODEL) if f.name != "threads"}
            calibration.save(session, built.clock, "threads 2 patient", values)
        house = dataclasses.replace(built, model=MODEL)
        with TestClient(create_app(house), raise_server_exceptions=False) as client:
            town = City(house=house, client=client, keys=keys)
            for tenant, kind, members in PEOPLE:
                town.ok("POST", "/v1/tenants", {"name": tenant, "kind": kind}, part="operator")
                for name, role in members:
                    body = {"name": name, "tenant": tenant, "roles": [role]}
                    keys[name] = town.ok("POST", "/v1/principals", body, part="operator")["key"]
            town.ok("POST", "/v1/populations", {"file": "p.yaml", "text": POPULATION}, part="steward")
            assert town.load(some_rows(30))["state"] == "committed"
            town.grant(epsilon="3")
        embedded = built.sessions.embedded
    open_sessions(made.home, built.settings).close()
    return Place(home=made.home, keys=keys, embedded=embedded, port=port)
