"""kill -9 while the log is numbered and published: no event is lost or doubled, and the next worker goes on."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from sandbox.audit import merkle
from sandbox.audit.checkpoint import open_note
from sandbox.audit.merkle import Frontier
from sandbox.audit.tiles import WIDTH
from sandbox.crash import VARIABLE
from sandbox.store import log, tiles
from sandbox.work.published import copy_key, latest_note, newest_copy
from tests.faults.one_log import EVENTS, live, opened

POINTS = ["log.numbered", "publish.bundle", "publish.latest", "publish.copied"]


@pytest.mark.parametrize("point", POINTS)
def test_a_kill_leaves_log_and_object_store_in_agreement(point: str, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tests.faults.one_log", str(tmp_path)], env=os.environ | {VARIABLE: point},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == -signal.SIGKILL, done.stderr
    kept = opened(tmp_path, 5)
    reached = POINTS.index(point)
    with kept.sessions.reading() as session:
        size, leaves = log.size(session), log.leaves(session)
        assert size == (EVENTS if reached else 0), "numbers, tiles and checkpoint come together or not at all"
        assert tiles.covered(session) == size - size % WIDTH
        signed = log.checkpoint(session)
    assert (signed is not None) == bool(reached)
    if signed is not None:
        assert open_note(signed[1], kept.vkey)[1:] == (size, merkle.root(leaves))
    assert (latest_note(kept.objects) is not None) == (reached >= POINTS.index("publish.latest"))
    assert (newest_copy(kept.objects) is not None) == (reached >= POINTS.index("publish.copied"))
    live(kept)
    published = kept.published()
    assert published.size == EVENTS
    assert list(published.follow(Frontier())) == kept.bodies()
    assert len(set(kept.bodies())) == EVENTS
    assert list(kept.objects.list("log/checkpoints/")) == [copy_key(EVENTS)]
    kept.sessions.close()
