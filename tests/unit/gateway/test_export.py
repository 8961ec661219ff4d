"""The export over HTTP: one settled instant of a living gateway, whole or not at all, and checked without it."""

from __future__ import annotations

import io
import sqlite3
import tarfile
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from sandbox.audit.verify import verify
from sandbox.cli.exports import take
from sandbox.client.http import ProblemError
from tests.unit.gateway.living import Living, living, working


def tar_of(alive: Living) -> bytes:
    response = alive.client.get("/v1/log/export", headers=alive.who("auditor"))
    assert response.status_code == 200
    assert response.headers["content-type"] == "application/x-tar"
    return response.content


def vkey(alive: Living) -> str:
    return (alive.house.home / "log.vkey").read_text("utf-8")


def pieces(content: bytes, size: int = 1000) -> Iterator[bytes]:
    for start in range(0, len(content), size):
        yield content[start : start + size]


def findings(folder: Path, alive: Living) -> list[str]:
    return verify(folder, vkey(alive))[0]


def test_the_export_proves_itself(full: Living, tmp_path: Path) -> None:
    count = take(pieces(tar_of(full)), tmp_path / "export")
    assert findings(tmp_path / "export", full) == []
    assert count == len([p for p in (tmp_path / "export").rglob("*") if p.is_file()])
    assert {p.name for p in (tmp_path / "export").iterdir()} == {"checkpoint", "records", "tile"}


def test_any_tar_opens_it(full: Living, tmp_path: Path) -> None:
    with tarfile.open(fileobj=io.BytesIO(tar_of(full))) as archive:
        archive.extractall(tmp_path / "export", filter="data")
    assert findings(tmp_path / "export", full) == []


def test_it_proves_itself_while_the_gateway_writes(full: Living, tmp_path: Path) -> None:
    stop = threading.Event()

    def write(writer: int) -> None:
        number = 0
        while not stop.is_set():
            number += 1
            body = {"name": f"writer {writer} {number}", "kind": "company"}
            full.client.post("/v1/tenants", json=body, headers=full.who("operator"))

    writers = [threading.Thread(target=write, args=(n,)) for n in range(3)]
    for writer in writers:
        writer.start()
    try:
        for number in range(3):
            take(pieces(tar_of(full)), tmp_path / str(number))
    finally:
        stop.set()
        for writer in writers:
            writer.join()
    earlier = [(tmp_path / str(number) / "checkpoint").read_text() for number in range(3)]
    for number in range(3):
        assert verify(tmp_path / str(number), vkey(full), earlier[: number + 1])[0] == []
    assert verify(tmp_path / "0", vkey(full), earlier[2:])[0], "a later checkpoint is no beginning of an older log"


def test_taking_it_is_logged_and_the_auditors_alone(full: Living) -> None:
    before = len(full.events("log.read"))
    tar_of(full)
    assert [e["what"] for e in full.events("log.read")[before:]] == ["export"]
    for name in ("operator", "steward", "member1", "engineer"):
        response = full.client.get("/v1/log/export", headers=full.who(name))
        assert (response.status_code, response.json()["code"]) == (403, "not_your_role")


def test_it_needs_no_sequencer_and_no_quiet_moment(tmp_path: Path) -> None:
    """Events wait, and nobody numbers them: the export gives those that it sees their places itself."""
    with living(tmp_path) as alive:
        for number in range(3):
            alive.admit(f"one {number}", "engineer", "acme")
            take(pieces(tar_of(alive)), tmp_path / str(number))
            assert findings(tmp_path / str(number), alive) == []


def test_a_changed_event_is_named(tmp_path: Path) -> None:
    with living(tmp_path) as alive, working(alive):
        take(pieces(tar_of(alive)), tmp_path / "before")
        database = sqlite3.connect(alive.house.home / "sandbox.db")
        with database:
            for (trigger,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall():
                database.execute(f"DROP TRIGGER {trigger}")
            database.execute("UPDATE events SET body = CAST(replace(body, 'tenant.create', 'tenant.delete') AS BLOB) WHERE idx = 1")
        database.close()
        take(pieces(tar_of(alive)), tmp_path / "after")
        assert findings(tmp_path / "before", alive) == []
        assert any("event 1 " in finding for finding in findings(tmp_path / "after", alive))


@pytest.mark.parametrize("part", [0.0, 0.1, 0.5, 0.9, 0.999])
def test_half_an_export_leaves_nothing(full: Living, tmp_path: Path, part: float) -> None:
    whole = tar_of(full)
    whole = whole[: whole.rindex(b"checkpoint")]
    with pytest.raises(ProblemError, match="broke off") as caught:
        take(pieces(whole[: int(len(whole) * part)]), tmp_path / "export")
    assert caught.value.code == "export_broken"
    assert list(tmp_path.iterdir()) == []


def test_half_a_folder_is_called_so_by_the_verifier(full: Living, tmp_path: Path) -> None:
    take(pieces(tar_of(full)), tmp_path / "export")
    for gone in sorted(p.relative_to(tmp_path / "export") for p in (tmp_path / "export").rglob("*") if p.is_file()):
        if gone.name == "checkpoint" or not (tmp_path / "export" / gone).stat().st_size:
            continue
        content = (tmp_path / "export" / gone).read_bytes()
        (tmp_path / "export" / gone).unlink()
        assert findings(tmp_path / "export", full), f"{gone} is missing"
        (tmp_path / "export" / gone).write_bytes(content)
    assert findings(tmp_path / "export", full) == []


def a_tar(*members: tuple[str, bytes, bytes]) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        for name, content, kind in members:
            info = tarfile.TarInfo(name)
            info.size, info.type, info.linkname = len(content), kind, "/etc/passwd"
            archive.addfile(info, io.BytesIO(content))
    return out.getvalue()


@pytest.mark.parametrize(
    "member",
    [("../checkpoint", b"x", tarfile.REGTYPE), ("/tmp/checkpoint", b"x", tarfile.REGTYPE), ("checkpoint", b"", tarfile.SYMTYPE),
     ("records/../../x.jsonl", b"x", tarfile.REGTYPE), ("tile", b"", tarfile.DIRTYPE), ("records/caps.jsonl", b"x", tarfile.REGTYPE)],
)  # fmt: skip
def test_what_no_export_holds_is_refused(tmp_path: Path, member: tuple[str, bytes, bytes]) -> None:
    forged = a_tar(("records/caps.jsonl", b"", tarfile.REGTYPE), member, ("checkpoint", b"x", tarfile.REGTYPE))
    with pytest.raises(ProblemError) as caught:
        take([forged], tmp_path / "export")
    assert caught.value.code == "export_broken"
    assert list(tmp_path.iterdir()) == []


def test_it_goes_into_an_empty_folder_and_no_other(full: Living, tmp_path: Path) -> None:
    whole = tar_of(full)
    (tmp_path / "empty").mkdir()
    take(pieces(whole), tmp_path / "empty")
    (tmp_path / "file").write_text("x")
    for used in ("empty", "file"):
        with pytest.raises(ProblemError) as caught:
            take(pieces(whole), tmp_path / used)
        assert caught.value.code == "export_folder_used"
