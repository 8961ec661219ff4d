"""The home that a storm goes over: people, data, a large grant, on SQLite or PostgreSQL, with patient rungs."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path

from sandbox.store import calibration
from tests.house import VERY_PATIENT, city
from tests.servers.postgres import Server
from tests.trips import some_rows

SETTINGS = {
    "query_slots": 64,
    "tenant_per_minute": 1_000_000,
    "open_per_minute": 1_000_000,
    "bad_keys_per_minute": 100_000,
    "denials_per_minute": 100_000,
    "log_level": "warning",
}


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
    with city(folder, database=database, password=password, settings=SETTINGS, model=VERY_PATIENT) as town:
        house = town.house
        with house.sessions.begin() as session:  # the gateways of the storm are as patient
            values = {f.name: getattr(house.model, f.name) for f in dataclasses.fields(house.model) if f.name != "threads"}
            calibration.save(session, house.clock, "threads 2 patient", values)
        assert town.load(some_rows(30))["state"] == "committed"
        town.grant(epsilon="3")
        return Place(home=house.home, keys=dict(town.keys), embedded=house.sessions.embedded, port=port)
