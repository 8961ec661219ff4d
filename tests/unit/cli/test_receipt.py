"""What is checked alone on the command line: a receipt, a month's page; each with an exit code and a reason."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from sandbox.audit import receipt, report
from sandbox.audit.checkpoint import sign_note, split_note
from sandbox.audit.cosign import cosign, with_cosignatures, witness_vkey
from sandbox.audit.event import decode
from sandbox.audit.export import write_export
from sandbox.audit.merkle import leaf_hash
from sandbox.audit.records import plain
from sandbox.audit.tiles import Tiles
from sandbox.cli.main import run
from sandbox.crypto.suite import INTL
from tests.unit.audit.story import NAME, PRIVATE, VKEY, honest

W_NAME, W_KEY = "witness.example/w1", bytes(range(32, 64))
WITNESS = witness_vkey(W_NAME, INTL.public_key(W_KEY))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    story = honest()
    leaves = [leaf_hash(body) for body in story.bodies]
    note = story.checkpoint()
    both = with_cosignatures(note, [cosign(split_note(note)[0], W_NAME, W_KEY, 1_800_000_000)])
    made = receipt.make(Tiles(lambda *_: b"".join(leaves), len(leaves)), both, 15, story.bodies[15])
    (tmp_path / "receipt.json").write_text(json.dumps(receipt.to_json(made)))
    (tmp_path / "log.vkey").write_text(VKEY + "\n")
    (tmp_path / "w1.vkey").write_text(WITNESS + "\n")
    write_export(tmp_path / "export", note, story.bodies, ((path, plain(row)) for path, row in story.rows.items()))
    events = [(index, decode(body)) for index, body in enumerate(story.bodies)]
    page = report.report(events, "2026-01", note)
    (tmp_path / "page.txt").write_text(sign_note(page, NAME, PRIVATE), "utf-8")
    (tmp_path / "lie.txt").write_text(sign_note(page.replace("| 2 |", "| 3 |", 1), NAME, PRIVATE), "utf-8")
    return tmp_path


def test_a_receipt_is_proved_and_shown(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    line = [
        "verify-receipt",
        str(folder / "receipt.json"),
        "--key",
        f"@{folder / 'log.vkey'}",
        "--witness",
        f"@{folder / 'w1.vkey'}",
    ]
    assert run(line) == 0
    told = capsys.readouterr().out
    for word in ("已证明", "qry_1", "ε 0.0000000005", "15 / 19", NAME, "witness.example/w1 2027-01-15T08:00:00Z"):
        assert word in told
    assert run([*line, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["details"]["query"] == "qry_1"


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda raw: raw[: len(raw) // 2], "not a receipt, or is cut off"),
        (lambda raw: raw.replace(b'"index": 15', b'"index": 14'), "does not show this event at place 14"),
        (
            lambda raw: raw.replace(b"sandbox.example/log", b"sandbox.example/lag"),
            "receipt is of the log sandbox.example/lag",
        ),
        (lambda raw: raw.replace(b"\\n19\\n", b"\\n20\\n"), "bears no valid signature"),
    ],
)
def test_what_proves_nothing_is_named_and_exits_1(
    folder: Path, capsys: pytest.CaptureFixture[str], change: object, told: str
) -> None:
    assert callable(change)
    file = folder / "receipt.json"
    file.write_bytes(change(file.read_bytes()))
    assert run(["verify-receipt", str(file), "--key", VKEY]) == 1
    captured = capsys.readouterr()
    assert told in captured.err
    assert captured.out == ""


def test_a_receipt_without_the_witness_asked_for_exits_1(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    other = witness_vkey("witness.example/w2", INTL.public_key(bytes(32)))
    assert run(["verify-receipt", str(folder / "receipt.json"), "--key", VKEY, "--witness", other]) == 1
    assert "no valid cosignature of the witness witness.example/w2" in capsys.readouterr().err


def test_a_file_that_is_not_there_is_named(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["verify-receipt", str(folder / "nowhere"), "--key", VKEY]) == 2
    assert "nowhere" in capsys.readouterr().err


def test_a_key_file_without_its_at_is_told_so(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    receipt_file, key, witness = (str(folder / name) for name in ("receipt.json", "log.vkey", "w1.vkey"))
    assert run(["verify-receipt", receipt_file, "--key", key]) == 2
    assert f"@{key}" in capsys.readouterr().err
    assert run(["verify-receipt", receipt_file, "--key", f"@{key}", "--witness", witness]) == 2
    assert f"@{witness}" in capsys.readouterr().err


def test_a_months_page_is_computed_anew(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    more = ["--export", str(folder / "export"), "--key", VKEY]
    assert run(["audit", "check-report", str(folder / "page.txt"), *more]) == 0
    assert "核验通过" in capsys.readouterr().out
    assert run(["audit", "check-report", str(folder / "lie.txt"), *more]) == 1
    assert "the page says '| charged 计费 | 3 | 15–16 |'" in capsys.readouterr().out
    assert run(["audit", "check-report", str(folder / "receipt.json"), *more]) == 1
    assert "not a signed note" in capsys.readouterr().err
