"""A task: what one stage of a paid plan asks of every bucket; plain values and wrapped keys, so that it may travel."""

from __future__ import annotations

from dataclasses import dataclass, field

import pyarrow as pa

from sandbox.crypto.keys import RootKey, unwrap
from sandbox.crypto.suite import Suite, suite
from sandbox.flow import Ints, Labels, Priced
from sandbox.objects.opened import OpenedFiles
from sandbox.plans import Bound, Key, Measure, Relation, Stage, Table
from sandbox.ports import Executor
from sandbox.privacy.keys import weights
from sandbox.query.kernel.engines import Engines


@dataclass(frozen=True, slots=True, kw_only=True)
class Bench:
    """What the kernel works with: an executor, engines, opened files, and the root key to unwrap a task's own."""

    executor: Executor
    engines: Engines
    opened: OpenedFiles
    root_key: RootKey


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """One stage of a plan. Earlier stages' noisy outputs are constants in it: `labels`, and `norms` of each measure."""

    stage: Stage
    tables: tuple[Table, ...]
    public: tuple[Table, ...]
    population_id: str
    population_key: bytes
    """Wrapped by the root key."""
    relation: Relation
    keys: tuple[Key, ...]
    measures: tuple[Measure, ...]
    bound: Bound
    votes: tuple[int, ...] = ()
    """What a unit with t private keys gives to each of them, by t, in the stage "keys"; the last t is the most kept."""
    labels: Labels | None = None
    norms: tuple[int, ...] = ()

    @property
    def groups(self) -> int:
        """How many groups the stage's arrays have; 0 where they are not known before."""
        if self.labels is not None:
            return len(self.labels)
        groups = 1
        for key in self.keys:
            groups *= len(key.domain or ())
        return groups

    @property
    def bits(self) -> int:
        """Bits of a bucket's number: those of the widest table, whose bucket holds whole buckets of the others."""
        return min(table.version.bits for table in self.tables)


def task_of(priced: Priced, stage: Stage, *, labels: Labels | None = None, norms: tuple[int, ...] = ()) -> Task:
    """The task of one stage."""
    plan, votes = priced.plan, tuple[int, ...]()
    measures = plan.measures if stage != "norms" else tuple(plan.measures[i] for i in priced.clipped_anew)
    if stage == "keys" and priced.keys is not None:
        votes = tuple(int(v) for v in weights("laplace" if priced.keys.pure else "gaussian", priced.keys.times))
    return Task(
        stage=stage, tables=plan.tables, public=plan.public, population_id=plan.population_id,
        population_key=plan.population_key, relation=plan.relation, keys=plan.keys, measures=measures,
        bound=plan.bound, votes=votes, labels=labels, norms=norms,
    )  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Part:
    """Exact integers of one bucket, to be merged once: arrays add up, sets unite, tables add up by their labels."""

    arrays: tuple[Ints, ...] = ()
    """One a measure, shape (groups, width); for a measure that merges as a set, of width 0."""
    sets: dict[int, pa.Table] = field(default_factory=dict)
    """Of COUNT(DISTINCT x), by measure: distinct (group: int64, value)."""
    table: pa.Table | None = None
    """Of private keys: k0…, weight: int64."""


@dataclass(frozen=True, slots=True)
class Keys:
    """The keys that a task's buckets need, unwrapped in the process that needs them."""

    suite: Suite
    population: bytes = field(repr=False)

    @classmethod
    def of(cls, task: Task, root: RootKey) -> Keys:
        """Root over population."""
        return cls(suite(task.tables[0].version.suite), root.unwrap(task.population_key, task.population_id))

    def version(self, table: Table) -> bytes:
        """Of a protected table's files."""
        version = table.version
        return unwrap(suite(version.suite), self.population, version.wrapped_key, version.id)

    def order(self, table: Table) -> bytes:
        """Of the keyed order of a lineage's rows and values, as ingest derives it."""
        return self.suite.kdf(self.population, b"sandbox orders v1\n" + table.spec.name.encode())


def public_key(table: Table, root: RootKey) -> bytes:
    """Of a public table's files."""
    return root.unwrap(table.version.wrapped_key, table.version.id)


