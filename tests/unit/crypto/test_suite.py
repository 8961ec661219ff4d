"""The suite against published vectors, and what must not open."""

from __future__ import annotations

import pytest

from sandbox.crypto.suite import INTL, suite
from sandbox.errors import IntegrityFailed

KEY = bytes(range(32))


def test_sha256_of_fips_180_4() -> None:
    expected = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    assert INTL.digest(b"abc").hex() == expected
    running = INTL.new_digest()
    running.update(b"a")
    running.update(memoryview(b"bc"))
    assert running.hexdigest() == expected
    assert running.digest().hex() == expected


@pytest.mark.parametrize("key", [b"", b"Jefe", b"k" * 32, b"k" * 64, b"k" * 200])
def test_many_macs_are_the_macs_of_each(key: bytes) -> None:
    messages = [b"", b"what do ya want for nothing?", b"x" * 500]
    assert INTL.macs(key, messages, 32) == b"".join(INTL.mac(key, m) for m in messages)
    assert INTL.macs(key, messages, 8) == b"".join(INTL.mac(key, m)[:8] for m in messages)
    assert INTL.macs(key, [], 8) == b""


def test_hmac_of_rfc_4231() -> None:
    expected = "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"
    assert INTL.mac(b"Jefe", b"what do ya want for nothing?").hex() == expected


def test_hkdf_of_rfc_5869() -> None:
    expected = "8da4e775a563c18f715f802a063c5a31b8a11f5c5ee1879ec3454e5f3c738d2d9d201395faa4b61a96c8"
    assert INTL.kdf(b"\x0b" * 22, b"", 42).hex() == expected
    assert len(INTL.kdf(KEY, b"one purpose")) == 32
    assert INTL.kdf(KEY, b"one purpose") != INTL.kdf(KEY, b"another")


def test_ed25519_of_rfc_8032() -> None:
    private = bytes.fromhex("9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60")
    public = bytes.fromhex("d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a")
    signature = bytes.fromhex(
        "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e06522490155"
        "5fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b"
    )
    assert INTL.public_key(private) == public
    assert INTL.sign(private, b"") == signature
    assert INTL.verify(public, signature, b"")


def test_a_signature_holds_for_its_key_and_message_alone() -> None:
    private = INTL.new_signing_key()
    public = INTL.public_key(private)
    signature = INTL.sign(private, b"message")
    assert INTL.verify(public, signature, b"message")
    assert not INTL.verify(public, signature, b"messages")
    assert not INTL.verify(INTL.public_key(INTL.new_signing_key()), signature, b"message")
    assert not INTL.verify(public, signature[:-1], b"message")
    assert not INTL.verify(b"short", signature, b"message")


def test_sealing_returns_the_plain_bytes() -> None:
    for plain in (b"", b"x", b"x" * 10_000):
        sealed = INTL.seal(KEY, plain, b"place")
        assert len(sealed) == 12 + len(plain) + 16
        assert INTL.open(KEY, sealed, b"place") == plain


def test_sealing_twice_never_looks_the_same() -> None:
    assert len({INTL.seal(KEY, b"plain", b"") for _ in range(100)}) == 100


def test_sealed_bytes_open_only_unchanged_at_their_place_under_their_key() -> None:
    sealed = INTL.seal(KEY, b"plain", b"place")
    changed = [sealed[:i] + bytes([sealed[i] ^ 1]) + sealed[i + 1 :] for i in range(len(sealed))]
    cut = [sealed[:i] for i in range(len(sealed))]
    for wrong in (*changed, *cut, sealed + b"\0"):
        with pytest.raises(IntegrityFailed, match="sealed_open_failed"):
            INTL.open(KEY, wrong, b"place")
    for key, aad in ((KEY, b"other"), (bytes(32), b"place")):
        with pytest.raises(IntegrityFailed, match="sealed_open_failed"):
            INTL.open(key, sealed, aad)


def test_a_key_of_another_size_is_refused_and_never_a_weaker_cipher() -> None:
    with pytest.raises(IntegrityFailed, match="key_size_wrong"):
        INTL.seal(bytes(16), b"plain", b"")


def test_random_bytes_have_the_length_asked_for_and_differ() -> None:
    assert len(INTL.random(24)) == 24
    assert INTL.random(24) != INTL.random(24)


def test_suites_are_found_by_the_id_that_artefacts_store() -> None:
    assert suite("intl") is INTL
    with pytest.raises(IntegrityFailed, match="suite_unknown"):
        suite("none")
