"""What must hold after any load: charges equal events equal caps, and every answer that was given was paid for once."""

from __future__ import annotations

import json
import sqlite3
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

from sandbox.audit.event import decode
from tests.load.stage import ROOT, Stage

CAPS = """
SELECT c.scope, c.subject, c.spent_eps_p, c.spent_rho, c.spent_delta,
       coalesce(sum(l.eps_p), 0), coalesce(sum(l.rho), 0), coalesce(sum(l.delta), 0)
FROM caps c LEFT JOIN ledger l ON l.scope = c.scope AND l.subject = c.subject GROUP BY c.scope, c.subject
"""
COUNTERS = ("eps_p", "rho", "delta")
ENDS = {"settled": "query.settle", "failed": "query.fail", "lost": "query.fail", "overrun": "query.overrun"}


def wrong_states(home: Path, told: Path) -> list[str]:
    """Everything in a stopped home that is not as it must be; `told` holds the answers that companies were given."""
    with closing(sqlite3.connect(f"file:{home}/sandbox.db?mode=ro", uri=True)) as database:
        queries = dict(database.execute("SELECT id, state FROM queries"))
        paid = dict(database.execute("SELECT id, state FROM queries WHERE source IS NULL"))
        free = [i for i in queries if i not in paid]
        charges = Counter(subject for (subject,) in database.execute(_EVENTS, ("query.charge",)))
        ledger = Counter(request for (request,) in database.execute("SELECT DISTINCT request FROM ledger"))
        bought = dict(database.execute("SELECT key, resource FROM idempotency"))
        found = [
            *_caps(database),
            *(f"query {i} in state {state}" for i, state in queries.items() if state not in ENDS),
            *_differences("a charge event", paid, charges),
            *_differences("a ledger row", paid, ledger),
            *(f"query {i} was free and is in state {queries[i]}" for i in free if queries[i] != "settled"),
        ]  # fmt: skip
        for type_ in dict.fromkeys(ENDS.values()):
            ended = [i for i, s in paid.items() if ENDS.get(s) == type_]
            events = Counter(subject for (subject,) in database.execute(_EVENTS, (type_,)))
            found += _differences(f"a {type_} event", ended, events)
        if waiting := database.execute("SELECT count(*) FROM events WHERE idx IS NULL").fetchone()[0]:
            found.append(f"{waiting} events have no place in the log")
    return found + list(_given(told, queries, bought))


_EVENTS = "SELECT subject FROM events WHERE type = ?"


def _caps(database: sqlite3.Connection) -> Iterator[str]:
    """Caps that are not what they were opened with and what was charged since."""
    opened = {}
    for (body,) in database.execute("SELECT body FROM events WHERE type = 'cap.open'"):
        cap = decode(body).details["cap"]
        opened[cap["scope"], cap["subject"]] = [int(cap["spent"][counter]) for counter in COUNTERS]
    for scope, subject, *state in database.execute(CAPS):
        spent, charged = state[:3], [a + b for a, b in zip(opened[scope, subject], state[3:], strict=True)]
        if spent != charged:
            yield f"cap {scope} {subject}: {spent} is spent, {charged} was charged"


def _differences(what: str, wanted: object, found: Counter[str]) -> Iterator[str]:
    expected = Counter(wanted)  # type: ignore[call-overload]
    expected = Counter(dict.fromkeys(expected, 1))
    for i in (expected - found) + (found - expected):
        yield f"{i} has {what} {found[i]} times, not {expected[i]}"


def _given(told: Path, queries: dict[str, str], bought: dict[str, str]) -> Iterator[str]:
    for line in told.read_text("utf-8").splitlines():
        answer = json.loads(line)
        if queries.get(answer["id"]) != "settled":
            yield f"answer {answer['id']} was given and is {queries.get(answer['id'])}"
        if bought.get(answer["key"]) != answer["id"]:
            yield f"key {answer['key']} bought {bought.get(answer['key'])}, and {answer['id']} was given"


def proved(stage: Stage, folder: Path) -> str:
    """The auditor's proof over an export of the living gateway, made by the verifier that runs alone."""
    environment = {"SANDBOX_URL": stage.url, "SANDBOX_KEY": stage.keys["auditor"], "PATH": ""}
    sandbox = Path(sys.executable).parent / "sandbox"
    subprocess.run([sandbox, "audit", "export", str(folder)], env=environment, check=True, capture_output=True)
    done = subprocess.run(
        [sys.executable, "sandbox/audit/verify.py", str(folder), "--key", f"@{stage.home / 'log.vkey'}"],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    if done.returncode != 0:
        raise SystemExit(f"the log does not prove what is stored:\n{done.stdout}{done.stderr}")
    return done.stdout.splitlines()[0]
