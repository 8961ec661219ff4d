"""Outside: the newest checkpoints of this log that object store and witnesses hold, whatever its database says."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlencode

import httpx2
from sqlalchemy.orm import Session

from sandbox.audit import merkle
from sandbox.audit.checkpoint import open_note
from sandbox.audit.cosign import cosigned_at
from sandbox.audit.tiles import WIDTH
from sandbox.audit.witness import read_answer, request_body
from sandbox.errors import DependencyFailed, IntegrityFailed, SandboxError
from sandbox.ports import ObjectStore
from sandbox.store import home_state, log, tiles
from sandbox.work.published import latest_note, newest_copy
from sandbox.work.tree import Tree
from sandbox.work.witnesses import PATIENCE, Witness, exchanged, submitted

STORE: Final = "object store"
_NEVER_HEARD: Final = frozenset({"403", "404"})
"""A witness that does not watch this log, or not under this key, holds nothing of it."""
_log = logging.getLogger("sandbox.work")


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """A checkpoint of this log that somebody else holds; of a foreign witness only the size is known."""

    source: str
    size: int
    root: bytes | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Outside:
    """What is known outside; `answered` and `silent` are the names of witnesses."""

    known: tuple[Known, ...]
    answered: tuple[str, ...]
    silent: tuple[str, ...]

    @property
    def size(self) -> int:
        """The largest size that anybody holds; 0 if nobody holds any."""
        return max((k.size for k in self.known), default=0)


def look_outside(
    objects: ObjectStore, witnesses: Sequence[Witness], vkey: str, *, own: tuple[int, str] | None, copies: bool
) -> Outside:
    """Ask everybody. `own` is this database's newest checkpoint, for witnesses that know no other question.

    `copies` looks at the checkpoints under retention as well, which is for a start: there may be many.

    Raises:
        DependencyFailed: the object store cannot be asked.
        IntegrityFailed: what lies there is not signed by this log's key (`note_not_signed`), or no checkpoint.
    """
    known = [_signed(STORE, note, vkey) for note in _stored(objects, copies=copies)]
    answered, silent = [], []
    with httpx2.Client(timeout=PATIENCE, follow_redirects=False) as http:
        for witness in witnesses:
            try:
                found = _ask(http, witness, vkey, own)
            except (httpx2.HTTPError, SandboxError) as error:
                _log.error("witness %s did not say what it holds: %s", witness.name, type(error).__name__)
                silent.append(witness.name)
                continue
            answered.append(witness.name)
            known += [] if found is None else [found]
    return Outside(known=tuple(known), answered=tuple(answered), silent=tuple(silent))


def compare(session: Session, tree: Tree, outside: Outside) -> str | None:
    """What is wrong with this database by what is known outside: a code, or None."""
    size = log.size(session)
    for known in outside.known:
        if known.size > size:
            _log.critical("%s holds a checkpoint of %d events, this home knows %d", known.source, known.size, size)
            return home_state.ROLLED_BACK
        if known.root is not None and root_at(session, tree, known.size) != known.root:
            _log.critical("%s holds another log of %d events than this home", known.source, known.size)
            return home_state.FORKED
    return None


def root_at(session: Session, tree: Tree, size: int) -> bytes:
    """The root of the first `size` events; from the leaves where a log of release 0.1 has no tiles yet."""
    if tiles.covered(session) >= size - size % WIDTH:
        return tree.at(session, size).root()
    return merkle.root(log.leaves(session, 0, size))


def _stored(objects: ObjectStore, *, copies: bool) -> Iterator[str]:
    copy = newest_copy(objects) if copies else None
    if copy is not None:
        yield copy
    try:
        latest = latest_note(objects)
    except IntegrityFailed as error:
        if copy is None:
            raise
        _log.error("the published checkpoint cannot be read: %s", error.code)  # it is written anew each second
        return
    if latest is not None:
        yield latest


def _signed(source: str, note: str, vkey: str) -> Known:
    _, size, root = open_note(note, vkey)
    return Known(source=source, size=size, root=root)


def _ask(http: httpx2.Client, witness: Witness, vkey: str, own: tuple[int, str] | None) -> Known | None:
    """What a witness holds. Ours say it themselves; any other tells it when it is sent what it already has."""
    origin = vkey.partition("+")[0]
    status, raw = exchanged(http, "GET", f"{witness.url}/latest?{urlencode({'origin': origin})}")
    body = raw.decode("utf-8", "replace")
    if status == httpx2.codes.OK:
        # Everybody has notes that the log signed; only with its own line below is this one the witness's answer.
        cosigned_at(body, witness.vkey)
        return _signed(witness.name, body, vkey)
    if own is None:
        return None
    size, note = own
    status, raw = submitted(http, witness, request_body(size, [], note))
    answer = read_answer(status, raw.decode("utf-8", "replace"), note, witness.vkey)
    if answer.line is not None or answer.known is not None:
        return Known(source=witness.name, size=size if answer.known is None else answer.known, root=None)
    if answer.refused in _NEVER_HEARD:
        return None
    raise DependencyFailed("witness_unreachable", witness=witness.name)
