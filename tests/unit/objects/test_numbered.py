"""Numbered rows and sidecars: what is not numbered as it must be is found before anything is computed from it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from sandbox.catalog import Version
from sandbox.errors import IntegrityFailed
from sandbox.ingest.columns import Shape
from sandbox.ingest.files import Destination
from sandbox.objects.numbered import check_rows
from sandbox.objects.opened import OpenedFiles
from sandbox.objects.sidecars import Slots, pack, slot_column, unpack
from tests.promises import promise
from tests.workshop import Workshop, make_workshop, manifest

LIMITS = "{rows: 7_000_000, rows_per_unit: 6, default_rows: 2, tiers: [2, 6], provenance: {documented: t}}"
DECLARED = manifest("seat: {type: integer, bounds: [0, 9], %}", limits=LIMITS) + "slots: [seat]\n"
SLOT = slot_column("seat")
BUCKET = 1


class Stand:
    """A version of two buckets and two tiers, and changed copies of it."""

    def __init__(self, folder: Path) -> None:
        self.workshop: Workshop = make_workshop(folder)
        self.workshop.source("person,seat\n" + "".join(f"p{i % 20},{i * 7 % 10}\n" for i in range(100)))
        assert self.workshop.run(DECLARED).state == "committed"
        self.spec, self.version, self.key = self.workshop.opened()
        self.opened = OpenedFiles(self.workshop.parts.objects)
        self.count = 0

    def slots(self, version: Version | None = None) -> Slots:
        """A copy of the bucket's slots."""
        with self.opened.slots(version or self.version, BUCKET, "seat", key=self.key) as found:
            return Slots(codes=found.codes.copy(), first=found.first.copy(), values=pa.array(found.values.to_pylist()))

    def changed(self, tier: int, change: Callable[[dict[str, Any]], None]) -> Version:
        """The version with the columns of one of the bucket's files changed, and sealed again."""
        self.count += 1
        place = Destination(objects=self.workshop.parts.objects, version_id=f"ver_{self.count}", key=self.key)
        shapes = [Shape.of(c) for c in self.spec.columns if c.name == "seat"]
        files = []
        for (bucket, number), table in self.workshop.files().items():
            columns = {name: table.column(name).to_numpy().copy() for name in table.column_names}
            if (bucket, number) == (BUCKET, tier):
                change(columns)
            files.append(place.store(pa.table(columns), shapes, bucket=bucket, tier=number))
        sidecars = []
        for sidecar in self.version.sidecars:
            with self.opened.slots(self.version, sidecar.bucket, sidecar.column, key=self.key) as slots:
                stored = place.store_slots(slots, bucket=sidecar.bucket, column=sidecar.column, number=0)
            sidecars.append(stored)
        return replace(self.version, id=f"ver_{self.count}", files=tuple(files), sidecars=tuple(sidecars))

    def check(self, version: Version, tiers: tuple[int, ...] = (0, 1), *, slots: Mapping[str, Slots] | None = None) -> None:
        told = {"seat": self.slots(version)} if slots is None else slots
        check_rows(self.opened, version, BUCKET, tiers, key=self.key, slots=told)


@pytest.fixture
def stand(tmp_path: Path) -> Stand:
    return Stand(tmp_path / "w")


def shift(name: str, places: Any, by: int) -> Callable[[dict[str, Any]], None]:
    def change(columns: dict[str, Any]) -> None:
        columns[name][places] += np.array(by).astype(columns[name].dtype)

    return change


def swapped(name: str) -> Callable[[dict[str, Any]], None]:
    """Two units exchange a value: at the first place where units change."""

    def change(columns: dict[str, Any]) -> None:
        edge = int(np.flatnonzero(np.diff(columns["ui"].astype(np.int64)))[0])
        columns[name][[edge, edge + 1]] = columns[name][[edge + 1, edge]]

    return change


def dropped(place: int) -> Callable[[dict[str, Any]], None]:
    def change(columns: dict[str, Any]) -> None:
        columns.update({name: np.delete(values, place) for name, values in columns.items()})

    return change


def reversed_units(columns: dict[str, Any]) -> None:
    """The units' pseudonyms in descending order, and all else as if it were ascending."""
    units, places = np.unique(columns["pseudonym"], return_inverse=True)
    columns["pseudonym"] = units[::-1][places]


WRONG = {
    "units in descending order": reversed_units,
    "ui does not start at 0": shift("ui", slice(None), 1),
    "ui stays while the unit changes": swapped("ui"),
    "ui steps by two": shift("ui", slice(-1, None), 5),
    "two units in disorder": swapped("pseudonym"),
    "a unit of another bucket": shift("pseudonym", slice(None), 2**63),
    "an ordinal twice": shift("ordinal", slice(1, 2), -1),
    "an ordinal above the tier": shift("ordinal", slice(None), 5),
    "a first row that is missing": dropped(0),
    "a slot of another unit": swapped(SLOT),
    "a slot that nobody has": shift(SLOT, slice(-1, None), 1000),
}


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Stand:
    """For tests that add versions and change none."""
    return Stand(tmp_path_factory.mktemp("shared") / "w")


@promise("P2.3")
@pytest.mark.parametrize("tier", [0, 1])
@pytest.mark.parametrize("what", WRONG)
def test_rows_that_are_numbered_wrongly_are_refused(shared: Stand, what: str, tier: int) -> None:
    version = shared.changed(tier, WRONG[what])
    looked_at = None if "slot" in what else dict[str, Slots]()  # the slots would tell as well
    with pytest.raises(IntegrityFailed) as caught:
        shared.check(version, slots=looked_at)
    file = next(f for f in version.files if (f.bucket, f.tier) == (BUCKET, tier))
    assert (caught.value.code, caught.value.params) == ("stored_rows_wrong", {"key": file.key})
    with pytest.raises(IntegrityFailed):
        shared.check(version, (tier,), slots=looked_at)


def test_well_numbered_rows_pass_and_are_looked_at_once(stand: Stand, monkeypatch: pytest.MonkeyPatch) -> None:
    stand.check(stand.version, (1,))
    stand.check(stand.version)
    stand.check(stand.changed(0, lambda _columns: None))
    slots = {"seat": stand.slots()}
    monkeypatch.setattr("sandbox.objects.numbered._Check", None)
    stand.check(stand.version, slots=slots)
    stand.check(stand.version, slots={})


def test_a_sidecar_of_other_units_is_refused(stand: Stand) -> None:
    slots = stand.slots()
    extra = np.append(slots.first, slots.first[-1] + 1).astype(np.uint32)
    with pytest.raises(IntegrityFailed, match="stored_rows_wrong"):
        stand.check(stand.version, slots={"seat": replace(slots, first=extra)})
    fewer = {"seat": replace(slots, first=slots.first[:-1])}
    with pytest.raises(IntegrityFailed, match="stored_rows_wrong"):
        stand.check(stand.version, (1,), slots=fewer)
    with pytest.raises(IntegrityFailed, match="version_incomplete"):
        stand.check(replace(stand.version, files=stand.version.files[:-1]))
    short = tuple(replace(f, rows=f.rows - 1) for f in stand.version.files)
    stand.opened.close()
    with pytest.raises(IntegrityFailed, match="stored_rows_wrong"):
        stand.check(replace(stand.version, files=short))


@pytest.mark.parametrize("wrong", [{"first": [0, 0, 2]}, {"first": [0, 1, 3]}, {"codes": [0, 2]}, {"codes": [1]}])
def test_a_packed_sidecar_is_read_back_or_refused(stand: Stand, wrong: dict[str, list[int]]) -> None:
    sidecar = stand.version.sidecars[0]
    arrays = {"codes": np.array([1, 0], np.uint32), "first": np.array([0, 1, 2], np.uint32)}
    good = Slots(**arrays, values=pa.array([7, None], pa.int64()))
    found, memory = unpack(pack(good), sidecar)
    assert (found.codes.tolist(), found.first.tolist(), found.values.to_pylist()) == ([1, 0], [0, 1, 2], [7, None])
    assert sum(piece.nbytes for piece in memory) > 8 + 12
    bad = replace(good, **{name: np.array(values, np.uint32) for name, values in wrong.items()})
    with pytest.raises(IntegrityFailed, match="object_corrupt"):
        unpack(pack(bad), sidecar)
    with pytest.raises(IntegrityFailed, match="object_corrupt"):
        unpack(pack(good)[:40], sidecar)


@promise("P2.3")
def test_a_changed_swapped_or_missing_sidecar_is_refused(stand: Stand) -> None:
    one, other = stand.version.sidecars[BUCKET], stand.version.sidecars[0]
    path = stand.workshop.folder / "objects" / one.key
    whole = path.read_bytes()
    path.chmod(0o600)
    flipped = bytearray(whole)
    flipped[len(whole) // 2] ^= 1
    for content in (bytes(flipped), whole[:-1], (path.parent / other.key.rsplit("/", 1)[1]).read_bytes()):
        path.write_bytes(content)
        with pytest.raises(IntegrityFailed):
            stand.slots()
    path.unlink()
    with pytest.raises(IntegrityFailed):
        stand.slots()
    path.write_bytes(whole)
    assert stand.slots().units > 0
    with pytest.raises(IntegrityFailed, match="version_incomplete"):
        stand.slots(replace(stand.version, sidecars=(other,)))


def test_sidecars_are_opened_once_and_wiped_when_they_go(stand: Stand) -> None:
    path = stand.workshop.folder / "objects" / stand.version.sidecars[BUCKET].key
    with stand.opened.slots(stand.version, BUCKET, "seat", key=stand.key) as first:
        path.unlink()
        with stand.opened.slots(stand.version, BUCKET, "seat", key=stand.key) as again:
            assert again is first
        assert stand.opened.held() == {stand.version.id}
        stand.opened.forget([stand.version.id])
        assert first.codes.any(), "it is in use"
    assert not first.codes.any()
    assert not first.first.any()
    assert not any(first.values.to_pylist())
    assert stand.opened.held() == set()


def test_files_and_sidecars_share_one_limit(stand: Stand) -> None:
    small = OpenedFiles(stand.workshop.parts.objects, limit=1)
    with small.slots(stand.version, BUCKET, "seat", key=stand.key) as found:
        assert found.codes.any()
    assert not found.codes.any()
    assert small.held() == set()
    file = stand.version.files[0]
    with small.lease(file, key=stand.key, aad=f"{stand.version.id}/0/0".encode(), columns=["seat"]):
        assert small.held() == {stand.version.id}
    assert small.held() == set()
