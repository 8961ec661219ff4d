"""The publisher: lays the log's events, sealed, and its checkpoints into the object store before any witness hears."""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import timedelta
from io import BytesIO
from itertools import takewhile
from typing import Final

from sqlalchemy.orm import Session

from sandbox import crash
from sandbox.audit.checkpoint import open_note, vkey
from sandbox.audit.tiles import WIDTH
from sandbox.clock import Clock, rfc3339
from sandbox.crypto.keys import RootKey
from sandbox.crypto.suite import INTL
from sandbox.errors import Conflict, IntegrityFailed
from sandbox.ports import ObjectStore
from sandbox.store import cosignatures, log
from sandbox.store.sessions import Sessions
from sandbox.work.published import (
    LATEST,
    Sealing,
    bundle_key,
    copy_key,
    latest_bytes,
    latest_note,
    newest_copy,
    whole,
)
from sandbox.work.tree import Tree

BUNDLES: Final = 64
"""Bundles that one run lays down at most; then the lease is looked at."""
COPIES: Final = 60
"""Minutes whose checkpoints are copied at most after an outage."""

_log = logging.getLogger("sandbox.work")


class Publisher:
    """Publishes in an order that makes each step safe to die after: bundles, `log/latest`, the minute's copy.

    So whatever checkpoint is found outside of the database, its events are in the object store.
    """

    def __init__(
        self,
        sessions: Sessions,
        clock: Clock,
        objects: ObjectStore,
        root_key: RootKey,
        *,
        name: str,
        key: bytes,
        retention_days: int,
        guard: Callable[[Session], None] = lambda _session: None,
    ) -> None:
        """`guard` is called before anything is overwritten, and raises `lease_lost` when another worker publishes."""
        self._sessions = sessions
        self._clock = clock
        self._objects = objects
        self._sealing = Sealing.of(root_key, name)
        self._vkey = vkey(name, INTL.public_key(key))
        self._retention = timedelta(days=retention_days)
        self._guard = guard
        self._tree = Tree()
        self._laid: int | None = None
        self._told: str | None = None
        self._minute = ""
        self._copied_at = ""
        self._pruned = 0

    def run(self) -> bool:
        """Publish what is new; True while there is more.

        Raises:
            Conflict: `lease_lost`.
            DependencyFailed: `object_store_…`, `database_…`.
            IntegrityFailed: `published_ahead` or `published_forked`, the object store holds a checkpoint that this
                database does not lead up to; `note_not_signed`, another log's.
        """
        with self._sessions.reading() as session:
            newest = cosignatures.note(session)
        if newest is None:
            return False
        size, note = newest
        minute = self._clock.text()[:16]
        if minute != self._minute:
            self._compare()
        if note != self._told:
            if self._bundles(size // WIDTH):
                return True
            self._latest(size, note)
        if minute != self._minute:
            self._copies(minute)
            self._prune(minute)
            self._minute = minute
        return False

    def _compare(self) -> None:
        """Whether what is published is ours: once a minute, and before this process overwrites anything.

        A worker that slept through its lease could have overwritten a newer `latest`: then it is written again.
        """
        try:
            there = latest_note(self._objects)
        except IntegrityFailed:
            _log.exception("%s cannot be read and is written anew", LATEST)
            there = newest_copy(self._objects)
        if there != self._told:
            self._told = None
        if there is None:
            return
        _, found, root = open_note(there, self._vkey)
        with self._sessions.reading() as session:
            size = log.size(session)
            if found > size:
                raise IntegrityFailed("published_ahead", size=size, published=found)
            if self._tree.at(session, found).root() != root:
                raise IntegrityFailed("published_forked", size=found)

    def _bundles(self, full: int) -> bool:
        """Lay down the full bundles that are not there yet; True if some are left."""
        if self._laid is None:
            self._laid = self._first_missing(full)
        end = min(full, self._laid + BUNDLES)
        for number in range(self._laid, end):
            self._bundle(number)
            crash.point("publish.bundle")
            self._laid = number + 1
        return end < full

    def _first_missing(self, full: int) -> int:
        """The first bundle that is not there; they are laid down in order."""
        low, high = 0, full
        while low < high:
            middle = (low + high) // 2
            if self._objects.size(bundle_key(middle)) is None:
                high = middle
            else:
                low = middle + 1
        return low

    def _bundle(self, number: int) -> None:
        place = bundle_key(number)
        with self._sessions.reading() as session:
            bodies = log.bodies(session, number * WIDTH, (number + 1) * WIDTH)
        sealed = self._sealing.seal(place, bodies)
        try:
            self._put(place, sealed)
        except Conflict:
            # Another worker was at it: sealed twice, the same events are other bytes.
            if self._sealing.open(place, whole(self._objects, place)) != bodies:
                raise IntegrityFailed("published_forked", size=(number + 1) * WIDTH) from None

    def _latest(self, size: int, note: str) -> None:
        with self._sessions.reading() as session:
            tail = log.bodies(session, size - size % WIDTH, size)
        content = latest_bytes(note, size, tail, self._sealing)
        with self._sessions.begin() as session:
            self._guard(session)
        self._objects.replace(LATEST, content)
        crash.point("publish.latest")
        self._told = note

    def _copies(self, minute: str) -> None:
        """Copy the last checkpoint of every minute that is over and has no copy; the oldest first."""
        with self._sessions.reading() as session:
            minutes = cosignatures.of_minutes(session, after=self._copied_at, before=minute, limit=COPIES)
        missing = list(takewhile(lambda found: self._objects.size(copy_key(found[0])) is None, minutes))
        for size, at in reversed(missing):
            self._copy(size)
            crash.point("publish.copied")
            self._copied_at = at

    def _copy(self, size: int) -> None:
        with self._sessions.reading() as session:
            found = cosignatures.note(session, size)
        if found is None:  # pruned by another worker meanwhile
            return
        try:
            self._put(copy_key(size), found[1].encode(), keep_until=rfc3339(self._clock.now() + self._retention))
        except Conflict:
            _log.warning("the checkpoint of %d events has been copied by another worker", size)

    def _prune(self, minute: str) -> None:
        with self._sessions.begin() as session:
            self._guard(session)
            self._pruned = cosignatures.prune(session, after=self._pruned, before=minute)

    def _put(self, key: str, content: bytes, keep_until: str | None = None) -> None:
        sha256 = INTL.digest(content).hex()
        self._objects.put(key, BytesIO(content), size=len(content), sha256=sha256, keep_until=keep_until)
