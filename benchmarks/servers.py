"""Servers against the embedded default: durable appends by 16 writers, and the way of one question, in one run."""

from __future__ import annotations

import dataclasses
import multiprocessing
import shutil
import statistics
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Final

import psycopg

from sandbox.audit.merkle import leaf_hash
from sandbox.clock import Clock
from sandbox.flow import Principal
from sandbox.ids import new_id
from sandbox.query import answer, ends
from sandbox.store import log
from sandbox.store.sessions import Sessions
from tests.faults.one_query import request_of
from tests.house import City, city
from tests.servers.postgres import Server
from tests.servers.seaweed import REGION, key_files, seaweed
from tests.trips import some_rows

PROCESSES: Final = 4
THREADS: Final = 4
SECONDS: Final = 4.0
ROUNDS: Final = 3
QUESTIONS: Final = 40

ACTOR: Final = Principal(id="prn_bench", tenant="ten_bench", roles=frozenset())
DETAILS: Final = {"noun": "query", "verb": "ask", "reason": "no_grant"}

_BARE = """
CREATE TABLE IF NOT EXISTS bare (id text PRIMARY KEY, at text NOT NULL, type text NOT NULL, tenant text NOT NULL,
  subject text NOT NULL, body bytea NOT NULL, leaf text NOT NULL, seq bigserial UNIQUE, idx bigint UNIQUE);
CREATE INDEX IF NOT EXISTS bare_type ON bare (type);
CREATE INDEX IF NOT EXISTS bare_tenant ON bare (tenant);
CREATE INDEX IF NOT EXISTS bare_subject ON bare (subject);
CREATE INDEX IF NOT EXISTS bare_waiting ON bare (seq) WHERE idx IS NULL;
CREATE INDEX IF NOT EXISTS bare_own ON bare (tenant, id);
"""
"""The same columns and indexes as the log's table, filled by the driver alone."""


def _counted(one: Callable[[], None], start: float, out: list[int]) -> None:
    """Again and again for some seconds, from an agreed moment on."""
    time.sleep(max(0.0, start - time.time()))
    until, done = start + SECONDS, 0
    while time.time() < until:
        one()
        done += 1
    out.append(done)


def _threads(make: Callable[[], Callable[[], None]], start: float) -> int:
    done: list[int] = []
    threads = [threading.Thread(target=_counted, args=(make(), start, done)) for _ in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return sum(done)


def _append(url: str, password: str, start: float, out: Any) -> None:
    sessions, clock = Sessions(url, password_file=Path(password), pool=THREADS), Clock()

    def one() -> None:
        with sessions.begin() as session:
            log.append(session, clock, "access.deny", actor=ACTOR, subject=ACTOR.id, details=DETAILS)

    out.put(_threads(lambda: one, start))
    sessions.close()


def _insert(url: str, password: str, start: float, out: Any) -> None:
    secret, body = Path(password).read_text().strip(), b"x" * 260
    leaf = leaf_hash(body).hex()

    def make() -> Callable[[], None]:
        connection = psycopg.connect(url, password=secret, autocommit=True)
        query = "INSERT INTO bare (id, at, type, tenant, subject, body, leaf) VALUES (%s, %s, %s, %s, %s, %s, %s)"

        def one() -> None:
            row = (new_id("evt"), "2026-01-01T00:00:00.000Z", "access.deny", ACTOR.tenant, ACTOR.id, body, leaf)
            connection.execute(query, row)

        return one

    out.put(_threads(make, start))


def _rate(work: Callable[..., None], url: str, password: Path) -> float:
    """Rows a second over all writers."""
    context = multiprocessing.get_context("spawn")
    out, start = context.Queue(), time.time() + 6.0
    writers = [context.Process(target=work, args=(url, str(password), start, out)) for _ in range(PROCESSES)]
    for writer in writers:
        writer.start()
    total = sum(out.get(timeout=120) for _ in writers)
    for writer in writers:
        writer.join()
    return total / SECONDS


def appends() -> dict[str, float]:
    """Events appended durably by 16 writers on PostgreSQL, and bare inserts of as many bytes, in turns."""
    with Server(fsync=True) as server:
        name = server.migrated()
        url = server.url(name)
        server.run(_BARE, name)
        rates: dict[str, list[float]] = {"ours": [], "bare": []}
        for _ in range(ROUNDS):
            rates["bare"].append(_rate(_insert, url, server.password_file))
            rates["ours"].append(_rate(_append, url, server.password_file))
    return {what: statistics.median(found) for what, found in rates.items()}


@contextmanager
def _town(folder: Path, server: Server | None, s3: dict[str, Any] | None) -> Iterator[City]:
    database = "" if server is None else server.url(server.new_database())
    password = None if server is None else server.password_file
    with city(folder, database=database, password=password, settings=s3) as town:
        town.load(some_rows(200))
        town.grant()
        yield town


def round_trips() -> dict[str, float]:
    """Milliseconds of one question without its hold, medians in turns: embedded, and on PostgreSQL with S3."""
    folder = Path(tempfile.mkdtemp(prefix="bench-"))
    times: dict[str, list[float]] = {"embedded": [], "servers": []}
    try:
        with ExitStack() as stack:
            server, store = stack.enter_context(Server(fsync=True)), stack.enter_context(seaweed())
            access, secret = key_files(folder / "keys")
            s3 = {
                "objects": f"s3://{store.bucket()}/bench", "s3_endpoint": store.endpoint, "s3_region": REGION,
                "s3_secure": False, "s3_access_key": str(access), "s3_secret_key": str(secret),
            }  # fmt: skip
            towns = {
                "embedded": stack.enter_context(_town(folder / "embedded", None, None)),
                "servers": stack.enter_context(_town(folder / "servers", server, s3)),
            }
            for number in range(QUESTIONS):
                for name, town in towns.items():
                    times[name].append(_question(town, number))
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return {name: 1000 * statistics.median(found[5:]) for name, found in times.items()}


def _question(town: City, number: int) -> float:
    parts = town.house.parts()
    me = town.ok("GET", "/v1/me")
    request = dataclasses.replace(
        request_of(me["id"], me["tenant"]), idempotency_key=f"bench-{number:06d}", epsilon=10**6 + number
    )
    start = time.perf_counter()
    pending = answer.submit(parts, request)
    answer.finish(parts, pending)
    before = time.perf_counter() - start
    time.sleep(pending.leaves_in() + 0.001)
    start = time.perf_counter()
    ends.end(parts, pending)
    answer.read(parts, request.principal, pending.query_id)
    return before + time.perf_counter() - start


if __name__ == "__main__":
    print(appends(), round_trips())
