"""Two gateways and two workers on one PostgreSQL: one truth, whoever is asked, stopped, killed or put to sleep."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx2
import pytest

from sandbox.cli.doctor import examine
from sandbox.client.client import Client
from sandbox.client.http import ProblemError
from sandbox.clock import Clock
from sandbox.store import calibration, duties, ledger, log
from sandbox.store.sessions import Sessions
from tests.house import city
from tests.promises import promise
from tests.servers.fleet import Fleet, Member, balancer, until
from tests.servers.postgres import Server
from tests.trips import some_rows

SLOW = {"row_column": 1e-9, "row_node": 1e-9, "number": 1e-7, "fixed": 0.3}
"""A slow kind of machine: with it in the home rungs are a second, which a busy machine can keep."""


@dataclass
class Bureau:
    """A home at work."""

    server: Server
    database: str
    home: Path
    keys: dict[str, str]
    grants: list[str]
    sessions: Sessions
    fleet: Fleet
    gateways: list[Member] = field(default_factory=list)
    workers: list[Member] = field(default_factory=list)
    doomed: Member | None = None
    """A third gateway, which is killed as soon as it has charged a query."""
    orphan: str = ""
    """That query."""

    def call(self, gateway: Member, method: str, path: str, body: Any = None, *, part: str = "company", **more: str) -> httpx2.Response:
        headers = {"Authorization": f"Bearer {self.keys[part]}", **{k.replace("_", "-"): v for k, v in more.items()}}
        return httpx2.request(method, gateway.url + path, json=body, headers=headers, timeout=120)

    def ask(self, gateway: Member, key: str, grant: int = 0, epsilon: str = "0.01") -> httpx2.Response:
        # By its key another question each time, or the second of two would be a free repeat.
        body = {"sql": f'SELECT count(*) AS "{key}" FROM city.trips', "epsilon": epsilon, "grant": self.grants[grant]}
        return self.call(gateway, "POST", "/v1/queries", body, Idempotency_Key=key)

    def spent(self, grant: int) -> int:
        """What is spent under a grant, in 1e-12 of epsilon."""
        with self.sessions.reading() as session:
            ((_, _, cost),) = ledger.read_caps(session, [("grant", self.grants[grant])])
        return cost.eps_p

    def charges(self, grant: int) -> int:
        count = f"SELECT count(*) FROM ledger WHERE scope = 'grant' AND subject = '{self.grants[grant]}'"
        return int(str(self.server.run(count, self.database)[0][0]))

    def duty(self, name: str) -> duties.Duty:
        with self.sessions.reading() as session:
            return next(d for d in duties.all_duties(session) if d.name == name)

    def holder(self, name: str) -> Member:
        """The worker that holds a duty."""
        found = until(lambda: next((w for w in self.workers if w.said() == self.duty(name).holder), None))
        assert isinstance(found, Member)
        return found

    def sequenced(self) -> bool:
        """Whether every event has its place under the newest checkpoint."""
        with self.sessions.reading() as session:
            newest = log.checkpoint(session)
            return not log.unnumbered(session) and newest is not None and newest[0] == log.size(session)

    def deny(self) -> None:
        """Make an event."""
        self.call(self.gateways[0], "GET", "/v1/log/bundle", part="company")


@pytest.fixture(scope="module")
def bureau(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bureau]:
    folder = tmp_path_factory.mktemp("fleet")
    with Server(fsync=True) as server:
        database = server.new_database()
        settings = {"drain_seconds": 2}
        with city(folder, database=server.url(database), password=server.password_file, settings=settings) as town:
            town.load(some_rows())
            for epsilon in ("3", "3", "0.031", "3"):
                town.grant(epsilon=epsilon)
            with town.house.sessions.begin() as session:
                calibration.save(session, Clock(), "threads 1 slow", SLOW)
        sessions = Sessions(server.url(database), password_file=server.password_file)
        with Fleet(folder / "home") as fleet:
            it = Bureau(server, database, folder / "home", town.keys, town.grants, sessions, fleet)
            it.doomed = fleet.start("serve", SANDBOX_CRASH_AT="charge")
            it.gateways = [fleet.start("serve"), fleet.start("serve")]
            it.workers = [fleet.start("work"), fleet.start("work")]
            for member in fleet.members:
                member.said()
            for gateway in it.gateways:
                until(lambda g=gateway: g.ready()["status"] == "ok")
            yield it
        sessions.close()


def test_every_gateway_knows_every_process_and_that_all_are_alike(bureau: Bureau) -> None:
    for gateway in bureau.gateways:
        seen = until(lambda g=gateway: (r := g.ready())["status"] == "ok" and len(r["processes"]) >= 4 and r)
        assert {p["id"] for p in seen["processes"]} >= {w.said() for w in bureau.workers}
        assert sorted(p["role"] for p in seen["processes"])[-2:] == ["worker", "worker"]
        assert seen["settings_differ"] is False
        assert seen["database"]["found"] == seen["database"]["known"]
        assert seen["read_only"] is None
        assert all(d["well"] and d["error"] is None for d in seen["duties"])
        assert seen["checkpoint"]["size"] > 0


def test_the_doctor_finds_a_bureau_at_work_well_and_says_who_works(bureau: Bureau) -> None:
    found = {f.check: f for f in examine(bureau.home)}
    assert {name: f.what for name, f in found.items() if f.what is not None and name != "disk"} == {}
    told = "\n".join(found["process"].told)
    for worker in bureau.workers:
        assert f"worker {worker.said()}" in told
    assert any(line.startswith("PostgreSQL 18") for line in found["server"].told)
    assert any(line.startswith("sequence: ok") and bureau.duty("sequence").holder in line for line in found["duties"].told)  # type: ignore[operator]


def test_a_key_revoked_here_is_refused_there_at_once(bureau: Bureau) -> None:
    here, there = bureau.gateways
    made = bureau.call(here, "POST", "/v1/principals", {"name": "temp", "tenant": "company", "roles": ["engineer"]}, part="operator").json()
    bureau.keys["temp"] = made["key"]
    assert bureau.call(there, "GET", "/v1/me", part="temp").status_code == 200
    listed = bureau.call(here, "GET", "/v1/principals?limit=1000", part="operator").json()["items"]
    key_id = next(p for p in listed if p["id"] == made["id"])["keys"][0]
    assert bureau.call(here, "POST", f"/v1/keys/{key_id}/revoke", part="operator").status_code == 200
    refused = bureau.call(there, "GET", "/v1/me", part="temp")
    assert (refused.status_code, refused.json()["code"]) == (401, "key_refused")


def test_a_grant_revoked_here_is_refused_there_at_once(bureau: Bureau) -> None:
    here, there = bureau.gateways
    assert bureau.ask(there, "before-revocation", grant=3).status_code == 200
    revoked = bureau.call(here, "POST", f"/v1/grants/{bureau.grants[3]}/revoke", part="operator")
    if revoked.status_code == 403:
        revoked = bureau.call(here, "POST", f"/v1/grants/{bureau.grants[3]}/revoke", part="committee1")
    assert revoked.status_code == 200, revoked.text
    before = bureau.spent(3)
    refused = bureau.ask(there, "after-revocation", grant=3)
    assert (refused.status_code, refused.json()["code"]) == (403, "grant_not_active")
    assert bureau.spent(3) == before


@promise("P6.3")
def test_one_idempotency_key_at_both_gateways_is_one_charge_and_one_answer(bureau: Bureau) -> None:
    before, count = bureau.spent(0), bureau.charges(0)
    with ThreadPoolExecutor(6) as threads:
        answers = list(threads.map(lambda i: bureau.ask(bureau.gateways[i % 2], "one-for-all"), range(6)))
    assert [a.status_code for a in answers] == [200] * 6, [a.text for a in answers]
    assert len({a.text for a in answers}) == 1
    assert (bureau.spent(0), bureau.charges(0)) == (before + 10**10, count + 1)
    other = bureau.ask(bureau.gateways[1], "one-for-all", epsilon="0.02")
    assert (other.status_code, other.json()["code"]) == (409, "idempotency_key_reused")


@promise("P6.1")
def test_a_cap_holds_against_both_gateways_together(bureau: Bureau) -> None:
    with ThreadPoolExecutor(8) as threads:
        answers = list(threads.map(lambda i: bureau.ask(bureau.gateways[i % 2], f"cap-{i:08d}", grant=2), range(8)))
    codes = sorted(a.json()["code"] if a.status_code >= 400 else "paid" for a in answers)
    assert codes == ["budget_exhausted"] * 5 + ["paid"] * 3
    assert (bureau.spent(2), bureau.charges(2)) == (3 * 10**10, 3)


def test_a_worker_that_slept_past_its_lease_does_nothing_when_it_wakes(bureau: Bureau) -> None:
    sleeper = bureau.holder("sequence")
    fence = bureau.duty("sequence").fence
    sleeper.pause()
    try:
        until(lambda: bureau.duty("sequence").holder not in {sleeper.said(), None})
        bureau.deny()
        until(bureau.sequenced)
        taken = bureau.duty("sequence")
        assert taken.fence > fence
    finally:
        sleeper.go_on()
    for _ in range(5):
        bureau.deny()
    until(bureau.sequenced)
    assert (bureau.duty("sequence").fence, bureau.duty("sequence").holder) == (taken.fence, taken.holder)
    wrong = {f.check: f.what for f in examine(bureau.home) if f.what is not None}
    assert not wrong.keys() & {"checkpoint", "events"}, wrong


def test_a_killed_workers_duties_are_taken_over(bureau: Bureau) -> None:
    killed = bureau.holder("sequence")
    fence = bureau.duty("sequence").fence
    killed.kill()
    bureau.workers.remove(killed)
    bureau.workers.append(bureau.fleet.start("work", SANDBOX_QUERY_QUEUE="3"))  # for the tests below
    bureau.deny()
    until(bureau.sequenced)
    assert bureau.duty("sequence").fence > fence
    assert bureau.holder("sequence") in bureau.workers
    for gateway in bureau.gateways:
        until(lambda g=gateway: g.ready()["status"] == "ok")


def test_settings_that_differ_are_named(bureau: Bureau) -> None:
    odd = bureau.workers[-1]
    seen = until(lambda: (r := bureau.gateways[0].ready())["settings_differ"] and r)
    digests = {p["settings"] for p in seen["processes"] if p["id"] == odd.said()}
    assert len(digests) == 1
    assert digests.isdisjoint(p["settings"] for p in seen["processes"] if p["id"] != odd.said())
    (finding,) = [f for f in examine(bureau.home) if f.check == "process"]
    assert finding.what is not None
    assert odd.said() in finding.what["en"]
    assert bureau.workers[0].said() not in finding.what["en"]


def test_a_stopped_worker_lets_go_at_once(bureau: Bureau) -> None:
    stopped = bureau.workers.pop(0)
    assert stopped.stop() == 0
    assert bureau.duty("sequence").holder != stopped.said()
    assert bureau.server.run(f"SELECT id FROM processes WHERE id = '{stopped.said()}'", bureau.database) == []
    bureau.deny()
    until(bureau.sequenced)
    assert bureau.holder("sequence") is bureau.workers[0]


def test_a_gateway_killed_after_a_charge_leaves_the_charge(bureau: Bureau) -> None:
    doomed, gateway = bureau.doomed, bureau.gateways[0]
    assert doomed is not None
    before = {q["id"] for q in bureau.call(gateway, "GET", "/v1/queries?limit=1000").json()["items"]}
    with pytest.raises(httpx2.TransportError):
        bureau.ask(doomed, "orphan-key", grant=1)
    assert doomed.wait(30) == -9
    assert bureau.charges(1) == 1
    listed = bureau.call(gateway, "GET", "/v1/queries?limit=1000").json()["items"]
    (bureau.orphan,) = {q["id"] for q in listed} - before


def test_a_rolling_upgrade_keeps_answering(bureau: Bureau) -> None:
    """Each gateway in turn is stopped and started again, as an upgrade would, while a client goes on asking.

    A gateway that stops is red first, and goes on taking what still comes to it.
    """
    done, failures, answers, number = threading.Event(), [], [], itertools.count()
    ports = [gateway.port for gateway in bureau.gateways]
    before = bureau.charges(0)

    def asking(url: str) -> None:
        with Client(url, bureau.keys["company"]) as client:
            while not done.is_set():
                try:
                    sql = f"SELECT count(*) AS n{next(number)} FROM city.trips"
                    answers.append(client.query(sql, epsilon=0.001, grant=bureau.grants[0]).num_rows)
                except ProblemError as error:
                    failures.append(error.code)

    with balancer(lambda: ports[0], lambda: ports[1]) as url:
        threads = [threading.Thread(target=asking, args=(url,)) for _ in range(2)]
        for thread in threads:
            thread.start()
        for i, gateway in enumerate(list(bureau.gateways)):
            gateway.process.terminate()
            red = until(lambda g=gateway: (r := g.ready())["status"] == "not ready" and r, pause=0.01)
            assert red["checks"].pop("serving") is False
            assert all(red["checks"].values())
            assert gateway.wait(60) == 0
            bureau.gateways[i] = bureau.fleet.start("serve")
            ports[i] = bureau.gateways[i].port
            until(lambda g=bureau.gateways[i]: g.ready()["status"] == "ok")
        done.set()
        for thread in threads:
            thread.join(60)
    assert failures == []
    assert len(answers) > 2
    assert bureau.charges(0) - before == len(answers)


@promise("P6.2")
def test_a_killed_gateways_paid_query_is_answered_by_a_worker(bureau: Bureau) -> None:
    first, second = bureau.gateways
    answered = until(lambda: (a := bureau.call(second, "GET", f"/v1/answers/{bureau.orphan}")).status_code == 200 and a, 240, 1.0)
    assert bureau.charges(1) == 1
    again = bureau.ask(first, "orphan-key", grant=1)
    assert again.json() == answered.json()
    assert bureau.charges(1) == 1


def test_a_database_that_is_away_turns_everything_red_and_back(bureau: Bureau) -> None:
    bureau.server.stop("immediate")
    try:
        for gateway in bureau.gateways:
            seen = until(lambda g=gateway: (r := g.ready())["status"] == "not ready" and r)
            assert seen["checks"]["database"] is False
            refused = bureau.call(gateway, "GET", "/v1/me")
            assert refused.status_code == 503
            assert "retry-after" in refused.headers
    finally:
        bureau.server.start()
    for gateway in bureau.gateways:
        until(lambda g=gateway: g.ready()["status"] == "ok")
    bureau.deny()
    until(bureau.sequenced)
    assert bureau.ask(bureau.gateways[0], "after-the-fall").status_code == 200


def test_a_database_that_hangs_turns_readiness_red_and_nothing_waits_for_it(bureau: Bureau) -> None:
    bureau.server.pause()
    try:
        for gateway in bureau.gateways:
            until(lambda g=gateway: g.ready()["status"] == "not ready")
            assert gateway.get("/health/live").status_code == 200
    finally:
        bureau.server.resume()
    for gateway in bureau.gateways:
        until(lambda g=gateway: g.ready()["status"] == "ok")
