"""Receipts: their owner proves alone what was charged, and where; nothing in them can be changed."""

from __future__ import annotations

import json
from typing import Any

import pytest

from sandbox.audit import receipt
from sandbox.audit.checkpoint import split_note, vkey
from sandbox.audit.cosign import cosign, with_cosignatures, witness_vkey
from sandbox.audit.merkle import leaf_hash
from sandbox.audit.tiles import Tiles
from sandbox.crypto.suite import INTL
from sandbox.errors import IntegrityFailed
from tests.unit.audit.story import NAME, PRIVATE, VKEY, honest

STORY = honest()
LEAVES = [leaf_hash(body) for body in STORY.bodies]
CHARGE = next(n for n, body in enumerate(STORY.bodies) if b"query.charge" in body)
W_NAME, W_KEY = "witness.example/w1", bytes(range(32, 64))
WITNESS = witness_vkey(W_NAME, INTL.public_key(W_KEY))


def tree(size: int = len(LEAVES)) -> Tiles:
    return Tiles(lambda level, _index: None if level else b"".join(LEAVES[:size]), size)


def cosigned() -> str:
    note = STORY.checkpoint()
    return with_cosignatures(note, [cosign(split_note(note)[0], W_NAME, W_KEY, 1_800_000_000)])


RECEIPT = receipt.make(tree(), cosigned(), CHARGE, STORY.bodies[CHARGE])
FILE = json.dumps(receipt.to_json(RECEIPT)).encode()


def checked(raw: bytes, key: str = VKEY, *witnesses: str) -> receipt.Proved:
    return receipt.check(receipt.read(raw), key, witnesses)


def test_it_proves_what_was_charged_and_where() -> None:
    proved = checked(FILE, VKEY, WITNESS)
    assert (proved.origin, proved.size, proved.index) == (NAME, len(LEAVES), CHARGE)
    assert dict(proved.witnesses) == {W_NAME: 1_800_000_000}
    assert proved.event.details["query"] == "qry_1"
    assert receipt.price(proved.event.details["cost"]) == "ε 0.0000000005 + δ 0.000000000000000002"


def test_every_event_has_one_under_every_checkpoint_that_covers_it() -> None:
    for size in range(1, len(LEAVES) + 1):
        for index in range(size):
            made = receipt.make(tree(size), STORY.checkpoint(size), index, STORY.bodies[index])
            assert checked(json.dumps(receipt.to_json(made)).encode()).index == index


@pytest.mark.parametrize("place", range(len(FILE)))
def test_no_byte_of_it_can_be_changed(place: int) -> None:
    """Space between tokens is no part of it; the rest is, cosignatures too when their witness is named."""
    flipped = FILE[:place] + bytes([FILE[place] ^ 1]) + FILE[place + 1 :]
    if FILE[place : place + 1] == b" ":
        return
    with pytest.raises(IntegrityFailed):
        checked(flipped, VKEY, WITNESS)


@pytest.mark.parametrize("cut", [0, 1, 10, len(FILE) // 2, len(FILE) - 1])
def test_a_truncated_file_is_named(cut: int) -> None:
    with pytest.raises(IntegrityFailed, match="receipt_malformed"):
        receipt.read(FILE[:cut])


def told(**otherwise: Any) -> bytes:
    return json.dumps(json.loads(FILE) | otherwise).encode()


@pytest.mark.parametrize(
    ("changed", "code"),
    [
        ({"v": 2}, "receipt_malformed"),
        ({"v": True}, "receipt_malformed"),
        ({"more": 1}, "receipt_malformed"),
        ({"origin": "another/log"}, "receipt_malformed"),
        ({"checkpoint": 7}, "receipt_malformed"),
        ({"index": "13"}, "receipt_malformed"),
        ({"index": True}, "receipt_malformed"),
        ({"event": "!"}, "receipt_malformed"),
        ({"event": None}, "receipt_malformed"),
        ({"proof": None}, "receipt_malformed"),
        ({"proof": ["x"]}, "receipt_malformed"),
        ({"proof": ["AAAA"] * 65}, "receipt_malformed"),
        ({"proof": []}, "receipt_not_included"),
        ({"proof": ["AAAA"]}, "receipt_not_included"),
        ({"index": CHARGE + 1}, "receipt_not_included"),
        ({"index": -1}, "receipt_not_included"),
        ({"index": 10**30}, "receipt_not_included"),
        ({"event": "e30="}, "receipt_not_included"),
    ],
)
def test_what_does_not_fit_is_named(changed: dict[str, Any], code: str) -> None:
    with pytest.raises(IntegrityFailed, match=code):
        checked(told(**changed))


def test_a_name_that_stands_twice_is_refused() -> None:
    with pytest.raises(IntegrityFailed, match="receipt_malformed"):
        receipt.read(b'{"index":0,' + FILE[1:])


def test_another_log_another_key_or_a_missing_witness_is_named() -> None:
    with pytest.raises(IntegrityFailed, match="receipt_other_log"):
        checked(FILE, vkey("another/log", INTL.public_key(PRIVATE)))
    with pytest.raises(IntegrityFailed, match="note_not_signed"):
        checked(FILE, vkey(NAME, INTL.public_key(bytes(32))))
    with pytest.raises(IntegrityFailed, match="cosignature_missing"):
        checked(FILE, VKEY, witness_vkey("witness.example/w2", INTL.public_key(bytes(32))))
    for junk in ("", "x", NAME):
        with pytest.raises(IntegrityFailed):
            checked(FILE, junk)


def test_a_receipt_that_would_prove_nothing_is_not_made() -> None:
    with pytest.raises(IntegrityFailed, match="receipt_not_included"):
        receipt.make(tree(), cosigned(), CHARGE, STORY.bodies[0])
    with pytest.raises(IntegrityFailed, match="receipt_not_included"):
        receipt.make(tree(), STORY.checkpoint(14), CHARGE, STORY.bodies[CHARGE])
    with pytest.raises(IndexError):
        receipt.make(tree(10), STORY.checkpoint(10), CHARGE, STORY.bodies[CHARGE])


@pytest.mark.parametrize(
    ("cost", "shown"),
    [
        ({"eps_p": "1500000000000", "rho": "0", "delta": "0"}, "ε 1.5"),
        ({"eps_p": "0", "rho": "20000000000", "delta": "1000000000"}, "ρ 0.02 + δ 0.000000001"),
        ({"eps_p": "3000000000000", "rho": "0", "delta": "0"}, "ε 3"),
        ({"eps_p": "123456789012345678901", "rho": "0", "delta": "0"}, "ε 123456789.012345678901"),
        ({"eps_p": "0", "rho": "0", "delta": "0"}, "0"),
    ],
)
def test_a_price_is_exact_and_short(cost: dict[str, str], shown: str) -> None:
    assert receipt.price(cost) == shown
