"""The benchmark against peers: the table it makes, the watch it keeps, the errors it works out, and ours as one of them."""

from __future__ import annotations

import collections
import math
import os
import statistics
import sys
import time
from pathlib import Path

import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from benchmarks import rows
from benchmarks.peers import page, truth, watch
from benchmarks.peers.__main__ import DOMAINS, asked_of, environment, ingest, result
from benchmarks.peers.spoken import QUESTIONS, Asked

N = 20_000


@pytest.fixture(scope="module")
def parquet(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return rows.write(tmp_path_factory.mktemp("peers") / "rows.parquet", N)


def task_of(parquet: Path, name: str) -> Asked:
    question = QUESTIONS[name]
    domain = DOMAINS[question.key] if question.key and question.public else ()
    return Asked(parquet=str(parquet), name=name, epsilon=1.0, delta=1e-9, rows=N, runs=1, domain=domain)


def test_table_is_the_same_every_time_and_keeps_its_declarations(parquet: Path, tmp_path: Path) -> None:
    table = pq.read_table(parquet)
    assert table.equals(pq.read_table(rows.write(tmp_path / "again.parquet", N)))
    assert table.num_rows == N
    units = table.column("unit").value_counts().to_pylist()
    assert len(units) == N // rows.ROWS_A_UNIT
    sizes = sorted(unit["counts"] for unit in units)
    assert sizes[0] >= 1
    assert sizes[-1] <= rows.MOST
    assert sizes[-1] > 10 * sizes[len(sizes) // 2], "no heavy tail"
    assert set(table.column("month").to_pylist()) <= set(rows.MONTHS)
    assert set(table.column("dest").to_pylist()) <= set(rows.DESTINATIONS)
    assert pc.min_max(table.column("value")).as_py()["max"] <= 3_000


def test_errors_are_those_of_a_hand_calculation() -> None:
    true = {"a": (100.0,), "b": (200.0,), "c": (7.0,)}
    found = truth.errors([{"a": (110.0,), "b": (200.0,)}, {"a": (90.0,), "x": (5.0,)}], true)
    assert found.whole == pytest.approx(((0.05 + 0.1) / 2,))
    assert found.drawn == pytest.approx((0.2 / math.sqrt(2),))
    assert found.keys == 2.0
    alone = truth.errors([{}], true)
    assert math.isnan(alone.whole[0])
    assert alone.drawn is None


HOLD = """
import subprocess, sys, time
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(0.5); held = bytearray(200_000_000); time.sleep(60)"])
print('{"child": %d}' % child.pid, flush=True)
time.sleep(60)
"""


def gone(process: int) -> bool:
    """No such process, or only its entry is left."""
    for _ in range(100):
        stat = Path(f"/proc/{process}/stat")
        try:
            if stat.read_text().rpartition(")")[2].split()[0] == "Z":
                return True
        except OSError:
            return True
        time.sleep(0.05)
    return False


@pytest.mark.parametrize(
    ("limits", "why"), [({"megabytes": 150.0}, "more than 0 GB"), ({"minutes": 0.05}, "more than 0.05 minutes")]
)
def test_watch_counts_children_and_ends_them_at_a_limit(limits: dict[str, float], why: str) -> None:
    outcome = watch.run([sys.executable, "-c", HOLD], environment(), **limits)
    assert (outcome.ended, outcome.failed) == (why, None)
    assert outcome.peak_mb > 150
    (told,) = outcome.lines
    assert gone(told["child"])


def test_watch_tells_what_was_said_and_why_it_failed() -> None:
    script = """print("starting"); print('{"a": 1}'); print("[2]"); raise ValueError("no such thing")"""
    outcome = watch.run([sys.executable, "-c", script], dict(os.environ))
    assert outcome.lines == ({"a": 1},)
    assert outcome.failed == "ValueError: no such thing"
    assert outcome.ended is None


def test_truth_is_that_of_a_count_by_hand(parquet: Path) -> None:
    table = pq.read_table(parquet).to_pylist()
    by_month = {m: [row["value"] for row in table if row["month"] == m] for m in rows.MONTHS}
    true = {m: (len(v), sum(v), pytest.approx(statistics.fmean(v))) for m, v in by_month.items()}
    assert truth.exact(task_of(parquet, "months")) == true
    for name, column in (("destinations", "dest"), ("flights", "flight")):
        counts = collections.Counter(row[column] for row in table)
        assert truth.exact(task_of(parquet, name)) == {key: (float(n),) for key, n in counts.items()}
    assert truth.exact(task_of(parquet, "units")) == {None: (len({row["unit"] for row in table}),)}
    assert truth.exact(task_of(parquet, "median")) == {None: (statistics.median(row["value"] for row in table),)}


def test_a_peer_answers_in_a_process_of_its_own(parquet: Path) -> None:
    task = task_of(parquet, "flights")
    one = result("duckdb", task, asked_of("duckdb", Path(sys.executable), task), truth.exact(task))
    assert len(one["seconds"]) == task.most
    assert (one["why"], set(one["whole"]), one["keys"]) == (None, {0.0}, len(truth.exact(task)))
    assert one["peak_mb"] > 0


@pytest.mark.slow
def test_ours_answers_through_the_same_door_and_stands_in_the_table(parquet: Path) -> None:
    made = ingest(parquet, N)
    assert made.failed is None
    found = []
    for name in ("months", "units"):
        task = task_of(parquet, name)
        one = result("ours", task, asked_of("ours", Path(sys.executable), task), truth.exact(task))
        assert one["why"] is None, one
        assert len(one["kernel"]) == len(one["seconds"]) == task.most
        assert one["drawn"][0] > 0, "the same noise every time"
        found.append(one)
    months, units = found
    assert months["keys"] == 12
    assert 0.2 < months["whole"][0] < 0.8, "ten rows a unit leave out about half of a heavy tail"
    assert units["whole"][0] < 0.05
    failed = {**units, "peer": "tumult", "seconds": [], "why": "did not finish: a|b"}
    lines = page.table([failed, *found]).splitlines()
    assert len(lines) == 5
    assert len({line.count("|") for line in lines}) == 1
    assert "did not finish: a/b" in lines[-1]
