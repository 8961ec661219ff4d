"""Notes and keys as C2SP and Go write them, and only the right key's word is taken."""

from __future__ import annotations

import base64
import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandbox.audit.checkpoint import checkpoint_text, open_note, sign_note, vkey
from sandbox.crypto.suite import INTL
from sandbox.errors import IntegrityFailed

NAME = "sandbox.example/log"
PRIVATE = bytes(range(32))
PUBLIC = INTL.public_key(PRIVATE)
VKEY = vkey(NAME, PUBLIC)
ROOT = hashlib.sha256(b"root").digest()
TEXT = checkpoint_text(NAME, 42, ROOT)
NOTE = sign_note(TEXT, NAME, PRIVATE)


def test_the_example_of_gos_note_package_comes_out_the_same() -> None:
    private = base64.b64decode("AYEKFALVFGyNhPJEMzD1QIDr+Y7hfZx09iUvxdXHKDFz")[1:]
    text = "If you think cryptography is the answer to your problem,\nthen you don't know what your problem is.\n"
    signature = "x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM="
    assert sign_note(text, "PeterNeumann", private) == f"{text}\n— PeterNeumann {signature}\n"
    expected = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW"
    assert vkey("PeterNeumann", INTL.public_key(private)) == expected


def test_the_key_of_gos_checksum_database_is_read_as_it_is_published() -> None:
    published = "sum.golang.org+033de0ae+Ac4zctda0e5eza+HJyk9SxEdh+s3Ux18htTTAD8OuAn8"
    public = base64.b64decode(published.split("+", 2)[2])[1:]
    assert vkey("sum.golang.org", public) == published


def test_the_key_hash_is_that_of_the_note_format() -> None:
    key_hash = hashlib.sha256(NAME.encode() + b"\n" + b"\x01" + PUBLIC).digest()[:4]
    name, hash_text, key = VKEY.split("+", 2)
    assert (name, hash_text) == (NAME, key_hash.hex())
    assert base64.b64decode(key) == b"\x01" + PUBLIC


def test_a_checkpoint_has_three_lines_and_a_signature_line() -> None:
    assert f"{NAME}\n42\n{base64.b64encode(ROOT).decode()}\n" == TEXT
    text, _, signatures = NOTE.partition("\n\n")
    assert text + "\n" == TEXT
    assert signatures.startswith(f"— {NAME} ")
    raw = base64.b64decode(signatures.split(" ")[2].strip())
    assert raw[:4].hex() == VKEY.split("+")[1]
    assert INTL.verify(PUBLIC, raw[4:], TEXT.encode())


def test_a_signed_checkpoint_opens() -> None:
    assert open_note(NOTE, VKEY) == (NAME, 42, ROOT)
    assert open_note(NOTE, f" {VKEY}\n") == (NAME, 42, ROOT)
    empty = sign_note(checkpoint_text(NAME, 0, ROOT), NAME, PRIVATE)
    assert open_note(empty, VKEY)[1] == 0


def test_extension_lines_and_other_signatures_do_not_disturb() -> None:
    extended = sign_note(f"{TEXT}an extension\n", NAME, PRIVATE)
    assert open_note(extended, VKEY) == (NAME, 42, ROOT)
    witness = sign_note(TEXT, "witness.example", INTL.new_signing_key()).rpartition("\n\n")[2]
    assert open_note(NOTE + witness, VKEY) == (NAME, 42, ROOT)
    assert open_note(TEXT + "\n" + witness + NOTE.rpartition("\n\n")[2], VKEY) == (NAME, 42, ROOT)


@given(st.integers(0, len(NOTE) - 1), st.characters(min_codepoint=10, max_codepoint=126))
def test_a_changed_character_is_refused(place: int, character: str) -> None:
    changed = NOTE[:place] + character + NOTE[place + 1 :]
    if changed == NOTE:
        return
    with pytest.raises(IntegrityFailed, match=r"note_malformed|note_not_signed"):
        open_note(changed, VKEY)


@pytest.mark.parametrize(
    "note",
    [
        "", "\n\n", TEXT, TEXT + "\n", NOTE.rstrip("\n"), NOTE.replace("—", "-"), NOTE + "\n",
        NOTE.replace("\n42\n", "\n042\n"), NOTE.replace("\n42\n", "\n-1\n"), NOTE.replace("\n42\n", "\n4२\n"),
        NOTE.replace("\n", "\r\n"), NOTE + "no signature line\n",
    ],
)  # fmt: skip
def test_what_is_not_a_note_is_refused(note: str) -> None:
    with pytest.raises(IntegrityFailed, match=r"note_malformed|note_not_signed"):
        open_note(note, VKEY)


def test_a_signature_has_one_spelling() -> None:
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
    last = NOTE[-3]
    assert NOTE.endswith("=\n")
    respelled = NOTE[:-3] + alphabet[alphabet.index(last) ^ 1] + "=\n"
    with pytest.raises(IntegrityFailed, match="note_malformed"):
        open_note(respelled, VKEY)


def test_another_keys_note_is_refused() -> None:
    other = INTL.new_signing_key()
    for note in (
        sign_note(TEXT, NAME, other),
        sign_note(checkpoint_text("other", 42, ROOT), "other", PRIVATE),
        sign_note(checkpoint_text("other", 42, ROOT), NAME, PRIVATE),  # our key over another log's tree
    ):
        with pytest.raises(IntegrityFailed, match="note_not_signed"):
            open_note(note, VKEY)


@pytest.mark.parametrize(
    "key",
    [
        "", "name", "name+", "name+00000000+", "name+00000000+!!!", VKEY.replace(NAME, "other"), VKEY[:-4],
        VKEY + "AAAA", VKEY.replace("+", " "), f"{NAME}+00000000+{VKEY.split('+', 2)[2]}",
    ],
)  # fmt: skip
def test_a_key_that_does_not_match_its_own_hash_is_refused(key: str) -> None:
    with pytest.raises(IntegrityFailed, match="vkey_malformed"):
        open_note(NOTE, key)


@pytest.mark.parametrize("name", ["", "a b", "a+b", "a\nb", "a\u2003b"])
def test_a_name_that_would_break_the_format_is_refused(name: str) -> None:
    with pytest.raises(IntegrityFailed, match="log_name_refused"):
        vkey(name, PUBLIC)
    with pytest.raises(IntegrityFailed, match="log_name_refused"):
        sign_note(TEXT, name, PRIVATE)
