"""Presence: a gateway's or worker's row among the processes of its home, kept fresh while it lives."""

from __future__ import annotations

import logging
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final, Literal

from sqlalchemy.orm import Session

from sandbox import __version__
from sandbox.clock import Clock
from sandbox.errors import SandboxError
from sandbox.store import processes
from sandbox.store.processes import Process
from sandbox.store.sessions import Sessions

BEAT_SECONDS: Final = 10.0
RETRY_SECONDS: Final = 1.0

_log = logging.getLogger("sandbox.work")


@contextmanager
def present(
    sessions: Sessions, clock: Clock, *, worker_id: str, role: Literal["gateway", "worker"], settings: str
) -> Iterator[None]:
    """Inside the block the home knows this process. `settings` is their digest.

    A home that takes no changes now is served all the same, and told as soon as it takes some.
    """
    process = Process(
        id=worker_id, role=role, host=socket.gethostname(), release=__version__, settings=settings,
        started_at=clock.text(),
    )  # fmt: skip
    stop = threading.Event()

    def beat() -> None:
        known = told(processes.start)
        while not stop.wait(BEAT_SECONDS if known else RETRY_SECONDS):
            known = told(processes.seen if known else processes.start) or known

    def told(tell: Callable[[Session, Clock, Process], None]) -> bool:
        if sessions.frozen is not None:
            return False
        try:
            with sessions.begin() as session:
                tell(session, clock, process)
        except SandboxError as error:
            _log.error("presence not told: %s", error.code)
            return False
        return True

    thread = threading.Thread(target=beat, name="presence", daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join(BEAT_SECONDS)
        told(processes.stop)
