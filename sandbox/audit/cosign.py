"""Cosignatures: a witness's word, with its time, that a checkpoint only appended to what it saw before.

Source: C2SP tlog-cosignature, version `cosignature/v1` (https://c2sp.org/tlog-cosignature).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

from sandbox.audit.checkpoint import (
    Signature,
    key_hash,
    make_vkey,
    read_signature,
    read_vkey,
    signature_line,
    split_note,
)
from sandbox.crypto.suite import INTL
from sandbox.errors import IntegrityFailed

TIMED: Final = b"\x04"
"""The type of a signature that begins with its time."""

_TIME_SIZE: Final = 8
_LATEST: Final = 2**63 - 1


def witness_vkey(name: str, public: bytes) -> str:
    """A witness's public key as logs and auditors hold it.

    Raises:
        IntegrityFailed: `log_name_refused`.
    """
    return make_vkey(name, public, TIMED)


def cosign(text: str, name: str, private: bytes, at: int) -> str:
    """The line that witness `name` adds under a checkpoint's text at `at`, in seconds since 1970.

    Raises:
        IntegrityFailed: `log_name_refused`.
    """
    made = at.to_bytes(_TIME_SIZE, "big") + INTL.sign(private, _message(text, at))
    return signature_line(name, TIMED, INTL.public_key(private), made)


def cosigned_at(note: str, vkey: str) -> int:
    """When this witness cosigned the checkpoint, in seconds since 1970; of several times the latest.

    Raises:
        IntegrityFailed: `vkey_malformed`, `note_malformed`; `cosignature_missing`, no line of this key holds.
    """
    name, public = read_vkey(vkey, TIMED)
    text, signatures = split_note(note)
    mine = [s for s in signatures if s.name == name and s.key_hash == key_hash(name, TIMED, public)]
    times = [at for s in mine if (at := _time(s, text, public)) is not None]
    if not times:
        raise IntegrityFailed("cosignature_missing", witness=name)
    return max(times)


def cosigners(note: str, vkeys: Iterable[str]) -> Mapping[str, int]:
    """Which of these witnesses cosigned the checkpoint, and when.

    Raises:
        IntegrityFailed: `vkey_malformed`, `note_malformed`.
    """
    found = {}
    for vkey in vkeys:
        try:
            found[vkey.strip().partition("+")[0]] = cosigned_at(note, vkey)
        except IntegrityFailed as missing:
            if missing.code != "cosignature_missing":
                raise
    return found


def with_cosignatures(note: str, lines: Iterable[str]) -> str:
    """The note with more signature lines under it; a newer line of a key takes the older one's place.

    Raises:
        IntegrityFailed: `note_malformed`.
    """
    text, signatures = split_note(note)
    added = [read_signature(line.removesuffix("\n")) for line in lines]
    newest = {(s.name, s.key_hash): s for s in added}
    kept = [newest.pop((s.name, s.key_hash), s) for s in signatures]
    return f"{text}\n" + "".join(f"{s.line}\n" for s in [*kept, *newest.values()])


def _message(text: str, at: int) -> bytes:
    return f"cosignature/v1\ntime {at}\n{text}".encode()


def _time(signature: Signature, text: str, public: bytes) -> int | None:
    at = int.from_bytes(signature.made[:_TIME_SIZE], "big")
    holds = at <= _LATEST and INTL.verify(public, signature.made[_TIME_SIZE:], _message(text, at))
    return at if holds else None
