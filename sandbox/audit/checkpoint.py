"""Checkpoints: the size and root of the log as a C2SP signed note, which any transparency-log tool can check.

Source: C2SP signed-note (https://c2sp.org/signed-note), C2SP tlog-checkpoint (https://c2sp.org/tlog-checkpoint).
"""

from __future__ import annotations

import base64
import re
from dataclasses import dataclass
from typing import Final

from sandbox.crypto.suite import INTL
from sandbox.errors import IntegrityFailed

ED25519: Final = b"\x01"
"""The type of a plain signature in the note format: one byte before the public key."""
LONGEST_NOTE: Final = 1_000_000
"""Characters of a note that is looked at; a checkpoint has some hundreds, a month's page some thousands."""

_NAME: Final = re.compile(r"[^\s+]+")
_TEXT: Final = re.compile(
    r"(?P<origin>[^\n]+)\n(?P<size>0|[1-9][0-9]{0,18})\n(?P<root>[A-Za-z0-9+/]{43}=)\n(?:[^\n]+\n)*"
)
_SIGNATURE: Final = re.compile(r"— (?P<name>[^\s+]+) (?P<bytes>[A-Za-z0-9+/]+={0,2})")


@dataclass(frozen=True, slots=True, kw_only=True)
class Signature:
    """One line under a note: who signed, the first bytes of the key's hash, and what the key made."""

    line: str
    name: str
    key_hash: bytes
    made: bytes


def vkey(name: str, public: bytes) -> str:
    """The log's public key as auditors hold it: `name+hash+key`.

    Raises:
        IntegrityFailed: `log_name_refused`, the name is empty or holds a space or a plus.
    """
    return make_vkey(name, public, ED25519)


def checkpoint_text(origin: str, size: int, root: bytes) -> str:
    """What is signed: three lines that say which log, how many events, which root."""
    return f"{origin}\n{size}\n{base64.b64encode(root).decode('ascii')}\n"


def sign_note(text: str, name: str, private: bytes) -> str:
    """`text`, an empty line, and the line of its Ed25519 signature.

    Raises:
        IntegrityFailed: `log_name_refused`.
    """
    return f"{text}\n{signature_line(name, ED25519, INTL.public_key(private), INTL.sign(private, text.encode()))}"


def open_note(note: str, vkey: str) -> tuple[str, int, bytes]:
    """The origin, size and root of a checkpoint that the key signed; other signatures beside it are let be.

    Raises:
        IntegrityFailed: `vkey_malformed`; `note_malformed`; `note_not_signed`, no signature of this key holds, or the
            log is named otherwise than the key.
    """
    text = open_signed(note, vkey)
    origin, size, root = read_checkpoint(text)
    if origin != vkey.strip().partition("+")[0]:
        raise IntegrityFailed("note_not_signed", name=origin)
    return origin, size, root


def open_signed(note: str, vkey: str) -> str:
    """The text of a note that the key signed, whatever it says.

    Raises:
        IntegrityFailed: `vkey_malformed`, `note_malformed`, `note_not_signed`.
    """
    name, public = read_vkey(vkey, ED25519)
    text, signatures = split_note(note)
    mine = [s for s in signatures if s.name == name and s.key_hash == key_hash(name, ED25519, public)]
    if not any(INTL.verify(public, s.made, text.encode()) for s in mine):
        raise IntegrityFailed("note_not_signed", name=name)
    return text


def read_checkpoint(text: str) -> tuple[str, int, bytes]:
    """The origin, size and root that a checkpoint's text states, whoever signed it.

    Raises:
        IntegrityFailed: `note_malformed`.
    """
    parts = _TEXT.fullmatch(text)
    if parts is None:
        raise IntegrityFailed("note_malformed")
    return parts["origin"], int(parts["size"]), base64.b64decode(parts["root"])


def split_note(note: str) -> tuple[str, list[Signature]]:
    """A note's text and the signatures under it, none of them checked.

    Raises:
        IntegrityFailed: `note_malformed`.
    """
    text, blank, lines = note.rpartition("\n\n")
    if not blank or not text or not lines.endswith("\n") or len(note) > LONGEST_NOTE:
        raise IntegrityFailed("note_malformed")
    return f"{text}\n", [read_signature(line) for line in lines.split("\n")[:-1]]


def read_signature(line: str) -> Signature:
    """One signature line, without its end.

    Raises:
        IntegrityFailed: `note_malformed`.
    """
    parts = _SIGNATURE.fullmatch(line)
    try:
        made = base64.b64decode(parts["bytes"], validate=True) if parts else b""
    except ValueError:
        made = b""
    # One spelling for one signature: the last character of base64 has bits to spare.
    if parts is None or len(made) < 5 or base64.b64encode(made).decode("ascii") != parts["bytes"]:
        raise IntegrityFailed("note_malformed")
    return Signature(line=line, name=parts["name"], key_hash=made[:4], made=made[4:])


def signature_line(name: str, kind: bytes, public: bytes, made: bytes) -> str:
    """The line of a signature, with its end.

    Raises:
        IntegrityFailed: `log_name_refused`.
    """
    return f"— {name} {base64.b64encode(key_hash(name, kind, public) + made).decode('ascii')}\n"


def make_vkey(name: str, public: bytes, kind: bytes) -> str:
    """A public key with its name and its type of signature, as `name+hash+key`.

    Raises:
        IntegrityFailed: `log_name_refused`.
    """
    encoded = base64.b64encode(kind + public).decode("ascii")
    return f"{name}+{key_hash(name, kind, public).hex()}+{encoded}"


def read_vkey(vkey: str, kind: bytes) -> tuple[str, bytes]:
    """The name and the public key of a vkey of this type.

    Raises:
        IntegrityFailed: `vkey_malformed`.
    """
    name, _, rest = vkey.strip().partition("+")
    told, _, encoded = rest.partition("+")
    try:
        key = base64.b64decode(encoded, validate=True)
        matches = key_hash(name, kind, key[1:]).hex() == told
    except (ValueError, IntegrityFailed):
        raise IntegrityFailed("vkey_malformed") from None
    if key[:1] != kind or len(key) != 33 or not matches:
        raise IntegrityFailed("vkey_malformed")
    return name, key[1:]


def key_hash(name: str, kind: bytes, public: bytes) -> bytes:
    """Four bytes that, with the name, tell which key signed a line.

    Raises:
        IntegrityFailed: `log_name_refused`.
    """
    if not _NAME.fullmatch(name):
        raise IntegrityFailed("log_name_refused", name=name)
    return INTL.digest(name.encode() + b"\n" + kind + public)[:4]
