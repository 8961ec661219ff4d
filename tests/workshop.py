"""A place to ingest in: a database, an object folder, a root key, sources; and stored rows read back in the clear."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from connectors.csv import CsvConnector
from connectors.parquet import ParquetConnector
from sandbox.catalog import DatasetSpec, Version
from sandbox.clock import Clock
from sandbox.crypto.keys import RootKey
from sandbox.crypto.stream import SegmentReader
from sandbox.flow import Principal
from sandbox.ingest import duty, registry
from sandbox.ingest.manifest import parse_manifest, parse_population
from sandbox.ingest.run import Parts
from sandbox.objects.local import LocalObjects
from sandbox.objects.versions import Versions
from sandbox.store import datasets, ingests
from sandbox.store import tables as t
from sandbox.store.ingests import Ingest
from sandbox.store.sessions import Sessions

STEWARD = Principal(id="prn_steward", tenant="ten_bureau", roles=frozenset({"steward"}))

POPULATION = """\
population: people
title: {en: People, zh: 人}
unit: person
identifier: {kind: text, case: upper}
identifiers_max: 1_000_000
registered: {count: 20_000, provenance: {documented: test}}
"""

FIELDS = "meaning: {en: m, zh: 义}, level: general-2, provenance: {documented: test}"


def manifest(columns: str, *, name: str = "city.visits", limits: str | None = None, source: str = "visits.csv") -> str:
    """A manifest over people with these columns, written as `name: {…}` without the fields all have."""
    limits = limits or "{rows: 1000, rows_per_unit: 4, default_rows: 2, tiers: [1, 2, 4], provenance: {documented: t}}"
    connector = source.rsplit(".", 1)[1]
    body = "\n".join(f"  {line}" for line in columns.replace("%", FIELDS).strip().splitlines())
    return (
        f"dataset: {name}\ntitle: {{en: Visits, zh: 访问}}\nowner: bureau\npopulation: people\nunit: person\n"
        f"consent: false\nother_persons: none\nsource: {{connector: {connector}, path: {source}}}\n"
        f"limits: {limits}\ncolumns:\n  person: {{type: text, {FIELDS}}}\n{body}\n"
    )


@dataclass(slots=True)
class Workshop:
    """Everything an ingest needs, in one folder."""

    folder: Path
    parts: Parts

    def submit(self, text: str) -> Ingest:
        """Queue the ingest of a manifest."""
        with self.parts.sessions.begin() as session:
            return registry.submit(session, self.parts.clock, STEWARD, parse_manifest(text, "m.yaml"), text)

    def run(self, text: str) -> Ingest:
        """Queue it, do it, and give what became of it."""
        queued = self.submit(text)
        assert duty.run_next(self.parts)
        return self.ingest(queued.id)

    def update(self, text: str, mode: str = "append", *, reason: str = "", name: str = "city.visits") -> Ingest:
        """Queue the next version of a dataset, do it, and give what became of it."""
        spec = parse_manifest(text, "m.yaml")
        asked = registry.Update(dataset=name, spec=spec, text=text, file="m.yaml", mode=mode, reason=reason)
        with self.parts.sessions.begin() as session:
            queued = registry.submit_next(session, self.parts.clock, STEWARD, asked)
        assert duty.run_next(self.parts)
        return self.ingest(queued.id)

    def ingest(self, ingest_id: str) -> Ingest:
        """The ingest as it stands."""
        with self.parts.sessions.reading() as session:
            return ingests.get(session, ingest_id)

    def source(self, content: str | bytes, name: str = "visits.csv") -> Path:
        """Put a source in place."""
        path = self.folder / "sources" / "bureau" / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return path

    def opened(self, name: str = "city.visits") -> tuple[DatasetSpec, Version, bytes]:
        """A committed dataset's facts, newest version, and that version's key."""
        versions = Versions(self.parts.objects, self.parts.root_key)
        with self.parts.sessions.reading() as session:
            dataset = datasets.dataset(session, name)
            record = datasets.newest_version(session, dataset.id)
            population = datasets.population_by_id(session, dataset.population) if dataset.population else None
        spec, version = versions.open(record, population)
        return spec, version, versions.key(record, population)

    def files(self, name: str = "city.visits") -> dict[tuple[int, int], pa.Table]:
        """Every stored file in the clear, by (bucket, tier)."""
        _, version, key = self.opened(name)
        found = {}
        for file in version.files:
            reader = SegmentReader(
                lambda start, length, k=file.key: self.parts.objects.read(k, start, length),  # type: ignore[misc]
                sealed_size=file.sealed_size, key=key, aad=f"{version.id}/{file.bucket}/{file.tier}".encode(),
            )  # fmt: skip
            found[file.bucket, file.tier] = pq.read_table(BytesIO(reader.read(0, reader.size)))
        return found

    def rows(self, name: str = "city.visits") -> list[dict[str, Any]]:
        """Every stored row, by bucket, then by (pseudonym, ordinal)."""
        rows = [row for table in self.files(name).values() for row in table.to_pylist()]
        return sorted(rows, key=lambda r: (r["pseudonym"], r["ordinal"])) if rows and "pseudonym" in rows[0] else rows

    def objects(self) -> list[str]:
        """Keys of all objects."""
        return list(self.parts.objects.list("v1/"))

    def logged(self) -> list[tuple[str, Mapping[str, Any]]]:
        """(type, details) of every event, oldest first."""
        from sandbox.audit.event import decode

        with self.parts.sessions.reading() as session:
            events = [decode(row.body) for row in session.query(t.EventRow).order_by(t.EventRow.id)]
        return [(e.type, e.details) for e in events]


def make_workshop(folder: Path, population: str | None = POPULATION, **changed: Any) -> Workshop:
    """A fresh workshop; `changed` are fields of `Parts`."""
    for name in ("objects", "sources"):
        (folder / name).mkdir(parents=True)
    fresh = not (folder / "db").exists()
    workshop = open_workshop(folder, root_key=RootKey.create(folder / "root.key"), **changed)
    if fresh:
        t.Row.metadata.create_all(workshop.parts.sessions.writer)
        with workshop.parts.sessions.begin() as session:
            session.add(t.Tenant(id=STEWARD.tenant, name="bureau", kind="owner", created_at=workshop.parts.clock.text()))
    if population is not None:
        with workshop.parts.sessions.begin() as session:
            declared = parse_population(population, "p.yaml")
            registry.add_population(
                session, workshop.parts.clock, STEWARD, declared, root_key=workshop.parts.root_key
            )
    return workshop


def open_workshop(folder: Path, **changed: Any) -> Workshop:
    """The workshop that lies in a folder."""
    fields: dict[str, Any] = {
        "sessions": Sessions(folder / "db"),
        "clock": Clock(),
        "objects": LocalObjects(folder / "objects"),
        "connectors": {"csv": CsvConnector(), "parquet": ParquetConnector()},
        "source_dirs": (folder / "sources",),
        "work_dir": folder / "work",
        "worker_id": "wrk_test",
        "threads": 2,
    }
    if "root_key" not in changed:
        fields["root_key"] = RootKey.load(folder / "root.key")
    return Workshop(folder=folder, parts=Parts(**{**fields, **changed}))
