"""`make bench`: the generated table through the gateway, against bare DuckDB in the same run; writes docs/performance.md."""

from __future__ import annotations

import dataclasses
import json
import os
import re
import shutil
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import duckdb
import httpx2
import numpy as np
import pyarrow.parquet as pq

from benchmarks import forms, log, page, servers, table
from benchmarks.page import SQL
from demo import stage
from sandbox.clock import parse_rfc3339
from sandbox.crypto.suite import INTL
from sandbox.flow import STEPS, Priced, Principal, Request
from sandbox.objects.opened import OpenedFiles
from sandbox.privacy.mechanisms import add_noise
from sandbox.query import answer, ends
from sandbox.wiring import House, open_house

ROOT = Path(__file__).parent.parent
BENCH = ROOT / ".bench"
REPEAT = 7
TINY = "SELECT grp, count(*), sum(amount) FROM bench.tiny GROUP BY grp"


def say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def seconds(run: Callable[[], object]) -> float:
    start = time.perf_counter()
    run()
    return time.perf_counter() - start


def peak_mb(pid: int) -> float:
    """Peak resident memory of a process, MB."""
    found = re.search(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
    return int(found[1]) / 1024 if found else float("nan")


def prepare() -> dict[str, str]:
    """A fresh home with people; gives the keys."""
    shutil.rmtree(BENCH, ignore_errors=True)
    BENCH.mkdir()
    stage.STAGE, stage.HOME, stage.PID, stage.LOG = BENCH, BENCH / "home", BENCH / "pid", BENCH / "log"
    operator = stage.sandbox_json("init", str(stage.HOME))["key"]
    (stage.HOME / "sources" / "owner").mkdir()
    source = table.write(stage.HOME / "sources" / "owner")
    pq.write_table(pq.read_table(source).slice(0, 2000), source.parent / "tiny.parquet")
    for name, text in (("p", table.POPULATION), ("m", table.MANIFEST), ("t", table.TINY_MANIFEST)):
        (BENCH / f"{name}.yaml").write_text(text)
    url = stage.start()
    keys = {"url": url, "operator": operator}
    for tenant, kind, members in (
        ("owner", "owner", ["steward"]), ("board", "committee", ["committee", "committee"]), ("firm", "company", ["engineer"]),
    ):  # fmt: skip
        stage.sandbox_json("tenant", "add", "--name", tenant, "--kind", kind, url=url, key=operator)
        for i, role in enumerate(members):
            made = stage.sandbox_json(
                "principal", "add", "--name", f"{role}{i}", "--tenant", tenant, "--role", role, url=url, key=operator
            )
            keys[f"{role}{i}"] = made["key"]
    return keys


def ingest(keys: dict[str, str]) -> dict[str, float]:
    """Ingest through the gateway; seconds by the log's own clock, and the gateway's peak memory."""
    url, key = keys["url"], keys["steward0"]
    stage.sandbox("population", "add", str(BENCH / "p.yaml"), url=url, key=key, show=False)
    pid = stage.running() or 0
    before = peak_mb(pid)
    for name in ("t", "m"):
        stage.sandbox("dataset", "add", str(BENCH / f"{name}.yaml"), url=url, key=key, show=False)
    events = stage.sandbox_json("events", "--limit", "1000", url=url, key=key)
    at = {e["event"]["type"]: parse_rfc3339(e["event"]["at"]) for e in events}
    return {"seconds": (at["ingest.commit"] - at["ingest.start"]).total_seconds(), "before": before, "peak": peak_mb(pid)}


def grant(keys: dict[str, str]) -> None:
    url = keys["url"]
    made = stage.sandbox_json(
        "apply", "--scenario", "bench", "--purpose", "bench", "--dataset", "bench.rows", "--dataset", "bench.tiny",
        "--epsilon", "9", "--until", "2099-01-01", url=url, key=keys["engineer0"],
    )  # fmt: skip
    for i in (0, 1):
        stage.sandbox("application", "approve", made["id"], url=url, key=keys[f"committee{i}"], show=False)


def through_gateway(keys: dict[str, str]) -> dict[str, float]:
    """Whole answers over HTTP: the rung they leave at, and how long after the request that was."""
    walls, rung = [], 0.0
    with httpx2.Client(base_url=keys["url"], timeout=60) as client:
        for i in range(5):
            headers = {"Authorization": f"Bearer {keys['engineer0']}", "Idempotency-Key": f"bench-http-{i}"}
            start = time.perf_counter()
            got = client.post("/v1/queries", json={"sql": SQL, "epsilon": f"0.0100{i}"}, headers=headers)
            walls.append(time.perf_counter() - start)
            got.raise_for_status()
            rung = got.json()["rung"]
    return {"wall": statistics.median(walls), "rung": rung, "peak": peak_mb(stage.running() or 0)}


def request(principal: Principal, sql: str, i: int, rows: int | None = None) -> Request:
    return Request(
        principal=principal, sql=sql, grant=None, purpose=None, epsilon=10**9 + i, within=None, rows=rows,
        idempotency_key=f"bench-{i}", digest=INTL.digest(sql.encode()).hex(),
    )  # fmt: skip


def engineer(keys: dict[str, str]) -> Principal:
    me = stage.sandbox_json("me", url=keys["url"], key=keys["engineer0"])
    return Principal(id=me["id"], tenant=me["tenant"], roles=frozenset(me["roles"]))


def priced_of(house: House, principal: Principal, sql: str, i: int, rows: int) -> Priced:
    """A question's price, bounded at ingest."""
    parts = house.parts()
    asked = dataclasses.replace(request(principal, sql, i, rows=rows), bounding="ingest")
    return answer._priced(parts, answer._planned(parts, asked))


def kernels(house: House, principal: Principal, plain: Path) -> list[dict[str, Any]]:
    """Kernel times, cold and hot, each beside bare DuckDB's on the same rows as plain Parquet, interleaved."""
    parts = house.parts()
    rows = []
    bare_sql = f"SELECT grp, count(*), sum(amount) FROM read_parquet('{plain}') GROUP BY grp"
    connection = duckdb.connect(":memory:", config={"threads": os.cpu_count() or 1})
    for k in (1, 3, 10, 1000):
        priced = priced_of(house, principal, SQL, k, rows=k)
        plan = priced.plan
        times: dict[str, list[float]] = {"bare hot": [], "bare cold": [], "hot": [], "cold": []}
        forms.run(plan, parts.bench, "values")
        for _ in range(REPEAT):
            times["bare hot"].append(seconds(lambda: connection.execute(bare_sql).fetchall()))
            times["hot"].append(seconds(lambda plan=plan: forms.run(plan, parts.bench, "values")))
            fresh = OpenedFiles(house.objects)
            cold = dataclasses.replace(parts.bench, opened=fresh)
            times["cold"].append(seconds(lambda plan=plan, cold=cold: forms.run(plan, cold, "values")))
            fresh.close()
            times["bare cold"].append(seconds(lambda: duckdb.connect(config={"threads": os.cpu_count() or 1}).execute(bare_sql).fetchall()))
        middle = {name: statistics.median(t) for name, t in times.items()}
        rows.append({"k": k, "rung": priced.rung, **middle})
        say(f"  k = {k}: {middle}")
    connection.close()
    return rows


def fixed(house: House, principal: Principal) -> dict[str, float]:
    """Median milliseconds of each step on a table of 2,000 rows, steps warm."""
    taken: dict[str, list[float]] = {s: [] for s in STEPS}
    parts = dataclasses.replace(house.parts(), trace=lambda s, t: taken[s].append(1000 * t))
    pendings = []
    for i in range(60):
        pending = answer.submit(parts, request(principal, TINY, 1000 + i))
        answer.finish(parts, pending)
        pendings.append(pending)
    time.sleep(max(p.leaves_in() for p in pendings) + 0.01)
    for pending in pendings:
        ends.end(parts, pending)
        answer.read(parts, principal, pending.query_id)
    return {s: statistics.median(t[5:]) for s, t in taken.items() if t}


def least_seconds(run: Callable[[], object]) -> float:
    """Of three."""
    return min(seconds(run) for _ in range(3))


def sorted_copy(source: Path) -> float:
    """DuckDB's own sorted COPY of the same rows, to plain Parquet."""
    connection = duckdb.connect(":memory:", config={"threads": os.cpu_count() or 1})
    connection.execute(f"SET temp_directory = '{BENCH}'")
    out = BENCH / "plain.parquet"
    took = seconds(
        lambda: connection.execute(
            f"COPY (SELECT * FROM read_parquet('{source}') ORDER BY unit, day) TO '{out}' (FORMAT parquet, COMPRESSION lz4_raw)"
        )
    )
    connection.close()
    return took


def main() -> None:
    say("making ten million rows and a home …")
    keys = prepare()
    source = stage.HOME / "sources" / "owner" / "bench.parquet"
    say("ingest through the gateway, and DuckDB's sorted COPY …")
    first = sorted_copy(source)
    loaded = ingest(keys)
    copy = min(first, sorted_copy(source))
    say(f"  ingest {loaded['seconds']:.1f} s, sorted COPY {copy:.1f} s, peak {loaded['peak']:.0f} MB")
    grant(keys)
    principal = engineer(keys)
    whole = through_gateway(keys)
    say(f"  over HTTP: {whole}")
    stage.stop()
    with open_house(stage.HOME) as house:
        steps = fixed(house, principal)  # first: nothing is charged once the log has not been published for a while
        kernel = kernels(house, principal, BENCH / "plain.parquet")
        ways = forms.measured(
            lambda sql: priced_of(house, principal, sql, 5000, rows=10), house.parts().bench, BENCH / "plain.parquet",
            repeat=REPEAT, seconds=seconds, say=say,
        )
    noised = {m: least_seconds(lambda m=m: add_noise(m, scale=100.0, values=np.zeros(100_000, np.int64))) for m in ("laplace", "gaussian")}
    say(f"  noise on 100,000 groups: {noised}")
    say("a million events, made and verified offline …")
    million = log.verify_million() | log.inclusion_proof()
    say(f"  {million}")
    say("PostgreSQL and S3 against the embedded default …")
    on_servers = {"appends": servers.appends(), "trips": servers.round_trips()}
    say(f"  {on_servers}")
    report = {"ingest": loaded, "copy": copy, "http": whole, "kernels": kernel, "ways": ways, "steps": steps, "noise": noised, "log": million, **on_servers}
    (BENCH / "report.json").write_text(json.dumps(report, indent=1))
    (ROOT / "docs/performance.md").write_text(page.page(report), "utf-8")
    say("wrote docs/performance.md")


if __name__ == "__main__":
    try:
        main()
    finally:
        stage.stop()
        shutil.rmtree(BENCH / "home", ignore_errors=True)
