"""PipelineDP on its local backend: rows as Python tuples in memory, `max_contributions` rows a unit, sampled."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pipeline_dp
import pyarrow.parquet as pq

from benchmarks.peers.spoken import LOWER, UPPER, Answer, Asked, answer, asked

ONE = "all"
METRICS = {
    "count": pipeline_dp.Metrics.COUNT,
    "sum": pipeline_dp.Metrics.SUM,
    "avg": pipeline_dp.Metrics.MEAN,
    "units": pipeline_dp.Metrics.PRIVACY_ID_COUNT,
    "median": pipeline_dp.Metrics.PERCENTILE(50),
}
FIELDS = {"count": "count", "sum": "sum", "avg": "mean", "units": "privacy_id_count", "median": "percentile_50"}


def _params(task: Asked) -> pipeline_dp.AggregateParams:
    """What is asked, and what a unit gives: rows over all groups, or in the one group that there is.

    Its selection of private keys takes a number of groups alone: ten groups of one row bound the same ten rows.
    """
    question = task.question
    bound: dict[str, Any] = {"max_contributions": question.rows}
    if not question.public:
        bound = {"max_partitions_contributed": question.rows, "max_contributions_per_partition": 1}
    if question.key is None:
        bound = {"max_partitions_contributed": 1, "max_contributions_per_partition": question.rows}
    value = {"min_value": LOWER, "max_value": UPPER} if {"sum", "median"} & set(question.measures) else {}
    return pipeline_dp.AggregateParams(
        noise_kind=pipeline_dp.NoiseKind.LAPLACE, metrics=[METRICS[m] for m in question.measures], **bound, **value
    )


def open_(task: Asked) -> Callable[[], Answer]:
    table = pq.read_table(task.parquet, columns=list(task.columns))
    rows = list(zip(*(table.column(name).to_pylist() for name in task.columns), strict=True))
    keyed, valued = task.question.key is not None, "value" in task.columns
    extractors = pipeline_dp.DataExtractors(
        privacy_id_extractor=lambda row: row[0],
        partition_extractor=(lambda row: row[1]) if keyed else (lambda _: ONE),
        value_extractor=(lambda row: row[-1]) if valued else (lambda _: 0),
    )
    domain = list(task.domain) if keyed else [ONE]

    def ask() -> Answer:
        accountant = pipeline_dp.NaiveBudgetAccountant(total_epsilon=task.epsilon, total_delta=task.delta)
        engine = pipeline_dp.DPEngine(accountant, pipeline_dp.LocalBackend())
        public = domain if task.question.public else None
        below = task.question.below
        asked_for = rows if below is None else [row for row in rows if row[-1] < below]
        result = engine.aggregate(asked_for, _params(task), extractors, public)
        accountant.compute_budgets()
        fields = [FIELDS[m] for m in task.question.measures]
        return [(*((key,) if keyed else ()), *(getattr(got, f) for f in fields)) for key, got in result]

    return ask


if __name__ == "__main__":
    answer(asked(), open_)
