"""`python -m benchmarks.peers`: every peer, every question, every size, in one run; prints one table."""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from benchmarks import rows
from benchmarks.peers import page, truth, watch
from benchmarks.peers.environments import ROOT, NotInstalled, python_of
from benchmarks.peers.spoken import QUESTIONS, Asked

PEERS: Final = ("duckdb", "ours", "smartnoise", "opendp", "tumult", "pipelinedp")
PLACE: Final = ROOT / ".bench-peers"
DOMAINS: Final = {"month": rows.MONTHS, "dest": rows.DESTINATIONS}
INGEST_MINUTES: Final = 60.0


def options() -> argparse.Namespace:
    line = argparse.ArgumentParser(prog="python -m benchmarks.peers", description=__doc__)
    line.add_argument("--envs", type=Path, default=PLACE / "envs", help="folder of the peers' environments")
    line.add_argument("--made", type=Path, default=PLACE / "made", help="folder of tables, homes, results")
    line.add_argument("--rows", type=int, nargs="+", default=[10**6, 10**7, 10**8])
    line.add_argument("--runs", type=int, default=5)
    line.add_argument("--epsilon", type=float, default=1.0)
    line.add_argument("--delta", type=float, default=1e-9)
    line.add_argument("--peers", nargs="+", choices=PEERS, default=PEERS)
    line.add_argument("--questions", nargs="+", choices=list(QUESTIONS), default=list(QUESTIONS))
    line.add_argument("--out", type=Path, help="write the table here too")
    return line.parse_args()


def say(text: str) -> None:
    sys.stderr.write(text + "\n")
    sys.stderr.flush()


def environment() -> dict[str, str]:
    """The machine's own, so that a peer finds this folder's scripts from wherever it runs."""
    return {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONWARNINGS": "ignore", "PYTHONDONTWRITEBYTECODE": "1"}


def source(made: Path, n: int) -> Path:
    path = made.absolute() / f"rows-{n}.parquet"
    path.parent.mkdir(parents=True, exist_ok=True)
    if not path.exists():
        say(f"making {n:,} rows")
        rows.write(path, n)
    return path


def ingest(parquet: Path, n: int) -> watch.Outcome:
    """Our home for a table, made in a process of its own, so that its memory is its own."""
    say(f"ingesting {n:,} rows")
    command = [sys.executable, "-m", "benchmarks.peers.house", str(parquet), str(n)]
    return watch.run(command, environment(), minutes=INGEST_MINUTES)


def asked_of(peer: str, python: Path, task: Asked) -> watch.Outcome:
    """One peer, one question, in a process of its own."""
    module = "benchmarks.peers." + ("ours" if peer == "ours" else f"with_{peer}")
    command = [
        str(python), "-m", module, task.parquet, task.name, str(task.epsilon), str(task.delta), "--rows", str(task.rows),
        "--runs", str(task.runs), "--domain", json.dumps(task.domain),
    ]  # fmt: skip
    return watch.run(command, environment())


def result(peer: str, task: Asked, outcome: watch.Outcome, true: truth.Values) -> dict[str, Any]:
    """What one process told, weighed against the truth."""
    said = [line for line in outcome.lines if "answer" in line]
    refused = next((line["unsupported"] for line in outcome.lines if "unsupported" in line), None)
    told = {"cannot": refused, "did not finish": outcome.ended, "failed": outcome.failed}
    why = next((f"{what}: {text}" for what, text in told.items() if text), None)
    found: dict[str, Any] = {
        "peer": peer, "question": task.name, "rows": task.rows, "why": why, "peak_mb": outcome.peak_mb,
        "seconds": [line["seconds"] for line in said],
        "loaded": next((line["loaded"] for line in outcome.lines if "loaded" in line), None),
        "kernel": [line["kernel"] for line in said if "kernel" in line],
        "held": [line["held"] for line in said if "held" in line],
    }  # fmt: skip
    if said:
        found |= dataclasses.asdict(truth.errors([truth.values_of(task, line["answer"]) for line in said], true))
    return found


def installed(told: argparse.Namespace) -> tuple[dict[str, Path], dict[str, str]]:
    """The interpreter of each peer, or the reason why there is none."""
    pythons, reasons = {}, {}
    for peer in told.peers:
        try:
            pythons[peer] = Path(sys.executable) if peer == "ours" else python_of(peer, told.envs)
        except NotInstalled as why:
            reasons[peer] = f"did not install: {why}"
            say(f"{peer} {reasons[peer]}")
    return pythons, reasons


def measured(told: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """One result for each peer, question and size; who gave no answer is not asked the same of more rows."""
    pythons, reasons = installed(told)
    absent = {(peer, name): why for peer, why in reasons.items() for name in told.questions}
    for n in sorted(told.rows):
        parquet = source(told.made, n)
        if "ours" in told.peers:
            loaded = ingest(parquet, n)
            say(f"  {loaded.lines or loaded.failed or loaded.ended}, peak {loaded.peak_mb:.0f} MB")
        for name in told.questions:
            task = task_of(told, parquet, name, n)
            true = truth.exact(task)
            for peer in told.peers:
                why = absent.get((peer, name))
                outcome = watch.NOTHING if why else asked_of(peer, pythons[peer], task)
                one = result(peer, task, outcome, true) | ({"why": why} if why else {})
                if not one["seconds"]:
                    absent[peer, name] = one["why"]
                say(f"{n:>11,} {name:12} {peer:10} {one['why'] or page.steady(one['seconds'])}")
                yield one


def task_of(told: argparse.Namespace, parquet: Path, name: str, n: int) -> Asked:
    """A question over one table, with the domain of its key where that is declared."""
    question = QUESTIONS[name]
    return Asked(
        parquet=str(parquet), name=name, epsilon=told.epsilon, delta=told.delta, rows=n, runs=told.runs,
        domain=DOMAINS[question.key] if question.key and question.public else (),
    )  # fmt: skip


def main() -> None:
    told = options()
    results = []
    for one in measured(told):
        results.append(one)
        (told.made / "peers.json").write_text(json.dumps(results, indent=1))
    text = page.table(results)
    sys.stdout.write(text)
    if told.out:
        told.out.write_text(text, "utf-8")


if __name__ == "__main__":
    main()
