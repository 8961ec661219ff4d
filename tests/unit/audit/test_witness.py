"""Witnesses: a cosignature has its time and its spelling, and only what appends to what was seen gets one."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandbox.audit import merkle, witness
from sandbox.audit.checkpoint import checkpoint_text, open_note, sign_note, split_note, vkey
from sandbox.audit.cosign import cosign, cosigned_at, cosigners, with_cosignatures, witness_vkey
from sandbox.audit.witness import Verdict, consider, dump_seen, load_seen, parse_request, read_answer, request_body
from sandbox.crypto.suite import INTL
from sandbox.errors import IntegrityFailed, RequestError

LOG, LOG_KEY = "log.example/a", bytes(range(32))
VKEY = vkey(LOG, INTL.public_key(LOG_KEY))
NAME, KEY = "witness.example/w1", bytes(range(32, 64))
WITNESS = witness_vkey(NAME, INTL.public_key(KEY))
LEAVES = [merkle.leaf_hash(b"%d" % n) for n in range(40)]
AT = 1_800_000_000


def note(size: int, leaves: Sequence[bytes] = LEAVES, *, origin: str = LOG, key: bytes = LOG_KEY) -> str:
    return sign_note(checkpoint_text(origin, size, merkle.root(leaves[:size])), origin, key)


def submit(seen: Mapping[str, str], old: int, proof: Sequence[bytes], asked: str) -> Verdict:
    return consider(seen, {LOG: [VKEY]}, request_body(old, proof, asked), name=NAME, private=KEY, at=AT)


def seen_of(size: int) -> Mapping[str, str]:
    verdict = submit({}, 0, [], note(size))
    assert verdict.status == 200
    assert verdict.seen is not None
    return verdict.seen


# --- cosignatures -----------------------------------------------------------------------------------------------------


def test_a_cosignature_is_found_with_its_time_and_the_log_still_opens() -> None:
    text, _ = split_note(note(7))
    both = with_cosignatures(note(7), [cosign(text, NAME, KEY, AT)])
    assert cosigned_at(both, WITNESS) == AT
    assert open_note(both, VKEY)[1] == 7
    other = witness_vkey("witness.example/w2", INTL.public_key(bytes(32)))
    assert dict(cosigners(both, [WITNESS, other])) == {NAME: AT}
    with pytest.raises(IntegrityFailed, match="cosignature_missing"):
        cosigned_at(both, other)


def test_a_newer_line_takes_the_older_ones_place() -> None:
    text, _ = split_note(note(7))
    old, new = cosign(text, NAME, KEY, AT), cosign(text, NAME, KEY, AT + 5)
    both = with_cosignatures(with_cosignatures(note(7), [old]), [new])
    assert cosigned_at(both, WITNESS) == AT + 5
    assert both.count(NAME) == 1
    assert cosigned_at(f"{both}{old}", WITNESS) == cosigned_at(f"{note(7)}{old}{new}", WITNESS) == AT + 5
    assert with_cosignatures(both, []) == both


@pytest.mark.parametrize("place", range(0, 76, 5))
def test_a_cosignature_with_another_time_or_bit_is_none(place: int) -> None:
    text, _ = split_note(note(7))
    line = cosign(text, NAME, KEY, AT)
    raw = bytearray(base64.b64decode(line.rsplit(" ", 1)[1]))
    raw[place] ^= 1
    forged = with_cosignatures(note(7), [f"— {NAME} {base64.b64encode(bytes(raw)).decode()}\n"])
    with pytest.raises(IntegrityFailed, match="cosignature_missing"):
        cosigned_at(forged, WITNESS)


def test_a_time_beyond_what_the_format_allows_is_none() -> None:
    text, _ = split_note(note(7))
    assert cosigned_at(with_cosignatures(note(7), [cosign(text, NAME, KEY, 2**63 - 1)]), WITNESS) == 2**63 - 1
    with pytest.raises(IntegrityFailed, match="cosignature_missing"):
        cosigned_at(with_cosignatures(note(7), [cosign(text, NAME, KEY, 2**63)]), WITNESS)


def test_a_cosignature_of_another_checkpoint_or_a_logs_key_is_none() -> None:
    moved = with_cosignatures(note(8), [cosign(split_note(note(7))[0], NAME, KEY, AT)])
    with pytest.raises(IntegrityFailed, match="cosignature_missing"):
        cosigned_at(moved, WITNESS)
    with pytest.raises(IntegrityFailed, match="vkey_malformed"):
        cosigned_at(moved, VKEY)


# --- the judgement ----------------------------------------------------------------------------------------------------


def test_it_follows_a_log_that_grows() -> None:
    seen: Mapping[str, str] = {}
    for old, size in ((0, 0), (0, 5), (5, 5), (5, 12), (12, 40)):
        verdict = submit(seen, old, merkle.consistency_proof(LEAVES[:size], old), note(size))
        assert (verdict.status, verdict.why) == (200, "cosigned")
        assert cosigned_at(note(size) + verdict.body, WITNESS) == AT
        seen = verdict.seen or {}
        assert cosigned_at(seen[LOG], WITNESS) == AT


def test_it_tells_which_size_it_knows() -> None:
    """Ahead, behind, or never heard of: the answer is the size to begin from."""
    seen = seen_of(12)
    for old, size in ((0, 40), (5, 40), (5, 12)):
        verdict = submit(seen, old, merkle.consistency_proof(LEAVES[:size], old), note(size))
        assert (verdict.status, verdict.body, verdict.seen) == (409, "12\n", None)
    assert submit({}, 5, [], note(12)).body == "0\n"


FORKED = [*LEAVES[:3], merkle.leaf_hash(b"other"), *LEAVES[4:]]


def test_a_fork_gets_no_cosignature() -> None:
    seen = seen_of(12)
    verdict = submit(seen, 12, [], note(12, FORKED))
    assert (verdict.status, verdict.body) == (409, "12\n")
    assert "FORK" in verdict.why
    for leaves in (FORKED, LEAVES):
        for proof in ([], merkle.consistency_proof(FORKED[:40], 12), [bytes(32)] * 63):
            verdict = submit(seen, 12, proof, note(40, FORKED))
            assert (verdict.status, verdict.seen) == (422, None), leaves
            assert "FORK" in verdict.why
    assert submit(seen, 12, [bytes(32)], note(40)).status == 422
    assert submit({}, 0, [bytes(32)], note(40)).status == 422
    wrong_empty = sign_note(checkpoint_text(LOG, 0, bytes(32)), LOG, LOG_KEY)
    assert submit({}, 0, [], wrong_empty).status == 409


def test_strangers_are_turned_away() -> None:
    assert submit({}, 0, [], note(5, origin="log.example/b")).status == 404
    assert submit({}, 0, [], note(5, key=bytes(32))).status == 403
    assert submit(seen_of(5), 12, [], note(5)).status == 400


def test_foreign_lines_are_not_remembered() -> None:
    text, _ = split_note(note(5))
    crowded = with_cosignatures(note(5), [cosign(text, f"witness.example/{n}", bytes([n] * 32), AT) for n in range(9)])
    verdict = submit({}, 0, [], crowded)
    assert verdict.seen is not None
    assert verdict.seen[LOG] == note(5) + verdict.body


@pytest.mark.parametrize(
    "body",
    [
        b"", b"\xff", b"old 0", b"old 0\n\n", b"old 00\n\n" + note(5).encode(), b"old -1\n\n" + note(5).encode(), b"new 0\n\n" + note(5).encode(),
        b"old 0\nAAAA\n\n" + note(5).encode(), b"old 0\n!\n\n" + note(5).encode(), b"old 0\n\nx\n1\ny\n\n", b"old 0\n\n" + note(5).encode()[:-1],
        b"old 0\n" + (base64.b64encode(bytes(32)) + b"\n") * 64 + b"\n" + note(5).encode(),
    ],
)  # fmt: skip
def test_what_is_no_submission_is_400(body: bytes) -> None:
    verdict = consider({}, {LOG: [VKEY]}, body, name=NAME, private=KEY, at=AT)
    assert (verdict.status, verdict.body, verdict.seen) == (400, "", None)


@given(st.integers(0, 2**62), st.lists(st.binary(min_size=32, max_size=32), max_size=63))
def test_a_submission_survives_its_journey(old: int, proof: list[bytes]) -> None:
    asked = parse_request(request_body(old, proof, note(5)))
    assert (asked.old, list(asked.proof), asked.note) == (old, proof, note(5))


def test_a_malformed_submission_has_a_name() -> None:
    with pytest.raises(RequestError, match="submission_malformed"):
        parse_request(b"")


# --- the log's side ---------------------------------------------------------------------------------------------------


def test_the_log_reads_the_answer() -> None:
    verdict = submit({}, 0, [], note(5))
    assert read_answer(200, verdict.body, note(5), WITNESS).line == verdict.body
    foreign = cosign(split_note(note(5))[0], "witness.example/w2", bytes(32), AT)
    assert read_answer(200, foreign + verdict.body, note(5), WITNESS).line == verdict.body
    assert read_answer(409, "12\n", note(5), WITNESS).known == 12
    for status, body in ((200, foreign), (200, ""), (200, "junk\n"), (409, ""), (409, "x"), (403, ""), (500, "oops")):
        answer = read_answer(status, body, note(5), WITNESS)
        assert answer.refused is not None
        assert answer.line is answer.known is None
    assert read_answer(200, verdict.body, note(6), WITNESS).line is None, "a cosignature of another checkpoint"
    with pytest.raises(IntegrityFailed, match="vkey_malformed"):
        read_answer(200, verdict.body, note(5), VKEY)


# --- what it keeps ----------------------------------------------------------------------------------------------------


def test_its_memory_survives_and_damage_shows() -> None:
    seen = seen_of(12)
    raw = dump_seen(seen)
    assert load_seen(raw, WITNESS, file="f") == seen
    assert load_seen(dump_seen({}), WITNESS, file="f") == {}
    for place in range(len(raw)):
        flipped = raw[:place] + bytes([raw[place] ^ 1]) + raw[place + 1 :]
        with pytest.raises(IntegrityFailed, match="witness_state_damaged"):
            load_seen(flipped, WITNESS, file="f")
    for junk in (
        b"",
        b"{}",
        b"[]",
        b'{"v":1}',
        b'{"v":1,"seen":[]}',
        b'{"v":1,"seen":{"a":"b"}}',
        raw[:-20],
        raw + b" ",
    ):
        with pytest.raises(IntegrityFailed, match="witness_state_damaged"):
            load_seen(junk, WITNESS, file="f")
    other = {"log.example/b": seen[LOG]}
    with pytest.raises(IntegrityFailed, match="witness_state_damaged"):
        load_seen(dump_seen(other), WITNESS, file="f")


def test_nobody_else_wrote_its_memory() -> None:
    stranger: Any = submit({}, 0, [], note(12)).seen
    with pytest.raises(IntegrityFailed, match="witness_state_damaged"):
        load_seen(dump_seen(stranger), witness_vkey(NAME, INTL.public_key(bytes(32))), file="f")


def test_limits_are_told() -> None:
    assert len(request_body(2**62, [bytes(32)] * 63, note(40))) < witness.LONGEST_BODY
