"""Receipts: one event, its place in the log, and the proof that a checkpoint covers it, for its owner to check alone.

Source: RFC 6962 section 2.1.1 (inclusion); C2SP tlog-proof (https://c2sp.org/tlog-proof) has the same parts as text.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final

from sandbox.audit.checkpoint import open_note, read_checkpoint, split_note
from sandbox.audit.cosign import cosigned_at
from sandbox.audit.event import Event, decode
from sandbox.audit.merkle import leaf_hash, verify_inclusion
from sandbox.audit.tiles import Tiles
from sandbox.errors import IntegrityFailed

LONGEST: Final = 1_000_000
"""Bytes of a receipt that is looked at; one has some thousands."""

_FIELDS: Final = {"v", "origin", "checkpoint", "index", "event", "proof"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Receipt:
    """An event's canonical bytes, its index, the siblings up to the root (lowest first), and the checkpoint's note."""

    note: str
    index: int
    body: bytes
    proof: tuple[bytes, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Proved:
    """What a receipt proves: this event stands at this index of this log, and who vouches for the checkpoint, when."""

    origin: str
    size: int
    index: int
    event: Event
    witnesses: Mapping[str, int]


def make(tiles: Tiles, note: str, index: int, body: bytes) -> Receipt:
    """The receipt of event `index` under the checkpoint `note`, which is over exactly these tiles.

    Raises:
        IndexError: the checkpoint does not cover the event.
        IntegrityFailed: `tile_missing`; `receipt_not_included`, body, tiles and checkpoint do not fit together.
    """
    _, size, root = read_checkpoint(split_note(note)[0])
    proof = tiles.inclusion(index)
    if size != tiles.size or not verify_inclusion(leaf_hash(body), index, size, proof, root):
        raise IntegrityFailed("receipt_not_included", index=index, size=size)
    return Receipt(note=note, index=index, body=body, proof=tuple(proof))


def to_json(receipt: Receipt) -> dict[str, Any]:
    """The receipt as the gateway gives it and as a file holds it."""
    return {
        "v": 1,
        "origin": receipt.note.partition("\n")[0],
        "checkpoint": receipt.note,
        "index": receipt.index,
        "event": base64.b64encode(receipt.body).decode("ascii"),
        "proof": [base64.b64encode(node).decode("ascii") for node in receipt.proof],
    }


def read(raw: bytes) -> Receipt:
    """The receipt in a file.

    Raises:
        IntegrityFailed: `receipt_malformed`, naming the field.
    """
    try:
        told = json.loads(raw, object_pairs_hook=_once) if len(raw) <= LONGEST else None
    except (ValueError, RecursionError):
        told = None
    if not isinstance(told, dict) or told.keys() != _FIELDS:
        raise IntegrityFailed("receipt_malformed", field="-")
    note, origin = told["checkpoint"], told["origin"]
    if type(told["v"]) is not int or told["v"] != 1:
        raise IntegrityFailed("receipt_malformed", field="v")
    if not isinstance(note, str) or note.partition("\n")[0] != origin:
        raise IntegrityFailed("receipt_malformed", field="origin")
    if type(told["index"]) is not int:
        raise IntegrityFailed("receipt_malformed", field="index")
    if not isinstance(told["proof"], list) or len(told["proof"]) > 64:
        raise IntegrityFailed("receipt_malformed", field="proof")
    proof = tuple(_bytes(node, "proof") for node in told["proof"])
    return Receipt(note=note, index=told["index"], body=_bytes(told["event"], "event"), proof=proof)


def check(receipt: Receipt, vkey: str, witnesses: Iterable[str] = ()) -> Proved:
    """What the receipt proves under the log's public key; every witness named must have cosigned its checkpoint.

    Raises:
        IntegrityFailed: `vkey_malformed`, `note_malformed`; `receipt_other_log`, the key is another log's;
            `note_not_signed`; `receipt_not_included`, the proof does not lead from this event at this index to the
            signed root; `event_malformed`; `cosignature_missing`.
    """
    name, origin = vkey.strip().partition("+")[0], receipt.note.partition("\n")[0]
    if name != origin:
        raise IntegrityFailed("receipt_other_log", origin=origin, name=name)
    origin, size, root = open_note(receipt.note, vkey)
    if not verify_inclusion(leaf_hash(receipt.body), receipt.index, size, receipt.proof, root):
        raise IntegrityFailed("receipt_not_included", index=receipt.index, size=size)
    cosigned = {witness.strip().partition("+")[0]: cosigned_at(receipt.note, witness) for witness in witnesses}
    return Proved(origin=origin, size=size, index=receipt.index, event=decode(receipt.body), witnesses=cosigned)


def spelled(amount: int | str, places: int) -> str:
    """A counter of the ledger as a decimal: epsilon and rho have 12 places, delta 18."""
    return format(Decimal(int(amount)).scaleb(-places).normalize(), "f")


def price(cost: Mapping[str, str]) -> str:
    """What a charge took, as people write it: only the parts that are not nothing."""
    parts = [("ε", "eps_p", 12), ("ρ", "rho", 12), ("δ", "delta", 18)]
    return " + ".join(f"{sign} {spelled(cost[name], places)}" for sign, name, places in parts if int(cost[name])) or "0"


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object whose every name stands once: of two, readers would take different ones."""
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError
    return found


def _bytes(text: object, field: str) -> bytes:
    try:
        raw = base64.b64decode(text, validate=True) if isinstance(text, str) else None
    except ValueError:
        raw = None
    if raw is None or base64.b64encode(raw).decode("ascii") != text:
        raise IntegrityFailed("receipt_malformed", field=field)
    return raw
