"""Ingest and kernel without the house around them: a version from rows, exact integers from a version."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from connectors.csv import CsvConnector
from sandbox.catalog import DatasetSpec, Population
from sandbox.clock import Clock
from sandbox.crypto.keys import RootKey
from sandbox.crypto.suite import INTL
from sandbox.executors.threads import ThreadsExecutor
from sandbox.flow import Ints, Labels, Plan
from sandbox.ingest.columns import Report
from sandbox.ingest.manifest import parse_manifest, parse_population
from sandbox.ingest.run import Names, Parts, build
from sandbox.objects.local import LocalObjects
from sandbox.objects.opened import OpenedFiles
from sandbox.objects.versions import Versions
from sandbox.plans import Stage, Table
from sandbox.query.kernel.bucket import part_of
from sandbox.query.kernel.engines import Engines
from sandbox.query.kernel.merge import merged
from sandbox.query.kernel.task import Bench, Task
from sandbox.query.planning.plan import Known, plan
from sandbox.query.public import public_rows
from sandbox.store.datasets import StoredPopulation
from sandbox.store.sessions import Sessions
from tests.trips import MANIFEST, POPULATION, Row, csv_of
from tests.unit.query.plans import permitted, request_of


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """What the store would keep of a version."""

    id: str
    suite: str
    wrapped_key: bytes
    manifest_object: str
    manifest_sha256: str


class Pipeline:
    """One population's keys, an object folder, and an executor of so many threads."""

    def __init__(self, folder: Path, *, threads: int = 1, manifest: str = MANIFEST) -> None:
        self.root = RootKey(secret=INTL.random(32))
        self.folder = folder
        (folder / "sources" / "bureau").mkdir(parents=True)
        (folder / "objects").mkdir()
        self.population: Population = parse_population(POPULATION, "p.yaml")
        self.spec: DatasetSpec = parse_manifest(manifest, "m.yaml")
        self.owner = StoredPopulation(
            id="pop_1", tenant="ten_1", spec=self.population, suite="intl",
            wrapped_key=self.root.wrap(INTL.random(32), "pop_1"), created_at="",
        )  # fmt: skip
        self.objects = LocalObjects(folder / "objects")
        self.threads = threads
        self.executor = ThreadsExecutor(threads)
        self.engines = Engines(threads)
        self.opened = OpenedFiles(self.objects)
        self.bench = Bench(
            executor=self.executor, engines=self.engines, opened=self.opened, root_key=self.root
        )
        self.versions = Versions(self.objects, self.root)
        self.records: dict[str, Record] = {}
        self.count = 0

    def ingest(self, rows: Sequence[Row], *, bits: int | None = None) -> tuple[Known, Report]:
        """A version of these rows; `bits` makes more buckets than the declared N_max would."""
        table, report = self.stored(self.spec, csv_of(rows), bits=bits)
        return self.known({table.spec.name: table}), report

    def stored(self, spec: DatasetSpec, text: str, *, bits: int | None = None) -> tuple[Table, Report]:
        """A version of a table, protected or public, from the text of its source."""
        self.count += 1
        path = self.folder / "sources" / "bureau" / f"{self.count}.csv"
        path.write_text(text, "utf-8")
        spec = dataclasses.replace(spec, source=dataclasses.replace(spec.source, path=path.name))
        if bits is not None:
            spec = dataclasses.replace(spec, n_max=(6_000_000 << bits) - 1)
        parts = Parts(
            sessions=Sessions(self.folder / "unused.db"), clock=Clock(), objects=self.objects, root_key=self.root,
            connectors={"csv": CsvConnector()}, source_dirs=(self.folder / "sources",),
            work_dir=self.folder, worker_id="wrk_1", threads=1,
        )  # fmt: skip
        names = Names(version=f"ver_{self.count}", dataset=f"ds_{spec.name}", number=1)
        built = build(parts, spec, None if spec.public else self.owner, names, lambda _phase, _rows: None)
        self.records[built.version.id] = Record(
            id=built.version.id, suite=built.version.suite, wrapped_key=built.version.wrapped_key,
            manifest_object=built.manifest_object, manifest_sha256=built.manifest_sha256,
        )  # fmt: skip
        return Table(spec=spec, dataset_id=names.dataset, version=built.version), built.report

    def known(self, tables: Mapping[str, Table]) -> Known:
        """What a planner knows of these tables."""
        return Known(
            tables=tables, population=self.population, population_id="pop_1", population_key=self.owner.wrapped_key,
            public=public_rows(self.versions, self.records),  # type: ignore[arg-type]  # as much of a record as it reads
        )  # fmt: skip

    def plans(self, known: Known, sql: str, *, rows: int | None = None, **more: Any) -> tuple[Plan, ...]:
        """The plans of a query, one for each bound that fits."""
        return plan(permitted(request_of(sql, epsilon=10**12, rows=rows, **more)), known)

    def exact(self, known: Known, sql: str, *, rows: int | None = None, **more: Any) -> tuple[Plan, tuple[Ints, ...]]:
        """The likeliest plan of a query and its exact integers, one array of shape (groups, width) a measure."""
        made = self.plans(known, sql, rows=rows, **more)[0]
        return made, self.stage(made)[0]

    def stage(
        self, made: Plan, stage: Stage = "values", *, labels: Labels | None = None, norms: tuple[int, ...] = (),
        votes: tuple[int, ...] = (),
    ) -> tuple[tuple[Ints, ...], Labels | None]:  # fmt: skip
        """The exact integers of one stage, with these constants of earlier ones."""
        task = Task(
            stage=stage, tables=made.tables, public=made.public, population_id=made.population_id,
            population_key=made.population_key, relation=made.relation, keys=made.keys, measures=made.measures,
            bound=made.bound, votes=votes, labels=labels, norms=norms,
        )  # fmt: skip
        parts = self.executor.map(part_of, task, range(1 << task.bits), self.bench)
        return merged(task, parts)

    def close(self) -> None:
        """Let go of threads, engines and memory."""
        self.executor.close()
        self.engines.close()
        self.opened.close()


def moved(a: Ints, b: Ints) -> tuple[int, float]:
    """L1 and L2 distance of two rows of groups."""
    difference = (a - b).astype(object)
    return int(np.abs(difference).sum()), float(np.sqrt(float((difference**2).sum())))
