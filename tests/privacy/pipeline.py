"""Ingest and kernel without the house around them: a version from rows, exact integers from a version."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from connectors.csv import CsvConnector
from sandbox.catalog import DatasetSpec, Population
from sandbox.clock import Clock
from sandbox.crypto.keys import RootKey
from sandbox.crypto.suite import INTL
from sandbox.executors.threads import ThreadsExecutor
from sandbox.flow import Ints, Plan
from sandbox.ingest.columns import Report
from sandbox.ingest.manifest import parse_manifest, parse_population
from sandbox.ingest.run import Names, Parts, build
from sandbox.objects.local import LocalObjects
from sandbox.objects.opened import OpenedFiles
from sandbox.query.kernel.compute import Bench, exact_values
from sandbox.query.kernel.engines import Engines
from sandbox.query.planning.plan import Known, plan
from sandbox.store.datasets import StoredPopulation
from sandbox.store.sessions import Sessions
from tests.trips import MANIFEST, POPULATION, Row, csv_of
from tests.unit.query.plans import permitted, request_of


class Pipeline:
    """One population's keys, an object folder, and an executor of so many threads."""

    def __init__(self, folder: Path, *, threads: int = 1, manifest: str = MANIFEST) -> None:
        self.root = RootKey(secret=INTL.random(32))
        self.folder = folder
        (folder / "sources" / "bureau").mkdir(parents=True)
        (folder / "objects").mkdir()
        self.population: Population = parse_population(POPULATION, "p.yaml")
        self.spec: DatasetSpec = parse_manifest(manifest, "m.yaml")
        self.stored = StoredPopulation(
            id="pop_1", tenant="ten_1", spec=self.population, suite="intl",
            wrapped_key=self.root.wrap(INTL.random(32), "pop_1"), created_at="",
        )  # fmt: skip
        self.objects = LocalObjects(folder / "objects")
        self.executor = ThreadsExecutor(threads)
        self.engines = Engines(threads)
        self.opened = OpenedFiles(self.objects)
        self.bench = Bench(
            executor=self.executor, engines=self.engines, opened=self.opened, root_key=self.root
        )
        self.count = 0

    def ingest(self, rows: Sequence[Row], *, bits: int | None = None) -> tuple[Known, Report]:
        """A version of these rows; `bits` makes more buckets than the declared N_max would."""
        self.count += 1
        path = self.folder / "sources" / "bureau" / f"{self.count}.csv"
        path.write_text(csv_of(rows), "utf-8")
        spec = dataclasses.replace(self.spec, source=dataclasses.replace(self.spec.source, path=path.name))
        if bits is not None:
            spec = dataclasses.replace(spec, n_max=(6_000_000 << bits) - 1)
        parts = Parts(
            sessions=Sessions(self.folder / "unused.db"), clock=Clock(), objects=self.objects, root_key=self.root,
            connectors={"csv": CsvConnector()}, source_dirs=(self.folder / "sources",),
            work_dir=self.folder, worker_id="wrk_1", threads=1,
        )  # fmt: skip
        names = Names(version=f"ver_{self.count}", dataset="ds_1", number=1)
        built = build(parts, spec, self.stored, names, lambda _phase, _rows: None)
        known = Known(
            spec=spec, dataset_id="ds_1", version=built.version, population=self.population, population_id="pop_1",
            population_key=self.stored.wrapped_key,
        )  # fmt: skip
        return known, built.report

    def exact(self, known: Known, sql: str, *, rows: int | None = None) -> tuple[Plan, Ints]:
        """The plan of a query and its exact integers, shape (measures, groups)."""
        made = plan(permitted(request_of(sql, epsilon=10**12, rows=rows)), known)
        return made, exact_values(made, self.bench)

    def close(self) -> None:
        """Let go of threads, engines and memory."""
        self.executor.close()
        self.engines.close()
        self.opened.close()


def moved(a: Ints, b: Ints) -> tuple[int, float]:
    """L1 and L2 distance of two rows of groups."""
    difference = (a - b).astype(object)
    return int(np.abs(difference).sum()), float(np.sqrt(float((difference**2).sum())))
