"""Sixteen clients with mixed wishes, and a journal of what they were told; whatever is told stays true."""

from __future__ import annotations

import json
import random
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import httpx2

from tests.faults.storm.place import Place
from tests.trips import MANIFEST, csv_of, some_rows

CLIENTS = 16
SQL = (
    "SELECT count(*) FROM city.trips",
    "SELECT line, count(*), sum(fare) FROM city.trips GROUP BY line",
    "SELECT avg(delay) FROM city.trips WHERE hour < 12",
)
_FINE = {
    200, 201, 202,
    403,  # a denial is part of the mix
    408, 409,  # not ready, in flight, votes that came twice
    429, 503,
}  # fmt: skip


@dataclass(slots=True)
class Journal:
    """What clients know: each key's question and, once told, its answer; and whatever should not have been."""

    lock: threading.Lock = field(default_factory=threading.Lock)
    asked: dict[str, dict[str, Any]] = field(default_factory=dict)
    told: dict[str, dict[str, Any]] = field(default_factory=dict)
    events: set[str] = field(default_factory=set)
    applications: list[str] = field(default_factory=list)
    ingests: list[str] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)
    counted: Counter[str] = field(default_factory=Counter)

    def learn(self, key: str, answer: dict[str, Any]) -> None:
        """An answer has arrived: the same key must never tell anything else."""
        with self.lock:
            known = self.told.setdefault(key, answer)
            self.events.add(answer["event"])
            self.counted["answers"] += 1
        same = {name: known.get(name) for name in ("id", "rows", "low", "high", "event")}
        if any(answer.get(name) != value for name, value in same.items()):
            self.wrong.append(f"key {key} was told two answers")


class Clients:
    """The clients as threads, until `stop`."""

    def __init__(self, place: Place, journal: Journal, *, seed: int) -> None:
        self._place, self._journal = place, journal
        self._stop = threading.Event()
        self._threads = [
            threading.Thread(target=self._live, args=(random.Random(seed * 1000 + n), n), daemon=True)  # noqa: S311 - a mix, not a secret
            for n in range(CLIENTS)
        ]
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Let each finish what it waits for."""
        self._stop.set()
        for thread in self._threads:
            thread.join(60)
            assert not thread.is_alive(), "a client hangs"

    def _live(self, chance: random.Random, number: int) -> None:
        timeout = httpx2.Timeout(40.0, connect=5.0)
        with httpx2.Client(base_url=f"http://127.0.0.1:{self._place.port}", timeout=timeout) as client:
            while not self._stop.is_set():
                try:
                    self._act(client, chance, number)
                except httpx2.TransportError:
                    time.sleep(0.05)

    def _call(self, client: httpx2.Client, method: str, path: str, body: Any = None, *, part: str = "company", **headers: str) -> Any:
        sent = {"Authorization": f"Bearer {self._place.keys[part]}", "Content-Type": "application/json"}
        sent |= {name.replace("_", "-"): value for name, value in headers.items()}
        got = client.request(method, path, content=None if body is None else json.dumps(body), headers=sent)
        with self._journal.lock:
            self._journal.counted[f"{got.status_code}"] += 1
        if got.status_code not in _FINE:
            self._journal.wrong.append(f"{method} {path}: {got.status_code} {got.text[:200]}")
        if got.status_code in {429, 503}:
            time.sleep(0.05)
        return got

    def _act(self, client: httpx2.Client, chance: random.Random, number: int) -> None:
        what = chance.random()
        if number == 0 and what < 0.3:
            self._load(client, chance)
        elif number in {1, 2} and what < 0.6:
            self._approve(client, chance, number)
        elif what < 0.6:
            self._ask(client, f"key-{number}-{chance.randrange(1 << 40):010x}", chance)
        elif what < 0.8:
            with self._journal.lock:
                known = sorted(self._journal.asked)
            if known:
                self._repeat(client, chance.choice(known))
        elif what < 0.88:
            with self._journal.lock:
                answers = [told["id"] for told in self._journal.told.values()]
            if answers:
                self._call(client, "GET", f"/v1/answers/{chance.choice(answers)}")
        elif what < 0.94:
            self._call(client, "GET", "/v1/events?limit=20")
        else:
            self._call(client, "POST", "/v1/queries", {"sql": SQL[0], "epsilon": "2.9"}, Idempotency_Key=f"deny-{chance.randrange(1 << 40):010x}")

    def _ask(self, client: httpx2.Client, key: str, chance: random.Random) -> None:
        # Another budget each time, or the second of two would be a free repeat.
        body = {"sql": chance.choice(SQL), "epsilon": f"0.000001{chance.randrange(10**6):06d}"}
        with self._journal.lock:
            self._journal.asked[key] = body
        self._repeat(client, key)

    def _repeat(self, client: httpx2.Client, key: str) -> None:
        got = self._call(client, "POST", "/v1/queries", self._journal.asked[key], Idempotency_Key=key)
        if got.status_code == 200:
            self._journal.learn(key, got.json())
        elif got.status_code == 403:
            self._journal.wrong.append(f"a small question was refused: {got.text[:200]}")

    def _approve(self, client: httpx2.Client, chance: random.Random, number: int) -> None:
        """Apply, or vote as one of two members: both may vote at one time."""
        with self._journal.lock:
            waiting = self._journal.applications[-4:]
        if number == 1 and (not waiting or chance.random() < 0.3):
            terms = {
                "scenario": "storm", "purpose": "planning", "datasets": ["city.trips"], "actions": ["query"],
                "epsilon": "0.001", "expires_at": "2099-01-01",
            }  # fmt: skip
            got = self._call(client, "POST", "/v1/applications", terms, part="rival")
            if got.status_code < 300:
                with self._journal.lock:
                    self._journal.applications.append(got.json()["id"])
        elif waiting:
            self._call(client, "POST", f"/v1/applications/{chance.choice(waiting)}/vote", {"approve": True}, part=f"committee{number}")

    def _load(self, client: httpx2.Client, chance: random.Random) -> None:
        """A new small dataset; its source is laid down first."""
        name = f"storm_{chance.randrange(1 << 40):010x}"
        (self._place.home / "sources" / "bureau" / f"{name}.csv").write_text(csv_of(some_rows(6)), "utf-8")
        text = MANIFEST.replace("city.trips", f"city.{name}").replace("path: trips.csv", f"path: {name}.csv")
        got = self._call(client, "POST", "/v1/datasets", {"file": "m.yaml", "text": text}, part="steward")
        if got.status_code < 300:
            with self._journal.lock:
                self._journal.ingests.append(got.json()["ingest"])
        time.sleep(0.5)
