"""Every way to bound a unit, kernel alone, beside bare DuckDB with the same filter and grouping and no bounding at all."""

from __future__ import annotations

import dataclasses
import os
import statistics
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb

from sandbox.flow import Ints, Plan, Priced
from sandbox.objects.opened import OpenedFiles
from sandbox.plans import Bound, Stage
from sandbox.query.kernel.bucket import part_of
from sandbox.query.kernel.merge import merged
from sandbox.query.kernel.task import Bench, Task

TABLE = "bench.rows"
GROUPED = "SELECT grp, count(*), sum(amount) FROM {t} {where} GROUP BY grp"
COUNTED = "SELECT grp, count(*) FROM {t} {where} GROUP BY grp"
UNITS = "SELECT grp, count(DISTINCT unit) FROM {t} {where} GROUP BY grp"
BINS = "SELECT day / 31, count(*), sum(amount) FROM {t} {where} GROUP BY 1"
AVERAGE = "SELECT grp, count(*), sum(amount), avg(amount) FROM {t} {where} GROUP BY grp"


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """One line of the table: a question, how it is bounded, what bare DuckDB is asked, and the goal, if there is one."""

    name: str
    sql: str
    bound: dict[str, int | str]
    bare: str
    goal: float | None = None
    percent: int = 100
    stage: Stage = "values"

    @property
    def where(self) -> str:
        """The filter that keeps this part of the rows."""
        return "" if self.percent == 100 else f"WHERE day < {round(365 * self.percent / 100)}"


ROWS = {"form": "rows", "rows": 10}
KEEP = {"form": "groups", "rows": 1000, "groups": 3, "per_group": 10}
CLIP = {"form": "clip", "rows": 1000}

SHAPES = (
    Shape(name="bounded at ingest, k = 10", sql=AVERAGE, bound={"form": "ingest", "rows": 10}, bare=AVERAGE, goal=0.75),
    *(
        Shape(name=f"bounded at query, k = 10, {p} % kept", sql=GROUPED, bound=ROWS, bare=GROUPED, goal=g, percent=p)
        for p, g in ((1, 1.6), (10, 1.9), (25, 2.2), (50, 2.1), (100, 0.75))
    ),
    Shape(name="(unit, group), 3 groups kept, slots", sql=GROUPED, bound=KEEP, bare=GROUPED, goal=3.3),
    Shape(name="whole vector clipped, slots", sql=GROUPED, bound=CLIP, bare=GROUPED, goal=3.5),
    Shape(name="norms of whole vectors, slots", sql=GROUPED, bound=CLIP, bare=GROUPED, stage="norms"),
    Shape(name="COUNT(DISTINCT unit) by group, slots", sql=UNITS, bound={"form": "ingest", "rows": 1000}, bare=COUNTED, goal=1.4),
    Shape(name="bins, no slots, 3 kept, 10 % of rows", sql=BINS, bound=KEEP, bare=BINS, goal=3.5, percent=10),
    Shape(name="bins, no slots, 3 kept, unfiltered", sql=BINS, bound=KEEP, bare=BINS, goal=15.0),
)


def run(plan: Plan, bench: Bench, stage: Stage) -> tuple[Ints, ...]:
    """One stage of a plan on every bucket, with norms as an earlier stage would have released them."""
    norms = tuple(4 * m.row_bound for m in plan.measures) if plan.bound.form == "clip" and stage == "values" else ()
    task = Task(
        stage=stage, tables=plan.tables, public=plan.public, population_id=plan.population_id,
        population_key=plan.population_key, relation=plan.relation, keys=plan.keys, measures=plan.measures,
        bound=plan.bound, norms=norms,
    )  # fmt: skip
    return merged(task, bench.executor.map(part_of, task, range(1 << task.bits), bench))[0]


def measured(
    priced_of: Callable[[str], Priced], bench: Bench, plain: Path, *, repeat: int, seconds: Callable[[Callable[[], object]], float],
    say: Callable[[str], None],
) -> list[dict[str, Any]]:  # fmt: skip
    """Each shape hot and cold, interleaved with bare DuckDB; medians of `repeat`."""
    threads = os.cpu_count() or 1
    connection = duckdb.connect(":memory:", config={"threads": threads})
    rows = []
    for shape in SHAPES:
        plan = priced_of(shape.sql.format(t=TABLE, where=shape.where)).plan
        plan = dataclasses.replace(plan, bound=Bound(why="asked", **shape.bound))  # type: ignore[arg-type]  # as SHAPES has them
        bare = shape.bare.format(t=f"read_parquet('{plain}')", where=shape.where).replace("day / 31", "day // 31")
        times: dict[str, list[float]] = {"bare": [], "hot": [], "cold": []}
        run(plan, bench, shape.stage)
        for _ in range(repeat):
            times["bare"].append(seconds(lambda bare=bare: connection.execute(bare).fetchall()))
            times["hot"].append(seconds(lambda plan=plan, shape=shape: run(plan, bench, shape.stage)))
        fresh = OpenedFiles(bench.opened._objects)
        cold = dataclasses.replace(bench, opened=fresh)
        times["cold"].append(seconds(lambda plan=plan, cold=cold, shape=shape: run(plan, cold, shape.stage)))
        fresh.close()
        middle = {name: statistics.median(t) for name, t in times.items()}
        rows.append({"name": shape.name, "goal": shape.goal, **middle})
        say(f"  {shape.name}: {middle['hot'] / middle['bare']:.2f} of bare {middle['bare'] * 1000:.0f} ms")
    connection.close()
    return rows


def page(rows: list[dict[str, Any]]) -> list[str]:
    """The lines of docs/performance.md."""
    lines = [
        "## Every way to bound a unit",
        "",
        "Kernel alone, hot (opened segments in memory; cold: opened anew, once), beside bare two-thread DuckDB over one plain Parquet",
        "file with the same filter and grouping and no bounding. Distinct units stand beside a plain grouped count.",
        "",
        "| | kernel hot | bare | ratio | goal | | cold / bare |",
        "|---|---|---|---|---|---|---|",
    ]
    for r in rows:
        ratio, goal = r["hot"] / r["bare"], r["goal"]
        told = "" if goal is None else "met" if ratio <= goal else "**missed**"
        lines.append(
            f"| {r['name']} | {r['hot'] * 1000:.0f} ms | {r['bare'] * 1000:.0f} ms | {ratio:.2f} | {goal or ''} | {told} | {r['cold'] / r['bare']:.2f} |"
        )
    return [
        *lines,
        "",
        "How a bucket is read: DuckDB scans, filters and evaluates, and hands rows out a hundred thousand at a time, in types as narrow as",
        "declared bounds allow; numpy ranks, adds up by slot, and bounds, in a core's cache. What limits is the engine: at 50 % kept, decoding",
        "and passing on unit, key and value takes two thirds of the kernel's time, and the filter's selection makes each column dearer to read",
        "than it is unfiltered. Clipping counts, squares, roots and divides two million slots: one bucket alone takes 3.4 times what bare DuckDB",
        "takes of a core, and two threads more, probably since numpy's counting holds the interpreter's lock.",
        "",
    ]
