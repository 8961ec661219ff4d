"""Slots: every (unit, value) once, in an order that the key, the unit and its own values decide."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import rfc8785
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.cmac import CMAC
from hypothesis import given
from hypothesis import strategies as st

from sandbox.catalog import Column, ColumnType, DatasetSpec, Text, Version, plain
from sandbox.cli.stored import check_versions
from sandbox.committee.destroying import keys_of
from sandbox.crypto.suite import INTL
from sandbox.errors import IntegrityFailed, SandboxError
from sandbox.ingest import run, slots
from sandbox.ingest.columns import Shape
from sandbox.ingest.manifest import parse_manifest
from sandbox.ingest.slots import SlotOrder
from sandbox.objects.numbered import check_rows
from sandbox.objects.opened import OpenedFiles
from sandbox.objects.sidecars import Slots
from sandbox.store import removals
from tests.promises import promise
from tests.workshop import FIELDS, Workshop, make_workshop, manifest

KEY = b"k" * 32
WORDS = ("b", "a", "é", "")
Value = int | str | None
Row = tuple[int, Value]


def shape_of(kind: str) -> Shape:
    facts: dict[str, dict[str, Any]] = {
        "narrow": {"type": ColumnType.INTEGER, "lower": -3, "upper": 4},
        "wide": {"type": ColumnType.INTEGER, "lower": -(2**52), "upper": 2**52},
        "code": {"type": ColumnType.TEXT, "domain": WORDS},
        "text": {"type": ColumnType.TEXT},
    }
    return Shape.of(Column(name="x", meaning=Text(en="", zh=""), level="core", provenance={}, **facts[kind]))


def values_of(kind: str) -> st.SearchStrategy[Value]:
    numbers = {"narrow": st.integers(-3, 4), "wide": st.integers(-(2**52), 2**52) | st.sampled_from([0, 1])}
    texts = st.sampled_from(WORDS) if kind == "code" else st.text(max_size=2) | st.sampled_from(WORDS)
    return st.none() | numbers.get(kind, texts)


@st.composite
def tables(draw: st.DrawFn) -> tuple[str, list[list[Row]]]:
    """A kind of column, and the rows of a bucket's parts: units ascend from part to part."""
    kind = draw(st.sampled_from(["narrow", "wide", "code", "text"]))
    rows = draw(st.lists(st.tuples(st.integers(0, 5), values_of(kind)), max_size=40))
    rows.sort(key=lambda r: r[0])
    cut = draw(st.integers(0, 6))
    return kind, [[r for r in rows if r[0] < cut], [r for r in rows if r[0] >= cut]]


def held(rows: Sequence[Row], shape: Shape) -> Any:
    values = [r[1] for r in rows]
    if shape.kind == "text":
        return pa.array(values, pa.string())
    if shape.kind == "code":
        return np.array([-1 if v is None else WORDS.index(str(v)) for v in values], shape.dtype)
    return np.array([shape.null if v is None else v for v in values], shape.dtype)


def pseudonym(unit: int) -> int:
    return 1000 + 77 * unit


def built(kind: str, parts: Sequence[Sequence[Row]], key: bytes = KEY) -> tuple[Slots, list[int]]:
    """A bucket's slots, and the slot of each row."""
    shape = shape_of(kind)
    order = SlotOrder(INTL, key, shape)
    numbered, rows, before = [], [], 0
    for part in parts:
        units = sorted({r[0] for r in part})
        numbers = np.array([units.index(r[0]) for r in part], np.int64)
        pseudonyms = np.array([pseudonym(r[0]) for r in part], np.uint64)
        one = order.number(pseudonyms, numbers, held(part, shape)) if part else order.empty()
        numbered.append(one)
        rows += [before + int(slot) for slot in one.rows]
        before += len(one.values)
    return order.joined(numbered), rows


def tag(unit: int, value: Value, kind: str) -> bytes:
    """The order as its description says, by the library's own CMAC, one pair at a time."""
    message = pseudonym(unit).to_bytes(8, "little")
    if kind in {"narrow", "wide"}:
        message += (-(2**63) if value is None else int(value)).to_bytes(8, "little", signed=True)
    elif value is None:
        message += bytes(24)
    else:
        text_key = INTL.kdf(KEY, b"sandbox slot text v1\nx")
        message += (1).to_bytes(8, "little") + INTL.mac(text_key, str(value).encode())[:16]
    mac = CMAC(AES(INTL.kdf(KEY, b"sandbox slot order v1\nx")))
    mac.update(message)
    return mac.finalize()


@promise("P2.4")
@given(tables())
def test_slots_are_what_their_description_says(table: tuple[str, list[list[Row]]]) -> None:
    kind, parts = table
    found, slot_of = built(kind, parts)
    rows = [row for part in parts for row in part]
    units = sorted({unit for unit, _ in rows})
    expected: list[Row] = []
    first = [0]
    for unit in units:
        theirs = {value for u, value in rows if u == unit}
        expected += [(unit, v) for v in sorted(theirs, key=lambda v: tag(unit, v, kind))]
        first.append(len(expected))
    values = found.values.to_pylist()
    assert found.first.tolist() == first
    assert [values[c] for c in found.codes] == [value for _, value in expected]
    assert [expected[s] for s in slot_of] == rows
    known = {value for _, value in rows}
    some = sorted(known - {None}, key=lambda v: v.encode() if isinstance(v, str) else v)  # type: ignore[union-attr]
    assert values == some + [None] * (None in known)
    assert (found.codes.dtype, found.first.dtype) == (np.uint32, np.uint32)


@promise("P2.4")
@given(tables(), st.integers(0, 5), st.booleans())
def test_a_unit_that_goes_moves_no_slot_of_others(table: tuple[str, list[list[Row]]], gone: int, one: bool) -> None:
    """Also where tags are equal, and whichever way pairs are found."""
    kind, parts = table
    whole = [row for part in parts for row in part]
    rest = [row for row in whole if row[0] != gone]

    def by_unit(rows: list[Row]) -> dict[int, list[Value]]:
        with pytest.MonkeyPatch.context() as patch:
            if one:
                patch.setattr(slots, "keyed_order", lambda _key, blocks: np.zeros((len(blocks), 2), np.uint64))
            found, _ = built(kind, [rows])
        values, units = found.values.to_pylist(), sorted({r[0] for r in rows})
        return {u: [values[c] for c in found.codes[a:b]] for u, (a, b) in zip(units, pairwise(found.first), strict=True)}

    before, after = by_unit(whole), by_unit(rest)
    assert after == {unit: values for unit, values in before.items() if unit != gone}
    assert all(sorted(map(repr, v)) == sorted({repr(x) for u, x in whole if u == unit}) for unit, v in before.items())


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(-3, 4) | st.none()), max_size=60))
def test_marked_cells_and_sorted_rows_find_the_same(rows: list[Row]) -> None:
    rows.sort(key=lambda r: r[0])
    found = []
    for dense in (0, 1000):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(slots, "_DENSE", dense)
            one, slot_of = built("narrow", [rows])
        found.append((one.codes.tolist(), one.first.tolist(), one.values.to_pylist(), slot_of))
    assert found[0] == found[1]


def test_another_key_gives_another_order() -> None:
    rows: list[Row] = [(0, v) for v in range(-3, 5)]
    orders = {tuple(built("narrow", [rows], key=bytes([k]) * 32)[0].codes.tolist()) for k in range(8)}
    assert len(orders) == 8


@promise("P2.4")
def test_how_a_column_is_held_does_not_matter() -> None:
    """Bounds or a domain that a later version widens or drops, and the order in it, move nothing within a unit."""
    texts: list[Row] = [(0, v) for v in (*WORDS, None)]
    numbers: list[Row] = [(0, v) for v in (-3, 0, 4, None)]
    for one, other, rows in (("code", "text", texts), ("narrow", "wide", numbers)):
        orders = [[f.values.to_pylist()[c] for c in f.codes] for f in (built(k, [rows])[0] for k in (one, other))]
        assert orders[0] == orders[1]


# --- through a whole ingest -------------------------------------------------------------------------------------------

COLUMNS = """\
line: {type: text, domain: [red, green, blue], %}
note: {type: text, %}
cost: {type: decimal, bounds: [0, 5], grid: "0.5", %}
seat: {type: integer, bounds: [0, 50], %}
"""
LIMITS = "{rows: 20_000_000, rows_per_unit: 6, default_rows: 2, tiers: [1, 2, 6], provenance: {documented: t}}"
SLOTS = ("line", "note", "cost")
DECLARED = manifest(COLUMNS, limits=LIMITS) + "slots: [line, note, cost]\n"
NFC, NFD = "caf\u00e9", "cafe\u0301"


def csv_of(rows: Sequence[Sequence[object]]) -> str:
    return "person,line,note,cost,seat\n" + "".join(",".join(map(str, row)) + "\n" for row in rows)


def some_rows(units: range, salt: int = 0) -> list[list[object]]:
    """Few rows of most units, more than are kept of some, NULLs, and one unit in every line."""
    rows: list[list[object]] = []
    for unit in units:
        for i in range(1 + (unit * 7 + salt) % 8):
            x = unit * 31 + i * 17 + salt
            line = ("red", "green", "blue", "", "pink")[x % 5]
            rows.append([f"p{unit}", line, (NFC, NFD, "x", "", f"n{x % 7}")[x % 5], ("", 0, 1.5, 5)[x % 4], x % 51])
    return [*rows, *(["all", line, NFC, cost, 1] for line, cost in (("red", 0), ("green", 0), ("blue", 1), ("", "")))]


@pytest.fixture
def workshop(tmp_path: Path) -> Workshop:
    return make_workshop(tmp_path / "w", most_buffered=4000)


Chosen = dict[str, dict[int, list[Value]]]


def checked(workshop: Workshop) -> Chosen:
    """Hold what is stored against brute force; gives each unit's values in the order of its slots, by column."""
    spec, version, key = workshop.opened()
    opened = OpenedFiles(workshop.parts.objects)
    files = workshop.files()
    chosen: Chosen = {column: {} for column in version.slots}
    for bucket in range(1 << version.bits):
        rows = [r for tier in range(len(spec.tiers)) for r in files[bucket, tier].to_pylist()]
        units = sorted({r["pseudonym"] for r in rows})
        assert {(r["pseudonym"], r["ui"]) for r in rows} == {(p, i) for i, p in enumerate(units)}
        for column in version.slots:
            with opened.slots(version, bucket, column, key=key) as found:
                values = found.values.to_pylist()
                pairs = {(r["ui"], r[column]): r[f"slot.{column}"] for r in rows}
                assert all(pairs[r["ui"], r[column]] == r[f"slot.{column}"] for r in rows)
                assert sorted(pairs.values()) == list(range(len(found.codes))), "dense, each pair its own"
                assert {(u, v): values[found.codes[s]] == v for (u, v), s in pairs.items()} == dict.fromkeys(pairs, True)
                assert found.first.tolist() == [sum(u < unit for u, _ in pairs) for unit in range(len(units) + 1)]
                for unit, (low, high) in enumerate(pairwise(found.first)):
                    chosen[column][units[unit]] = [values[c] for c in found.codes[low:high]]
                check_rows(opened, version, bucket, range(len(spec.tiers)), key=key, slots={column: found})
    opened.close()
    return chosen


def agree(one: Chosen, other: Chosen) -> int:
    """What two versions both have of a unit stands in the same order in both; gives how many values that were."""
    shared = 0
    for column in one.keys() & other.keys():
        for unit in one[column].keys() & other[column].keys():
            a, b = one[column][unit], other[column][unit]
            assert [v for v in a if v in b] == [v for v in b if v in a]
            shared += sum(v in b for v in a)
    return shared


@promise("P2.4")
@promise("P2.3")
def test_slots_of_every_version_of_a_lineage(workshop: Workshop) -> None:
    workshop.source(csv_of(some_rows(range(60))))
    assert workshop.run(DECLARED).state == "committed"
    _, version, _ = workshop.opened()
    assert (version.format, version.slots, version.bits) == (2, SLOTS, 2)
    assert [(s.bucket, s.column) for s in version.sidecars] == [(b, c) for b in range(4) for c in SLOTS]
    first = checked(workshop)
    everywhere = [values for values in first["line"].values() if len(values) == 4]
    assert everywhere
    assert all(sorted(map(str, values)) == ["None", "blue", "green", "red"] for values in everywhere)
    texts = {v for values in first["note"].values() for v in values}
    assert (NFC in texts, NFD in texts) == (True, False), "one spelling, one slot"

    workshop.source(csv_of(some_rows(range(30, 90), salt=3)))
    assert workshop.update(DECLARED).state == "committed"
    appended = checked(workshop)
    assert agree(first, appended) > 200
    # Without every third unit, and with one slot column less: all others keep their orders, and their choices.
    workshop.source(csv_of([r for r in some_rows(range(60)) if r[0] == "all" or int(str(r[0])[1:]) % 3]))
    fewer = DECLARED.replace("[line, note, cost]", "[cost, line]")
    assert workshop.update(fewer, "replace").state == "committed"
    assert workshop.opened()[1].slots == ("line", "cost")
    rest = checked(workshop)
    assert 0 < len(rest["line"]) < len(first["line"])
    assert all(first[column][unit] == values for column in rest for unit, values in rest[column].items())


def test_a_version_of_format_1_is_read_and_updated(workshop: Workshop, monkeypatch: pytest.MonkeyPatch) -> None:
    def seal_as_it_was(version: Version, spec: DatasetSpec, key: bytes) -> bytes:
        form = {name: value for name, value in plain(version).items() if name not in {"slots", "sidecars"}}
        body = rfc8785.dumps({"version": {**form, "format": 1}, "spec": plain(spec)})
        assert set(json.loads(body)["version"]["files"][0]["chunks"]) >= {"pseudonym", "ordinal", "ui"}
        return INTL.seal(key, body, f"{version.id}/manifest".encode())

    workshop.source(csv_of(some_rows(range(20))))
    with monkeypatch.context() as patch:
        patch.setattr(run, "seal_manifest", seal_as_it_was)
        assert workshop.run(manifest(COLUMNS, limits=LIMITS)).state == "committed"
    _, old, _ = workshop.opened()
    assert (old.format, old.slots, old.sidecars) == (1, (), ())
    before = workshop.rows()
    assert checked(workshop) == {}
    workshop.source(csv_of([["new", "red", "x", 1, 1]]))
    assert workshop.update(DECLARED).state == "committed"
    assert (workshop.opened()[1].format, len(workshop.rows())) == (2, len(before) + 1)
    assert set(checked(workshop)) == set(SLOTS)


def test_sidecars_are_looked_after_like_files(workshop: Workshop) -> None:
    workshop.source(csv_of(some_rows(range(20))))
    workshop.run(DECLARED)
    _, version, _ = workshop.opened()
    parts = workshop.parts
    check_versions(parts.sessions, parts.objects, parts.root_key)
    with parts.sessions.reading() as session:
        (doomed,) = removals.doomed(session, version.dataset_id)
    assert sorted(keys_of(doomed)) == workshop.objects()
    path = workshop.folder / "objects" / version.sidecars[-1].key
    path.chmod(0o600)
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(IntegrityFailed, match="doctor_object_changed"):
        check_versions(parts.sessions, parts.objects, parts.root_key)


@pytest.mark.parametrize(
    ("slots_told", "code"),
    [("[person]", "manifest_choice"), ("[other]", "manifest_choice"), ("[line, line]", "manifest_key_twice")],
)
def test_slots_that_cannot_be(slots_told: str, code: str) -> None:
    with pytest.raises(SandboxError) as caught:
        parse_manifest(manifest(COLUMNS) + f"slots: {slots_told}\n", "m.yaml")
    assert caught.value.code == code
    assert caught.value.position is not None


def test_a_public_table_has_no_units_to_number() -> None:
    text = (
        "dataset: city.lines\ntitle: {en: L, zh: 线}\nowner: bureau\npublic: true\nslots: [name]\n"
        "source: {connector: csv, path: x.csv}\nlimits: {rows: 100, provenance: {documented: t}}\n"
        f"columns:\n  name: {{type: text, {FIELDS}}}\n"
    )
    with pytest.raises(SandboxError) as caught:
        parse_manifest(text, "m.yaml")
    assert caught.value.code == "manifest_public_has"


def test_a_cut_row_leaves_no_slot(workshop: Workshop) -> None:
    workshop.source(csv_of([["a", "red", f"n{i}", 0, i] for i in range(40)]))
    workshop.run(DECLARED)
    notes = checked(workshop)["note"]
    assert [len(values) for values in notes.values()] == [6]
    stored = defaultdict(set)
    for row in workshop.rows():
        stored[row["pseudonym"]].add(row["note"])
    assert {unit: set(values) for unit, values in notes.items()} == stored
