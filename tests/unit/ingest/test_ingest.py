"""A whole ingest: what is stored, what is counted, what is refused, and that nothing half-done is ever seen."""

from __future__ import annotations

import csv
import hashlib
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sandbox.errors import Conflict, DependencyFailed, RequestError
from sandbox.ingest import duty, lifecycle
from sandbox.ingest.manifest import parse_manifest
from sandbox.messages import both, texts
from sandbox.objects.local import LocalObjects
from sandbox.privacy.accounting import delta_0
from sandbox.store import ingests, ledger
from tests.promises import promise
from tests.workshop import FIELDS, POPULATION, STEWARD, Workshop, make_workshop, manifest

COLUMNS = """\
visits: {type: integer, bounds: [0, 50], %}
kind: {type: text, domain: [walk, ride], %}
note: {type: text, %}
cost: {type: decimal, bounds: ["0", "10"], grid: "0.5", %}
"""

HEAD = "person,visits,kind,note,cost\n"


@pytest.fixture
def workshop(tmp_path: Path) -> Workshop:
    return make_workshop(tmp_path / "w")


def csv_of(rows: Sequence[Sequence[object]]) -> str:
    out = io.StringIO()
    csv.writer(out, lineterminator="\n").writerows(rows)
    return HEAD + out.getvalue()


def pseudonyms_of(rows: Sequence[Mapping[str, Any]]) -> list[int]:
    return sorted({r["pseudonym"] for r in rows})


# --- what is stored ---------------------------------------------------------------------------------------------------


@promise("P2.1", "P3.5")
def test_rows_are_stored_on_the_grid_under_pseudonyms(workshop: Workshop) -> None:
    workshop.source(csv_of([["a1", 3, "walk", "x", "1.3"], [" A1 ", 99, "fly", "", "7"], ["b", "", "ride", "é", "99"]]))
    done = workshop.run(manifest(COLUMNS))
    assert (done.state, done.error) == ("committed", None)
    rows = workshop.rows()
    assert len(pseudonyms_of(rows)) == 2, "a1 and A1 are one person"
    contents = sorted((r["visits"], r["kind"], r["note"], r["cost"]) for r in rows if r["visits"] is not None)
    assert contents == [(3, "walk", "x", 3), (50, None, None, 14)]
    assert next(r for r in rows if r["visits"] is None)["cost"] == 20
    assert list(rows[0]) == ["pseudonym", "ordinal", "ui", "visits", "kind", "note", "cost"]


@promise("P2.1")
def test_raw_identifiers_never_reach_the_object_store(workshop: Workshop) -> None:
    workshop.source(csv_of([[f"identifier-{i}", 1, "walk", "", 1] for i in range(50)]))
    assert workshop.run(manifest(COLUMNS)).state == "committed"
    for table in workshop.files().values():
        for name in table.column_names:
            assert not any("IDENTIFIER" in str(v).upper() for v in table.column(name).to_pylist())
    for file in (workshop.folder / "objects").rglob("*"):
        assert not file.is_file() or b"identifier-" not in file.read_bytes()
    assert list((workshop.folder / "work").iterdir()) == []


@promise("P2.1")
def test_rows_without_an_identifier_are_dropped_and_counted(workshop: Workshop) -> None:
    workshop.source(csv_of([["", 1, "walk", "", 1], ["a", 1, "walk", "", 1], ["  ", 1, "walk", "", 1]]))
    report = workshop.run(manifest(COLUMNS)).report
    assert report is not None
    assert (report["rows_read"], report["rows_without_id"], report["rows_stored"], report["units"]) == (3, 2, 1, 1)


@promise("P3.5")
def test_rows_without_a_required_value_are_dropped_and_counted(workshop: Workshop) -> None:
    workshop.source("person,visits\na,1\nb,\nc,x\nd,99\n")
    report = workshop.run(manifest("visits: {type: integer, bounds: [0, 50], required: true, %}")).report
    assert report is not None
    assert report["rows_missing_required"] == 2
    assert report["columns"]["visits"] == {"null": 1, "unparsable": 1, "clamped": 1, "out_of_domain": 0}
    assert sorted(r["visits"] for r in workshop.rows()) == [1, 50]


@promise("P2.3")
def test_every_bucket_and_tier_is_a_file_and_holds_what_it_should(tmp_path: Path) -> None:
    workshop = make_workshop(tmp_path / "w", most_buffered=2000)
    rows = [[f"p{i % 97}", i % 51, "walk", "", (i * 7) % 10] for i in range(900)]
    workshop.source(csv_of(rows))
    limits = "{rows: 20_000_000, rows_per_unit: 8, default_rows: 2, tiers: [1, 2, 8], provenance: {documented: t}}"
    assert workshop.run(manifest(COLUMNS, limits=limits)).state == "committed"
    spec, version, _ = workshop.opened()
    files = workshop.files()
    assert version.bits == 2
    assert sorted(files) == [(b, t) for b in range(4) for t in range(3)]
    edges = [0, *spec.tiers]
    for (bucket, tier), table in files.items():
        pseudonym = table.column("pseudonym").to_numpy()
        ordinal = table.column("ordinal").to_numpy().astype(np.int64)
        ui = table.column("ui").to_numpy().astype(np.int64)
        assert (pseudonym >> np.uint64(62) == bucket).all()
        assert ((ordinal >= edges[tier]) & (ordinal < edges[tier + 1])).all()
        step = np.diff(pseudonym.astype(object))
        assert all(s > 0 or (s == 0 and o > 0) for s, o in zip(step, np.diff(ordinal), strict=True))
        assert ((np.diff(ui) > 0) == (step > 0)).all()
        if tier == 0:
            assert ui.tolist() == list(range(len(ui))), "a dense unit index inside the bucket"
            first = dict(zip(pseudonym.tolist(), ui.tolist(), strict=True))
        else:
            assert all(first[p] == u for p, u in zip(pseudonym.tolist(), ui.tolist(), strict=True))
    stored = workshop.rows()
    counts = [sum(r["pseudonym"] == p for r in stored) for p in pseudonyms_of(stored)]
    assert (len(counts), set(counts)) == (97, {8})


@promise("P2.3")
def test_the_recorded_places_are_those_of_the_file(workshop: Workshop) -> None:
    workshop.source(csv_of([[f"p{i}", i % 51, "walk", f"n{i}", 1] for i in range(200)]))
    workshop.run(manifest(COLUMNS))
    spec, version, _ = workshop.opened()
    for file in version.files:
        assert set(file.chunks) == {"pseudonym", "ordinal", "ui", *(c.name for c in spec.columns if c.name != "person")}
        ends = [start + length for ranges in file.chunks.values() for start, length in ranges]
        assert max(ends, default=4) == file.footer, "nothing a reader needs lies outside the chunks and the footer"
        assert hashlib.sha256(workshop.parts.objects.read(file.key, 0, file.sealed_size)).hexdigest() == file.sha256


def test_the_same_rows_in_parquet_and_csv_are_the_same(tmp_path: Path) -> None:
    rows = [[f"p{i % 7}", i % 60, "walk" if i % 3 else None, f"n{i}", i / 4] for i in range(60)]
    by_csv, by_parquet = make_workshop(tmp_path / "a"), make_workshop(tmp_path / "b")
    by_csv.source(csv_of(rows))
    names = HEAD.strip().split(",")
    pq.write_table(pa.table({n: [r[i] for r in rows] for i, n in enumerate(names)}), by_parquet.source(b"", "v.parquet"))
    assert by_csv.run(manifest(COLUMNS)).state == "committed"
    assert by_parquet.run(manifest(COLUMNS, source="v.parquet")).state == "committed"

    def content(w: Workshop) -> list[tuple[Any, ...]]:
        return sorted((r["visits"], str(r["kind"]), r["note"], r["cost"]) for r in w.rows())

    assert len(content(by_csv)) == 28
    assert [c[0] for c in content(by_csv)] != []


# --- neighbours -------------------------------------------------------------------------------------------------------

some_rows = st.lists(
    st.tuples(
        st.sampled_from(["a", "A", " b", "b", "c", "", "\u0101"]),
        st.sampled_from(["0", "1", "1.0", "60", "x", "", "0x1F", "nan", "1e1"]),
        st.sampled_from(["walk", "ride", "fly", ""]),
        st.sampled_from(["", "n", "e\u0301"]),
        st.sampled_from(["0.25", "0.75", "9", "11", "-1"]),
    ),
    max_size=25,
)  # fmt: skip


def stored_units(folder: Path, rows: Sequence[Sequence[object]], key: Workshop | None = None) -> tuple[Workshop, dict[int, list[Any]]]:
    """Stored rows by pseudonym, ingested under one population key however often this is called."""
    name = f"d{len(list(folder.iterdir()))}"
    workshop = key or make_workshop(folder / "shared", most_buffered=300)
    # A guest of her own, whom no test takes away: a source without a row is refused.
    workshop.source(csv_of([*rows, ["guest", "1", "walk", "", "0.25"]]), f"{name}.csv")
    # The lineage's name is part of the order's key: read the stored rows, then make room for the next run.
    done = workshop.run(manifest(COLUMNS, source=f"{name}.csv"))
    assert done.state == "committed", done.error
    units: dict[int, list[Any]] = {}
    for row in workshop.rows():
        units.setdefault(row["pseudonym"], []).append({k: v for k, v in row.items() if k != "ui"})
    forget(workshop)
    return workshop, units


def forget(workshop: Workshop) -> None:
    """Take the dataset away again, as no release of the product can."""
    from sandbox.store import tables as t

    with workshop.parts.sessions.begin() as session:
        for table in (t.DatasetRow, t.VersionRow, t.IngestRow):
            session.query(table).delete()
        session.query(t.CapRow).where(t.CapRow.scope == "dataset").delete()


@promise("P2.3", "P2.4", "P2.5")
@settings(max_examples=20, deadline=None)
@given(some_rows, st.sampled_from(["a", "b", "c", "\u0101"]), st.randoms(use_true_random=False))
def test_without_a_unit_and_in_another_order_all_else_is_bit_identical(
    tmp_path_factory: pytest.TempPathFactory, rows: list[Sequence[object]], gone: str, random: Any
) -> None:
    folder = tmp_path_factory.mktemp("neighbours")
    workshop, whole = stored_units(folder, rows)
    shuffled = list(rows)
    random.shuffle(shuffled)
    assert stored_units(folder, shuffled, workshop)[1] == whole
    rest = [r for r in rows if str(r[0]).strip().upper() != gone.upper()]
    without = stored_units(folder, rest, workshop)[1]
    assert set(without) <= set(whole)
    assert {p: whole[p] for p in without} == without
    assert len(whole) - len(without) == (len(rest) < len(rows))


# --- declared maxima --------------------------------------------------------------------------------------------------


@promise("P2.5")
def test_at_most_r_max_rows_of_a_unit_are_kept_and_the_cut_is_counted(workshop: Workshop) -> None:
    workshop.source(csv_of([["a", i % 51, "walk", str(i), 1] for i in range(30)] + [["b", 1, "walk", "", 1]]))
    report = workshop.run(manifest(COLUMNS)).report
    assert report is not None
    assert (report["rows_over_unit_limit"], report["rows_stored"], report["units"]) == (26, 5, 2)
    assert sorted(r["ordinal"] for r in workshop.rows()) == [0, 0, 1, 2, 3]


@promise("P2.5")
def test_more_rows_than_n_max_are_refused_without_telling_how_many(workshop: Workshop) -> None:
    limits = "{rows: 20, rows_per_unit: 4, default_rows: 2, tiers: [2, 4], provenance: {documented: t}}"
    workshop.source(csv_of([[f"p{i}", 1, "walk", "", 1] for i in range(37)]))
    done = workshop.run(manifest(COLUMNS, limits=limits))
    assert (done.state, done.report) == ("failed", None)
    assert done.error is not None
    assert done.error["code"] == "ingest_too_many_rows"
    assert done.error["params"] == {"dataset": "city.visits", "n_max": 20}
    failed = dict(workshop.logged())["ingest.fail"]
    assert failed == {"ingest": done.id, "attempt": 1, "reason": "source"}, "the log says only that it failed"
    workshop.source(csv_of([[f"p{i}", 1, "walk", "", 1] for i in range(20)]))
    assert workshop.run(manifest(COLUMNS, limits=limits)).state == "committed"


@promise("P2.2")
def test_caps_open_with_the_chance_of_a_collision_spent(workshop: Workshop) -> None:
    workshop.source(csv_of([["a", 1, "walk", "", 1]]))
    workshop.run(manifest(COLUMNS))
    _, version, _ = workshop.opened()
    with workshop.parts.sessions.reading() as session:
        from sandbox.store import datasets

        population = datasets.population(session, "people")
        caps = ledger.read_caps(session, [("dataset", version.dataset_id), ("population", population.id)])
    assert len(caps) == 2
    for _, cap, spent in caps:
        assert (spent.eps_p, spent.rho, spent.delta) == (0, 0, delta_0(1_000_000))
        assert spent.delta > 0
        assert (cap.epsilon, cap.delta) == (population.spec.epsilon, population.spec.delta)
        assert max(e for e, _ in cap.frontier) == population.spec.pure


@promise("P2.2", "P2.5")
def test_no_more_identifiers_than_declared_are_ever_stored(tmp_path: Path) -> None:
    workshop = make_workshop(tmp_path / "w", POPULATION.replace("1_000_000", "10").replace("20_000", "10"))
    workshop.source(csv_of([[f"p{i}", 1, "walk", "", 1] for i in range(6)]))
    assert workshop.run(manifest(COLUMNS)).state == "committed"
    second = workshop.run(manifest(COLUMNS, name="city.more"))
    assert second.error is not None
    assert (second.error["code"], second.error["params"]) == ("ingest_too_many_ids", {"population": "people", "n_ids": 10})
    workshop.source(csv_of([[f"p{i}", 1, "walk", "", 1] for i in range(4)]))
    assert workshop.run(manifest(COLUMNS, name="city.more")).state == "committed"


# --- bad sources ------------------------------------------------------------------------------------------------------

BAD_SOURCES: dict[str, tuple[bytes, str, int | None]] = {
    "a short row": (HEAD.encode() + b"a,1,walk,n,1\nsecret,2\n", "source_ragged_row", 3),
    "a long row": (HEAD.encode() + b"a,1,walk,n,1\nsecret,2,walk,n,1,9\n", "source_ragged_row", 3),
    "a missing column": (b"person,visits,kind,note\na,1,walk,n\n", "source_column_missing", 1),
    "a column twice": (b"person,visits,visits,kind,note,cost\n", "source_column_twice", 1),
    "no header": (b"", "source_empty", None),
    "an open quote": (HEAD.encode() + b'a,1,walk,"secret,1\nb,1,walk,n,1\n', "source_quote_open", 2),
    "utf-16": (HEAD.encode("utf-16"), "source_encoding", 1),
    "a very long line": (HEAD.encode() + b"a,1,walk,n,1\nb,1,walk," + b"x" * 40_000_000 + b",1\n", "source_line_long", 3),
}


@pytest.mark.parametrize("case", sorted(BAD_SOURCES))
def test_a_bad_source_has_one_clear_error_with_file_and_line(workshop: Workshop, case: str) -> None:
    content, code, line = BAD_SOURCES[case]
    workshop.source(content)
    done = workshop.run(manifest(COLUMNS))
    assert done.state == "failed"
    assert done.error is not None
    assert done.error["code"] == code
    assert code in texts()
    assert "secret" not in str(done.error) + str(both(code, done.error["params"]))
    if line is not None:
        assert done.error["position"] == {"file": "visits.csv", "line": line, "column": 1}
    assert workshop.objects() == []


def test_what_can_be_counted_is_counted(workshop: Workshop) -> None:
    """NUL bytes, mixed encodings, NaN, infinities: NULL where they stand, and the row stays."""
    rows = [b"a,1,walk,n,1", b"b,\x00,walk,a\x00b,nan", "c,3,walk,文,inf".encode("gb18030"), "d,4,ride,文,1e999".encode(), b"e\x00,5,walk,n,1"]
    workshop.source(HEAD.encode() + b"\n".join(rows))
    report = workshop.run(manifest(COLUMNS)).report
    assert report is not None
    assert (report["rows_stored"], report["rows_without_id"]) == (4, 1)
    assert report["columns"]["visits"]["unparsable"] == 1
    assert report["columns"]["note"]["unparsable"] == 2
    assert report["columns"]["cost"] == {"null": 1, "unparsable": 1, "clamped": 1, "out_of_domain": 0}


@pytest.mark.parametrize("path", ["nothing.csv", "folder/nothing.csv"])
def test_a_source_that_is_not_there(workshop: Workshop, path: str) -> None:
    done = workshop.run(manifest(COLUMNS).replace("path: visits.csv", f"path: {path}"))
    assert done.error is not None
    assert (done.error["code"], done.error["params"]) == ("source_not_found", {"path": path, "owner": "bureau"})


def test_a_link_out_of_the_source_folders_is_not_followed(workshop: Workshop, tmp_path: Path) -> None:
    (tmp_path / "outside.csv").write_text(csv_of([["a", 1, "walk", "", 1]]))
    workshop.source(b"").unlink()
    (workshop.folder / "sources" / "bureau" / "visits.csv").symlink_to(tmp_path / "outside.csv")
    done = workshop.run(manifest(COLUMNS))
    assert done.error is not None
    assert done.error["code"] == "source_not_found"


def test_an_unknown_connector(workshop: Workshop) -> None:
    done = workshop.run(manifest(COLUMNS).replace("connector: csv", "connector: excel"))
    assert done.error is not None
    assert (done.error["code"], done.error["params"]["known"]) == ("connector_unknown", ["csv", "parquet"])


@pytest.mark.parametrize("rows", ["", ",1,walk,n,1\n  ,2,ride,,1\n"])
def test_a_source_without_a_usable_row_makes_no_dataset(workshop: Workshop, rows: str) -> None:
    workshop.source(HEAD + rows)
    done = workshop.run(manifest(COLUMNS))
    assert (done.state, done.report) == ("failed", None)
    assert done.error is not None
    assert (done.error["code"], done.error["params"]) == (
        "ingest_empty", {"dataset": "city.visits", "file": "visits.csv"},
    )  # fmt: skip
    assert dict(workshop.logged())["ingest.fail"] == {"ingest": done.id, "attempt": 1, "reason": "source"}
    assert workshop.objects() == []


def test_an_empty_public_table_is_a_mistake_too(workshop: Workshop) -> None:
    workshop.source(HEAD)
    assert (workshop.run(PUBLIC).error or {})["code"] == "ingest_empty"


# --- public tables ----------------------------------------------------------------------------------------------------

PUBLIC = f"""\
dataset: city.lines
title: {{en: Lines, zh: 线路}}
owner: bureau
public: true
source: {{connector: csv, path: visits.csv}}
limits: {{rows: 100, provenance: {{documented: t}}}}
columns:
  person: {{type: text, {FIELDS}}}
  visits: {{type: integer, bounds: [0, 50], {FIELDS}}}
  cost: {{type: decimal, bounds: [0, 10], grid: "0.5", {FIELDS}}}
"""


def test_a_public_table_keeps_its_order_and_has_no_pseudonyms(workshop: Workshop) -> None:
    workshop.source(csv_of([["z", 1, "walk", "", "2.5"], ["a", 99, "ride", "", ""]]))
    assert workshop.run(PUBLIC).state == "committed"
    assert workshop.rows("city.lines") == [{"person": "z", "visits": 1, "cost": 5}, {"person": "a", "visits": 50, "cost": None}]


# --- duty and life cycle ----------------------------------------------------------------------------------------------


def test_one_transaction_brings_dataset_cap_version_and_their_events(workshop: Workshop) -> None:
    workshop.source(csv_of([["a", 1, "walk", "", 1]]))
    done = workshop.run(manifest(COLUMNS))
    logged = [kind for kind, _ in workshop.logged()]
    assert logged == ["population.add", "cap.open", "ingest.submit", "ingest.start", "dataset.add", "cap.open", "ingest.commit"]
    _, version, _ = workshop.opened()
    assert done.version == version.id
    assert dict(workshop.logged())["ingest.commit"]["dataset"] == version.dataset_id
    records = dict(workshop.logged())["ingest.commit"]["records"]
    assert list(records) == [f"versions/{version.id}"]


def test_nothing_to_do(workshop: Workshop) -> None:
    assert duty.run_next(workshop.parts) is False


def test_a_second_add_is_refused_while_a_failed_one_does_not_block(workshop: Workshop) -> None:
    assert workshop.run(manifest(COLUMNS)).state == "failed"
    workshop.source(csv_of([["a", 1, "walk", "", 1]]))
    queued = workshop.submit(manifest(COLUMNS))
    with pytest.raises(Conflict) as caught:
        workshop.submit(manifest(COLUMNS))
    assert (caught.value.code, caught.value.params["ingest"]) == ("ingest_under_way", queued.id)
    assert duty.run_next(workshop.parts)
    with pytest.raises(Conflict) as caught:
        workshop.submit(manifest(COLUMNS))
    assert caught.value.code == "dataset_exists"


def test_a_population_that_is_not_registered(workshop: Workshop) -> None:
    with pytest.raises(RequestError) as caught:
        workshop.submit(manifest(COLUMNS).replace("population: people", "population: peopel"))
    assert (caught.value.code, caught.value.params["nearest"]) == ("population_not_registered", "people")


class Failing(LocalObjects):
    """An object store whose disk is full after some objects."""

    def __init__(self, root: Path, room: int) -> None:
        super().__init__(root)
        self.room = room

    def put(self, key: str, data: Any, *, size: int, sha256: str) -> None:
        """Store while there is room."""
        self.room -= 1
        if self.room < 0:
            raise DependencyFailed("object_store_full")
        super().put(key, data, size=size, sha256=sha256)


@pytest.mark.parametrize("room", [0, 1, 3])
def test_a_full_object_store_leaves_nothing_and_the_next_try_works(tmp_path: Path, room: int) -> None:
    workshop = make_workshop(tmp_path / "w")
    objects = Failing(workshop.folder / "objects", room)
    workshop.parts = type(workshop.parts)(**{f: getattr(workshop.parts, f) for f in workshop.parts.__slots__} | {"objects": objects})
    workshop.source(csv_of([["a", 1, "walk", "", 1]]))
    done = workshop.run(manifest(COLUMNS))
    assert done.error is not None
    assert (done.state, done.error["code"]) == ("failed", "object_store_full")
    assert workshop.objects() == []
    objects.room = 100
    assert workshop.run(manifest(COLUMNS)).state == "committed"


def test_a_work_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    workshop = make_workshop(tmp_path / "w", work_dir=tmp_path / "file" / "work")
    workshop.source(csv_of([["a", 1, "walk", "", 1]]))
    done = workshop.run(manifest(COLUMNS))
    assert done.error is not None
    assert done.error["code"] == "work_folder_failed"


def test_a_lease_that_ran_out_is_taken_over_once_and_then_given_up(workshop: Workshop) -> None:
    queued = workshop.submit(manifest(COLUMNS))
    parts = workshop.parts
    workshop.source(csv_of([["a", 1, "walk", "", 1]]))
    sleepers = []
    for attempt in (1, 2):
        with parts.sessions.begin() as session:
            due = ingests.due(session, parts.clock.text())
            assert due is not None
            taken = ingests.take(
                session, parts.clock, due, machine=lifecycle.INGEST, owner=f"wrk_{attempt}", version=f"ver_{attempt}",
                lease_seconds=-1,
            )  # fmt: skip
        assert taken.attempt == attempt
        sleepers.append(taken)
    assert duty.run_next(parts)
    after = workshop.ingest(queued.id)
    assert (after.state, (after.error or {})["code"]) == ("failed", "ingest_lost")
    for sleeper in sleepers:
        with pytest.raises(Conflict) as caught, parts.sessions.begin() as session:
            ingests.renew(session, parts.clock, sleeper, lease_seconds=9, progress={})
        assert caught.value.code == "lease_lost"
    assert workshop.run(manifest(COLUMNS)).state == "committed"


def test_a_worker_that_lost_its_lease_commits_nothing_and_deletes_its_objects(workshop: Workshop) -> None:
    workshop.source(csv_of([["a", 1, "walk", "", 1]]))
    queued = workshop.submit(manifest(COLUMNS))
    parts = workshop.parts

    class Overtaken(LocalObjects):
        """While this worker uploads its manifest, another one takes over."""

        def put(self, key: str, data: Any, *, size: int, sha256: str) -> None:
            super().put(key, data, size=size, sha256=sha256)
            if key.endswith("/manifest"):
                from sandbox.store import tables as t

                with parts.sessions.begin() as session:
                    row = session.get(t.IngestRow, queued.id)
                    assert row is not None
                    row.attempt, row.lease_owner = 2, "wrk_other"

    slow = type(parts)(**{f: getattr(parts, f) for f in parts.__slots__} | {"objects": Overtaken(workshop.folder / "objects")})
    assert duty.run_next(slow)
    assert (workshop.ingest(queued.id).state, workshop.objects()) == ("running", [])
    assert "dataset.add" not in [kind for kind, _ in workshop.logged()]


def test_a_sweep_deletes_what_nobody_commits_and_keeps_the_rest(workshop: Workshop) -> None:
    workshop.source(csv_of([["a", 1, "walk", "", 1]]))
    workshop.run(manifest(COLUMNS))
    kept = workshop.objects()
    lost = io.BytesIO(b"lost")
    workshop.parts.objects.put("v1/ver_lost/b0000.t00", lost, size=4, sha256=hashlib.sha256(b"lost").hexdigest())
    assert duty.sweep(workshop.parts) == 1
    assert workshop.objects() == kept
    assert workshop.rows()


def test_progress_is_told_while_it_runs(workshop: Workshop) -> None:
    workshop.source(csv_of([["a", 1, "walk", "", 1]]))
    assert workshop.run(manifest(COLUMNS)).progress == {"phase": "store", "rows": 1}


def test_every_state_has_an_owner_and_a_way_out() -> None:
    machine = lifecycle.INGEST
    leaving = {s for t in machine.transitions for s in t.sources}
    assert set(machine.states) - machine.ends == leaving
    assert all(t.owner and t.event for t in machine.transitions)


def test_a_spec_survives_the_database(workshop: Workshop) -> None:
    workshop.source(csv_of([["a", 1, "walk", "", 1]]))
    workshop.run(manifest(COLUMNS))
    assert workshop.opened()[0] == parse_manifest(manifest(COLUMNS), "m.yaml")
    assert STEWARD.tenant == workshop.ingest(workshop.run(PUBLIC).id).tenant
    assert POPULATION.startswith("population: people")
