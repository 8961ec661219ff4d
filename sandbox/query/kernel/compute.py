"""The kernel: exact integers of one bucket from its sealed files, and their sum over all buckets."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from sandbox.catalog import SealedFile
from sandbox.crypto.keys import RootKey, unwrap
from sandbox.crypto.suite import suite
from sandbox.errors import IntegrityFailed
from sandbox.flow import Charged, Exact, Ints, Key, Measure, Plan
from sandbox.objects.opened import OpenedFiles
from sandbox.ports import Executor
from sandbox.query.expressions.bind import columns_of
from sandbox.query.expressions.sql import quote, render
from sandbox.query.kernel.engines import Engines

ORDINAL: Final = "ordinal"


@dataclass(frozen=True, slots=True, kw_only=True)
class Bench:
    """What the kernel works with: an executor, engines, opened files, and the root key to unwrap the plan's own."""

    executor: Executor
    engines: Engines
    opened: OpenedFiles
    root_key: RootKey


def compute(charged: Charged, bench: Bench) -> Exact:
    """Exact aggregates of a paid plan, shape (measures, groups).

    Privacy: the result is exact; only `release.noise` takes it. One unit changes it by at most the plan's
    sensitivity, because every measure adds at most `row_bound` per stored row and the tiers read hold at most
    `bound.rows` rows of a unit (P4.1).

    Raises:
        IntegrityFailed: a stored object is missing, changed, or holds what its manifest excludes.
    """
    plan = charged.priced.plan
    return Exact(charged=charged, values=exact_values(plan, bench))


def exact_values(plan: Plan, bench: Bench) -> Ints:
    """Sum the buckets' exact integers; each bucket enters once, none is missing."""
    buckets = range(1 << plan.version.bits)
    key = version_key(plan, bench.root_key)
    sql_of = statement(plan)
    parts = bench.executor.map(lambda b: _bucket(plan, b, key, sql_of, bench), buckets)
    total = np.zeros((len(plan.measures), plan.groups), dtype=np.int64)
    for part in parts:
        total += part
    return total


def version_key(plan: Plan, root_key: RootKey) -> bytes:
    """Unwrap the version's key: root over population over version."""
    population_key = root_key.unwrap(plan.population_key, plan.population_id)
    return unwrap(suite(plan.version.suite), population_key, plan.version.wrapped_key, plan.version.id)


def needed_columns(plan: Plan) -> tuple[str, ...]:
    """The stored columns that the plan reads, sorted."""
    names = set(columns_of(plan.where)) | {k.column for k in plan.keys}
    for measure in plan.measures:
        names |= columns_of(measure.expr)
        if measure.kind == "units":
            names.add(ORDINAL)
    return tuple(sorted(names))


def _bucket(plan: Plan, bucket: int, key: bytes, sql: str, bench: Bench) -> Ints:
    files = bucket_files(plan, bucket)
    columns = needed_columns(plan)
    with ExitStack() as stack:
        fds = [
            stack.enter_context(
                bench.opened.lease(f, key=key, aad=f"{plan.version.id}/{f.bucket}/{f.tier}".encode(), columns=columns)
            )
            for f in files
        ]
        for f, fd in zip(files, fds, strict=True):
            bench.opened.check(f, fd, _declared_bounds(plan))
        engine = stack.enter_context(bench.engines.engine())
        paths = engine.lend(fds)
        try:
            table = engine.table(sql.replace(_PATHS, ", ".join(f"'{p}'" for p in paths)))
        finally:
            engine.take_back(len(fds))
    return dense(plan, table)


def _declared_bounds(plan: Plan) -> dict[str, tuple[int, int]]:
    """What every stored value of the summed columns must lie within: the bound on one row rests on it."""
    names = {c for m in plan.measures if m.kind == "sum" for c in columns_of(m.expr)}
    columns = [c for c in map(plan.spec.column, sorted(names)) if c is not None]
    return {c.name: (c.lower, c.upper) for c in columns if c.lower is not None and c.upper is not None}


def bucket_files(plan: Plan, bucket: int) -> list[SealedFile]:
    """The bucket's files of the plan's tiers: every tier once.

    Raises:
        IntegrityFailed: `version_incomplete`.
    """
    files = [f for f in plan.version.files if f.bucket == bucket and f.tier in plan.bound.tiers]
    if sorted(f.tier for f in files) != list(plan.bound.tiers):
        raise IntegrityFailed("version_incomplete")
    return files


# --- the statement --------------------------------------------------------------------------------------------------

_PATHS: Final = "\x00paths\x00"


def statement(plan: Plan) -> str:
    """The one statement that runs on each bucket, with a mark where the bucket's paths go (P3.1)."""
    keys = [quote(k.column) for k in plan.keys]
    selected = [f"{k} AS k{i}" for i, k in enumerate(keys)]
    selected += [f"{_aggregate(m)} AS m{i}" for i, m in enumerate(plan.measures)]
    where = f" WHERE {render(plan.where)}" if plan.where is not None else ""
    group = f" GROUP BY {', '.join(keys)}" if keys else ""
    return f"SELECT {', '.join(selected)} FROM read_parquet([{_PATHS}]){where}{group}"


def _aggregate(measure: Measure) -> str:
    if measure.kind == "rows" or measure.expr is None:
        return "count(*)" if measure.kind == "rows" else f"count(*) FILTER (WHERE {ORDINAL} = 0)"
    expr = render(measure.expr)
    if measure.kind == "present":
        return f"count({expr})"
    total = f"COALESCE(sum({expr}), 0)::HUGEINT"
    if measure.center:
        total = f"({total} - ({measure.center})::HUGEINT * count({expr}))"
    return f"{total}::BIGINT"


def dense(plan: Plan, table: pa.Table) -> Ints:
    """Place a bucket's groups into an array over all declared groups."""
    values = np.zeros((len(plan.measures), plan.groups), dtype=np.int64)
    where = np.zeros(table.num_rows, dtype=np.int64)
    for i, key in enumerate(plan.keys):
        where = where * len(key.domain) + positions(key, table.column(f"k{i}"))
    for i in range(len(plan.measures)):
        values[i, where] = table.column(f"m{i}").to_numpy()
    return values


def positions(key: Key, column: pa.ChunkedArray) -> Ints:
    """Where each value stands in the key's domain.

    Raises:
        IntegrityFailed: `key_outside_domain`.
    """
    known: Sequence[object] = [v for v in key.domain if v is not None]
    found = pc.index_in(column, value_set=pa.array(known, type=column.type))
    null_place = len(known) if None in key.domain else -1
    places = np.asarray(pc.fill_null(pc.if_else(pc.is_null(column), null_place, found), -1), dtype=np.int64)
    if (places < 0).any():
        raise IntegrityFailed("key_outside_domain")
    return places
