"""Updates: an append is what a fresh ingest of everything would be, caps and buckets stay, versions stay readable."""

from __future__ import annotations

import itertools
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sandbox.catalog import bucket_bits
from sandbox.errors import Conflict, Denied, RequestError
from sandbox.ingest.lineage import WIDER
from sandbox.messages import both, texts
from sandbox.objects.local import LocalObjects
from sandbox.store import datasets, ledger, removals, versions
from tests.promises import promise
from tests.unit.ingest.test_ingest import COLUMNS, HEAD, PUBLIC, csv_of, forget, pseudonyms_of
from tests.workshop import FIELDS, POPULATION, STEWARD, Workshop, make_workshop, manifest

ROOMY = "{rows: %s, rows_per_unit: 100, default_rows: 2, tiers: [2, 5, 100], provenance: {documented: t}}"
NARROW = "{rows: %s, rows_per_unit: 2, default_rows: 2, tiers: [1, 2], provenance: {documented: t}}"
ROWS = {1: "1000", 4: "20_000_000"}
"""N_max by the number of buckets that it makes."""


@pytest.fixture
def workshop(tmp_path: Path) -> Workshop:
    return make_workshop(tmp_path / "w")


def stored(workshop: Workshop) -> list[dict[str, Any]]:
    """Every stored row but its unit index, which counts other units."""
    return [{k: v for k, v in row.items() if k != "ui"} for row in workshop.rows()]


def appended(workshop: Workshop, parts: Sequence[Sequence[Sequence[object]]], limits: str) -> list[dict[str, Any]]:
    """What is stored after an ingest of the first part and an append of each other one; then taken away again."""
    for number, part in enumerate(parts):
        workshop.source(csv_of(part), "v.csv")
        text = manifest(COLUMNS, limits=limits, source="v.csv")
        done = workshop.run(text) if number == 0 else workshop.update(text)
        assert (done.state, done.error) == ("committed", None)
    rows = stored(workshop)
    forget(workshop)
    return rows


# --- an append --------------------------------------------------------------------------------------------------------

WHO = [f"p{i}" for i in range(6)]
cells = st.tuples(
    st.sampled_from(["0", "1", "7", ""]), st.sampled_from(["walk", "ride", "fly", ""]), st.sampled_from(["", "n", "é"]),
    st.sampled_from(["0.25", "9", "11"]),
)  # fmt: skip
rows_of = st.lists(st.tuples(st.sampled_from(WHO), cells).map(lambda r: (r[0], *r[1])), min_size=1, max_size=14)


@promise("P2.3", "P2.4")
@pytest.mark.parametrize("buckets", [1, 4])
@settings(max_examples=12, deadline=None)
@given(parts=st.lists(rows_of, min_size=2, max_size=3))
def test_an_append_stores_what_a_fresh_ingest_of_all_rows_stores(buckets: int, parts: list[list[tuple[str, ...]]]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        workshop = make_workshop(Path(folder) / "w", most_buffered=300)
        limits = ROOMY % ROWS[buckets]
        whole = appended(workshop, [[row for part in parts for row in part]], limits)
        assert appended(workshop, parts, limits) == whole, "row for row, equal ones with their occurrences"


@promise("P2.4", "P2.5")
@settings(max_examples=10, deadline=None)
@given(shares=st.lists(st.lists(st.sampled_from(WHO), min_size=1, max_size=12), min_size=2, max_size=3))
def test_a_cut_before_an_append_changes_nothing_where_no_two_rows_are_equal(shares: list[list[str]]) -> None:
    number = itertools.count()
    parts = [[[who, (n := next(number)) % 50, "walk", f"row {n}", 1] for who in share] for share in shares]
    with tempfile.TemporaryDirectory() as folder:
        workshop = make_workshop(Path(folder) / "w")
        limits = NARROW % ROWS[1]
        whole = appended(workshop, [[row for part in parts for row in part]], limits)
        assert appended(workshop, parts, limits) == whole
        assert max(sum(r["pseudonym"] == p for r in whole) for p in pseudonyms_of(whole)) <= 2


@promise("P2.4")
@pytest.mark.parametrize("buckets", [1, 4])
@settings(max_examples=8, deadline=None)
@given(parts=st.lists(rows_of, min_size=2, max_size=2), gone=st.sampled_from(WHO))
def test_without_a_unit_no_other_units_rows_change_through_an_append(
    buckets: int, parts: list[list[tuple[str, ...]]], gone: str
) -> None:
    guest = [("guest", "1", "walk", "", "9")]  # a source without a row is refused
    with tempfile.TemporaryDirectory() as folder:
        workshop = make_workshop(Path(folder) / "w")
        limits = NARROW % ROWS[buckets]
        whole = appended(workshop, [[*part, *guest] for part in parts], limits)
        rest = appended(workshop, [[*(r for r in part if r[0] != gone), *guest] for part in parts], limits)
    left = set(pseudonyms_of(rest))
    assert [row for row in whole if row["pseudonym"] in left] == rest
    assert len(pseudonyms_of(whole)) - len(left) == any(row[0] == gone for part in parts for row in part)


@promise("P2.4")
def test_ordinals_do_not_begin_anew_with_an_append(workshop: Workshop) -> None:
    limits = NARROW % 1000
    for number in range(4):
        workshop.source(csv_of([["a", number, "walk", "", 1]]))
        text = manifest(COLUMNS, limits=limits)
        assert (workshop.update(text) if number else workshop.run(text)).state == "committed"
    assert [row["ordinal"] for row in workshop.rows()] == [0, 1], "k rows a unit, however many versions"


@promise("P2.1")
def test_raw_identifiers_are_in_no_version(workshop: Workshop) -> None:
    for number in range(2):
        workshop.source(csv_of([[f"identifier-{number}-{i}", 1, "walk", "", 1] for i in range(20)]))
        text = manifest(COLUMNS)
        assert (workshop.update(text) if number else workshop.run(text)).state == "committed"
    for file in (workshop.folder / "objects").rglob("*"):
        assert not file.is_file() or b"identifier-" not in file.read_bytes()
    assert list((workshop.folder / "work").iterdir()) == []


def test_the_report_tells_new_rows_from_earlier_ones(workshop: Workshop) -> None:
    workshop.source(csv_of([["a", 1, "walk", "", 1], ["b", 1, "walk", "", 1]]))
    workshop.run(manifest(COLUMNS))
    workshop.source(csv_of([["b", 2, "walk", "", 1], ["c", 2, "walk", "", 1], ["", 2, "walk", "", 1]]))
    report = workshop.update(manifest(COLUMNS)).report
    assert report is not None
    told = {name: report[name] for name in ("rows_earlier", "rows_read", "rows_stored", "units", "units_new")}
    assert told == {"rows_earlier": 2, "rows_read": 3, "rows_stored": 4, "units": 3, "units_new": 1}
    assert report["rows_without_id"] == 1


@promise("P2.5")
def test_earlier_rows_count_towards_n_max(workshop: Workshop) -> None:
    limits = "{rows: %s, rows_per_unit: 4, default_rows: 2, tiers: [2, 4], provenance: {documented: t}}"
    workshop.source(csv_of([[f"p{i}", 1, "walk", "", 1] for i in range(6)]))
    workshop.run(manifest(COLUMNS, limits=limits % 10))
    workshop.source(csv_of([[f"q{i}", 1, "walk", "", 1] for i in range(5)]))
    before = workshop.objects()
    done = workshop.update(manifest(COLUMNS, limits=limits % 10))
    assert (done.state, (done.error or {})["code"]) == ("failed", "ingest_too_many_rows")
    assert workshop.objects() == before
    assert workshop.update(manifest(COLUMNS, limits=limits % 11)).state == "committed", "a wider one may be declared"
    assert workshop.opened()[0].n_max == 11


@promise("P2.3")
def test_the_lineages_buckets_stay_whatever_rows_are_declared(workshop: Workshop) -> None:
    workshop.source(csv_of([[f"p{i}", 1, "walk", "", 1] for i in range(30)]))
    workshop.run(manifest(COLUMNS, limits=ROOMY % "20_000_000"))
    for rows in ("1000", "40_000_000"):
        assert workshop.update(manifest(COLUMNS, limits=ROOMY % rows)).state == "committed"
        assert workshop.opened()[1].bits == bucket_bits(20_000_000) != bucket_bits(int(rows.replace("_", "")))
        assert len(workshop.files()) == 4 * 3
    assert len(workshop.rows()) == 90


@promise("P2.2", "P2.5")
def test_identifiers_are_counted_once_for_a_dataset_however_often_they_come(tmp_path: Path) -> None:
    workshop = make_workshop(tmp_path / "w", POPULATION.replace("1_000_000", "10").replace("20_000", "10"))
    workshop.source(csv_of([[f"p{i}", 1, "walk", "", 1] for i in range(8)]))
    assert workshop.run(manifest(COLUMNS)).state == "committed"
    assert workshop.update(manifest(COLUMNS)).state == "committed", "the same eight"
    assert workshop.update(manifest(COLUMNS), "replace").state == "committed"
    workshop.source(csv_of([[f"p{i}", 1, "walk", "", 1] for i in range(6, 10)]))
    assert workshop.update(manifest(COLUMNS), "replace").state == "committed", "two more"
    workshop.source(csv_of([["p10", 1, "walk", "", 1]]))
    done = workshop.update(manifest(COLUMNS))
    assert (done.state, (done.error or {})["code"]) == ("failed", "ingest_too_many_ids")


def test_an_append_without_a_row_is_refused(workshop: Workshop) -> None:
    workshop.source(csv_of([["a", 1, "walk", "", 1]]))
    workshop.run(manifest(COLUMNS))
    workshop.source(HEAD)
    assert (workshop.update(manifest(COLUMNS)).error or {})["code"] == "ingest_empty"
    assert workshop.opened()[1].number == 1


def test_a_public_table_is_appended_to_in_order(workshop: Workshop) -> None:
    for number, who in enumerate("zab"):
        workshop.source(csv_of([[who, number, "walk", "", 1]]))
        done = workshop.update(PUBLIC, name="city.lines") if number else workshop.run(PUBLIC)
        assert done.state == "committed"
    assert [row["person"] for row in workshop.rows("city.lines")] == ["z", "a", "b"]


# --- what an update may change ----------------------------------------------------------------------------------------


def test_a_wider_domain_and_wider_bounds_leave_earlier_rows_as_they_are(workshop: Workshop) -> None:
    workshop.source(csv_of([["a", 99, "fly", "", 1], ["b", 1, "ride", "", 1]]))
    workshop.run(manifest(COLUMNS))
    workshop.source(csv_of([["a", 99, "fly", "", 1]]))
    wider = COLUMNS.replace("[walk, ride]", "[fly, walk, ride]").replace("[0, 50]", "[-1000, 99]")
    assert workshop.update(manifest(wider)).state == "committed"
    found = sorted((r["visits"], str(r["kind"])) for r in workshop.rows())
    assert found == [(1, "ride"), (50, "None"), (99, "fly")]


FIXED: dict[str, tuple[str, str, str, str]] = {
    "another unit": ("append", "unit: person", "unit: note", "unit"),
    "another owner": ("replace", "owner: bureau", "owner: other", "owner"),
    "another population": ("replace", "population: people", "population: pets", "population"),
    "another name": ("correct", "dataset: city.visits", "dataset: city.trips", "dataset"),
    "more rows a unit": ("append", "unit: 4, default_rows: 2, tiers: [1, 2, 4]", "unit: 5, default_rows: 1, tiers: [1, 5]",
                         "limits.rows_per_unit"),
    "narrower bounds": ("append", "bounds: [0, 50]", "bounds: [1, 50]", "columns.visits.bounds"),
    "a smaller domain": ("append", "[walk, ride]", "[walk]", "columns.kind.domain"),
    "no domain": ("append", "domain: [walk, ride], ", "", "columns.kind.domain"),
    "another grid": ("append", 'grid: "0.5"', 'grid: "0.25"', "columns.cost.grid"),
    "another type": ("append", "visits: {type: integer", "visits: {type: decimal", "columns.visits.type"),
    "a required value": ("append", "bounds: [0, 50], ", "bounds: [0, 50], required: true, ", "columns.visits.required"),
    "one column more": ("append", "  note: {", f"  more: {{type: boolean, {FIELDS}}}\n  note: {{", "columns.more"),
    "one column less": ("append", "  note: {type: text,", "  nota: {type: text,", "columns.nota"),
}  # fmt: skip


@pytest.mark.parametrize("case", sorted(FIXED))
def test_a_field_that_cannot_change_is_named_with_its_place(workshop: Workshop, case: str) -> None:
    mode, old, new, field = FIXED[case]
    workshop.source(csv_of([["a", 1, "walk", "", 1]]))
    workshop.run(manifest(COLUMNS))
    text = manifest(COLUMNS)
    assert old in text
    with pytest.raises(RequestError) as caught:
        workshop.update(text.replace(old, new), mode, reason="r")
    assert (caught.value.code, caught.value.params) == ("update_field_fixed", {"field": field, "mode": mode})
    place = caught.value.position
    assert place is not None
    line = text.replace(old, new).splitlines()[place.line - 1]
    assert field.split(".")[-1].removesuffix("s") in line or field.split(".")[1] in line
    assert field in both(caught.value.code, caught.value.params)["en"]


def test_protected_rows_never_become_a_public_table_nor_the_other_way(workshop: Workshop) -> None:
    workshop.source(csv_of([["a", 1, "walk", "", 1]]))
    workshop.run(manifest(COLUMNS))
    workshop.run(PUBLIC)
    opened = PUBLIC.replace("city.lines", "city.visits")
    for name, text in (("city.visits", opened), ("city.lines", manifest(COLUMNS, name="city.lines"))):
        for mode in ("append", "replace", "correct"):
            with pytest.raises(RequestError) as caught:
                workshop.update(text, mode, name=name, reason="r")
            assert (caught.value.code, caught.value.params) == ("update_field_fixed", {"field": "public", "mode": mode})


def test_a_replacement_may_have_other_columns_and_limits(workshop: Workshop) -> None:
    workshop.source(csv_of([["a", 1, "walk", "", 1]]))
    workshop.run(manifest(COLUMNS))
    other = "kind: {type: text, domain: [walk], required: true, %}"
    limits = "{rows: 50, rows_per_unit: 9, default_rows: 9, tiers: [3, 9], provenance: {documented: t}}"
    assert workshop.update(manifest(other, limits=limits), "replace").state == "committed"
    assert [sorted(row) for row in workshop.rows()] == [["kind", "ordinal", "pseudonym", "ui"]]
    with workshop.parts.sessions.reading() as session:
        assert datasets.dataset(session, "city.visits").spec == workshop.opened()[0], "as last accepted"


def test_rows_far_beyond_the_buckets_are_refused(workshop: Workshop) -> None:
    workshop.source(csv_of([["a", 1, "walk", "", 1]]))
    workshop.run(manifest(COLUMNS))
    most = WIDER * 6_000_000
    with pytest.raises(RequestError) as caught:
        workshop.update(manifest(COLUMNS, limits=ROOMY % (most + 1)), "replace")
    assert (caught.value.code, caught.value.params) == ("update_rows_wide", {"most": most})
    assert caught.value.position is not None
    assert workshop.update(manifest(COLUMNS, limits=ROOMY % most), "replace").state == "committed"


# --- versions ---------------------------------------------------------------------------------------------------------


def marks(workshop: Workshop) -> list[tuple[int, str, str]]:
    with workshop.parts.sessions.reading() as session:
        found = datasets.dataset(session, "city.visits")
        return [(v.number, v.kind, v.state) for v in versions.listed(session, found.id)]


@promise("P1.5")
def test_a_lineage_has_one_cap_whatever_its_versions(workshop: Workshop) -> None:
    workshop.source(csv_of([["a", 1, "walk", "", 1]]))
    workshop.run(manifest(COLUMNS))
    opened = [kind for kind, _ in workshop.logged()].count("cap.open")
    _, version, _ = workshop.opened()
    with workshop.parts.sessions.reading() as session:
        before = ledger.read_caps(session, [("dataset", version.dataset_id)])
    for mode in ("append", "replace", "correct"):
        assert workshop.update(manifest(COLUMNS), mode, reason="r").state == "committed"
    assert [kind for kind, _ in workshop.logged()].count("cap.open") == opened
    with workshop.parts.sessions.reading() as session:
        assert ledger.read_caps(session, [("dataset", version.dataset_id)]) == before
    assert marks(workshop) == [
        (1, "add", "open"), (2, "append", "open"), (3, "replace", "withdrawn"), (4, "correct", "open"),
    ]  # fmt: skip


def test_a_correction_withdraws_only_the_version_before_it_and_says_why(workshop: Workshop) -> None:
    workshop.source(csv_of([["a", 1, "walk", "", 1]]))
    workshop.run(manifest(COLUMNS))
    first = workshop.opened()[1]
    with pytest.raises(RequestError) as caught:
        workshop.update(manifest(COLUMNS), "correct")
    assert caught.value.code == "reason_required"
    done = workshop.update(manifest(COLUMNS), "correct", reason="wrong year")
    assert (done.kind, done.reason) == ("correct", "wrong year")
    logged = workshop.logged()
    submitted = [details for kind, details in logged if kind == "ingest.submit"][-1]
    assert submitted["kind"] == "correct"
    assert "wrong year" not in str(logged), "free text stays in its row"
    (withdrawn,) = [details for kind, details in logged if kind == "version.withdraw"]
    assert (withdrawn["version"], list(withdrawn["records"])) == (first.id, [f"versions/{first.id}"])
    with workshop.parts.sessions.reading() as session:
        assert versions.asked(session, first.dataset_id, None).number == 2
        with pytest.raises(Conflict) as refused:
            versions.asked(session, first.dataset_id, 1)
        assert (refused.value.code, refused.value.params) == ("version_withdrawn", {"version": 1, "open": ["2"]})
        with pytest.raises(Exception, match="version_unknown"):
            versions.asked(session, first.dataset_id, 3)
    assert workshop.parts.objects.size(first.files[0].key) is not None, "stored answers may need nothing, audits may"


def test_a_failed_correction_withdraws_nothing(workshop: Workshop) -> None:
    workshop.source(csv_of([["a", 1, "walk", "", 1]]))
    workshop.run(manifest(COLUMNS))
    workshop.source(HEAD)
    assert workshop.update(manifest(COLUMNS), "correct", reason="r").state == "failed"
    assert marks(workshop) == [(1, "add", "open")]


@pytest.mark.parametrize("action", ["retire", "destroy"])
def test_a_dataset_that_ends_during_an_update_gets_no_version(workshop: Workshop, action: str) -> None:
    workshop.source(csv_of([["a", 1, "walk", "", 1]]))
    workshop.run(manifest(COLUMNS))
    parts, dataset = workshop.parts, workshop.opened()[1].dataset_id

    class Ending(LocalObjects):
        """While this worker uploads its manifest, the dataset comes to its end."""

        def put(self, key: str, data: Any, *, size: int, sha256: str, keep_until: str | None = None) -> None:
            super().put(key, data, size=size, sha256=sha256, keep_until=keep_until)
            if key.endswith("/manifest"):
                with parts.sessions.begin() as session:
                    if action == "retire":
                        removals.retire(session, parts.clock, STEWARD, dataset=dataset, reason="r")
                    else:
                        asked = removals.propose(session, parts.clock, STEWARD, dataset=dataset, reason="r")
                        removals.confirm(session, parts.clock, STEWARD, asked.id)

    before = workshop.objects()
    workshop.parts = type(parts)(
        **{f: getattr(parts, f) for f in parts.__slots__} | {"objects": Ending(workshop.folder / "objects")}
    )
    done = workshop.update(manifest(COLUMNS))
    code = "dataset_retired" if action == "retire" else "dataset_destroyed"
    assert (done.state, (done.error or {})["code"]) == ("failed", code)
    assert code in texts()
    assert workshop.objects() == before
    with pytest.raises(Denied) as caught:
        workshop.update(manifest(COLUMNS))
    assert caught.value.code == code


def test_two_updates_at_one_time_are_one_too_many(workshop: Workshop) -> None:
    from sandbox.ingest import registry
    from sandbox.ingest.manifest import parse_manifest

    workshop.source(csv_of([["a", 1, "walk", "", 1]]))
    workshop.run(manifest(COLUMNS))
    text = manifest(COLUMNS)
    asked = registry.Update(
        dataset="city.visits", spec=parse_manifest(text, "m"), text=text, file="m", mode="append", reason=""
    )
    with workshop.parts.sessions.begin() as session:
        registry.submit_next(session, workshop.parts.clock, STEWARD, asked)
    with pytest.raises(Conflict) as caught, workshop.parts.sessions.begin() as session:
        registry.submit_next(session, workshop.parts.clock, STEWARD, asked)
    assert caught.value.code == "ingest_under_way"
