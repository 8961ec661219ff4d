"""The ten-minute walk: operator, steward, company, committee and auditor, each doing their part by the command line."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

from demo import stage, truth
from demo.sources import write_sources
from demo.stage import HOME, sandbox, sandbox_json

FILES = Path(__file__).parent
HEALTH = "SELECT year, count(*), avg(docvis) FROM health.rwm5yr GROUP BY year"
FLIGHTS = (
    "SELECT origin, carrier, count(*), avg(dep_delay) FROM transport.flights WHERE month <= 6 "
    "GROUP BY 1, 2 HAVING count(*) > 100 ORDER BY 3 DESC"
)
OWNER = "city-data-bureau"


def say(text: str = "") -> None:
    """Narrate."""
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def command(text: str) -> None:
    """Show the command that is about to run."""
    say(f"\n $ sandbox {text}")


def main() -> None:
    """Walk."""
    began = time.monotonic()
    stage.clear()
    say("DATA SANDBOX 数据沙箱 - usable but not visible 可用不可见")
    keys = _operator()
    url = keys["SANDBOX_URL"]
    _steward(url, keys["SANDBOX_KEY_STEWARD"])
    grants = _committee(url, keys)
    _company(url, keys["SANDBOX_KEY_COMPANY"], grants)
    _refused(url, keys, grants)
    _auditor(url, keys)
    stage.stop()
    stage.write_env(keys)  # last: its presence says that the walk was completed
    say(f"\nDone in {time.monotonic() - began:.0f} s. 完成。 Keys: .demo/env. `make serve` leaves this gateway running.")


def _operator() -> dict[str, str]:
    say("\n=== 1. The operator sets up a gateway 运营方搭建网关")
    command("init .demo/home")
    made = sandbox_json("init", str(HOME))
    say(f"   home made; the operator's key is shown once: {made['key'][:12]}…  log key: {made['vkey'][:48]}…")
    write_sources(HOME / "sources" / OWNER)
    url = stage.start()
    say(f"   sandbox serve .demo/home: ready on {url}")
    command("doctor .demo/home")
    sandbox("doctor", str(HOME))
    operator = made["key"]
    values = {"SANDBOX_URL": url, "SANDBOX_KEY_OPERATOR": operator}
    command("tenant add … / principal add …   (owner, committee, company, auditor)")
    people = [
        (OWNER, "owner", [("STEWARD", "steward")]),
        ("data-committee", "committee", [("COMMITTEE1", "committee"), ("COMMITTEE2", "committee")]),
        ("river-ai", "company", [("COMPANY", "engineer")]),
        ("audit-office", "supervisor", [("AUDITOR", "auditor")]),
    ]
    for tenant, kind, members in people:
        sandbox_json("tenant", "add", "--name", tenant, "--kind", kind, url=url, key=operator)
        for part, role in members:
            arguments = ("principal", "add", "--name", part.lower(), "--tenant", tenant, "--role", role)
            values[f"SANDBOX_KEY_{part}"] = sandbox_json(*arguments, url=url, key=operator)["key"]
    sandbox("principal", "list", url=url, key=operator)
    return values


def _steward(url: str, key: str) -> None:
    say("\n=== 2. The steward registers populations and datasets 数据管理员登记人群与数据集")
    for file in sorted((FILES / "populations").glob("*.yaml")):
        command(f"population add demo/populations/{file.name}")
        sandbox("population", "add", str(file), url=url, key=key)
    for file in sorted((FILES / "manifests").glob("*.yaml")):
        command(f"dataset add demo/manifests/{file.name}")
        sandbox("dataset", "add", str(file), url=url, key=key)
    command("dataset list")
    sandbox("dataset", "list", url=url, key=key)


def _apply(url: str, keys: dict[str, str], *, scenario: str, purpose: str, datasets: list[str], budget: list[str]) -> str:
    named = [part for d in datasets for part in ("--dataset", d)]
    command(f"apply --scenario '{scenario}' --purpose {purpose} {' '.join(named)} {' '.join(budget)} --until 2099-12-31")
    arguments = ("apply", "--scenario", scenario, "--purpose", purpose, *named, *budget, "--until", "2099-12-31")
    application = sandbox_json(*arguments, url=url, key=keys["SANDBOX_KEY_COMPANY"])
    say(f"   {application['id']}: {application['state']}")
    if application["state"] == "consent_pending":
        for name in datasets:
            detail = sandbox_json("dataset", "show", name, url=url, key=keys["SANDBOX_KEY_STEWARD"])
            if detail.get("consent"):
                command(f"application consent {application['id']} --dataset {name}   (the owner)")
                consent = ("application", "consent", application["id"], "--dataset", name)
                sandbox(*consent, url=url, key=keys["SANDBOX_KEY_STEWARD"], show=False)
    for member in ("COMMITTEE1", "COMMITTEE2"):
        command(f"application approve {application['id']}   ({member.lower()})")
        approve = ("application", "approve", application["id"], "--reason", "impact assessed")
        application = sandbox_json(*approve, url=url, key=keys[f"SANDBOX_KEY_{member}"])
        say(f"   state: {application['state']}  grant: {application['grant'] or '-'}")
    return str(application["grant"])


def _committee(url: str, keys: dict[str, str]) -> dict[str, str]:
    say("\n=== 3. The company applies, the owner consents, two committee members approve 企业申请、数源确认、委员会审批")
    health = _apply(url, keys, scenario="Plan clinic capacity", purpose="health-planning", datasets=["health.rwm5yr"],
                    budget=["--preset", "research"])  # fmt: skip
    flights = _apply(url, keys, scenario="Forecast airport delays", purpose="transport-planning",
                     datasets=["transport.flights"], budget=["--epsilon", "2"])  # fmt: skip
    return {"health": health, "flights": flights}


def _ask(url: str, key: str, sql: str, *, source: str, table: str, keys: int) -> None:
    command(f'query "{sql}" --epsilon 1')
    sandbox("query", sql, "--epsilon", "1", url=url, key=key)
    grant_events = sandbox_json("events", url=url, key=key)
    query_id = next(e["event"]["subject"] for e in reversed(grant_events) if e["event"]["type"] == "query.charge")
    answer = json.loads(sandbox("answer", query_id, "--format", "json", url=url, key=key, show=False))
    found = next((HOME / "sources" / OWNER).glob(f"{source}.*"))
    truth.beside(sql, found, table, answer, keys)


def _company(url: str, key: str, grants: dict[str, str]) -> None:
    say("\n=== 4. The company asks 企业提问")
    command(f'query "{HEALTH}" --epsilon 1 --explain')
    sandbox("query", HEALTH, "--epsilon", "1", "--explain", url=url, key=key)
    _ask(url, key, HEALTH, source="rwm5yr", table="health.rwm5yr", keys=1)
    _ask(url, key, FLIGHTS, source="flights", table="transport.flights", keys=2)
    command('query "SELECT count(*) FROM health.rwm5yr WHERE married" --within 200   (an accuracy instead of a budget)')
    sandbox("query", "SELECT count(*) FROM health.rwm5yr WHERE married", "--within", "200", url=url, key=key)
    command("grant show …")
    sandbox("grant", "show", grants["health"], url=url, key=key)


def _refused(url: str, keys: dict[str, str], grants: dict[str, str]) -> None:
    say("\n=== 5. Refused, each with one clear line in both languages 被拒绝的请求")
    key = keys["SANDBOX_KEY_COMPANY"]
    say("   (a short grant that is over by the time it is used …)")
    arguments = ("query", "SELECT count(*) FROM health.nhefs", "--epsilon", "0.1")
    cases = [
        ("no grant", arguments, key),
        ("wrong purpose", ("query", HEALTH, "--epsilon", "0.1", "--purpose", "advertising"), key),
        ("exhausted budget", ("query", HEALTH, "--epsilon", "2.9", "--grant", grants["health"]), key),
        ("SELECT *", ("query", "SELECT * FROM health.rwm5yr", "--epsilon", "0.1"), key),
        ("unknown column", ("query", "SELECT avg(docvist) FROM health.rwm5yr", "--epsilon", "0.1"), key),
        ("a bad key", ("query", HEALTH, "--epsilon", "0.1"), "sbx_" + "A" * 43),
    ]
    expired = _expired(url, keys)
    cases.insert(2, ("expired grant", ("query", HEALTH, "--epsilon", "0.1", "--grant", expired), key))
    for name, case, with_key in cases:
        say(f"\n {name}:")
        sandbox(*case, url=url, key=with_key, check=False)


def _expired(url: str, keys: dict[str, str]) -> str:
    """A grant for two seconds, waited out."""
    until = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + 4))
    company = keys["SANDBOX_KEY_COMPANY"]
    arguments = ("apply", "--scenario", "A moment", "--purpose", "health-planning", "--dataset", "health.rwm5yr",
                 "--epsilon", "0.2", "--until", until)  # fmt: skip
    application = sandbox_json(*arguments, url=url, key=company)
    if application["state"] == "consent_pending":
        consent = ("application", "consent", application["id"], "--dataset", "health.rwm5yr")
        sandbox(*consent, url=url, key=keys["SANDBOX_KEY_STEWARD"], show=False)
    for member in ("COMMITTEE1", "COMMITTEE2"):
        approve = ("application", "approve", application["id"])
        application = sandbox_json(*approve, url=url, key=keys[f"SANDBOX_KEY_{member}"])
    time.sleep(4)
    return str(application["grant"])


def _auditor(url: str, keys: dict[str, str]) -> None:
    say("\n=== 6. The auditor proves that nothing was left out of the log 审计方验证日志完整")
    export = stage.STAGE / "export"
    command("audit verify --save .demo/export")
    sandbox("audit", "verify", "--save", str(export), "--vkey", str(HOME / "log.vkey"), url=url,
            key=keys["SANDBOX_KEY_AUDITOR"])  # fmt: skip
    say("\n   Change one byte of one event in the saved export, and check it alone, with the public key only:")
    entries = next(path for path in sorted((export / "tile" / "entries").rglob("*")) if path.is_file())
    forged = bytearray(entries.read_bytes())
    forged[len(forged) // 2] ^= 1
    entries.write_bytes(forged)
    say("\n $ python sandbox/audit/verify.py .demo/export --key @.demo/home/log.vkey")
    import subprocess

    done = subprocess.run(
        [sys.executable, "sandbox/audit/verify.py", str(export), "--key", f"@{HOME / 'log.vkey'}"],
        cwd=stage.ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    say("\n".join("   " + line for line in (done.stdout + done.stderr).splitlines()[:4]))
    if done.returncode == 0:
        raise SystemExit("The forged event was not noticed.")


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        stage.stop()
        sys.exit("\nStopped half-way; run it again for a clean start. 已中断；重新运行即可从头开始。")
