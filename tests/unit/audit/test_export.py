"""An export: every byte of it counts, and whatever is cut off, changed or left out is found and named."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sandbox.audit import receipt, tiles
from sandbox.audit import verify as verifier
from sandbox.audit.checkpoint import checkpoint_text, sign_note, vkey
from sandbox.audit.cosign import cosign, with_cosignatures, witness_vkey
from sandbox.audit.export import write_export
from sandbox.audit.merkle import leaf_hash
from sandbox.audit.records import plain
from sandbox.audit.verify import verify
from sandbox.crypto.suite import INTL
from sandbox.errors import Conflict, IntegrityFailed
from tests.unit.audit.story import CAPS, NAME, PRIVATE, VKEY, Story, granted, honest

W_NAME, W_PRIVATE = "witness.example/w1", bytes(range(32, 64))
WITNESS = witness_vkey(W_NAME, INTL.public_key(W_PRIVATE))


def write(folder: Path, story: Story, note: str | None = None) -> Path:
    records = ((path, plain(row)) for path, row in story.rows.items())
    write_export(folder, note or story.checkpoint(), story.bodies, records)
    return folder


def found(folder: Path, *papers: str, key: str = VKEY, witnesses: tuple[str, ...] = ()) -> str:
    return "\n".join(verify(folder, key, papers, witnesses)[0])


def long_story(events: int) -> Story:
    """An honest life, then that many readings of the log."""
    story = honest()
    while len(story.bodies) < events:
        story.tell("log.read", "a1", {"what": "entries"})
    return story


def tree_of(story: Story, size: int | None = None) -> tiles.Tiles:
    leaves = [leaf_hash(body) for body in story.bodies[:size]]
    return tiles.Tiles(lambda level, index: None if level else b"".join(leaves[256 * index :][:256]), len(leaves))


def receipt_of(story: Story, index: int, size: int | None = None) -> str:
    note = story.checkpoint(size)
    return json.dumps(receipt.to_json(receipt.make(tree_of(story, size), note, index, story.bodies[index])))


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An export of one bundle."""
    return write(tmp_path_factory.mktemp("small") / "export", honest())


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Story]:
    """An export of two full bundles and a bit: 600 events."""
    story = long_story(600)
    return write(tmp_path_factory.mktemp("large") / "export", story), story


def test_an_honest_export_is_proved(small: Path, large: tuple[Path, Story], tmp_path: Path) -> None:
    assert found(small) == ""
    assert found(large[0]) == ""
    assert found(write(tmp_path / "empty", Story())) == ""
    for size in (255, 256, 257, 512):
        assert found(write(tmp_path / str(size), long_story(size))) == ""


def test_it_has_the_files_of_tlog_tiles(large: tuple[Path, Story]) -> None:
    names = {file.relative_to(large[0]).as_posix() for file in large[0].rglob("*") if file.is_file()}
    assert {name for name in names if not name.startswith("records/")} == {
        "checkpoint", "tile/0/000", "tile/0/001", "tile/0/002.p/88", "tile/1/000.p/2",
        "tile/entries/000", "tile/entries/001", "tile/entries/002.p/88",
    }  # fmt: skip
    assert names >= {"records/caps.jsonl", "records/ledger.jsonl"}


FILES = ["checkpoint", "tile/0/000.p/19", "tile/entries/000.p/19"]
FILES += [f"records/{table}.jsonl" for table in ("applications", "caps", "datasets", "grants", "ledger")]
FILES += [f"records/{table}.jsonl" for table in ("principals", "queries", "versions", "votes")]


def flip(small: Path, folder: Path, name: str, places: Iterable[int]) -> None:
    shutil.copytree(small, folder)
    whole = (folder / name).read_bytes()
    for place in places:
        flipped = bytearray(whole)
        flipped[place] ^= 1 << place % 8
        (folder / name).write_bytes(flipped)
        assert found(folder), f"byte {place} of {name}"


def test_no_file_is_left_out(small: Path) -> None:
    assert set(FILES) == {file.relative_to(small).as_posix() for file in small.rglob("*") if file.is_file()}


@pytest.mark.slow
@pytest.mark.parametrize("name", FILES)
def test_every_byte_of_every_file_counts(small: Path, tmp_path: Path, name: str) -> None:
    """One bit of each byte of a whole export is flipped in turn. None may be changed; none makes a traceback."""
    flip(small, tmp_path / "export", name, range((small / name).stat().st_size))


@pytest.mark.parametrize("name", FILES)
def test_bytes_of_every_file_count(small: Path, tmp_path: Path, name: str) -> None:
    """The same for some of them, others in every run."""
    size = (small / name).stat().st_size
    flip(small, tmp_path / "export", name, sorted({0, size - 1, *(INTL.random(1)[0] * size // 256 for _ in range(12))}))


def test_bytes_of_a_foreign_cosignature_are_let_be_until_its_witness_is_named(small: Path, tmp_path: Path) -> None:
    """The one place where a flipped bit may stand: a line of a witness that nobody asked about."""
    folder = tmp_path / "export"
    shutil.copytree(small, folder)
    note = (folder / "checkpoint").read_text("utf-8")
    text = note.rpartition("\n\n")[0] + "\n"
    both = with_cosignatures(note, [cosign(text, W_NAME, W_PRIVATE, 1_800_000_000)])
    (folder / "checkpoint").write_text(both, "utf-8")
    assert found(folder, witnesses=(WITNESS,)) == ""
    changed = both[:-20] + ("A" if both[-20] != "A" else "B") + both[-19:]
    (folder / "checkpoint").write_text(changed, "utf-8")
    assert found(folder) == ""
    assert "no checkpoint of this export is cosigned by witness.example/w1" in found(folder, witnesses=(WITNESS,))
    (folder / "checkpoint").write_text(note, "utf-8")
    assert "no checkpoint of this export is cosigned by witness.example/w1" in found(folder, witnesses=(WITNESS,))


@pytest.mark.parametrize("name", FILES[1:])
@pytest.mark.parametrize("how", ["half", "one byte less", "one byte more", "empty", "missing", "twice"])
def test_a_file_that_was_cut_off_or_is_missing_is_named(small: Path, tmp_path: Path, name: str, how: str) -> None:
    folder = tmp_path / "export"
    shutil.copytree(small, folder)
    file, raw = folder / name, (small / name).read_bytes()
    if how == "missing":
        file.unlink()
    else:
        cut = {
            "half": raw[: len(raw) // 2],
            "one byte less": raw[:-1],
            "one byte more": raw + b"x",
            "empty": b"",
            "twice": raw + raw,
        }
        file.write_bytes(cut[how])
    findings = found(folder)
    named = name if name.startswith("tile/") else name.removesuffix(".jsonl").removeprefix("records/")
    assert named in findings, findings


@pytest.mark.parametrize(
    "name", ["tile/1/000.p/2", "tile/0/001", "tile/0/002.p/88", "tile/entries/001", "tile/entries/002.p/88"]
)
@pytest.mark.parametrize(
    "change", [lambda raw: raw[:-32], lambda raw: raw + raw[:32], lambda raw: raw[32:64] + raw[:32] + raw[64:], None]
)
def test_a_tile_of_the_wrong_size_or_order_is_named(
    large: tuple[Path, Story], tmp_path: Path, name: str, change: Any
) -> None:
    folder = tmp_path / "export"
    shutil.copytree(large[0], folder)
    if change is None:
        (folder / name).unlink()
    else:
        (folder / name).write_bytes(change((folder / name).read_bytes()))
    assert (name in found(folder)) or "does not hash to its leaf" in found(folder)


def test_a_checkpoint_of_more_events_than_there_are_ends(small: Path, tmp_path: Path) -> None:
    folder = tmp_path / "export"
    shutil.copytree(small, folder)
    note = sign_note(checkpoint_text(NAME, 10**17, bytes(32)), NAME, PRIVATE)
    (folder / "checkpoint").write_text(note, "utf-8")
    assert "does not sign these" in found(folder)
    for size in ("-5", "+5", "5.0", "", "٣"):
        (folder / "checkpoint").write_text(sign_note(f"{NAME}\n{size}\n{'A' * 43}=\n", NAME, PRIVATE), "utf-8")
        assert found(folder)


def test_a_record_told_of_in_two_files_is_named(small: Path, tmp_path: Path) -> None:
    folder = tmp_path / "export"
    shutil.copytree(small, folder)
    line = (folder / "records/caps.jsonl").read_bytes().splitlines(keepends=True)[0]
    (folder / "records/zzz.jsonl").write_bytes(line)
    assert "record caps/dataset/ds_1: comes twice in the export" in found(folder)


def test_other_papers_must_fit(large: tuple[Path, Story]) -> None:
    folder, story = large
    for size in (0, 1, 17, 255, 256, 257, 511, 512, 599, 600):
        assert found(folder, story.checkpoint(size)) == ""
    assert found(folder, receipt_of(story, 13), receipt_of(story, 256, 300), receipt_of(story, 599)) == ""
    other = long_story(599)
    other.bodies[20] = other.bodies[20].replace(b"entries", b"records")
    forged = receipt_of(other, 20)
    assert "the receipt of 599 events does not sign a beginning of these 600" in found(folder, forged)
    assert "the earlier checkpoint of 599 events does not sign" in found(folder, other.checkpoint())
    told = json.loads(receipt_of(story, 13))
    assert "its event is not event 14 of this log" in found(folder, json.dumps(told | {"index": 14}))
    for junk in ("{", "{}", json.dumps(told | {"event": 7}), json.dumps(told | {"index": None}), "", "x"):
        assert "is not signed by this key" in found(folder, junk)


def test_what_is_no_export_is_an_error_that_names_it(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="checkpoint"):
        verify(tmp_path / "nowhere", VKEY)


def test_an_export_is_written_once_and_only_of_the_whole_log(tmp_path: Path) -> None:
    story = honest()
    write(tmp_path / "export", story)
    with pytest.raises(Conflict, match="export_folder_used"):
        write(tmp_path / "export", story)
    for bodies in (story.bodies[:-1], [*story.bodies, story.bodies[0]], story.bodies[::-1]):
        folder = tmp_path / f"export{len(bodies)}{bodies[0][:20].hex()}"
        with pytest.raises(IntegrityFailed, match="export_incomplete"):
            write_export(folder, story.checkpoint(), bodies, [])
        assert not (folder / "checkpoint").exists(), "a folder without checkpoint is half done"


# --- what servers add to a life ---------------------------------------------------------------------------------------


def test_a_forfeit_counts_and_gives_nothing_back(tmp_path: Path) -> None:
    for number, (amount, wrong) in enumerate(
        ((400, ""), (601, "takes caps/grant/grt_1 over its frontier"), (-1, "gives budget back"))
    ):
        story = granted()
        cap = story.rows["caps/grant/grt_1"] | {"spent_eps_p": amount}
        told = {
            "cap": ["grant", "grt_1"],
            "cost": {"eps_p": str(amount), "rho": "400" if amount > 0 else "0", "delta": "0"},
        }
        story.tell_rows(
            "cap.forfeit", "system", told, {"caps/grant/grt_1": cap | {"spent_rho": 400 if amount > 0 else 0}}
        )
        findings = found(write(tmp_path / str(number), story))
        assert (wrong in findings) if wrong else findings == ""
    story = granted()
    story.tell("cap.forfeit", "system", {"cap": ["grant", "grt_1"], "cost": {"eps_p": "5", "rho": "0", "delta": "0"}})
    assert "record caps/grant/grt_1: does not follow" in found(write(tmp_path / "hidden", story))


def lost(story: Story, *paths: str) -> None:
    for path in paths:
        del story.rows[path]


def test_records_that_a_restored_home_has_lost_may_be_missing_if_it_says_so(tmp_path: Path) -> None:
    paths = ["queries/qry_2", "votes/app_1/review/m1"]
    story = honest()
    lost(story, *paths)
    assert found(write(tmp_path / "silent", story)).count("is missing") == 2
    story.tell("home.reconcile", "system", {"from_size": 9, "to_size": 17, "recovered": 8, "lost": paths})
    assert found(write(tmp_path / "told", story)) == ""
    _, books = verify(tmp_path / "told", VKEY)
    assert [line.split(" lost ")[1] for line in books.lines(grants=False, totals=False)] == paths
    story.tell_rows("log.read", "a1", {}, {paths[1]: {"reason": "again"}})
    lost(story, paths[1])
    assert f"record {paths[1]}: is missing" in found(write(tmp_path / "later", story)), "only what was lost before"


def test_what_was_charged_for_a_lost_record_stays_charged(tmp_path: Path) -> None:
    story = honest()
    paths = [f"ledger/qry_2/main/{scope}/{subject}" for scope, subject in CAPS]
    lost(story, *paths)
    for scope, subject in CAPS:
        story.rows[f"caps/{scope}/{subject}"]["spent_rho"] = 0
    story.tell("home.reconcile", "system", {"from_size": 9, "to_size": 17, "recovered": 8, "lost": paths})
    assert "spent_rho is 0, not 400" in found(write(tmp_path / "export", story))


def test_an_end_of_a_query_that_nothing_was_charged_for_is_named(tmp_path: Path) -> None:
    story = granted()
    story.tell("query.settle", "system", {"query": "qry_1"}, queries__qry_1={"id": "qry_1", "state": "settled"})
    assert "queries/qry_1 cost nothing" in found(write(tmp_path / "export", story))


def test_a_cap_of_more_than_the_terms_grant_is_named(tmp_path: Path) -> None:
    story = granted()
    story.rows["grants/grt_1"]["terms"] = story.rows["grants/grt_1"]["terms"] | {"epsilon": "999"}
    assert "cap.open): its epsilon is not that of the grant's terms" in found(write(tmp_path / "export", story))


ODD = st.sampled_from([None, True, 1, 1.5, "", "x", [], [1], {}, {"a": []}, [["grant"]], -1, 10**30])


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_an_operator_that_signs_nonsense_makes_findings_and_no_accident(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    """Whoever holds the key can sign any bytes; the auditor's machine must not fall over them."""
    story = honest()
    index = data.draw(st.integers(0, len(story.bodies) - 1))
    value = json.loads(story.bodies[index])
    told = data.draw(st.sampled_from([value, value["details"]]))
    told[data.draw(st.sampled_from([*told, "records", "lost", "cap", "cost", "caps"]))] = data.draw(ODD)
    if data.draw(st.booleans()):
        value["type"] = data.draw(
            st.sampled_from(
                [
                    "home.reconcile",
                    "cap.open",
                    "cap.forfeit",
                    "query.charge",
                    "grant.create",
                    "grant.stop",
                    "application.vote",
                    "x",
                ]
            )
        )
    story.bodies[index] = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()
    path = data.draw(st.sampled_from([*story.rows, "caps/x", "ledger/x", "grants/y", "queries/a\nb"]))
    folder = tmp_path_factory.mktemp("odd") / "export"
    write(folder, story)
    odd = json.dumps(data.draw(ODD)).encode()
    with (folder / "records" / "more.jsonl").open("wb") as file:
        file.write(b'{"path":%s,"values":%s}\n' % (json.dumps(path).encode(), odd))
    assert found(folder)


def test_another_key_is_named(small: Path) -> None:
    other = vkey(NAME, INTL.public_key(INTL.new_signing_key()))
    assert "the checkpoint is not signed by this key" in found(small, key=other)


def test_a_log_that_takes_several_processes_is_read_as_one(tmp_path: Path) -> None:
    story = long_story(verifier.EVENTS + 300)
    folder = write(tmp_path / "export", story)
    assert found(folder, story.checkpoint(verifier.EVENTS), receipt_of(story, verifier.EVENTS + 1)) == ""
    file = folder / "tile" / "entries" / "065.p" / "44"
    whole = file.read_bytes()
    file.write_bytes(whole[:-9] + b"x" + whole[-8:])
    last = len(story.bodies) - 1
    assert f"event {last} (" in found(folder)
    file.write_bytes(whole)
    story.bodies[-1] = story.bodies[100]  # the same event again, far from the first
    story.rows["principals/m1"]["state"] = "changed"
    findings = found(write(tmp_path / "twice", story)).splitlines()
    assert len(findings) == 2
    assert "event evt_100: comes twice" in findings
    assert any("record principals/m1: is not what event 1 (" in finding for finding in findings)
