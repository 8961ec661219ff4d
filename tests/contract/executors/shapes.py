"""Plan shapes that every executor must give the same integers for, over one small table."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from sandbox.flow import Labels, Plan
from sandbox.plans import Stage
from sandbox.query.kernel.bucket import part_of
from sandbox.query.kernel.merge import merged
from sandbox.query.kernel.task import Task
from sandbox.query.planning.plan import Known
from tests.privacy.pipeline import Pipeline
from tests.trips import some_rows


@dataclass(frozen=True)
class Shape:
    """A question, and how its units are bounded."""

    name: str
    sql: str
    asked: dict[str, Any] = field(default_factory=dict)


SHAPES = [
    Shape("count", "SELECT count(*) FROM city.trips"),
    Shape("groups", "SELECT line, hour, count(*), avg(delay) FROM city.trips GROUP BY line, hour"),
    Shape("filtered", "SELECT paid, sum(delay * 2 - hour) FROM city.trips WHERE delay > -5 AND line <> 'C' GROUP BY paid"),
    Shape("rows", "SELECT line, sum(fare) FROM city.trips WHERE hour > 3 GROUP BY line", {"bounding": "rows"}),
    Shape("units", "SELECT line, count(DISTINCT rider) FROM city.trips GROUP BY line"),
    Shape("distinct", "SELECT line, count(DISTINCT hour) FROM city.trips GROUP BY line"),
    Shape("by groups", "SELECT line, count(*), sum(fare) FROM city.trips GROUP BY line", {"bounding": "groups"}),
    Shape("clip", "SELECT line, count(*), sum(delay) FROM city.trips GROUP BY line", {"bounding": "clip"}),
    Shape("median", "SELECT line, percentile_disc(0.5) WITHIN GROUP (ORDER BY delay) FROM city.trips GROUP BY line"),
    Shape("bins", "SELECT hour * 100 + delay AS spot, count(*) FROM city.trips GROUP BY spot"),
    Shape("private keys", "SELECT fare, line, count(*), avg(delay) FROM city.trips GROUP BY fare, line"),
    Shape("days", "SELECT day, count(*), sum(fare) FROM city.trips WHERE paid GROUP BY day"),
]


def some(pipeline: Pipeline) -> Known:
    """Four buckets of sixty people."""
    return pipeline.ingest(some_rows(60), bits=2)[0]


def tasks_of(pipeline: Pipeline, known: Known, shape: Shape) -> Iterator[Task]:
    """Every stage of the shape's plan, with made-up outputs of earlier stages."""
    made = pipeline.plans(known, shape.sql, **shape.asked)[0]
    labels = None
    for stage in made.stages:
        task = task_of(made, stage, labels)
        yield task
        if stage == "keys":
            _, found = merged(task, pipeline.executor.map(part_of, task, range(1 << task.bits), pipeline.bench))
            labels = (found or ())[::2]


def task_of(made: Plan, stage: Stage, labels: Labels | None) -> Task:
    norms = tuple(5 * m.row_bound for m in made.measures) if "norms" in made.stages and stage == "values" else ()
    votes = (0, 60, 30, 20) if stage == "keys" else ()
    return Task(
        stage=stage, tables=made.tables, public=made.public, population_id=made.population_id,
        population_key=made.population_key, relation=made.relation, keys=made.keys, measures=made.measures,
        bound=made.bound, votes=votes, labels=labels, norms=norms,
    )  # fmt: skip
