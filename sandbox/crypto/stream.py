"""Sealed objects: one AEAD stream in segments that open alone, in the wire format of Tink's AES-GCM-HKDF streaming.

The object is a header (its own length 40, a salt of 32 bytes, a nonce prefix of 7), then segments of 256 KiB, the first
shorter by the header. A segment is AES-256-GCM under HKDF-SHA256(key, salt, info=aad), its nonce the prefix, the
segment's number (4 bytes, big-endian) and 1 for the last segment, else 0: so no segment opens at another place, in
another object, or as the end of a stream that was cut.

Source: Tink, "AES-GCM-HKDF Streaming AEAD" (https://developers.google.com/tink/streaming-aead/aes_gcm_hkdf_streaming);
V. T. Hoang, R. Reyhanitabar, P. Rogaway, D. Vizar, "Online Authenticated-Encryption and its Nonce-Reuse
Misuse-Resistance", CRYPTO 2015 (the STREAM construction).
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from io import RawIOBase
from typing import BinaryIO, Final, cast

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from sandbox.crypto.suite import INTL, KEY_SIZE
from sandbox.errors import IntegrityFailed, TooLarge

SEGMENT: Final = 256 * 1024
"""Bytes of a sealed segment, tag included."""

_SALT: Final = 32
_PREFIX: Final = 7
_HEADER: Final = 1 + _SALT + _PREFIX
_TAG: Final = 16
_PLAIN: Final = SEGMENT - _TAG
_PLAIN_FIRST: Final = _PLAIN - _HEADER
_MOST_SEGMENTS: Final = 2**32
_RUN: Final = 16
"""Neighbouring segments fetched in one read: 4 MiB, since a request to an object store has a price of its own."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sealed:
    """What was sealed: plaintext bytes, sealed bytes, and the SHA-256 of the sealed bytes in hex."""

    size: int
    sealed_size: int
    sha256: str


def seal_stream(plain: BinaryIO, out: BinaryIO, *, key: bytes, aad: bytes) -> Sealed:
    """Seal all that `plain` (any file of `io`, read to its end) gives into `out`, in constant memory.

    Raises:
        IntegrityFailed: `key_size_wrong`.
        TooLarge: `object_too_large`, beyond the 2^32 segments (1 PiB) that the format can number.
    """
    salt, prefix = os.urandom(_SALT), os.urandom(_PREFIX)
    cipher = _cipher(key, salt, aad)
    header = bytes([_HEADER]) + salt + prefix
    digest = INTL.new_digest()
    digest.update(header)
    out.write(header)

    # Buffers are made once: in a virtual machine, fresh pages cost several times what AES does.
    now, ahead, sealed = (memoryview(bytearray(SEGMENT)) for _ in range(3))
    filled = _fill(plain, now[:_PLAIN_FIRST])
    full, number, size = filled == _PLAIN_FIRST, 0, 0
    while True:
        waiting = _fill(plain, ahead[:_PLAIN]) if full else 0
        piece = sealed[: filled + _TAG]
        cipher.encrypt_into(_nonce(prefix, number, last=not waiting), now[:filled], None, piece)
        digest.update(piece)
        out.write(piece)
        size += filled
        number += 1
        if not waiting:
            return Sealed(size=size, sealed_size=_HEADER + size + number * _TAG, sha256=digest.hexdigest())
        if number == _MOST_SEGMENTS:
            raise TooLarge("object_too_large")
        now, ahead, filled, full = ahead, now, waiting, waiting == _PLAIN


class SegmentReader:
    """Opens the parts of a sealed object that are asked for, each segment whole and once per call.

    `read(start, length)` fetches sealed bytes. The last segment is opened at once and kept: so `size` is proved, and an
    object that was cut or extended is refused before anything is read from it. Any byte or length that is not what was
    sealed raises IntegrityFailed `object_corrupt`; what `read` raises passes through.
    """

    __slots__ = ("_cipher", "_ending", "_prefix", "_read", "_segments", "sealed_size", "size")

    def __init__(self, read: Callable[[int, int], bytes], *, sealed_size: int, key: bytes, aad: bytes) -> None:
        self._segments = -(-sealed_size // SEGMENT)
        self.sealed_size = sealed_size
        self.size = sealed_size - _HEADER - self._segments * _TAG
        """Plaintext bytes."""
        last = self._segments - 1
        start = last * SEGMENT if last else _HEADER
        if sealed_size < start + _TAG or not 0 <= last < _MOST_SEGMENTS:
            raise IntegrityFailed("object_corrupt")
        self._read = read
        header = self._fetch(0, _HEADER)
        if header[0] != _HEADER:
            raise IntegrityFailed("object_corrupt")
        self._prefix = header[1 + _SALT :]
        self._cipher = _cipher(key, header[1 : 1 + _SALT], aad)
        self._ending = self._open(last, self._fetch(start, sealed_size - start))

    def read(self, start: int, length: int) -> bytes:
        """Exactly the plaintext bytes from `start`.

        Raises:
            IntegrityFailed: `object_corrupt`, also when the range leaves the object.
        """
        pieces = [
            segment[max(start - offset, 0) : start + length - offset]
            for offset, segment in self.segments([(start, length)])
        ]
        return b"".join(pieces)

    def segments(self, ranges: Iterable[tuple[int, int]]) -> Iterator[tuple[int, bytes]]:
        """Every segment that a (start, length) of `ranges` touches, as (plaintext offset, plaintext), ascending.

        Raises:
            IntegrityFailed: `object_corrupt`.
        """
        numbers, last = self._numbers(ranges), self._segments - 1
        for first, end in _runs([number for number in numbers if number != last]):
            start = first * SEGMENT if first else _HEADER
            run = memoryview(self._fetch(start, end * SEGMENT - start))
            for number in range(first, end):
                low = number * SEGMENT - start if number else 0
                yield _offset(number), self._open(number, run[low : (number + 1) * SEGMENT - start])
        if numbers[-1:] == [last]:
            yield _offset(last), self._ending

    def _numbers(self, ranges: Iterable[tuple[int, int]]) -> list[int]:
        numbers: set[int] = set()
        for start, length in ranges:
            if start < 0 or length < 0 or start + length > self.size:
                raise IntegrityFailed("object_corrupt")
            if length:
                numbers.update(range(_number(start), _number(start + length - 1) + 1))
        return sorted(numbers)

    def _fetch(self, start: int, length: int) -> bytes:
        fetched = self._read(start, length)
        if len(fetched) != length:
            raise IntegrityFailed("object_corrupt")
        return fetched

    def _open(self, number: int, sealed: bytes | memoryview) -> bytes:
        nonce = _nonce(self._prefix, number, last=number == self._segments - 1)
        try:
            return self._cipher.decrypt(nonce, sealed, None)
        except InvalidTag:
            raise IntegrityFailed("object_corrupt") from None


def _cipher(key: bytes, salt: bytes, aad: bytes) -> AESGCM:
    if len(key) != KEY_SIZE:
        raise IntegrityFailed("key_size_wrong", size=len(key), needed=KEY_SIZE)
    return AESGCM(HKDF(algorithm=SHA256(), length=KEY_SIZE, salt=salt, info=aad).derive(key))


def _nonce(prefix: bytes, number: int, *, last: bool) -> bytes:
    return prefix + number.to_bytes(4, "big") + bytes([last])


def _number(offset: int) -> int:
    """The segment that holds the plaintext byte at `offset`."""
    return (offset + _HEADER) // _PLAIN


def _offset(number: int) -> int:
    """The plaintext offset of a segment's first byte."""
    return number * _PLAIN - _HEADER if number else 0


def _runs(numbers: list[int]) -> Iterator[tuple[int, int]]:
    """Ascending numbers as (first, end) of neighbours, at most `_RUN` long."""
    first = end = -1
    for number in numbers:
        if number == end and end - first < _RUN:
            end += 1
            continue
        if first >= 0:
            yield first, end
        first, end = number, number + 1
    if first >= 0:
        yield first, end


def _fill(plain: BinaryIO, view: memoryview) -> int:
    """Read until `view` is full or `plain` ends; gives the bytes read."""
    source = cast("RawIOBase", plain)  # every file of io has readinto; typing's BinaryIO does not say so
    filled = 0
    while filled < len(view):
        count = source.readinto(view[filled:])
        if not count:
            break
        filled += count
    return filled
