"""A snapshot in which every committed event is numbered and signed over, so that records and leaves agree."""

from __future__ import annotations

import time
from contextlib import ExitStack
from typing import Final

from sqlalchemy.orm import Session

from sandbox.errors import DependencyFailed
from sandbox.store import log
from sandbox.store.sessions import Sessions

_WAIT: Final = 15.0
_PAUSE: Final = 0.002
"""The moment between the sequencer's commit and the next writer's is short on a busy gateway; this catches it."""


def settled(sessions: Sessions, stack: ExitStack) -> tuple[Session, int, str]:
    """A reading session on `stack`, with the size and the note of the checkpoint that covers all it sees.

    Raises:
        DependencyFailed: `log_busy`, no such moment came; is the sequencer running?
    """
    deadline = time.monotonic() + _WAIT
    while time.monotonic() < deadline:
        with ExitStack() as attempt:
            session = attempt.enter_context(sessions.reading())
            newest = log.checkpoint(session)
            if newest is not None and not log.unnumbered(session) and newest[0] == log.size(session):
                stack.push(attempt.pop_all())
                return session, *newest
        time.sleep(_PAUSE)
    raise DependencyFailed("log_busy")
