"""A bucket's files: which of them a task reads, opened and checked, and statements run over them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

import pyarrow as pa

from sandbox.catalog import SealedFile
from sandbox.errors import IntegrityFailed
from sandbox.objects.numbered import check_rows
from sandbox.objects.sidecars import Slots, slot_column
from sandbox.plans import ADDITIVE, Col, Scan
from sandbox.query.kernel import statement
from sandbox.query.kernel.engines import Engine
from sandbox.query.kernel.relation_sql import DENSE, ORDINAL, PSEUDONYM, mark
from sandbox.query.kernel.task import Bench, Keys, Task, public_key
from sandbox.query.planning.sizes import is_row_by_row, keeps_order, scans_of


@dataclass(frozen=True, slots=True, kw_only=True)
class Files:
    """Open files under the paths by which an engine sees them; those of an only table are one for each tier."""

    engine: Engine
    paths: Mapping[str, tuple[str, ...]]
    dense: bool
    """Whether rows carry their unit's dense index: they are rows of one stored table."""
    slot: str | None
    """The key column whose slots are read in its place."""
    slots: Slots | None
    edges: tuple[int, ...]
    """Of the tiers read, where `dense`: tier i holds ordinals below edges[i]."""
    rows: tuple[int, ...]
    """Stored rows of each of these tiers."""
    complete: frozenset[str]
    """Columns of the only stored table that are known to hold no NULL here."""

    def run(self, sql: str, tiers: slice = slice(None)) -> pa.Table:
        """Run a statement; over these tiers alone, where one stored table is read."""
        return _named(self.engine.table(self._over(sql, tiers)))

    def chunks(self, sql: str, tiers: slice = slice(None)) -> Iterator[pa.Table]:
        """The same as `run`, a few rows at a time; where one stored table is read row by row, in its order."""
        for batch in self.engine.batches(self._over(sql, tiers)):
            yield _named(pa.Table.from_batches([batch]))

    def _over(self, sql: str, tiers: slice) -> str:
        for place, listed in self.paths.items():
            some = listed[tiers] if place == mark("t", 0) else listed
            sql = sql.replace(place, ", ".join(f"'{p}'" for p in some))
        return sql


def _named(table: pa.Table) -> pa.Table:
    return table.rename_columns([n.removeprefix("#") for n in table.column_names])


@contextmanager
def opened(task: Task, bucket: int, bench: Bench, keys: Keys) -> Iterator[Files]:
    """The bucket's files, readable inside the block.

    Raises:
        IntegrityFailed: an object is missing, changed, or holds what its manifest excludes; `version_incomplete`.
    """
    dense = is_row_by_row(task.relation)
    slot = slot_of(task) if dense else None
    with ExitStack() as stack:
        descriptors: dict[str, list[int]] = {}
        for number in range(len(task.tables)):
            taken = _protected(stack, task, bench, keys, number=number, bucket=bucket, slot=slot)
            descriptors[mark("t", number)] = taken
        for number, table in enumerate(task.public):
            names, key = tuple(c.name for c in table.spec.columns), public_key(table, bench.root_key)
            descriptors[mark("p", number)] = [
                stack.enter_context(bench.opened.lease(f, key=key, aad=_aad(table.version.id, f), columns=names))
                for f in table.version.files
            ]
        slots = None
        first = task.tables[0]
        if slot is not None:
            slots = stack.enter_context(bench.opened.slots(first.version, bucket, slot, key=keys.version(first)))
        if dense and statement.needs_rows(task):
            tiers = tiers_read(task, 0)
            known = {} if slot is None or slots is None else {slot: slots}
            check_rows(bench.opened, first.version, bucket, tiers, key=keys.version(first), slots=known)
        engine = stack.enter_context(bench.engines.engine())
        lent = engine.lend([fd for fds in descriptors.values() for fd in fds])
        stack.callback(engine.take_back, len(lent))
        names_of = iter(lent)
        paths = {place: tuple(next(names_of) for _ in fds) for place, fds in descriptors.items()}
        edges = tuple(first.spec.tiers[t] for t in tiers_read(task, 0))
        mine = bucket_files(task, 0, bucket)
        yield Files(
            engine=engine, paths=paths, dense=dense, slot=slot, slots=slots, edges=edges,
            rows=tuple(f.rows for f in mine), complete=_complete(task, bench, mine),
        )  # fmt: skip


def slot_of(task: Task) -> str | None:
    """The key column whose slots can stand for it: the only key, as it is stored, in a version that has them."""
    if not statement.needs_rows(task) or len(task.keys) != 1 or task.bound.form == "rows":
        return None
    if task.stage == "values" and any(m.kind not in {*ADDITIVE, "units"} for m in task.measures):
        return None
    expr, table = task.keys[0].expr, task.tables[0]
    plain = isinstance(expr, Col) and table.spec.column(expr.name) is not None
    return expr.name if plain and isinstance(expr, Col) and expr.name in table.version.slots else None


def _protected(
    stack: ExitStack, task: Task, bench: Bench, keys: Keys, *, number: int, bucket: int, slot: str | None
) -> list[int]:  # fmt: skip
    table, key = task.tables[number], keys.version(task.tables[number])
    declared = sorted(statement.stored_columns(task, number, keyed=slot is None))
    own = [PSEUDONYM, ORDINAL, DENSE] + ([] if slot is None else [slot_column(slot)])
    # The bound on one row rests on what every stored value must lie within.
    columns = [c for c in map(table.spec.column, declared) if c is not None]
    bounds = {c.name: (c.lower, c.upper) for c in columns if c.lower is not None and c.upper is not None}
    taken = []
    for file in bucket_files(task, number, bucket):
        lease = bench.opened.lease(file, key=key, aad=_aad(table.version.id, file), columns=(*own, *declared))
        taken.append(stack.enter_context(lease))
        bench.opened.check(file, taken[-1], bounds)
    return taken


def _complete(task: Task, bench: Bench, files: Sequence[SealedFile]) -> frozenset[str]:
    if not keeps_order(task.relation):
        return frozenset()
    known = [bench.opened.complete(f) for f in files if f.rows]
    return frozenset.intersection(*known) if known else frozenset()


def _aad(version: str, file: SealedFile) -> bytes:
    return f"{version}/{file.bucket}/{file.tier}".encode()


def bucket_files(task: Task, number: int, bucket: int) -> list[SealedFile]:
    """A table's files in one bucket of the task, of the tiers that it reads: every tier of every bucket once.

    Raises:
        IntegrityFailed: `version_incomplete`.
    """
    table, tiers = task.tables[number], tiers_read(task, number)
    shift = table.version.bits - task.bits
    buckets = range(bucket << shift, (bucket + 1) << shift)
    wanted = [(b, t) for b in buckets for t in tiers]
    files = [f for f in table.version.files if f.bucket in buckets and f.tier in tiers]
    if sorted((f.bucket, f.tier) for f in files) != wanted:
        raise IntegrityFailed("version_incomplete")
    return sorted(files, key=lambda f: (f.bucket, f.tier))


def tiers_read(task: Task, number: int) -> tuple[int, ...]:
    """The tiers of a table that the task reads: those below its cut, or below the bound at ingest."""
    scan: Scan = next(s for s in scans_of(task.relation) if s.table == number)
    rows = task.bound.rows if task.bound.form == "ingest" else scan.rows
    return tiers_below(task.tables[number].spec.tiers, rows)


def tiers_below(edges: Sequence[int], rows: int | None) -> tuple[int, ...]:
    """The tiers that hold ordinals below `rows`; all of them for None."""
    if rows is None:
        return tuple(range(len(edges)))
    return tuple(t for t in range(len(edges)) if t == 0 or edges[t - 1] < rows)
