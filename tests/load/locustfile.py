# ruff: noqa: S311  # which question is asked next is no secret
"""Mixed traffic for Locust: what companies, an auditor and strangers ask of a gateway in a working hour.

Locust runs in an environment of its own (requirements/load.txt) and imports nothing of the house. `tests.load.run`
passes by SANDBOX_LOAD a JSON file: `{"companies": [{"key", "grants": {dataset: id}}], "auditor": key, "told": file}`.
Every answer that was paid for is written to `told` as a JSON line, to be compared with the ledger afterwards.
"""

from __future__ import annotations

import json
import os
import random
import time
import uuid
from collections import deque
from itertools import count
from pathlib import Path
from typing import Any

from locust import FastHttpUser, between, task

PLAN = json.loads(Path(os.environ["SANDBOX_LOAD"]).read_text())
TOLD = Path(PLAN["told"]).open("a", encoding="utf-8")  # noqa: SIM115  # open for as long as Locust runs
NUMBERS = count()

HEALTH = "health.rwm5yr"
FLIGHTS = "transport.flights"
EPSILON = "0.0001"


def question() -> tuple[str, str, int]:
    """(dataset, SQL, rows a unit gives), seldom twice the same."""
    visits, hour = random.randint(0, 60), random.randint(5, 22)
    return random.choice([
        (HEALTH, f"SELECT year, count(*), avg(docvis) FROM {HEALTH} WHERE docvis <= {visits} GROUP BY year", 5),
        (HEALTH, f"SELECT count(*) FROM {HEALTH} WHERE married AND docvis > {visits}", 1),
        (FLIGHTS, f"SELECT origin, count(*), avg(dep_delay) FROM {FLIGHTS} WHERE hour > {hour} GROUP BY origin", 10),
    ])  # fmt: skip


class Company(FastHttpUser):
    """A company's program: asks, explains, reads its answers again, looks around, and is refused now and then."""

    weight = 20
    wait_time = between(0.2, 1.0)

    def on_start(self) -> None:
        """Take a place in a company."""
        self.company = PLAN["companies"][next(NUMBERS) % len(PLAN["companies"])]
        self.key = {"Authorization": f"Bearer {self.company['key']}"}
        self.answers: deque[tuple[str, float, dict[str, Any]]] = deque(maxlen=20)
        self.last: tuple[str, dict[str, Any]] | None = None

    def _ask(self, name: str, key: str, body: dict[str, Any]) -> dict[str, Any] | None:
        headers = {**self.key, "Idempotency-Key": key}
        with self.client.post("/v1/queries", json=body, headers=headers, name=name, catch_response=True) as response:
            if response.status_code != 200:
                response.failure(f"{response.status_code} {code(response)}")
                return None
            found: dict[str, Any] = response.json()
        TOLD.write(json.dumps({"key": key, "id": found["id"], "event": found["event"]}) + "\n")
        TOLD.flush()
        return found

    @task(8)
    def ask(self) -> None:
        """A question that is paid for."""
        dataset, sql, rows = question()
        # Another budget each time, or the second of two would be a free repeat.
        epsilon = f"{EPSILON}{random.randrange(10**8):08d}"
        body = {"sql": sql, "rows": rows, "epsilon": epsilon, "grant": self.company["grants"][dataset]}
        key = uuid.uuid4().hex
        found = self._ask("query", key, body)
        if found is not None:
            self.answers.append((found["id"], time.time(), found))
            self.last = key, body

    @task(1)
    def ask_again(self) -> None:
        """The same question under the same key: the same answer, and nothing to pay."""
        if self.last is None:
            return
        found = self._ask("query, sent twice", *self.last)
        if found is not None and found["id"] not in {a[0] for a in self.answers}:
            raise AssertionError("one key has bought two answers")

    @task(4)
    def explain(self) -> None:
        """What a question would cost."""
        dataset, sql, rows = question()
        body = {"sql": sql, "rows": rows, "epsilon": EPSILON, "grant": self.company["grants"][dataset], "explain": True}
        self.client.post("/v1/queries", json=body, headers=self.key, name="explain")

    @task(6)
    def look_around(self) -> None:
        """The catalogue and one's own things."""
        path = random.choice([
            "/v1/datasets", f"/v1/datasets/{HEALTH}", "/v1/populations", "/v1/grants", "/v1/queries?limit=20", "/v1/me",
            "/v1/events?limit=20",
        ])  # fmt: skip
        self.client.get(path, headers=self.key, name="catalogue")

    @task(4)
    def read_again(self) -> None:
        """An answer once more: to the letter what it was."""
        if not self.answers:
            return
        query_id, _, answer = random.choice(self.answers)
        path = f"/v1/answers/{query_id}"
        with self.client.get(path, headers=self.key, name="answer again", catch_response=True) as response:
            if response.status_code == 200 and response.json() != answer:
                response.failure("the answer has changed")

    @task(3)
    def receipt(self) -> None:
        """The receipt of an answer, which is there within a second."""
        found = [query_id for query_id, at, _ in self.answers if time.time() - at > 1.0]
        if found:
            self.client.get(f"/v1/answers/{random.choice(found)}/receipt", headers=self.key, name="receipt")

    @task(1)
    def denied(self) -> None:
        """A dataset that no grant covers."""
        body = {"sql": "SELECT count(*) FROM health.nhefs", "epsilon": EPSILON}
        headers = {**self.key, "Idempotency-Key": uuid.uuid4().hex}
        with self.client.post("/v1/queries", json=body, headers=headers, name="denied", catch_response=True) as response:
            expect(response, {403})

    @task(1)
    def wrong(self) -> None:
        """A question that cannot be understood."""
        body = {"sql": f"SELECT * FROM {HEALTH}", "epsilon": EPSILON, "grant": self.company["grants"][HEALTH]}
        headers = {**self.key, "Idempotency-Key": uuid.uuid4().hex}
        with self.client.post("/v1/queries", json=body, headers=headers, name="refused", catch_response=True) as response:
            expect(response, {400})


class Stranger(FastHttpUser):
    """Somebody without a good key, and a monitor that looks whether the gateway lives."""

    weight = 2
    wait_time = between(0.2, 1.0)

    @task(2)
    def bad_key(self) -> None:
        """A key that nobody has: refused, and after some time refused unlogged."""
        headers = {"Authorization": "Bearer sbx_" + "A" * 43}
        with self.client.get("/v1/me", headers=headers, name="bad key", catch_response=True) as response:
            expect(response, {401, 429})

    @task(2)
    def health(self) -> None:
        """Whether it lives."""
        self.client.get("/health/live", name="health")

    @task(2)
    def checkpoint(self) -> None:
        """The public log's newest checkpoint."""
        self.client.get("/log/checkpoint", name="checkpoint")


class Auditor(FastHttpUser):
    """The auditor's program, which follows the log."""

    weight = 1
    wait_time = between(1.0, 3.0)

    def on_start(self) -> None:
        """Begin at the log's beginning."""
        self.key = {"Authorization": f"Bearer {PLAN['auditor']}"}
        self.place = 0

    @task
    def follow(self) -> None:
        """The next entries."""
        path = f"/v1/log/entries?start={self.place}&limit=200"
        with self.client.get(path, headers=self.key, name="entries", catch_response=True) as response:
            if response.status_code == 200:
                self.place += len(response.json()["entries"])


def expect(response: Any, statuses: set[int]) -> None:
    """A refusal is a success here, when it is the right one."""
    if response.status_code in statuses:
        response.success()
    else:
        response.failure(f"{response.status_code} {code(response)}")


def code(response: Any) -> str:
    """The code of a problem."""
    try:
        return str(response.json().get("code", "-"))
    except (ValueError, AttributeError):
        return "-"
