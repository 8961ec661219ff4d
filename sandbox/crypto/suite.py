"""The suite: hash, mac, key derivation, sealing and signatures behind one frozen value, named in every artefact."""

from __future__ import annotations

import hashlib
import hmac
import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final, Protocol

from cryptography.exceptions import InvalidSignature, InvalidTag
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from sandbox.errors import IntegrityFailed

KEY_SIZE: Final = 32
"""Bytes of every secret key in the house."""

_NONCE_SIZE: Final = 12
_TAG_SIZE: Final = 16
_BLOCK_SIZE: Final = 64
"""Bytes that SHA-256 takes at a time."""


class Digest(Protocol):
    """A running hash."""

    def update(self, data: bytes | bytearray | memoryview, /) -> None:
        """Take in more bytes."""
        ...

    def digest(self) -> bytes:
        """The hash of all bytes so far."""
        ...

    def hexdigest(self) -> str:
        """The same, in hex."""
        ...


class Kdf(Protocol):
    """Derives a key for one purpose from a key."""

    def __call__(self, key: bytes, info: bytes, length: int = KEY_SIZE) -> bytes:
        """`length` bytes that depend on `key` and on the purpose `info`."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Suite:
    """One choice of algorithms. Another one (`gm`: SM3, SM4, SM2) is a second value of this shape.

    `macs(key, messages, length)` gives the first bytes of each message's `mac`, one behind the other.
    `seal(key, plain, aad)` gives nonce, ciphertext and tag as one piece; a key seals at most 2^32 pieces.
    `open(key, sealed, aad)` raises IntegrityFailed `sealed_open_failed` for a wrong key, other aad or changed bytes.
    `sign` takes the raw private key; `verify` never raises, it says no.
    """

    id: str
    digest: Callable[[bytes], bytes]
    new_digest: Callable[[], Digest]
    mac: Callable[[bytes, bytes], bytes]
    macs: Callable[[bytes, Iterable[bytes], int], bytes]
    kdf: Kdf
    seal: Callable[[bytes, bytes, bytes], bytes]
    open: Callable[[bytes, bytes, bytes], bytes]
    new_signing_key: Callable[[], bytes]
    public_key: Callable[[bytes], bytes]
    sign: Callable[[bytes, bytes], bytes]
    verify: Callable[[bytes, bytes, bytes], bool]
    random: Callable[[int], bytes]


def _sha256(content: bytes) -> bytes:
    return hashlib.sha256(content).digest()


def _new_sha256() -> Digest:
    return hashlib.sha256()


def _hmac_sha256(key: bytes, content: bytes) -> bytes:
    return hmac.digest(key, content, "sha256")


def _hmacs_sha256(key: bytes, messages: Iterable[bytes], length: int) -> bytes:
    """Both pads are hashed once for all messages (RFC 2104, section 4): twice as fast on short ones."""
    block = (key if len(key) <= _BLOCK_SIZE else _sha256(key)).ljust(_BLOCK_SIZE, b"\0")
    inner, outer = (hashlib.sha256(bytes(byte ^ pad for byte in block)).copy for pad in (0x36, 0x5C))
    macs = []
    for message in messages:
        first = inner()
        first.update(message)
        second = outer()
        second.update(first.digest())
        macs.append(second.digest()[:length])
    return b"".join(macs)


def _hkdf_sha256(key: bytes, info: bytes, length: int = KEY_SIZE) -> bytes:
    return HKDF(algorithm=SHA256(), length=length, salt=None, info=info).derive(key)


def _seal_aes_256_gcm(key: bytes, plain: bytes, aad: bytes) -> bytes:
    nonce = os.urandom(_NONCE_SIZE)
    return nonce + _aes_256_gcm(key).encrypt(nonce, plain, aad)


def _open_aes_256_gcm(key: bytes, sealed: bytes, aad: bytes) -> bytes:
    if len(sealed) < _NONCE_SIZE + _TAG_SIZE:
        raise IntegrityFailed("sealed_open_failed")
    try:
        return _aes_256_gcm(key).decrypt(sealed[:_NONCE_SIZE], sealed[_NONCE_SIZE:], aad)
    except InvalidTag:
        raise IntegrityFailed("sealed_open_failed") from None


def _aes_256_gcm(key: bytes) -> AESGCM:
    if len(key) != KEY_SIZE:  # the library would take 16 bytes and be AES-128
        raise IntegrityFailed("key_size_wrong", size=len(key), needed=KEY_SIZE)
    return AESGCM(key)


def _new_ed25519() -> bytes:
    return Ed25519PrivateKey.generate().private_bytes_raw()


def _public_ed25519(private: bytes) -> bytes:
    return Ed25519PrivateKey.from_private_bytes(private).public_key().public_bytes_raw()


def _sign_ed25519(private: bytes, message: bytes) -> bytes:
    return Ed25519PrivateKey.from_private_bytes(private).sign(message)


def _verify_ed25519(public: bytes, signature: bytes, message: bytes) -> bool:
    try:
        Ed25519PublicKey.from_public_bytes(public).verify(signature, message)
    except (InvalidSignature, ValueError):
        return False
    return True


INTL: Final = Suite(
    id="intl",
    digest=_sha256,
    new_digest=_new_sha256,
    mac=_hmac_sha256,
    macs=_hmacs_sha256,
    kdf=_hkdf_sha256,
    seal=_seal_aes_256_gcm,
    open=_open_aes_256_gcm,
    new_signing_key=_new_ed25519,
    public_key=_public_ed25519,
    sign=_sign_ed25519,
    verify=_verify_ed25519,
    random=os.urandom,
)
"""SHA-256, HMAC and HKDF over it, AES-256-GCM with random nonces, Ed25519.

Source: FIPS 180-4, RFC 2104, RFC 5869, NIST SP 800-38D, RFC 8032.
"""

_SUITES: Final = {INTL.id: INTL}


def suite(id: str) -> Suite:  # noqa: A002 - the word that artefacts use for it
    """The suite that an artefact names.

    Raises:
        IntegrityFailed: `suite_unknown`.
    """
    found = _SUITES.get(id)
    if found is None:
        raise IntegrityFailed("suite_unknown", suite=id)
    return found
