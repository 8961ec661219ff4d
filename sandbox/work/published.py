"""The published log: events sealed in the object store with the checkpoint that signs them, as a restore reads it."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

from sandbox.audit.checkpoint import open_note
from sandbox.audit.merkle import Frontier, leaf_hash
from sandbox.audit.tiles import WIDTH, pack_entries, unpack_entries
from sandbox.crypto.keys import RootKey, unwrap, wrap
from sandbox.errors import IntegrityFailed
from sandbox.ports import ObjectStore

LATEST: Final = "log/latest"
"""The one object that is overwritten: the newest checkpoint, and the events behind the last full bundle, sealed."""
COPIES: Final = "log/checkpoints/"
"""Checkpoints that are never overwritten, one a minute, under retention where the store has it."""

_PURPOSE: Final = b"log entries"
_TRIES: Final = 5


def bundle_key(number: int) -> str:
    """Where the sealed bundle of events 256 n to 256 n + 255 lies."""
    return f"log/entries/{number:012d}"


def copy_key(size: int) -> str:
    """Where the immutable copy of a checkpoint lies."""
    return f"{COPIES}{size:012d}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Sealing:
    """How published events are sealed: under a key derived from the home's root key, each for its one place.

    A bundle is the C2SP entry bundle (two bytes of length, big end first, before each event). Sealed it is the key's
    public name (8 bytes), a nonce (12), the AES-256-GCM ciphertext and its tag (16).
    """

    key: bytes = field(repr=False)
    root_key: RootKey = field(repr=False)
    log_name: str

    @classmethod
    def of(cls, root_key: RootKey, log_name: str) -> Sealing:
        """The sealing of a log under a home's root key."""
        return cls(key=root_key.suite.kdf(root_key.secret, _PURPOSE), root_key=root_key, log_name=log_name)

    def seal(self, place: str, bodies: list[bytes]) -> bytes:
        """Events for one place: a bundle's key, or `latest` with its size."""
        return wrap(self.root_key.suite, self.key, pack_entries(bodies), f"{self.log_name}\n{place}")

    def open(self, place: str, sealed: bytes) -> list[bytes]:
        """The events that were sealed for that place.

        Raises:
            IntegrityFailed: `wrapping_key_differs`, another root key sealed them; `sealed_open_failed`, they were
                changed or belong to another place or log; `entries_malformed`.
        """
        return unpack_entries(unwrap(self.root_key.suite, self.key, sealed, f"{self.log_name}\n{place}"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Published:
    """What the object store says of the log: a signed checkpoint, all of whose events lie there too."""

    note: str
    size: int
    root: bytes
    objects: ObjectStore = field(repr=False)
    sealing: Sealing = field(repr=False)
    tail: bytes = field(repr=False)

    def bodies(self, start: int = 0) -> Iterator[bytes]:
        """The events from number `start` on, in order; `follow` also proves them.

        Raises:
            IntegrityFailed: `object_missing`, `published_malformed`, or what opening them raises.
            DependencyFailed: `object_store_failed`.
        """
        full = self.size // WIDTH
        for number in range(start // WIDTH, full):
            key = bundle_key(number)
            bundle = self.sealing.open(key, whole(self.objects, key))
            if len(bundle) != WIDTH:
                raise IntegrityFailed("published_malformed", key=key)
            yield from bundle[max(0, start - number * WIDTH) :]
        rest = self.sealing.open(tail_place(self.size), self.tail)
        if len(rest) != self.size - full * WIDTH:
            raise IntegrityFailed("published_malformed", key=LATEST)
        yield from rest[max(0, start - full * WIDTH) :]

    def follow(self, edge: Frontier) -> Iterator[bytes]:
        """The events behind a tree with this right edge; once all are taken it is proved that they lead to `root`.

        The edge is pushed along.

        Raises:
            IntegrityFailed: `published_differs`, after the last event: the published log does not begin with that
                tree; and what `bodies` raises.
        """
        start = edge.size
        for body in self.bodies(start):
            edge.push(leaf_hash(body))
            yield body
        if edge.size != self.size or edge.root() != self.root:
            raise IntegrityFailed("published_differs", size=self.size, from_size=start)


def tail_place(size: int) -> str:
    """The place for which the events behind the last full bundle are sealed."""
    return f"{LATEST}\n{size}"


def latest_bytes(note: str, size: int, tail: list[bytes], sealing: Sealing) -> bytes:
    """The content of `log/latest`: canonical JSON with the note, and the events behind the last full bundle, sealed."""
    sealed = base64.b64encode(sealing.seal(tail_place(size), tail)).decode("ascii")
    body = {"note": note, "tail": sealed, "v": 1}
    return json.dumps(body, ensure_ascii=False, sort_keys=True, separators=(",", ":")).encode()


def read_published(objects: ObjectStore, root_key: RootKey, vkey: str) -> Published | None:
    """What is published of the log with this public key; None if nothing ever was.

    Raises:
        IntegrityFailed: `published_malformed`; `vkey_malformed`; `note_malformed` or `note_not_signed`, another log
            was published there.
        DependencyFailed: `object_store_failed`.
    """
    found = _latest(objects)
    if found is None:
        return None
    note, tail = found
    origin, size, root = open_note(note, vkey)
    return Published(note=note, size=size, root=root, tail=tail, objects=objects, sealing=Sealing.of(root_key, origin))


def latest_note(objects: ObjectStore) -> str | None:
    """The checkpoint in `log/latest`, unchecked; None if there is none.

    Raises:
        IntegrityFailed: `published_malformed`.
        DependencyFailed: `object_store_failed`.
    """
    found = _latest(objects)
    return None if found is None else found[0]


def newest_copy(objects: ObjectStore) -> str | None:
    """The note of the largest checkpoint that was copied, unchecked; None if there is none.

    It cannot be newer than `log/latest`, unless that was overwritten by an older one.

    Raises:
        DependencyFailed: `object_store_failed`.
    """
    newest = None
    for newest in objects.list(COPIES):  # noqa: B007  # the last of a sorted list is wanted
        pass
    return None if newest is None else whole(objects, newest).decode("utf-8", "replace")


def _latest(objects: ObjectStore) -> tuple[str, bytes] | None:
    for left in range(_TRIES, 0, -1):
        try:
            if objects.size(LATEST) is None:
                return None
            body = json.loads(whole(objects, LATEST))
            if body["v"] == 1:
                return str(body["note"]), base64.b64decode(body["tail"], validate=True)
        except (ValueError, LookupError, TypeError, binascii.Error, IntegrityFailed):
            # It is replaced once a second: its length may be that of another one.
            if left == 1:
                break
    raise IntegrityFailed("published_malformed", key=LATEST)


def whole(objects: ObjectStore, key: str) -> bytes:
    """All of an object.

    Raises:
        IntegrityFailed: `object_missing`, `object_truncated`.
        DependencyFailed: `object_store_failed`.
    """
    size = objects.size(key)
    if size is None:
        raise IntegrityFailed("object_missing", key=key)
    return objects.read(key, 0, size)
