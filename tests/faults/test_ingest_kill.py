"""kill -9 at every step of an ingest: nothing of it is visible, and the next worker finishes the work."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from sandbox.crash import VARIABLE
from sandbox.ingest import duty, registry
from sandbox.ingest.lifecycle import STEPS
from sandbox.store import datasets, versions
from tests.promises import promise
from tests.workshop import STEWARD, Workshop, make_workshop, manifest

ROOT = Path(__file__).parents[2]
LIMITS = "{rows: 7_000_000, rows_per_unit: 4, default_rows: 2, tiers: [2, 4], provenance: {documented: t}}"
COLUMNS = "visits: {type: integer, bounds: [0, 50], %}\nnote: {type: text, %}"


def killed(workshop: Workshop, point: str) -> None:
    """Run the duty in a process that dies at the point."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.faults.one_ingest", str(workshop.folder)],
        cwd=ROOT, env={**os.environ, VARIABLE: point}, capture_output=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == -signal.SIGKILL, done.stderr.decode()


def submitted(folder: Path) -> tuple[Workshop, str]:
    workshop = make_workshop(folder, lease_seconds=30)
    workshop.source("person,visits,note\n" + "".join(f"p{i % 40},{i % 50},a very private note {i}\n" for i in range(200)))
    return workshop, workshop.submit(manifest(COLUMNS, limits=LIMITS) + "slots: [visits, note]\n").id


def visible(workshop: Workshop) -> bool:
    with workshop.parts.sessions.reading() as session:
        return datasets.dataset_exists(session, "city.visits")


def agree(workshop: Workshop) -> None:
    """Database, log and objects tell the same."""
    _, version, _ = workshop.opened()
    assert len(version.sidecars) == 2 << version.bits
    assert {f.key for f in version.sealed} | {f"v1/{version.id}/manifest"} == set(workshop.objects())
    assert len(workshop.rows()) == 160
    kinds = [kind for kind, _ in workshop.logged()]
    assert [kinds.count(k) for k in ("dataset.add", "ingest.commit", "ingest.submit")] == [1, 1, 1]
    assert kinds.count("cap.open") == 2


@promise("P2.1")
@pytest.mark.parametrize("point", STEPS)
def test_kill_at_every_step(tmp_path: Path, point: str) -> None:
    workshop, ingest_id = submitted(tmp_path / "w")
    killed(workshop, point)
    for file in tmp_path.rglob("*"):
        plain = file.is_file() and "sources" not in file.parts and b"very private" in file.read_bytes()
        assert not plain, f"{file.name} holds rows in the clear"
    if point == "ingest.committed":
        assert workshop.ingest(ingest_id).state == "committed"
        assert not duty.run_next(workshop.parts)
        agree(workshop)
        return
    assert not visible(workshop)
    assert workshop.ingest(ingest_id).state == "running"
    time.sleep(0.6)
    assert duty.run_next(workshop.parts)
    after = workshop.ingest(ingest_id)
    assert (after.state, after.attempt, after.error) == ("committed", 2, None)
    agree(workshop)


def test_two_kills_are_the_end_and_a_new_try_works(tmp_path: Path) -> None:
    workshop, ingest_id = submitted(tmp_path / "w")
    for point in ("ingest.uploaded", "ingest.manifest"):
        killed(workshop, point)
        time.sleep(0.6)
    assert workshop.objects()
    assert duty.run_next(workshop.parts)
    after = workshop.ingest(ingest_id)
    assert (after.state, (after.error or {})["code"]) == ("failed", "ingest_lost")
    assert not visible(workshop)
    done = workshop.run(manifest(COLUMNS))
    assert done.state == "committed"
    _, version, _ = workshop.opened()
    assert {key.split("/")[1] for key in workshop.objects()} == {version.id}, "what the dead left is swept"


@pytest.mark.parametrize("point", ["ingest.spilled", "ingest.manifest", "ingest.committing", "ingest.committed"])
@pytest.mark.parametrize("mode", ["append", "correct"])
def test_kill_during_an_update(tmp_path: Path, mode: str, point: str) -> None:
    """The version before stays as it is until the one transaction; then it is withdrawn, or goes on beside the new."""
    workshop, _ = submitted(tmp_path / "w")
    assert duty.run_next(workshop.parts)
    with workshop.parts.sessions.reading() as session:
        spec = datasets.dataset(session, "city.visits").spec
    declared = manifest(COLUMNS, limits=LIMITS)
    asked = registry.Update(dataset="city.visits", spec=spec, text=declared, file="m", mode=mode, reason="r")
    with workshop.parts.sessions.begin() as session:
        queued = registry.submit_next(session, workshop.parts.clock, STEWARD, asked)
    killed(workshop, point)
    kept = "withdrawn" if mode == "correct" else "open"
    if point != "ingest.committed":
        assert [v.state for v in _versions(workshop)] == ["open"]
        time.sleep(0.6)
        assert duty.run_next(workshop.parts)
    assert workshop.ingest(queued.id).state == "committed"
    assert [(v.number, v.state) for v in _versions(workshop)] == [(1, kept), (2, "open")]
    assert {key.split("/")[1] for key in workshop.objects()} == {v.id for v in _versions(workshop)}
    assert len(workshop.rows()) == 160
    assert [kind for kind, _ in workshop.logged()].count("version.withdraw") == (mode == "correct")


def _versions(workshop: Workshop) -> list[versions.VersionMark]:
    with workshop.parts.sessions.reading() as session:
        return versions.listed(session, datasets.dataset(session, "city.visits").id)
