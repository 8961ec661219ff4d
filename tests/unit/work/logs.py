"""A log to number and to publish: a home's parts without the home."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

from sqlalchemy import func, insert, select

from sandbox.audit.checkpoint import vkey
from sandbox.audit.event import Event, encode
from sandbox.audit.merkle import leaf_hash
from sandbox.crypto.keys import RootKey
from sandbox.crypto.suite import INTL
from sandbox.flow import Principal
from sandbox.objects.local import LocalObjects
from sandbox.store import log
from sandbox.store import tables as t
from sandbox.store.sessions import Sessions
from sandbox.work.publish import Publisher
from sandbox.work.published import Published, read_published
from sandbox.work.sequence import Sequencer
from tests.unit.work.times import Times

NAME = "log.example/test"
SOMEBODY = Principal(id="prn_x", tenant="ten_x", roles=frozenset())


_FORM = encode(
    Event(id="evt_%", type="log.read", at="2026-11-24T08:00:00.000Z", actor="prn_x", tenant="ten_x", subject="x", policy=0, details={})
)


def event_row(seq: int) -> dict[str, object]:
    body = _FORM.replace(b"%", b"%012d" % seq)
    return {
        "id": f"evt_{seq:012d}", "seq": seq, "at": "2026-11-24T08:00:00.000Z", "type": "log.read", "tenant": "ten_x",
        "subject": "x", "body": body, "leaf": leaf_hash(body).hex(),
    }  # fmt: skip


@dataclass
class Log:
    """Sessions, objects and keys of one log; `write`, `sequence` and `publish` do what a gateway would."""

    sessions: Sessions
    folder: Path
    times: Times = field(default_factory=Times)
    key: bytes = field(default_factory=INTL.new_signing_key)
    secret: bytes = field(default_factory=lambda: INTL.random(32))

    def __post_init__(self) -> None:
        (self.folder / "objects").mkdir(exist_ok=True)
        self.clock = self.times.clock()
        self.objects = LocalObjects(self.folder / "objects")
        self.root_key = RootKey(secret=self.secret)
        self.vkey = vkey(NAME, INTL.public_key(self.key))

    def write(self, count: int = 1) -> list[str]:
        """Commit events; gives their ids."""
        with self.sessions.begin() as session:
            return [
                log.append(session, self.clock, "log.read", actor=SOMEBODY, subject="x", details={"what": str(n)})
                for n in range(count)
            ]

    def write_many(self, count: int) -> None:
        """Commit many events at one time, as `write` does but without its price for each."""
        with self.sessions.begin() as session:
            first = max(session.scalar(select(func.max(t.EventRow.seq))) or 0, 1_000_000) + 1
            rows = [event_row(first + number) for number in range(count)]
            session.execute(insert(t.EventRow), rows)

    def sequencer(self, **given: Callable[..., None]) -> Sequencer:
        return Sequencer(self.sessions, self.clock, name=NAME, key=self.key, **given)

    def sequence(self) -> None:
        """Number all that waits."""
        sequencer = self.sequencer()
        while sequencer.run():
            pass

    def publisher(self, sessions: Sessions | None = None, **given: Callable[..., None]) -> Publisher:
        return Publisher(
            sessions or self.sessions, self.clock, self.objects, self.root_key, name=NAME, key=self.key,
            retention_days=180, **given,
        )  # fmt: skip

    def publish(self) -> None:
        """Publish all that is signed."""
        publisher = self.publisher()
        while publisher.run():
            pass

    def published(self) -> Published:
        found = read_published(self.objects, self.root_key, self.vkey)
        assert found is not None
        return found

    def copy(self, file: Path) -> Path:
        """The database (an SQLite file) as it is now, to come back to."""
        with closing(sqlite3.connect(self.folder / "home.db")) as source, closing(sqlite3.connect(file)) as target:
            source.backup(target)
        return file

    def bodies(self) -> list[bytes]:
        with self.sessions.reading() as session:
            return log.bodies(session, 0, 2**62)

    def note(self) -> tuple[int, str]:
        with self.sessions.reading() as session:
            found = log.checkpoint(session)
        assert found is not None
        return found
