"""A real gateway for tests: a fresh home, its house, its application, and principals with keys."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import uvicorn
from starlette.testclient import TestClient

from sandbox import settings
from sandbox.cli.home import make_home
from sandbox.flow import Principal
from sandbox.gateway.app import create_app
from sandbox.gateway.keys import digest_of, new_key
from sandbox.store import log, principals
from sandbox.wiring import House, open_house
from sandbox.work import duties


@dataclass
class Living:
    """An open house with its application and one key per name."""

    house: House
    client: TestClient
    keys: dict[str, str] = field(default_factory=dict)
    people: dict[str, Principal] = field(default_factory=dict)

    def who(self, name: str) -> dict[str, str]:
        """The header of somebody's key."""
        return {"Authorization": f"Bearer {self.keys[name]}"}

    def admit(self, name: str, role: str, tenant: str, kind: str = "company") -> Principal:
        """Register somebody in an organisation, straight in the store."""
        clock, key = self.house.clock, new_key()
        with self.house.sessions.begin() as session:
            owner = principals.find_tenant(session, tenant) or principals.create_tenant(
                session, clock, actor=log.SYSTEM, name=tenant, kind=kind
            )
            made = principals.create_principal(
                session, clock, actor=log.SYSTEM, tenant=owner.id, name=name, roles=[role]
            )
            principals.create_key(session, clock, actor=log.SYSTEM, principal=made.id, sha256=digest_of(key))
        self.keys[name], self.people[name] = key, made.principal
        return made.principal

    def events(self, type_: str) -> list[dict[str, object]]:
        """The details of every event of a type, with its actor."""
        from sandbox.audit.event import decode

        with self.house.sessions.reading() as session:
            bodies = [
                decode(body)
                for tenant in {"system", *(p.tenant for p in self.people.values())}
                for _, _, body in log.of_tenant(session, tenant, "", 100_000)
            ]
        return [{"actor": e.actor, **e.details} for e in bodies if e.type == type_]


@contextmanager
def living(folder: Path, **overrides: str | int) -> Iterator[Living]:
    """A gateway in a fresh home, with the usual people, driven in this process."""
    home = folder / "home"
    made = make_home(home, "operator")
    with open_house(home, settings.load(home, **overrides)) as house, TestClient(create_app(house)) as client:
        alive = Living(house, client, {"operator": made.key})
        with house.sessions.reading() as session:
            record = principals.get(session, made.principal)
        assert record is not None
        alive.people["operator"] = record.principal
        alive.admit("steward", "steward", "health bureau", "owner")
        alive.admit("member1", "committee", "committee", "committee")
        alive.admit("member2", "committee", "committee", "committee")
        alive.admit("engineer", "engineer", "acme")
        alive.admit("rival", "engineer", "rival")
        alive.admit("auditor", "auditor", "supervisor", "supervisor")
        yield alive


@contextmanager
def served(house: House) -> Iterator[str]:
    """The same application behind a real socket; gives its address."""
    config = uvicorn.Config(create_app(house), host="127.0.0.1", port=0, log_config=None, lifespan="on", ws="none")
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        while not server.started:
            assert thread.is_alive()
            time.sleep(0.01)
        port = server.servers[0].sockets[0].getsockname()[1]
        yield f"http://127.0.0.1:{port}"
    finally:
        server.should_exit = True
        thread.join(30)


POPULATION = """\
population: residents
title: {en: Residents, zh: 居民}
unit: resident
identifier: {kind: digits}
identifiers_max: 10000000
registered: {count: 8420000, provenance: {documented: census}}
"""

VISITS = """\
dataset: health.visits
title: {en: Visits, zh: 就诊}
owner: health bureau
population: residents
unit: id
consent: true
other_persons: none
source: {connector: csv, path: visits.csv}
limits:
  rows: 20000
  rows_per_unit: 10
  default_rows: 5
  tiers: [1, 5, 10]
  provenance: {documented: dictionary}
columns:
  id: {type: text, meaning: {en: id, zh: 标识}, level: general-3, provenance: {documented: dictionary}}
  year:
    {type: integer, meaning: {en: year, zh: 年}, level: general-2, bounds: [1984, 1988], required: true,
     domain: {from: 1984, to: 1988}, provenance: {documented: dictionary}}
  docvis:
    {type: integer, meaning: {en: visits, zh: 次数}, level: general-3, bounds: [0, 60],
     provenance: {steward: looked at the maximum}}
"""

AIRPORTS = """\
dataset: transport.airports
title: {en: Airports, zh: 机场}
owner: health bureau
public: true
source: {connector: csv, path: airports.csv}
limits: {rows: 100, provenance: {documented: dictionary}}
columns:
  faa: {type: text, meaning: {en: code, zh: 代码}, level: general-1, provenance: {documented: dictionary}}
  lat:
    {type: decimal, grid: 0.0001, bounds: [-90, 90], meaning: {en: latitude, zh: 纬度}, level: general-1,
     provenance: {documented: dictionary}}
"""

SOURCES = {
    "visits.csv": "id,year,docvis\n"
    + "".join(
        f"{unit:05d},{1984 + (unit + k) % 5},{(unit * 7 + k) % 61}\n"
        for unit in range(1000)
        for k in range(1 + unit % 4)
    ),
    "airports.csv": "faa,lat\nEWR,40.6925\nJFK,40.6398\n=CMD,1.5\n",
}


def write_sources(house: House) -> None:
    """Put the sources where manifests find them."""
    for name, text in SOURCES.items():
        folder = house.sources()[0] / "health bureau"
        folder.mkdir(exist_ok=True)
        (folder / name).write_text(text, "utf-8")


def load(alive: Living, manifest: str) -> dict[str, object]:
    """Ingest a manifest through the gateway; the duties must be running. Gives the ended ingest."""
    steward = alive.who("steward")
    accepted = alive.client.post("/v1/datasets", json={"file": "m.yaml", "text": manifest}, headers=steward)
    assert accepted.status_code == 202, accepted.text
    while True:
        found: dict[str, object] = alive.client.get(f"/v1/ingests/{accepted.json()['ingest']}", headers=steward).json()
        if found["state"] in {"committed", "failed"}:
            return found
        time.sleep(0.05)


def grant(alive: Living, preset: str = "research") -> str:
    """Apply for health.visits, consent, approve twice; gives the grant's id."""
    asked = {
        "scenario": "triage", "purpose": "research", "datasets": ["health.visits"], "actions": ["query"],
        "preset": preset, "expires_at": "2099-01-01",
    }  # fmt: skip
    made = alive.client.post("/v1/applications", json=asked, headers=alive.who("engineer"))
    assert made.status_code == 201, made.text
    path = f"/v1/applications/{made.json()['id']}"
    consent = {"dataset": "health.visits", "approve": True}
    assert alive.client.post(f"{path}/consent", json=consent, headers=alive.who("steward")).status_code == 200
    for name in ("member1", "member2"):
        voted = alive.client.post(f"{path}/vote", json={"approve": True}, headers=alive.who(name))
        assert voted.status_code == 200, voted.text
    return str(voted.json()["grant"])


@contextmanager
def working(alive: Living) -> Iterator[Living]:
    """With the duties running."""
    worker = duties.start(alive.house)
    try:
        yield alive
    finally:
        worker.stop()


@contextmanager
def loaded(folder: Path) -> Iterator[Living]:
    """A gateway at work with a population, a protected and a public dataset, and a grant."""
    with living(folder) as alive, working(alive):
        write_sources(alive.house)
        body = {"file": "p.yaml", "text": POPULATION}
        assert alive.client.post("/v1/populations", json=body, headers=alive.who("steward")).status_code == 201
        for manifest in (VISITS, AIRPORTS):
            assert load(alive, manifest)["state"] == "committed"
        grant(alive)
        yield alive
