"""What nobody here wrote checks the same bytes: Go's sumdb/note and sumdb/tlog, and aics-tlog."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from sandbox.audit import merkle
from sandbox.audit.checkpoint import checkpoint_text, open_note, sign_note, vkey
from sandbox.audit.cosign import cosign, cosigned_at, with_cosignatures, witness_vkey
from sandbox.audit.export import write_export
from sandbox.audit.tiles import Tiles
from sandbox.audit.witness import consider, request_body
from sandbox.crypto.suite import INTL
from sandbox.errors import IntegrityFailed
from tests.contract.log.oracles import Oracle, aics, go

NAME, PRIVATE = "sandbox.example/log", bytes(range(32))
VKEY = vkey(NAME, INTL.public_key(PRIVATE))
W_NAME, W_PRIVATE = "witness.example/w1", bytes(range(32, 64))
WITNESS = witness_vkey(W_NAME, INTL.public_key(W_PRIVATE))
SIZES = [1, 2, 255, 256, 257, 512, 1000, 65_536, 66_000]
BODIES = [b'{"n":%d}' % n for n in range(SIZES[-1])]
LEAVES = [merkle.leaf_hash(body) for body in BODIES]


@pytest.fixture(scope="module")
def golang() -> Iterator[Oracle]:
    oracle = go()
    yield oracle
    oracle.close()


@pytest.fixture(scope="module")
def python() -> Iterator[Oracle]:
    oracle = aics()
    yield oracle
    oracle.close()


def b64(raw: bytes) -> str:
    return base64.b64encode(raw).decode("ascii")


def tree(size: int) -> Tiles:
    tail = b"".join(LEAVES[size - size % 256 : size])
    full = {(0, n): b"".join(LEAVES[256 * n : 256 * n + 256]) for n in range(size // 256)}
    return Tiles(lambda level, index: full.get((level, index)), size, tail)


def note(size: int) -> str:
    text = checkpoint_text(NAME, size, tree(size).root())
    return with_cosignatures(sign_note(text, NAME, PRIVATE), [cosign(text, W_NAME, W_PRIVATE, 1_800_000_000)])


def told(answer: str) -> Any:
    found = json.loads(answer)
    assert "wrong" not in found, found
    return found["found"]


# --- notes ------------------------------------------------------------------------------------------------------------


def test_go_opens_our_notes_and_we_open_gos(golang: Oracle) -> None:
    text = checkpoint_text(NAME, 7, bytes(32))
    assert (
        golang.ask(op="open", key=VKEY, note=note(7)) == f"ok {json.dumps(note(7).partition(chr(10) * 2)[0] + chr(10))}"
    )
    skey = f"PRIVATE+KEY+{NAME}+{VKEY.split('+', 2)[1]}+{b64(bytes([1]) + PRIVATE)}"
    signed = golang.ask(op="sign", key=skey, text=text)
    assert json.loads(signed.removeprefix("ok ")) == sign_note(text, NAME, PRIVATE)
    assert open_note(json.loads(signed.removeprefix("ok ")), VKEY) == (NAME, 7, bytes(32))


def test_go_refuses_what_we_refuse(golang: Oracle) -> None:
    whole = note(7)
    for changed in (
        whole.replace("\n7\n", "\n8\n"),
        whole[:-1],
        whole.replace("— ", "- "),
        whole.replace("\n\n", "\n"),
        "",
    ):
        assert golang.ask(op="open", key=VKEY, note=changed).startswith("no ")
        with pytest.raises(IntegrityFailed):
            open_note(changed, VKEY)


# --- cosignatures -----------------------------------------------------------------------------------------------------


def test_a_cosignature_is_byte_for_byte_that_of_aics_tlog(python: Oracle) -> None:
    text = checkpoint_text(NAME, 7, INTL.digest(b"root"))
    theirs = told(python.ask(op="cosign", text=text, name=W_NAME, private=b64(W_PRIVATE), at=1_800_000_000))
    assert theirs == cosign(text, W_NAME, W_PRIVATE, 1_800_000_000)
    assert cosigned_at(with_cosignatures(sign_note(text, NAME, PRIVATE), [theirs]), WITNESS) == 1_800_000_000


# --- tiles and proofs -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", SIZES)
def test_an_export_is_whole_to_both(golang: Oracle, python: Oracle, tmp_path: Path, size: int) -> None:
    folder = tmp_path / "export"
    write_export(folder, note(size), BODIES[:size], [])
    assert golang.ask(op="folder", key=VKEY, folder=str(folder)) == 'ok ""'
    indexes, olds = sorted({0, size // 3, size - 1}), sorted({0, 1, size // 2, max(0, size - 256), size})
    theirs = told(
        python.ask(op="folder", folder=str(folder), key=VKEY, witnesses=[WITNESS], indexes=indexes, olds=olds)
    )
    assert theirs["size"] == size
    ours = tree(size)
    assert theirs["inclusion"] == [[b64(node) for node in ours.inclusion(index)] for index in indexes]
    assert theirs["consistency"] == [[b64(node) for node in ours.consistency(old)] for old in olds]


def test_a_flipped_bit_in_any_tile_is_noticed_by_both(golang: Oracle, python: Oracle, tmp_path: Path) -> None:
    folder = tmp_path / "export"
    write_export(folder, note(1000), BODIES[:1000], [])
    for file in sorted(file for file in (folder / "tile").rglob("*") if file.is_file()):
        raw = file.read_bytes()
        file.write_bytes(raw[:77] + bytes([raw[77] ^ 4]) + raw[78:])
        answer = golang.ask(op="folder", key=VKEY, folder=str(folder))
        # Go computes what a tile of a higher level holds from those below, and never opens it unless it needs it.
        assert answer.startswith("no ") or "tile/1" in file.as_posix(), file
        assert "wrong" in json.loads(
            python.ask(op="folder", folder=str(folder), key=VKEY, witnesses=[], indexes=[], olds=[])
        )
        file.write_bytes(raw)
    assert golang.ask(op="folder", key=VKEY, folder=str(folder)) == 'ok ""'


@pytest.mark.parametrize("size", [1, 3, 256, 300, 66_000])
def test_both_accept_our_inclusion_proofs_and_no_others(golang: Oracle, python: Oracle, size: int) -> None:
    ours = tree(size)
    for index in sorted({0, size // 2, size - 1}):
        asked = {"size": size, "root": b64(ours.root()), "index": index, "leaf": b64(LEAVES[index])}
        proof = [b64(node) for node in ours.inclusion(index)]
        assert golang.ask(op="inclusion", **asked, proof=proof) == 'ok ""'
        assert told(python.ask(op="inclusion", **asked, proof=proof)) is True
        wrong = [*proof[:-1], b64(bytes(32))] if proof else [b64(bytes(32))]
        assert golang.ask(op="inclusion", **asked, proof=wrong).startswith("no ")
        assert told(python.ask(op="inclusion", **asked, proof=wrong)) is False


@pytest.mark.parametrize("size", [2, 256, 300, 66_000])
def test_both_accept_our_consistency_proofs_and_no_others(golang: Oracle, python: Oracle, size: int) -> None:
    ours = tree(size)
    for old in sorted({1, size // 2, size - 1, size}):
        asked = {"size": size, "root": b64(ours.root()), "old": old, "old_root": b64(tree(old).root())}
        proof = [b64(node) for node in ours.consistency(old)]
        assert golang.ask(op="consistency", **asked, proof=proof) == 'ok ""'
        assert told(python.ask(op="consistency", **asked, proof=proof)) is True
        wrong = {**asked, "old_root": b64(bytes(32))}
        assert golang.ask(op="consistency", **wrong, proof=proof).startswith("no ")
        assert told(python.ask(op="consistency", **wrong, proof=proof)) is False


def test_a_witness_of_ours_gives_what_aics_tlog_counts_as_a_quorum(python: Oracle, tmp_path: Path) -> None:
    seen: Any = {}
    for old, size in ((0, 300), (300, 1000)):
        text = checkpoint_text(NAME, size, tree(size).root())
        signed = sign_note(text, NAME, PRIVATE)
        proof = tree(size).consistency(old)
        verdict = consider(
            seen, {NAME: [VKEY]}, request_body(old, proof, signed), name=W_NAME, private=W_PRIVATE, at=1_800_000_000
        )
        assert verdict.status == 200
        seen = verdict.seen
    write_export(tmp_path / "export", seen[NAME], BODIES[:1000], [])
    folder = str(tmp_path / "export")
    assert (
        told(python.ask(op="folder", folder=folder, key=VKEY, witnesses=[WITNESS], indexes=[], olds=[]))["size"] == 1000
    )
