"""The witness's judgement: cosign a checkpoint only if it appends to the newest one that was cosigned before.

Source: C2SP tlog-witness (https://c2sp.org/tlog-witness).
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

from sandbox.audit.checkpoint import open_note, read_checkpoint, split_note
from sandbox.audit.cosign import cosign, cosigned_at, with_cosignatures
from sandbox.audit.merkle import EMPTY_ROOT, verify_consistency
from sandbox.crypto.suite import INTL
from sandbox.errors import IntegrityFailed, RequestError

LONGEST_BODY: Final = 65_536
"""Bytes of a submission that is looked at."""
SIZE_MEDIA: Final = "text/x.tlog.size"
"""The media type of the answer that tells which size the witness knows."""

_LINES: Final = 63
_OLD: Final = re.compile(r"old (0|[1-9][0-9]{0,18})")

Seen: TypeAlias = Mapping[str, str]
"""The newest checkpoint that the witness cosigned, with that cosignature, by the log's origin."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Submission:
    """What a log sends: the size that it believes the witness knows, the proof from there, the new checkpoint."""

    old: int
    proof: tuple[bytes, ...]
    note: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What the witness answers. `seen` is what it must have stored before the answer leaves, or None for no change.

    `why` is a word for the witness's own log, with the sizes asked about.
    """

    status: int
    body: str
    why: str
    origin: str = "-"
    old: int = 0
    size: int = 0
    seen: Seen | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What a log makes of a witness's answer: a cosignature line, or the size to begin from, or why not."""

    line: str | None = None
    known: int | None = None
    refused: str | None = None


def request_body(old: int, proof: Sequence[bytes], note: str) -> bytes:
    """The body of `POST …/add-checkpoint`."""
    lines = [f"old {old}", *(base64.b64encode(node).decode("ascii") for node in proof), "", note]
    return "\n".join(lines).encode()


def parse_request(body: bytes) -> Submission:
    """The submission in a body.

    Raises:
        RequestError: `submission_malformed`.
    """
    try:
        head, blank, note = body.decode("utf-8").partition("\n\n")
        first, *lines = head.split("\n")
        old = _OLD.fullmatch(first)
        proof = tuple(base64.b64decode(line, validate=True) for line in lines)
    except ValueError:
        raise RequestError("submission_malformed") from None
    if not blank or old is None or len(lines) > _LINES or any(len(node) != 32 for node in proof):
        raise RequestError("submission_malformed")
    return Submission(old=int(old[1]), proof=proof, note=note)


def consider(
    seen: Seen, logs: Mapping[str, Sequence[str]], body: bytes, *, name: str, private: bytes, at: int
) -> Verdict:
    """The verdict over a submission: `logs` has the trusted vkeys by origin, `at` is now, in seconds since 1970.

    Checking and storing what it gives must be one step, or of two submissions the smaller could be stored last.
    """
    try:
        asked = parse_request(body)
        text, signatures = split_note(asked.note)
        origin, size, root = read_checkpoint(text)
    except (RequestError, IntegrityFailed):
        return Verdict(status=400, body="", why="malformed")
    trusted = [s.line for s in signatures if any(_signed(f"{text}\n{s.line}\n", vkey) for vkey in logs.get(origin, ()))]
    known, known_root = _newest(seen, origin)
    status, why = 200, "cosigned"
    if origin not in logs:
        status, why = 404, "unknown log"
    elif not trusted:
        status, why = 403, "no trusted signature"
    elif asked.old > size:
        status, why = 400, "old size beyond the checkpoint"
    elif asked.old != known:
        status, why = 409, "another size is known"
    elif known == size and root != known_root:
        status, why = 409, "FORK: another root of the same size"
    elif not verify_consistency(known, size, asked.proof, known_root, root):
        status, why = 422, "FORK, or a wrong proof"
    if status != 200:
        told = f"{known}\n" if status == 409 else ""
        return Verdict(status=status, body=told, why=why, origin=origin, old=asked.old, size=size)
    line = cosign(text, name, private, at)
    kept = with_cosignatures(f"{text}\n" + "".join(f"{log}\n" for log in trusted), [line])
    return Verdict(status=200, body=line, why=why, origin=origin, old=asked.old, size=size, seen={**seen, origin: kept})


def read_answer(status: int, body: str, note: str, witness: str) -> Answer:
    """What the log learns from an answer to the submission of `note` by the witness with this vkey.

    A witness that knows a larger size than the log's own is ahead: the log was restored from an older state, or forked.

    Raises:
        IntegrityFailed: `vkey_malformed`.
    """
    if status == 409 and body.strip().isdecimal():
        return Answer(known=int(body))
    if status != 200:
        return Answer(refused=str(status))
    for line in body.splitlines():
        try:
            cosigned_at(f"{split_note(note)[0]}\n{line}\n", witness)
        except IntegrityFailed as wrong:
            if wrong.code == "vkey_malformed":
                raise
            continue
        return Answer(line=f"{line}\n")
    return Answer(refused="no cosignature of this witness")


def dump_seen(seen: Seen) -> bytes:
    """The state as it is kept in a file, with a digest of it."""
    text = json.dumps(dict(sorted(seen.items())), ensure_ascii=False)
    kept = {"v": 1, "sha256": INTL.digest(text.encode()).hex(), "seen": json.loads(text)}
    return json.dumps(kept, ensure_ascii=False, indent=1).encode() + b"\n"


def load_seen(raw: bytes, vkey: str, *, file: str) -> Seen:
    """The state of a file; every checkpoint in it bears this witness's own cosignature, so nobody else can write it.

    Raises:
        IntegrityFailed: `witness_state_damaged`.
    """
    try:
        kept = json.loads(raw)
        seen = {str(origin): str(note) for origin, note in kept["seen"].items()}
        whole = kept["v"] == 1 and dump_seen(seen) == raw
        for origin, note in seen.items():
            cosigned_at(note, vkey)
            whole = whole and read_checkpoint(split_note(note)[0])[0] == origin
    except (ValueError, LookupError, TypeError, AttributeError, IntegrityFailed):
        whole = False
    if not whole:
        raise IntegrityFailed("witness_state_damaged", file=file)
    return seen


def _newest(seen: Seen, origin: str) -> tuple[int, bytes]:
    """Size and root of the newest checkpoint cosigned for that log; nothing is the empty tree."""
    if origin not in seen:
        return 0, EMPTY_ROOT
    return read_checkpoint(split_note(seen[origin])[0])[1:]


def _signed(note: str, vkey: str) -> bool:
    try:
        open_note(note, vkey)
    except IntegrityFailed:
        return False
    return True
