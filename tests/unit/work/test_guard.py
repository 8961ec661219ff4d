"""The guard beside a sequencer of the same process: what grows while it looks is no rollback."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from sqlalchemy.orm import Session

from sandbox.store.sessions import Sessions
from sandbox.work.guard import Guard
from tests.unit.work.logs import Log


def test_what_is_numbered_while_it_looks_is_no_rollback(
    sessions: Sessions, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its snapshot is older by then than what the sequencer's thread has seen."""
    kept = Log(sessions, tmp_path)
    guard = Guard(sessions, kept.clock, kept.objects, vkey=kept.vkey)
    guard.start()
    kept.write(3)
    kept.sequence()
    guard.run()
    sequencer, reading, grown = kept.sequencer(guard=guard.check), sessions.reading, False

    @contextmanager
    def slow() -> Iterator[Session]:
        nonlocal grown
        with reading() as session:
            yield session
        if not grown:
            grown = True
            for _ in range(2):  # the second time, the first one's numbers have been seen
                kept.write(2)
                assert sequencer.run()

    with monkeypatch.context() as patched:
        patched.setattr(sessions, "reading", slow)
        guard.run()
    assert grown
    assert sessions.frozen is None
    guard.run()
    assert sessions.frozen is None
