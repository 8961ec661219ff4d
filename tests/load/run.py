"""A gateway under mixed load: `python -m tests.load.run [--seconds 60] [--users 40] [--companies 8]`.

Makes a home with the demo's data below .load, serves it, lets Locust ask, then proves the log and compares charges,
events and caps. Prints the rate and p50, p99 of each kind of request. Ends with 1 when a state or an answer was wrong.

The target of the Makefile:

    load: .venv-load/.done $(VENV)/.demo
        $(BIN)/python -m tests.load.run

    .venv-load/.done: requirements/load.txt $(VENV)/bin/uv
        $(BIN)/uv venv --quiet --clear .venv-load
        VIRTUAL_ENV=.venv-load $(BIN)/uv pip install --quiet --require-hashes -r requirements/load.txt
        touch $@
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import subprocess
import sys
from pathlib import Path

from tests.load.check import proved, wrong_states
from tests.load.stage import ROOT, Stage, served

FOLDER = ROOT / ".load"
LOCUST = ROOT / ".venv-load" / "bin" / "locust"
COLUMNS = ("Request Count", "Failure Count", "Requests/s", "50%", "99%", "Max Response Time")


def main() -> int:
    """Load, look, tell."""
    parser = argparse.ArgumentParser(description="Put a gateway under mixed load and check its books afterwards.")
    parser.add_argument("--seconds", type=int, default=60)
    parser.add_argument("--users", type=int, default=40)
    parser.add_argument("--companies", type=int, default=8)
    parser.add_argument("--settings", default="", help="lines for the home's settings.toml")
    asked = parser.parse_args()
    told = FOLDER / "told.jsonl"
    with served(FOLDER, asked.companies, asked.settings) as stage:
        told.touch()
        failed = load(stage, told, users=asked.users, seconds=asked.seconds)
        verdict = proved(stage, FOLDER / "export")
    wrong = wrong_states(FOLDER / "home", told)
    sys.stdout.write(f"\n{verdict}\nwrong states: {len(wrong)}\n")
    sys.stdout.writelines(f"  {line}\n" for line in wrong[:50])
    return 1 if wrong or failed else 0


def load(stage: Stage, told: Path, *, users: int, seconds: int) -> int:
    """Run Locust; print what it measured, and give the number of answers that were not as expected."""
    plan = {
        "companies": [{"key": stage.keys[name], "grants": grants} for name, grants in stage.grants.items()],
        "auditor": stage.keys["auditor"],
        "told": str(told),
    }
    file = FOLDER / "plan.json"
    file.touch(mode=0o600)
    file.write_text(json.dumps(plan))
    done = subprocess.run(
        [
            LOCUST, "--headless", "-f", str(Path(__file__).with_name("locustfile.py")), "--host", stage.url,
            "--users", str(users), "--spawn-rate", str(max(1, users // 5)), "--run-time", f"{seconds}s",
            "--stop-timeout", "30", "--csv", str(FOLDER / "locust"), "--only-summary", "--exit-code-on-error", "0",
        ],
        env={**os.environ, "SANDBOX_LOAD": str(file)}, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
        check=False,
    )  # fmt: skip
    if done.returncode != 0:
        raise SystemExit(f"Locust failed:\n{done.stderr[-3000:]}")
    return shown(users, seconds)


def shown(users: int, seconds: int) -> int:
    """Print Locust's table; milliseconds."""
    sys.stdout.write(f"{users} users, {seconds} s, {os.cpu_count()} cores (Locust runs on the same)\n")
    sys.stdout.write(f"{'request':<20}{'count':>8}{'wrong':>7}{'per s':>8}{'p50 ms':>9}{'p99 ms':>9}{'max ms':>9}\n")
    with (FOLDER / "locust_stats.csv").open(newline="") as file:
        for row in csv.DictReader(file):
            number, wrong, rate, *times = (float(row[name] or 0) if row[name] != "N/A" else 0.0 for name in COLUMNS)
            name = row["Name"] if row["Name"] != "Aggregated" else "all"
            sys.stdout.write(f"{name:<20}{number:>8.0f}{wrong:>7.0f}{rate:>8.1f}" + "".join(f"{t:>9.0f}" for t in times) + "\n")
    with (FOLDER / "locust_failures.csv").open(newline="") as file:
        failures = list(csv.DictReader(file))
    sys.stdout.writelines(f"  {row['Occurrences']} x {row['Name']}: {row['Error']}\n" for row in failures)
    # A question that was not computed by its rung has no answer, is logged, and stays charged: slow, but not wrong.
    return sum(int(row["Occurrences"]) for row in failures if "query_no_answer" not in row["Error"])


if __name__ == "__main__":
    sys.exit(main())
