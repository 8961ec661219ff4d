"""Runs a storm: `python -m tests.faults.storm.run --kills 1000`, half on SQLite and half on PostgreSQL.

Every kill is a SIGKILL at a named point, the n-th time that a process passes it; the surviving processes go on. After
each restart the checker looks; at the end of each home's storm all is swept and nothing may be left over.
"""

from __future__ import annotations

import argparse
import random
import shutil
import socket
import sys
import tempfile
import time
from collections import Counter
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from sandbox.audit.checkpoint import vkey
from sandbox.crypto.keys import load_log_key
from sandbox.crypto.suite import INTL
from sandbox.flow import STEPS
from sandbox.ingest.lifecycle import STEPS as INGEST
from sandbox.objects.choose import open_objects
from sandbox.settings import load
from sandbox.wiring import open_sessions
from tests.faults.storm.checker import Checker
from tests.faults.storm.clients import Clients, Journal
from tests.faults.storm.place import Place, prepare
from tests.faults.storm.processes import Running, Zygote, answers
from tests.servers.postgres import Server

QUERY = [s for s in STEPS if s not in {"authenticate", "hold"}] + ["stored"]
APPROVAL = ["approval.voted", "approval.granted"]
LOG = ["log.numbered", "publish.bundle", "publish.latest", "publish.copied"]
BACKUP = ["backup.tables", "backup.objects", "backup.manifest"]
ANYWHERE = ["committing", "committed"]
POINTS = [*QUERY, *APPROVAL, *INGEST, *LOG, *BACKUP, *ANYWHERE]
RARE = {"publish.bundle", "publish.copied", *APPROVAL, *BACKUP, *INGEST}
"""Points that a process passes seldom: the first time must do."""

PATIENCE = 6.0
"""Seconds until a process that does not pass its point is killed where it is."""


@dataclass(slots=True)
class Tally:
    """What a storm has done."""

    kills: int = 0
    at_point: Counter[str] = field(default_factory=Counter)
    anywhere: int = 0
    wrong: list[str] = field(default_factory=list)
    told: Counter[str] = field(default_factory=Counter)


class Storm:
    """One home under the storm."""

    def __init__(self, place: Place, zygote: Zygote, *, seed: int, folder: Path) -> None:
        self._place, self._zygote, self._folder = place, zygote, folder
        self._chance = random.Random(seed)  # noqa: S311 - a mix, not a secret
        self.journal = Journal()
        settings = load(place.home)
        self._sessions = open_sessions(place.home, settings)
        key = vkey(settings.log_name, INTL.public_key(load_log_key(place.home / settings.log_key)))
        self._objects = open_objects(place.home, settings)
        self._checker = Checker(self._sessions, self._objects, key)
        self._running: dict[str, Running] = {}
        self._clients = Clients(place, self.journal, seed=seed)

    def kill(self, point: str, tally: Tally) -> None:
        """Start what does not run, one of them with a point to die at; check; wait until it is dead."""
        doomed = "backup" if point in BACKUP else self._role(point)
        times = 1 if point in RARE else 1 + self._chance.randrange(12)
        if doomed in self._running and not self._running[doomed].ended.is_set():
            self._running.pop(doomed).kill()
        self._start_all({doomed: f"{point}@{times}"})
        folder = self._folder / f"backup-{tally.kills}"
        if doomed == "backup":
            victim = self._zygote.start("backup", self._place.home, crash=point, folder=str(folder))
        else:
            victim = self._running[doomed]
        tally.wrong += [f"before {point}@{times}: {finding}" for finding in self.findings()]
        if victim.ended.wait(PATIENCE) and victim.signal == 9:
            tally.at_point[point] += 1
        elif victim.ended.is_set():
            tally.wrong.append(f"{doomed} ended by itself with code {victim.code} before {point}")
        else:
            tally.anywhere += 1
        victim.kill()
        if folder.exists():
            tally.wrong.append(f"{point}: half a backup has its name")
        tally.kills += 1

    def findings(self) -> list[str]:
        """What the checker says, and what clients were surprised by."""
        journal = self.journal
        with journal.lock:
            keys = {key: told["id"] for key, told in journal.told.items()}
            events, wrong = set(journal.events), list(journal.wrong)
            journal.wrong.clear()
        return [*wrong, *self._checker.check(events, keys)]

    def calm(self) -> list[str]:
        """The end: nothing is killed any more; everything comes to rest, is swept, and the auditor looks."""
        self._clients.stop()
        self._start_all({})
        time.sleep(3)
        wrong = self.findings()
        for running in self._running.values():
            running.kill()
        self._running.clear()
        self._start_all({})  # a start sweeps
        time.sleep(3)
        wrong += [f"{key} is an orphan" for key in self._checker.orphans()]
        return wrong

    def close(self) -> None:
        """Stop everything."""
        self._clients.stop()
        for running in self._running.values():
            running.kill()
        self._sessions.close()

    def _role(self, point: str) -> str:
        if self._place.embedded or point in {*QUERY, *APPROVAL}:
            return "gateway"
        if point in ANYWHERE:
            return self._chance.choice(["gateway", "worker"])
        return "worker"

    def _start_all(self, crash: dict[str, str]) -> None:
        for role in ("gateway",) if self._place.embedded else ("gateway", "worker"):
            alive = self._running.get(role)
            if alive is not None and not alive.ended.is_set():
                continue
            self._running[role] = self._zygote.start(role, self._place.home, port=self._place.port, crash=crash.get(role))
        up = answers(self._place.port, self._running["gateway"])
        assert up or "gateway" in crash, "the gateway does not come up again"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def storm(kills: int, *, postgres: bool, points: list[str] | None = None, seed: int = 1, each: int = 100) -> Tally:
    """`kills` kills, on a fresh home every `each` of them."""
    tally, queue = Tally(), list(points or POINTS)
    chance = random.Random(seed)  # noqa: S311 - a mix, not a secret
    with ExitStack() as stack:
        folder = Path(tempfile.mkdtemp(prefix="storm-"))
        stack.callback(shutil.rmtree, folder, ignore_errors=True)
        server = stack.enter_context(Server(fsync=True)) if postgres else None
        zygote = Zygote(folder / "log")
        stack.callback(zygote.close)
        while tally.kills < kills:
            home = folder / f"home{tally.kills}"
            home.mkdir()
            place = prepare(home, server, free_port())
            one = Storm(place, zygote, seed=seed + tally.kills, folder=home)
            try:
                until = min(kills, tally.kills + each)
                while tally.kills < until:
                    if not queue:
                        queue = list(points or POINTS)
                    one.kill(queue.pop(chance.randrange(len(queue))), tally)
                    if tally.kills % 25 == 0:
                        sys.stderr.write(f"{tally.kills} kills, {sum(tally.at_point.values())} at their point, wrong: {tally.wrong[-3:]}\n")
                tally.wrong += one.calm()
                tally.told += one.journal.counted
            finally:
                one.close()
            shutil.rmtree(home, ignore_errors=True)
    return tally


def main() -> int:
    """Run it and print the tally; exit code 1 when anything was wrong."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--kills", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=int(time.time()))
    asked = parser.parse_args()
    wrong = 0
    for postgres in (False, True):
        started = time.monotonic()
        tally = storm(asked.kills // 2, postgres=postgres, seed=asked.seed)
        wrong += len(tally.wrong)
        sys.stdout.write(
            f"{'PostgreSQL' if postgres else 'SQLite'}: {tally.kills} kills ({sum(tally.at_point.values())} at a named point, "
            f"{tally.anywhere} elsewhere) in {time.monotonic() - started:.0f} s, seed {asked.seed}; clients were told {dict(tally.told)}\n"
            f"  by point: {dict(sorted(tally.at_point.items()))}\n  wrong: {tally.wrong or 'nothing'}\n"
        )
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
