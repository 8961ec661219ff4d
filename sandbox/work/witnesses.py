"""Witnesses: each gets what was published, and its cosignature is kept; what it says of a fork is said aloud."""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass
from typing import Final, Self

import httpx2

from sandbox.audit.checkpoint import read_checkpoint, read_vkey, split_note
from sandbox.audit.cosign import TIMED
from sandbox.audit.witness import Answer, read_answer, request_body
from sandbox.clock import Clock
from sandbox.errors import DependencyFailed, IntegrityFailed, RequestError, SandboxError
from sandbox.ports import ObjectStore
from sandbox.store import cosignatures
from sandbox.store.sessions import Sessions
from sandbox.work.published import latest_note
from sandbox.work.tree import Tree

PATIENCE: Final = 5.0
"""Seconds that a witness has for each answer."""
TRIES: Final = 3
"""Submissions in one run: the first may teach us what the witness knows."""

_LONGEST: Final = 16_384
_log = logging.getLogger("sandbox.work")


@dataclass(frozen=True, slots=True, kw_only=True)
class Witness:
    """A witness as the settings name it: its public key, and the address below which it takes submissions."""

    name: str
    vkey: str
    url: str

    @classmethod
    def parse(cls, text: str) -> Self:
        """`VKEY URL`, with one space.

        Raises:
            RequestError: `witness_refused`, it is not of that form, or the key does not fit its own hash.
        """
        vkey, _, url = text.partition(" ")
        try:
            parsed = httpx2.URL(url)
            name, _ = read_vkey(vkey, TIMED)
        except (IntegrityFailed, httpx2.InvalidURL):
            raise RequestError("witness_refused", witness=text) from None
        if parsed.scheme not in {"http", "https"} or not parsed.host or parsed.query or parsed.fragment:
            raise RequestError("witness_refused", witness=text)
        return cls(name=name, vkey=vkey, url=url.rstrip("/"))


class Witnessing:
    """Keeps one witness up to date. It sends only what lies in the object store, events and all.

    Source: C2SP tlog-witness (https://c2sp.org/tlog-witness).
    """

    def __init__(self, sessions: Sessions, clock: Clock, objects: ObjectStore, witness: Witness) -> None:
        self._sessions = sessions
        self._clock = clock
        self._objects = objects
        self._witness = witness
        self._tree = Tree()
        # A connection for each submission: one a second at most, and a kept one may just be closing.
        limits = httpx2.Limits(max_keepalive_connections=0)
        self._http = httpx2.Client(timeout=PATIENCE, follow_redirects=False, limits=limits)
        self._known: int | None = None

    def run(self) -> bool:
        """Submit the published checkpoint if the witness has not cosigned it yet; never more at once.

        Raises:
            DependencyFailed: `witness_unreachable`, `witness_refuses` (with the status of its answer).
            IntegrityFailed: `witness_ahead`, it has cosigned more than was ever published from this database;
                `witness_forked`, it has cosigned another log of this size; `witness_behind`, it has forgotten what it
                cosigned (and has now cosigned anew).
        """
        try:
            self._run()
        except SandboxError as error:
            _log.error("witness %s: %s", self._witness.name, error)
            raise
        return False

    def _run(self) -> None:
        with self._sessions.reading() as session:
            newest = cosignatures.note(session)
            held = cosignatures.newest_of(session, self._witness.name)
        if newest is None or held == newest[0]:
            return
        note = latest_note(self._objects)
        if note is not None:
            text, signatures = split_note(note)
            origin, size, _ = read_checkpoint(text)
            own = "".join(f"{s.line}\n" for s in signatures if s.name == origin)
            if size > held:
                self._submit(f"{text}\n{own}", size, held)

    def _submit(self, note: str, size: int, held: int) -> None:
        old = held if self._known is None else self._known
        for _ in range(TRIES):
            answer = self._ask(note, size, old)
            if answer.line is not None:
                self._keep(size, answer.line)
                break
            old = self._learn(answer, size, old)
        else:
            raise DependencyFailed("witness_refuses", witness=self._witness.name, answer="409")
        if old < held:
            # A witness that forgets can be shown a fork: somebody should look after it.
            raise IntegrityFailed("witness_behind", witness=self._witness.name, size=held, known=old)

    def _learn(self, answer: Answer, size: int, old: int) -> int:
        """From which size the next submission begins."""
        name, known = self._witness.name, answer.known
        if known == old or answer.refused == "422":
            raise IntegrityFailed("witness_forked", witness=name, size=size, known=old)
        if known is None:
            raise DependencyFailed("witness_refuses", witness=name, answer=str(answer.refused))
        self._known = known
        if known > size:
            raise IntegrityFailed("witness_ahead", witness=name, size=size, known=known)
        return known

    def _keep(self, size: int, line: str) -> None:
        with self._sessions.begin() as session:
            cosignatures.save(session, size=size, witness=self._witness.name, line=line, at=self._clock.text())
        self._known = size

    def _ask(self, note: str, size: int, old: int) -> Answer:
        with self._sessions.reading() as session:
            proof = self._tree.at(session, size).consistency(old)
        try:
            status, body = submitted(self._http, self._witness, request_body(old, proof, note))
            answer = body.decode()
        except (httpx2.HTTPError, UnicodeDecodeError):
            raise DependencyFailed("witness_unreachable", witness=self._witness.name) from None
        return read_answer(status, answer, note, self._witness.vkey)


def submitted(http: httpx2.Client, witness: Witness, content: bytes) -> tuple[int, bytes]:
    """What a witness answers to a checkpoint: the status, and the body.

    Raises:
        httpx2.HTTPError: as `exchanged`.
    """
    return exchanged(http, "POST", f"{witness.url}/add-checkpoint", content)


def exchanged(http: httpx2.Client, method: str, url: str, content: bytes | None = None) -> tuple[int, bytes]:
    """The answer's status and body; cut off where no honest answer is as long or as slow.

    Raises:
        httpx2.HTTPError: there is no answer, or it was cut off.
    """
    deadline, received = time.monotonic() + PATIENCE, bytearray()
    with http.stream(method, url, content=content) as response:
        for piece in response.iter_bytes():
            received += piece
            if len(received) > _LONGEST or time.monotonic() > deadline:
                raise httpx2.ReadTimeout("", request=response.request)
        return response.status_code, bytes(received)
