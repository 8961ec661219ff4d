"""Readiness: what is looked up of database, object store and duties beside the requests; what grows old is red."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from sandbox.errors import SandboxError
from sandbox.store import migrations
from sandbox.wiring import House
from sandbox.work.standing import Standing, look

LOOK_SECONDS: Final = 2.0
OLD_SECONDS: Final = 10.0
"""What was seen so long ago is not true any more: whoever should have looked again hangs."""

PROBE: Final = "log/latest"
"""An object that is there from the first publication on."""

_log = logging.getLogger("sandbox.gateway")


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """What was last seen. `checks` decides; the rest says why. `known` is the schema that this release wants."""

    checks: dict[str, bool]
    frozen: str | None
    standing: Standing | None
    known: str


class _Looker:
    """One thread that looks again and again. It may hang; whoever asks gets an old result, and sees that it is old."""

    def __init__(self, name: str, look: Callable[[], None]) -> None:
        self._look = look
        self._at = float("-inf")
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._live, name=f"readiness {name}", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        # Not joined: it may be in a call that takes long, and it holds nothing.
        self._stop.set()

    def fresh(self) -> bool:
        return time.monotonic() - self._at < OLD_SECONDS

    def _live(self) -> None:
        while not self._stop.is_set():
            try:
                self._look()
            except Exception as error:  # noqa: BLE001 - a thread that died unseen would leave its last word standing
                _log.error("readiness: %s", type(error).__name__)
            else:
                self._at = time.monotonic()
            self._stop.wait(LOOK_SECONDS)


class Readiness:
    """Looks every other second, database and object store each on a thread of its own; a request never waits for it."""

    def __init__(self, house: House) -> None:
        self._house = house
        self._known = migrations.head()
        self._standing: Standing | None = None
        self._objects = False
        self._leaving = False
        self._lookers = {"database": _Looker("database", self._look), "objects": _Looker("objects", self._probe)}

    def start(self) -> None:
        """Begin to look."""
        for looker in self._lookers.values():
            looker.start()

    def stop(self) -> None:
        """Look no more."""
        for looker in self._lookers.values():
            looker.stop()

    def leave(self) -> None:
        """Red from now on: this process is about to stop, whoever sends it requests should look elsewhere."""
        self._leaving = True

    def seen(self) -> Seen:
        """The present verdict, from memory."""
        fresh = {name: looker.fresh() for name, looker in self._lookers.items()}
        standing = self._standing if fresh["database"] else None
        checks = {"database": standing is not None, "objects": fresh["objects"] and self._objects}
        if standing is not None:
            checks |= standing.checks(self._house.clock.now())
        frozen = self._house.sessions.frozen
        if frozen is not None:  # this process may have been kept from writing before it could write down why
            checks["writable"] = False
        if self._leaving:
            checks["serving"] = False
        return Seen(checks=checks, frozen=frozen, standing=standing, known=self._known)

    def _look(self) -> None:
        try:
            with self._house.sessions.reading() as session:
                self._standing = look(session, self._house.clock)
        except SandboxError as error:
            _log.error("not ready: database: %s", error.code)
            self._standing = None

    def _probe(self) -> None:
        """Whether the store answers; and has what was published, so that an empty disk in its place is found."""
        try:
            there = self._house.objects.size(PROBE) is not None
        except SandboxError as error:
            _log.error("not ready: objects: %s", error.code)
            self._objects = False
            return
        standing = self._standing
        published = standing is not None and any(d.name == "publish" and d.last_ok for d in standing.duties)
        if published and not there:
            _log.error("not ready: objects: what was published is not there")
        self._objects = there or not published
