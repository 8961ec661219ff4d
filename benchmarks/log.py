"""The log at a million events: how long an auditor verifies them offline, and how long one inclusion proof takes."""

from __future__ import annotations

import json
import os
import resource
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from sandbox.audit import verify
from sandbox.audit.checkpoint import checkpoint_text, sign_note, vkey
from sandbox.audit.export import write_export
from sandbox.audit.merkle import Frontier, leaf_hash, verify_inclusion
from sandbox.audit.records import record_digest
from sandbox.audit.tiles import Tiles, tile_path, width_at
from sandbox.crypto.suite import INTL

ROOT = Path(__file__).parent.parent
EXPORT = ROOT / ".bench" / "export"
EVENTS = 1_000_000
NAME = "bench.example/log"
PRIVATE = bytes(range(32))
FRONTIER = [["0", str(10**17)], [str(10**17), "0"]]
CAPS = [["dataset", "ds_1"], ["grant", "grt_1"], ["population", "pop_1"]]


class History:
    """A gateway's life in five events a question: a charge, its end, two readings, a denial; the rows they leave."""

    def __init__(self) -> None:
        self.rows: dict[str, dict[str, Any]] = {}
        self.edge = Frontier()

    def bodies(self, events: int) -> Iterator[bytes]:
        """Canonical events, one after another."""
        for body in self._told(events):
            self.edge.push(leaf_hash(body))
            yield body

    def _told(self, events: int) -> Iterator[bytes]:
        yield from self._opening()
        number = self.edge.size
        while number < events:
            for make in (self._charge, self._settle, self._read, self._read, self._deny):
                if number < events:
                    yield make(number)
                    number += 1

    def _opening(self) -> Iterator[bytes]:
        for who, tenant, role in (("e1", "firm", "engineer"), ("m1", "city", "committee"), ("m2", "city", "committee")):
            row = {"id": who, "tenant": tenant, "roles": [role], "state": "active", "created_at": _at(0)}
            yield self._event("principal.create", "system", {}, {f"principals/{who}": row})
        terms = {"purpose": "bench", "datasets": ["a.b"], "epsilon": str(10**17)}
        application = {"id": "app_1", "tenant": "firm", "principal": "e1", "terms": terms, "state": "approved"}
        told = {"application": "app_1", "terms": record_digest(terms)}
        yield self._event("application.submit", "e1", told, {"applications/app_1": application})
        for who in ("m1", "m2"):
            told = {"application": "app_1", "round": "review", "approve": True}
            row = {"application": "app_1", "round": "review", "principal": who, "approve": True}
            yield self._event("application.vote", who, told, {f"votes/app_1/review/{who}": row})
        told = {"grant": "grt_1", "application": "app_1", "terms": record_digest(terms), "votes_needed": 2}
        row = {"id": "grt_1", "tenant": "firm", "application": "app_1", "terms": terms, "state": "active"}
        yield self._event(
            "grant.create", "m2", {**told, "consents_needed": [], "caps": CAPS[1:2]}, {"grants/grt_1": row}
        )
        row = {"id": "ds_1", "tenant": "city", "name": "a.b", "population": "pop_1"}
        yield self._event("dataset.add", "m1", {"dataset": "ds_1"}, {"datasets/ds_1": row})
        row = {"id": "ver_1", "tenant": "city", "dataset": "ds_1"}
        yield self._event("ingest.commit", "system", {"dataset": "ds_1"}, {"versions/ver_1": row})
        for scope, subject in CAPS:
            fixed = {"scope": scope, "subject": subject, "epsilon": str(10**17), "delta": "100", "conversion": "50"}
            spent = dict.fromkeys(("eps_p", "rho", "delta"), "0")
            row = {**fixed, "frontier": FRONTIER} | {f"spent_{counter}": "0" for counter in spent}
            told = {"cap": {**fixed, "frontier": FRONTIER, "spent": spent}}
            yield self._event("cap.open", "system", told, {f"caps/{scope}/{subject}": row})

    def _charge(self, number: int) -> bytes:
        query, event = f"qry_{number:032x}", f"evt_{number:032x}"
        cost, changed = {"eps_p": "1000", "rho": "0", "delta": "0"}, {}
        for scope, subject in CAPS:
            row = dict(self.rows[f"caps/{scope}/{subject}"])
            row["spent_eps_p"] = str(int(row["spent_eps_p"]) + 1000)
            changed[f"caps/{scope}/{subject}"] = row
            entry = {"request": query, "step": "main", "scope": scope, "subject": subject, "tenant": "firm", **cost}
            changed[f"ledger/{query}/main/{scope}/{subject}"] = {**entry, "event": event, "at": _at(number)}
        self.asked = {
            "id": query, "tenant": "firm", "principal": "e1", "grant": "grt_1", "population": "pop_1",
            "request": {"sql": f"{number:064x}", "epsilon": "1000"}, "priced": {"eps_p": "1000"}, "version": "ver_1",
            "state": "charged", "charged_at": _at(number), "rung_ms": "250", "event": event, "answer_object": None,
        }  # fmt: skip
        changed[f"queries/{query}"] = self.asked
        key = {"principal": "e1", "key": f"{number:032x}", "digest": f"{number:064x}", "resource": query}
        changed[f"idempotency/e1/{number:032x}"] = {**key, "at": _at(number)}
        told = {"query": query, "grant": "grt_1", "step": "main", "cost": cost, "caps": CAPS, "plan": f"{number:064x}"}
        return self._event("query.charge", "e1", {**told, "rung_ms": 250}, changed, number)

    def _settle(self, number: int) -> bytes:
        query = self.asked["id"]
        row = {**self.asked, "state": "settled", "answer_object": f"answers/{query}"}
        told = {"query": query, "attempt": 1, "answer_sha256": f"{number:064x}"}
        return self._event("query.settle", "system", told, {f"queries/{query}": row}, number)

    def _read(self, number: int) -> bytes:
        return self._event("answer.read", "e1", {"query": self.asked["id"]}, {}, number)

    def _deny(self, number: int) -> bytes:
        return self._event("access.deny", "e1", {"noun": "query", "verb": "ask", "reason": "no_grant"}, {}, number)

    def _event(
        self, type_: str, actor: str, details: dict[str, Any], changed: dict[str, dict[str, Any]], number: int = -1
    ) -> bytes:
        self.rows |= changed
        if changed:
            details = {**details, "records": {path: INTL.digest(_spelled(row)).hex() for path, row in changed.items()}}
        number = self.edge.size if number < 0 else number
        event = {
            "v": 1, "id": f"evt_{number:032x}", "type": type_, "at": _at(number), "actor": actor, "tenant": "firm",
            "subject": "qry", "policy": 1, "details": details,
        }  # fmt: skip
        return _spelled(event)


def make() -> str:
    """A million events and their records, exported; gives the public key."""
    shutil.rmtree(EXPORT, ignore_errors=True)
    history = History()
    draft = EXPORT.with_name("export.events")
    draft.parent.mkdir(exist_ok=True)
    with draft.open("wb") as lines:
        lines.writelines(body + b"\n" for body in history.bodies(EVENTS))
    note = sign_note(checkpoint_text(NAME, EVENTS, history.edge.root()), NAME, PRIVATE)
    with draft.open("rb") as lines:
        write_export(EXPORT, note, (line[:-1] for line in lines), history.rows.items())
    draft.unlink()
    return vkey(NAME, INTL.public_key(PRIVATE))


def verify_million() -> dict[str, float]:
    """Seconds of `python verify.py` over a million events and all their records, and the largest of its processes."""
    key = make()
    command = [sys.executable, verify.__file__, str(EXPORT), "--key", key]
    start = time.perf_counter()
    child = subprocess.Popen(command, stdout=subprocess.PIPE)
    told, _ = child.communicate()
    seconds = time.perf_counter() - start
    if child.returncode != 0:
        raise RuntimeError(told.decode())
    records = sum(1 for file in (EXPORT / "records").iterdir() for _ in file.open("rb"))
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
    return {"events": EVENTS, "records": records, "seconds": seconds, "peak_mb": peak, "cores": os.cpu_count() or 1}


def inclusion_proof() -> dict[str, float]:
    """Milliseconds of one proof from the tiles of that export as files, none of them opened before; median of 200."""

    def read(level: int, index: int) -> bytes:
        return (EXPORT / tile_path(level, index, width_at(level, index, EVENTS))).read_bytes()

    expected, taken = Tiles(read, EVENTS).root(), []
    for number in range(200):
        index = number * (EVENTS // 200) + number
        start = time.perf_counter()
        tree = Tiles(read, EVENTS)
        proof = tree.inclusion(index)
        taken.append(1000 * (time.perf_counter() - start))
        if not verify_inclusion(tree.leaf(index), index, EVENTS, proof, expected):
            raise RuntimeError(index)
    return {"median_ms": statistics.median(taken), "worst_ms": max(taken)}


def _at(number: int) -> str:
    return f"2026-11-01T{number // 3600 % 24:02d}:{number // 60 % 60:02d}:{number % 60:02d}.000Z"


def _spelled(value: dict[str, Any]) -> bytes:
    """RFC 8785 of plain ASCII, by the standard library."""
    return json.dumps(value, sort_keys=True, separators=(",", ":")).encode()


if __name__ == "__main__":
    sys.stdout.write(json.dumps({"verify": verify_million(), "inclusion": inclusion_proof()}, indent=1) + "\n")
