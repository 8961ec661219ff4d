"""A real house for tests: a home on disk, the real app over HTTP, people with keys, and data that the test made."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx2
from starlette.testclient import TestClient

from sandbox.cli.home import make_home
from sandbox.gateway.app import create_app
from sandbox.ingest import duty as ingest
from sandbox.query.planning.rung import CostModel
from sandbox.wiring import House, open_house
from sandbox.work.sequence import Sequencer
from tests.trips import MANIFEST, POPULATION, Row, csv_of

PATIENT = CostModel(row_column=1e-9, row_node=1e-9, number=1e-7, fixed=0.16, threads=2)
"""Rungs of half a second: the tests share their machine, and an overrun is a finding that only a quiet one can make."""

VERY_PATIENT = dataclasses.replace(PATIENT, fixed=0.4)
"""Rungs of two seconds, for tests that break the machine under the question."""


COUNT = "SELECT count(*) FROM city.trips"


@dataclass(slots=True)
class City:
    """A house with people: `keys` by part, `client` speaks HTTP to the real app."""

    house: House
    client: TestClient
    keys: dict[str, str] = field(default_factory=dict)
    grants: list[str] = field(default_factory=list)

    def call(self, method: str, path: str, body: Any = None, *, part: str = "company", **headers: str) -> httpx2.Response:
        """One request as one of the parts."""
        sent = {"Authorization": f"Bearer {self.keys[part]}", **{k.replace("_", "-"): v for k, v in headers.items()}}
        content = None if body is None else json.dumps(body)
        return self.client.request(method, path, content=content, headers={"Content-Type": "application/json", **sent})

    def ok(self, method: str, path: str, body: Any = None, *, part: str = "company", **headers: str) -> Any:
        """The same; it must succeed."""
        answer = self.call(method, path, body, part=part, **headers)
        assert answer.status_code < 300, answer.text
        return answer.json()

    def ask(self, sql: str, key: str, **asked: Any) -> httpx2.Response:
        """A question with an idempotency key; plain counts are told apart by it, or the second of two would be free."""
        named = f'SELECT count(*) AS "{key}" FROM city.trips' if sql == COUNT else sql
        return self.call("POST", "/v1/queries", {"sql": named, **asked}, Idempotency_Key=key)

    def ingest_parts(self) -> ingest.Parts:
        """What the ingest duty needs of this house."""
        house = self.house
        return ingest.Parts(
            sessions=house.sessions, clock=house.clock, objects=house.objects, root_key=house.root_key,
            connectors=house.connectors, source_dirs=house.sources(), work_dir=house.work_dir(),
            worker_id=house.worker_id,
        )  # fmt: skip

    def source(self, file: str, text: str, owner: str = "bureau") -> None:
        """Put a source in its owner's folder."""
        folder = self.house.home / "sources" / owner
        folder.mkdir(exist_ok=True)
        (folder / file).write_text(text, "utf-8")

    def load(self, rows: Sequence[Row], manifest: str = MANIFEST, *, file: str = "trips.csv") -> dict[str, Any]:
        """Put a source in place, register its manifest, run the ingest; gives the ingest as the steward sees it."""
        self.source(file, csv_of(rows))
        accepted = self.ok("POST", "/v1/datasets", {"file": "m.yaml", "text": manifest}, part="steward")
        while ingest.run_next(self.ingest_parts()):
            pass
        found: dict[str, Any] = self.ok("GET", f"/v1/ingests/{accepted['ingest']}", part="steward")
        return found

    def grant(self, datasets: Sequence[str] = ("city.trips",), epsilon: str = "3", purpose: str = "planning") -> str:
        """Apply and approve."""
        terms = {
            "scenario": "a test", "purpose": purpose, "datasets": list(datasets), "actions": ["query"],
            "epsilon": epsilon, "expires_at": "2099-01-01",
        }  # fmt: skip
        application = self.ok("POST", "/v1/applications", terms)
        for member in ("committee1", "committee2"):
            application = self.ok("POST", f"/v1/applications/{application['id']}/vote", {"approve": True}, part=member)
        self.grants.append(application["grant"])
        return str(application["grant"])

    def sequence(self) -> None:
        """Number all events and sign."""
        house = self.house
        Sequencer(house.sessions, house.clock, name=house.log_name, key=house.log_key).run()


def bundle_of(town: City) -> tuple[dict[str, Any], str]:
    """The log and the records of one instant over HTTP, and the public key, as `verify_bundle` takes them."""
    bundle = town.ok("GET", "/v1/log/bundle", part="auditor")
    return bundle, (town.house.home / "log.vkey").read_text().strip()


PEOPLE = [
    ("bureau", "owner", [("steward", "steward")]),
    ("committee", "committee", [("committee1", "committee"), ("committee2", "committee")]),
    ("company", "company", [("company", "engineer")]),
    ("rival", "company", [("rival", "engineer")]),
    ("audit", "supervisor", [("auditor", "auditor")]),
]


@contextmanager
def opened(home: Path, keys: dict[str, str], *, model: CostModel = PATIENT) -> Iterator[City]:
    """An existing home, opened, with the rungs of a cost model."""
    with open_house(home) as built:
        house = dataclasses.replace(built, model=model)
        with TestClient(create_app(house), raise_server_exceptions=False) as client:
            yield City(house=house, client=client, keys=keys)


@contextmanager
def city(
    folder: Path, *, population: str = POPULATION, database: str = "", password: Path | None = None,
    settings: Mapping[str, Any] | None = None, model: CostModel = PATIENT,
) -> Iterator[City]:  # fmt: skip
    """A fresh home with people and a population; on a server's database, and with other settings, if told."""
    made = make_home(folder / "home", "operator", database=database, password=password)
    with (folder / "home" / "settings.toml").open("a", encoding="utf-8") as file:
        file.writelines(f"{name} = {json.dumps(value)}\n" for name, value in (settings or {}).items())
    keys = {"operator": made.key}
    with opened(folder / "home", keys, model=model) as it:
        for tenant, kind, members in PEOPLE:
            it.ok("POST", "/v1/tenants", {"name": tenant, "kind": kind}, part="operator")
            for name, role in members:
                body = {"name": name, "tenant": tenant, "roles": [role]}
                it.keys[name] = it.ok("POST", "/v1/principals", body, part="operator")["key"]
        it.ok("POST", "/v1/populations", {"file": "p.yaml", "text": population}, part="steward")
        yield it
