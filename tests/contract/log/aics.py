"""Runs in an environment of its own: aics-tlog looks at an export, proofs, notes and cosignatures that it did not make."""

from __future__ import annotations

import base64
import json
import sys
from typing import Any

import aics_tlog
from aics_tlog.hashing import EMPTY_HASH


def b64(text: str) -> bytes:
    return base64.b64decode(text, validate=True)


def folder(asked: dict[str, Any]) -> dict[str, Any]:
    """Every tile and every entry of an export against its signed root; proofs that it makes itself from our tiles."""
    reader = aics_tlog.FileSystemTileReader(asked["folder"])
    with open(asked["folder"] + "/checkpoint", encoding="utf-8") as file:  # noqa: PTH123
        note = aics_tlog.parse_note(file.read())
    witnesses = [aics_tlog.parse_vkey(key) for key in asked["witnesses"]]
    checked = aics_tlog.verify_checkpoint(note, aics_tlog.parse_vkey(asked["key"]), witnesses, len(witnesses))
    if not checked.ok:
        raise ValueError(checked.error)
    told = aics_tlog.parse_checkpoint(note.text)
    if told.size:
        aics_tlog.audit_tiles(reader, told.size, told.root, entries=True)
    made = [aics_tlog.inclusion_proof_from_tiles(reader, index, told.size) for index in asked["indexes"]]
    grown = [aics_tlog.consistency_proof_from_tiles(reader, old, told.size) for old in asked["olds"]]
    return {
        "size": told.size,
        "inclusion": [[base64.b64encode(node).decode() for node in proof] for proof in made],
        "consistency": [[base64.b64encode(node).decode() for node in proof] for proof in grown],
    }


def inclusion(asked: dict[str, Any]) -> bool:
    proof = [b64(node) for node in asked["proof"]]
    return aics_tlog.verify_inclusion(b64(asked["leaf"]), asked["index"], asked["size"], proof, b64(asked["root"]))


def consistency(asked: dict[str, Any]) -> bool:
    proof = [b64(node) for node in asked["proof"]]
    old = b64(asked["old_root"]) if asked["old"] else EMPTY_HASH
    return aics_tlog.verify_consistency(asked["old"], asked["size"], old, b64(asked["root"]), proof)


def cosign(asked: dict[str, Any]) -> str:
    """A cosignature line of its own making."""
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    private = Ed25519PrivateKey.from_private_bytes(b64(asked["private"]))
    told = aics_tlog.parse_checkpoint(asked["text"])
    _, line = aics_tlog.sign_cosignature(private, asked["name"], asked["at"], told.origin, told.size, told.root)
    return f"— {line.name} {base64.b64encode(line.key_id + line.signature).decode()}\n"


OPS = {"folder": folder, "inclusion": inclusion, "consistency": consistency, "cosign": cosign}

for line in sys.stdin:
    asked = json.loads(line)
    try:
        answer: Any = {"found": OPS[asked["op"]](asked)}
    except Exception as wrong:
        answer = {"wrong": f"{type(wrong).__name__}: {wrong}"}
    sys.stdout.write(json.dumps(answer) + "\n")
    sys.stdout.flush()
