"""Checkpoints: the size and root of the log as a C2SP signed note, which any transparency-log tool can check.

Source: C2SP signed-note (https://c2sp.org/signed-note), C2SP tlog-checkpoint (https://c2sp.org/tlog-checkpoint).
"""

from __future__ import annotations

import base64
import re
from typing import Final

from sandbox.crypto.suite import INTL
from sandbox.errors import IntegrityFailed

_ED25519: Final = b"\x01"
"""The signature type of the note format: one byte before the public key."""

_NAME: Final = re.compile(r"[^\s+]+")
_TEXT: Final = re.compile(
    r"(?P<origin>[^\n]+)\n(?P<size>0|[1-9][0-9]{0,18})\n(?P<root>[A-Za-z0-9+/]{43}=)\n(?:[^\n]+\n)*"
)
_SIGNATURE: Final = re.compile(r"— (?P<name>[^\s+]+) (?P<bytes>[A-Za-z0-9+/]+={0,2})")


def vkey(name: str, public: bytes) -> str:
    """The log's public key as auditors hold it: `name+hash+key`.

    Raises:
        IntegrityFailed: `log_name_refused`, the name is empty or holds a space or a plus.
    """
    encoded = base64.b64encode(_ED25519 + public).decode("ascii")
    return f"{name}+{_key_hash(name, public).hex()}+{encoded}"


def checkpoint_text(origin: str, size: int, root: bytes) -> str:
    """What is signed: three lines that say which log, how many events, which root."""
    return f"{origin}\n{size}\n{base64.b64encode(root).decode('ascii')}\n"


def sign_note(text: str, name: str, private: bytes) -> str:
    """`text`, an empty line, and the line of its Ed25519 signature.

    Raises:
        IntegrityFailed: `log_name_refused`.
    """
    key_hash = _key_hash(name, INTL.public_key(private))
    signature = base64.b64encode(key_hash + INTL.sign(private, text.encode())).decode("ascii")
    return f"{text}\n— {name} {signature}\n"


def open_note(note: str, vkey: str) -> tuple[str, int, bytes]:
    """The origin, size and root of a checkpoint that the key signed; other signatures beside it are let be.

    Raises:
        IntegrityFailed: `vkey_malformed`; `note_malformed`; `note_not_signed`, no signature of this key holds, or the
            log is named otherwise than the key.
    """
    name, public = _read_vkey(vkey)
    text, blank, lines = note.rpartition("\n\n")
    text += "\n"
    parts = _TEXT.fullmatch(text)
    signatures = [_SIGNATURE.fullmatch(line) for line in lines.split("\n")[:-1]]
    if not blank or not lines.endswith("\n") or parts is None or not all(signatures):
        raise IntegrityFailed("note_malformed")
    if parts["origin"] != name or not any(s and _signed(s, text, name, public) for s in signatures):
        raise IntegrityFailed("note_not_signed", name=name)
    return parts["origin"], int(parts["size"]), base64.b64decode(parts["root"])


def _key_hash(name: str, public: bytes) -> bytes:
    if not _NAME.fullmatch(name):
        raise IntegrityFailed("log_name_refused", name=name)
    return INTL.digest(name.encode() + b"\n" + _ED25519 + public)[:4]


def _read_vkey(vkey: str) -> tuple[str, bytes]:
    name, _, rest = vkey.strip().partition("+")
    key_hash, _, encoded = rest.partition("+")
    try:
        key = base64.b64decode(encoded, validate=True)
        matches = _key_hash(name, key[1:]).hex() == key_hash
    except (ValueError, IntegrityFailed):
        raise IntegrityFailed("vkey_malformed") from None
    if key[:1] != _ED25519 or len(key) != 33 or not matches:
        raise IntegrityFailed("vkey_malformed")
    return name, key[1:]


def _signed(line: re.Match[str], text: str, name: str, public: bytes) -> bool:
    try:
        signature = base64.b64decode(line["bytes"], validate=True)
    except ValueError:
        return False
    exact = base64.b64encode(signature).decode("ascii") == line["bytes"]
    mine = line["name"] == name and signature[:4] == _key_hash(name, public)
    return exact and mine and INTL.verify(public, signature[4:], text.encode())
