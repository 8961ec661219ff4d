"""Versions: what is read back is what was committed, or nothing is."""

from __future__ import annotations

import datetime as dt
from dataclasses import replace
from pathlib import Path

import pytest

from sandbox.catalog import plain
from sandbox.errors import Denied, IntegrityFailed
from sandbox.objects.versions import Versions, load_version, seal_manifest
from sandbox.store import datasets
from sandbox.store.datasets import StoredPopulation, StoredVersion
from tests.promises import promise
from tests.workshop import FIELDS, Workshop, make_workshop, manifest


@pytest.fixture
def workshop(tmp_path: Path) -> Workshop:
    made = make_workshop(tmp_path / "w")
    made.source("person,visits\na,1\nb,2\n")
    assert made.run(manifest("visits: {type: integer, bounds: [0, 50], %}") + "slots: [visits]\n").state == "committed"
    return made


def records(workshop: Workshop, name: str = "city.visits") -> tuple[StoredVersion, StoredPopulation | None]:
    with workshop.parts.sessions.reading() as session:
        dataset = datasets.dataset(session, name)
        population = datasets.population_by_id(session, dataset.population) if dataset.population else None
        return datasets.newest_version(session, dataset.id), population


def versions(workshop: Workshop) -> Versions:
    return Versions(workshop.parts.objects, workshop.parts.root_key, most=2)


def test_a_version_is_read_back_and_remembered(workshop: Workshop) -> None:
    record, population = records(workshop)
    opened = versions(workshop)
    spec, version = opened.open(record, population)
    assert (version.id, version.number, version.dataset_id) == (record.id, 1, record.dataset)
    assert spec.name == "city.visits"
    assert opened.open(record, population)[1] is version


@promise("P2.3")
def test_a_changed_manifest_is_refused(workshop: Workshop) -> None:
    record, population = records(workshop)
    path = workshop.folder / "objects" / record.manifest_object
    body = bytearray(path.read_bytes())
    body[40] ^= 1
    path.chmod(0o600)
    path.write_bytes(body)
    with pytest.raises(IntegrityFailed) as caught:
        versions(workshop).open(record, population)
    assert caught.value.code == "version_manifest_differs"
    path.unlink()
    with pytest.raises(IntegrityFailed) as caught:
        versions(workshop).open(record, population)
    assert caught.value.code == "object_missing"


def test_a_record_of_another_version_does_not_open_it(workshop: Workshop) -> None:
    record, population = records(workshop)
    opened = versions(workshop)
    with pytest.raises(IntegrityFailed):
        opened.open(replace(record, id="ver_other"), population)
    with pytest.raises(IntegrityFailed):
        opened.open(record, None)
    with pytest.raises(IntegrityFailed) as caught:
        load_version(workshop.parts.objects, replace(record, manifest_sha256="0" * 64), opened.key(record, population))
    assert caught.value.code == "version_manifest_differs"


@promise("P2.3")
def test_a_manifest_without_one_of_its_files_is_refused(workshop: Workshop) -> None:
    record, population = records(workshop)
    opened = versions(workshop)
    spec, version = opened.open(record, population)
    key = opened.key(record, population)
    for broken in (
        replace(version, files=version.files[1:]),
        replace(version, files=(*version.files, version.files[0])),
        replace(version, sidecars=()),
        replace(version, slots=()),
        replace(version, sidecars=version.sidecars * 2),
    ):
        sealed = seal_manifest(broken, spec, key)
        (workshop.folder / "objects" / "v1" / "again").write_bytes(sealed)
        from sandbox.crypto.suite import INTL

        changed = replace(record, manifest_object="v1/again", manifest_sha256=INTL.digest(sealed).hex())
        with pytest.raises(IntegrityFailed) as caught:
            load_version(workshop.parts.objects, changed, key)
        assert caught.value.code == "version_incomplete"
    strange = seal_manifest(replace(version, format=99), spec, key)
    (workshop.folder / "objects" / "v1" / "again").write_bytes(strange)
    with pytest.raises(IntegrityFailed) as caught:
        load_version(workshop.parts.objects, replace(record, manifest_object="v1/again", manifest_sha256=INTL.digest(strange).hex()), key)
    assert caught.value.code == "version_format_unknown"


PUBLIC = f"""\
dataset: city.lines
title: {{en: Lines, zh: 线路}}
owner: bureau
public: true
source: {{connector: csv, path: visits.csv}}
limits: {{rows: 100, provenance: {{documented: t}}}}
columns:
  name: {{type: text, {FIELDS}}}
  n: {{type: integer, bounds: [0, 50000], grid: 10, {FIELDS}}}
  cost: {{type: decimal, bounds: [-100, 100], grid: "0.01", {FIELDS}}}
  ok: {{type: boolean, {FIELDS}}}
  on: {{type: date, bounds: [2000-01-01, 2030-01-01], {FIELDS}}}
  at: {{type: timestamp, bounds: [2000-01-01, 2030-01-01], grid: 60, {FIELDS}}}
"""


def test_a_public_table_is_read_with_values_as_people_write_them(workshop: Workshop) -> None:
    workshop.source("name,n,cost,ok,on,at\nx,123,-1.25,true,2020-02-29,2020-01-01T00:01:00Z\n,,,,,\n")
    assert workshop.run(PUBLIC).state == "committed"
    record, population = records(workshop, "city.lines")
    assert population is None
    first, second = versions(workshop).table(record).to_pylist()
    at = dt.datetime(2020, 1, 1, 0, 1, tzinfo=dt.UTC)
    assert first == {"name": "x", "n": 120, "cost": -1.25, "ok": True, "on": dt.date(2020, 2, 29), "at": at}
    assert set(second.values()) == {None}


def test_a_protected_table_is_never_given_whole(workshop: Workshop) -> None:
    record, population = records(workshop)
    opened = versions(workshop)
    opened.open(record, population)  # remembered, so that the key is no obstacle
    with pytest.raises(Denied) as caught:
        opened.table(record)
    assert caught.value.code == "dataset_protected"


def test_the_root_key_is_in_no_stored_form(workshop: Workshop) -> None:
    record, population = records(workshop)
    spec, version = versions(workshop).open(record, population)
    assert workshop.parts.root_key.secret.hex() not in str(plain(version)) + str(plain(spec))
