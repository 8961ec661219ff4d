"""Populations, datasets, versions and ingests: what is written is read as it was, in pages, by whoever looks."""

from __future__ import annotations

import dataclasses

import pytest
from sqlalchemy.orm import Session

from sandbox.catalog import DatasetSpec, Version
from sandbox.errors import Conflict, Denied, IntegrityFailed, NotFound
from sandbox.ingest.lifecycle import INGEST
from sandbox.ingest.manifest import parse_manifest, parse_population
from sandbox.store import committee, datasets, dump, ingests, removals, versions
from sandbox.store import tables as t
from tests.unit.store.home import Home
from tests.workshop import POPULATION, manifest

SPEC = parse_manifest(manifest("age: {type: integer, bounds: [0, 120], %}"), "m.yaml")
PEOPLE = parse_population(POPULATION, "p.yaml")


def spec(name: str) -> DatasetSpec:
    return dataclasses.replace(SPEC, name=name)


def version(number: int, dataset: str = "ds_1") -> Version:
    return Version(
        id=f"ver_{number}", dataset_id=dataset, number=number, suite="intl", format=1, bits=2, tiers=(1, 2, 4),
        wrapped_key=bytes(range(40)), files=(),
    )  # fmt: skip


@pytest.fixture
def full(home: Home) -> Home:
    """A population with a dataset that has two versions, and three more datasets."""
    with home.sessions.begin() as session:
        datasets.add_population(
            session, home.clock, home.steward, id="pop_1", population=PEOPLE, suite="intl", wrapped_key=bytes(range(60))
        )
        for number, name in enumerate(["city.visits", "city.Ärzte", "city.ants", "city.Zoo"], 1):
            datasets.add_dataset(
                session, home.clock, home.steward, id=f"ds_{number}", tenant=home.bureau, spec=spec(name),
                population_id="pop_1" if number < 4 else None, bits=number,
            )  # fmt: skip
        add_version(home, session, 1)
        add_version(home, session, 2, kind="append")
    return home


def add_version(home: Home, session: Session, number: int, kind: str = "add") -> None:
    ingest = ingests.submit(
        session, home.clock, home.steward, machine=INGEST, spec=SPEC, manifest="m", sha256="ab" * 32, kind=kind
    )
    taken = ingests.take(
        session, home.clock, ingest, machine=INGEST, owner="w", version=f"ver_{number}", lease_seconds=60
    )
    row = datasets.add_version(
        session, home.clock, tenant=home.bureau, version=version(number), manifest_object=f"v1/ver_{number}/manifest",
        manifest_sha256="cd" * 32, kind=kind,
    )  # fmt: skip
    ingests.end(
        session, home.clock, taken, machine=INGEST, action="commit", details={}, records=(row,), report={"units": number}
    )


# --- populations and datasets -----------------------------------------------------------------------------------------


def test_a_population_is_what_was_registered(full: Home) -> None:
    with full.sessions.reading() as session:
        found = datasets.population(session, "people")
        assert (found.id, found.tenant, found.spec, found.wrapped_key) == ("pop_1", full.bureau, PEOPLE, bytes(range(60)))
        assert datasets.population_by_id(session, "pop_1") == found
        assert datasets.populations(session, after="orphans", limit=1) == [found]
        for call in (datasets.population, datasets.population_by_id):
            with pytest.raises(NotFound):
                call(session, "none")


def test_datasets_are_in_order_of_their_names_bytes(full: Home) -> None:
    names = ["city.Zoo", "city.ants", "city.visits", "city.Ärzte"]
    with full.sessions.reading() as session:
        assert [n for n in committee.dataset_names(session) if n.startswith("city.")] == names
        paged: list[str] = []
        # The home's own datasets have no whole manifest, and sort behind.
        while len(paged) < 4:
            paged += [d.spec.name for d in datasets.datasets(session, paged[-1] if paged else "", 1)]
        assert paged == names


def test_a_dataset_is_found_by_its_name(full: Home) -> None:
    with full.sessions.reading() as session:
        found = datasets.dataset(session, "city.visits")
        assert (found.id, found.spec, found.bits, found.population, found.state) == ("ds_1", SPEC, 1, "pop_1", "active")
        assert datasets.find(session, "city.visits") == found
        assert datasets.find(session, "none") is None
        assert datasets.dataset_of(session.get_one(t.DatasetRow, "ds_1")) == found
        assert datasets.lineage(session, "city.visits") == ("ds_1", "pop_1")
        assert datasets.lineage(session, "city.Zoo") == ("ds_4", None)
        assert [datasets.is_public(session, n) for n in ("city.visits", "city.Zoo", "none")] == [False, True, False]
        assert datasets.state_of(session, "city.Zoo") == "active"
        assert datasets.state_of(session, "none") is None
        assert [datasets.dataset_exists(session, name) for name in ("city.Zoo", "none")] == [True, False]
        for call in (datasets.dataset, datasets.lineage):
            with pytest.raises(NotFound):
                call(session, "none")


# --- versions ---------------------------------------------------------------------------------------------------------


def test_a_version_is_what_was_committed(full: Home) -> None:
    with full.sessions.reading() as session:
        newest = datasets.newest_version(session, "ds_1")
        assert (newest.id, newest.number, newest.kind, newest.state) == ("ver_2", 2, "append", "open")
        assert newest.wrapped_key == bytes(range(40))
        assert datasets.version_by_id(session, "ver_2") == newest
        assert datasets.version_of(session.get_one(t.VersionRow, "ver_2")) == newest
        assert [datasets.next_number(session, dataset) for dataset in ("ds_1", "ds_2")] == [3, 1]
        many = [f"ver_{number}" for number in range(2000)]
        assert datasets.known_versions(session, many) == {"ver_1", "ver_2"}
        assert versions.destroyed_among(session, many) == set()
        for missing in (lambda: datasets.newest_version(session, "ds_2"), lambda: datasets.version_by_id(session, "x")):
            with pytest.raises(NotFound):
                missing()


def test_a_number_is_given_once(full: Home) -> None:
    with pytest.raises(IntegrityFailed) as caught, full.sessions.begin() as session:
        datasets.add_version(
            session, full.clock, tenant=full.bureau, version=dataclasses.replace(version(2), id="ver_other"),
            manifest_object="m", manifest_sha256="",
        )  # fmt: skip
    assert caught.value.code == "database_refused"


def test_versions_are_asked_listed_and_withdrawn(full: Home) -> None:
    with full.sessions.begin() as session:
        assert versions.asked(session, "ds_1", 1).id == "ver_1"
        assert [v.number for v in versions.listed(session, "ds_1")] == [1, 2]
        versions.require_open(session, "ver_2")
        versions.withdraw(session, full.clock, full.steward, "ver_2")
        newest = versions.newest_open(session, "ds_1")
        assert newest is not None
        assert newest.id == versions.asked(session, "ds_1", None).id == "ver_1"
        for refused in (lambda: versions.asked(session, "ds_1", 2), lambda: versions.require_open(session, "ver_2")):
            with pytest.raises(Conflict) as caught:
                refused()
            assert caught.value.code == "version_withdrawn"
    assert len(full.events("version.withdraw")) == 1


def test_an_update_is_accepted_after_the_version_it_began_with(full: Home) -> None:
    wider = dataclasses.replace(SPEC, title=dataclasses.replace(SPEC.title, en="Wider"))
    with full.sessions.begin() as session:
        row = versions.accept(session, "ds_1", wider, after="ver_2")
        assert row.id == "ds_1"
    with full.sessions.begin() as session:
        assert datasets.dataset(session, "city.visits").spec == wider
        with pytest.raises(Conflict) as caught:
            versions.accept(session, "ds_1", wider, after="ver_1")
        assert caught.value.code == "version_moved"


def test_a_dataset_is_retired_and_destroyed(full: Home) -> None:
    confirmer = full.members[0]
    with full.sessions.begin() as session:
        versions.require_active("city.visits", versions.hold_dataset(session, "ds_1").state)
        retired = removals.retire(session, full.clock, full.steward, dataset="ds_1", reason="old 🚲")
        first = removals.propose(session, full.clock, full.steward, dataset="ds_1", reason="x")
        with pytest.raises(Conflict):
            removals.propose(session, full.clock, full.steward, dataset="ds_1", reason="x")
        removals.decline(session, full.clock, confirmer, first.id)
        second = removals.propose(session, full.clock, full.steward, dataset="ds_1", reason="x")
        removals.confirm(session, full.clock, confirmer, second.id)
        with pytest.raises(Denied):
            versions.require_active("city.visits", versions.hold_dataset(session, "ds_1").state)
    with full.sessions.begin() as session:
        assert [(d.number, d.tiers) for d in removals.doomed(session, "ds_1")] == [(1, 3), (2, 3)]
        assert versions.destroyed_among(session, ["ver_1", "ver_2", "x"]) == {"ver_1", "ver_2"}
        assert dump.stored_versions(session) == []
        assert [versions.is_destroyed(session, version) for version in ("ver_1", "ver_none")] == [True, False]
        remembered, declared = versions.remembered(session, datasets.version_by_id(session, "ver_1"))
        assert (remembered, declared.id, declared.wrapped_key) == (SPEC, "ver_1", b"")
        done = removals.finish(session, full.clock, second.id, certificate="note\n", sha256="ab" * 32, objects=3)
        assert removals.get(session, done.id) == done
        assert [r.id for r in removals.listed(session, dataset="ds_1")] == [retired.id, first.id, second.id]
        assert [r.id for r in removals.listed(session, state=done.state, after=first.id)] == [second.id]
        assert {bytes(row.wrapped_key) for row in session.query(t.VersionRow)} == {b""}


def test_moves_of_a_dataset_and_of_its_versions(full: Home) -> None:
    with full.sessions.begin() as session:
        assert versions.move_dataset(session, "ds_1", "destroy").state == "destroying"
        assert [row.state for row in versions.shred(session, "ds_1")] == ["destroyed"] * 2
        with pytest.raises(Conflict):
            versions.move_dataset(session, "ds_1", "retire")


# --- ingests ----------------------------------------------------------------------------------------------------------


def test_an_ingest_from_queue_to_end(home: Home) -> None:
    with home.sessions.begin() as session:
        first = ingests.submit(
            session, home.clock, home.steward, machine=INGEST, spec=SPEC, manifest="dataset: 城市 🚲", sha256="ab" * 32
        )
    with home.sessions.reading() as session:
        assert ingests.due(session, home.clock.text()) == ingests.get(session, first.id) == first
        assert ingests.of_tenant(session, home.bureau) == ingests.of_tenant(session, None) == [first]
        assert ingests.of_tenant(session, home.company) == ingests.of_tenant(session, None, first.id) == []
        assert ingests.living_versions(session, home.clock.text()) == set()
    with home.sessions.begin() as session:
        taken = ingests.take(session, home.clock, first, machine=INGEST, owner="w", version="ver_1", lease_seconds=60)
        progress = {"phase": "sort", "rows": 2**53, "share": 0.5}
        ingests.renew(session, home.clock, taken, lease_seconds=60, progress=progress)
        with pytest.raises(Conflict) as caught:
            ingests.renew(session, home.clock, first, lease_seconds=60, progress={})
        assert caught.value.code == "lease_lost"
    with home.sessions.begin() as session:
        assert ingests.get(session, first.id).progress == progress
        assert ingests.living_versions(session, home.clock.text()) == {"ver_1"}
        assert ingests.due(session, home.clock.text()) is None
        home.minutes(2)
        late = ingests.due(session, home.clock.text())
        assert late is not None
        again = ingests.take(session, home.clock, late, machine=INGEST, owner="v", version="ver_2", lease_seconds=60)
        assert (again.attempt, again.version, again.progress) == (2, "ver_2", {})
        ingests.end(
            session, home.clock, again, machine=INGEST, action="fail", details={"attempt": 2},
            error={"code": "x", "params": {"cell": "ü"}, "position": None},
        )  # fmt: skip
        ended = ingests.get(session, first.id)
        assert (ended.state, ended.lease_owner, ended.report, ended.error) == (
            "failed", None, None, {"code": "x", "params": {"cell": "ü"}, "position": None},
        )  # fmt: skip
        assert ingests.units_of(session, "people", home.bureau) == 0
    with home.sessions.reading() as session, pytest.raises(NotFound):
        ingests.get(session, "ing_none")


def test_units_are_counted_of_one_owner_and_population(full: Home) -> None:
    with full.sessions.begin() as session:
        assert ingests.units_of(session, "people", full.bureau) == 1 + 2
        assert ingests.units_of(session, "people", full.company) == ingests.units_of(session, "x", full.bureau) == 0
