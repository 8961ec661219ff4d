"""The sealed stream against Tink, both ways, and against whoever changes it."""

from __future__ import annotations

import io
from collections.abc import Callable

import pytest
import tink
from hypothesis import given, settings
from hypothesis import strategies as st
from tink import secret_key_access, streaming_aead
from tink.proto import aes_gcm_hkdf_streaming_pb2, common_pb2, tink_pb2

from sandbox.crypto.stream import SEGMENT, Sealed, SegmentReader, seal_stream
from sandbox.crypto.suite import INTL
from sandbox.errors import IntegrityFailed

KEY = bytes(range(32))
AAD = b"ver_1/0/0"
FIRST = SEGMENT - 40 - 16
OTHER = SEGMENT - 16
SIZES = [
    0, 1, 15, 16, 17, FIRST - 1, FIRST, FIRST + 1, FIRST + OTHER - 1, FIRST + OTHER, FIRST + OTHER + 1,
    FIRST + 5 * OTHER, 5_000_000,
]  # fmt: skip

streaming_aead.register()


def tink_primitive(key: bytes = KEY) -> streaming_aead.StreamingAead:
    """Tink's own implementation under our raw key."""
    streaming = aes_gcm_hkdf_streaming_pb2.AesGcmHkdfStreamingKey(key_value=key)
    streaming.params.ciphertext_segment_size = SEGMENT
    streaming.params.derived_key_size = 32
    streaming.params.hkdf_hash_type = common_pb2.SHA256
    keyset = tink_pb2.Keyset(primary_key_id=1)
    keyset.key.add(
        key_data=tink_pb2.KeyData(
            type_url="type.googleapis.com/google.crypto.tink.AesGcmHkdfStreamingKey",
            value=streaming.SerializeToString(),
            key_material_type=tink_pb2.KeyData.SYMMETRIC,
        ),
        status=tink_pb2.ENABLED,
        key_id=1,
        output_prefix_type=tink_pb2.RAW,
    )
    handle = tink.proto_keyset_format.parse(keyset.SerializeToString(), secret_key_access.TOKEN)
    return handle.primitive(streaming_aead.StreamingAead)


def tink_seal(plain: bytes, aad: bytes = AAD) -> bytes:
    class Kept(io.BytesIO):
        def close(self) -> None:
            self.kept = self.getvalue()
            super().close()

    out = Kept()
    with tink_primitive().new_encrypting_stream(out, aad) as stream:
        stream.write(plain)
    return out.kept


def tink_open(sealed: bytes, aad: bytes = AAD) -> bytes:
    with tink_primitive().new_decrypting_stream(io.BytesIO(sealed), aad) as stream:
        return bytes(stream.read())


def content(size: int) -> bytes:
    """Bytes in which no two places look alike."""
    block = b"".join(INTL.digest(n.to_bytes(4, "big")) for n in range(1 + min(size, 100_000) // 32))
    return (block * (1 + size // len(block)))[:size]


def seal(plain: bytes, *, key: bytes = KEY, aad: bytes = AAD) -> tuple[bytes, Sealed]:
    out = io.BytesIO()
    told = seal_stream(io.BytesIO(plain), out, key=key, aad=aad)
    return out.getvalue(), told


def reader(sealed: bytes, *, key: bytes = KEY, aad: bytes = AAD, sealed_size: int | None = None) -> SegmentReader:
    def read(start: int, length: int) -> bytes:
        return sealed[start : start + length]

    return SegmentReader(read, sealed_size=len(sealed) if sealed_size is None else sealed_size, key=key, aad=aad)


def read_all(opened: SegmentReader) -> bytes:
    return opened.read(0, opened.size)


@pytest.mark.parametrize("size", SIZES)
def test_tink_opens_what_we_seal(size: int) -> None:
    plain = content(size)
    sealed, told = seal(plain)
    assert tink_open(sealed) == plain
    assert told == Sealed(size=size, sealed_size=len(sealed), sha256=INTL.digest(sealed).hex())


@pytest.mark.parametrize("size", SIZES)
def test_we_open_what_tink_seals(size: int) -> None:
    plain = content(size)
    sealed = tink_seal(plain)
    opened = reader(sealed)
    assert opened.size == size
    assert read_all(opened) == plain
    assert len(sealed) == seal(plain)[1].sealed_size


def test_tink_refuses_our_stream_at_another_place() -> None:
    with pytest.raises(tink.TinkError):
        tink_open(seal(b"plain")[0], aad=b"ver_1/1/0")


def test_a_source_that_gives_little_at_a_time_is_read_to_its_end() -> None:
    class Trickle(io.RawIOBase):
        def __init__(self, content: bytes) -> None:
            self.left = content

        def readable(self) -> bool:
            return True

        def readinto(self, buffer: memoryview) -> int:
            count = min(len(buffer), 70_000, len(self.left))
            buffer[:count] = self.left[:count]
            self.left = self.left[count:]
            return count

    plain, out = content(FIRST + OTHER), io.BytesIO()
    seal_stream(Trickle(plain), out, key=KEY, aad=AAD)
    assert read_all(reader(out.getvalue())) == plain


LONG = content(FIRST + 40 * OTHER + 1000)
LONG_SEALED = seal(LONG)[0]


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(0, len(LONG)), st.integers(0, 3 * OTHER)), max_size=4))
def test_any_range_reads_as_the_plain_bytes(ranges: list[tuple[int, int]]) -> None:
    opened = reader(LONG_SEALED)
    ranges = [(start, min(length, len(LONG) - start)) for start, length in ranges]
    for start, length in ranges:
        assert opened.read(start, length) == LONG[start : start + length]
    offsets = []
    covered = bytearray(len(LONG))
    for offset, plain in opened.segments(ranges):
        assert plain == LONG[offset : offset + len(plain)]
        covered[offset : offset + len(plain)] = b"\1" * len(plain)
        offsets.append(offset)
    assert offsets == sorted(set(offsets)), "each segment once, ascending"
    assert all(all(covered[start : start + length]) for start, length in ranges)


def test_only_the_segments_asked_for_are_fetched_and_each_once() -> None:
    fetched: list[tuple[int, int]] = []

    def read(start: int, length: int) -> bytes:
        fetched.append((start, length))
        return LONG_SEALED[start : start + length]

    opened = SegmentReader(read, sealed_size=len(LONG_SEALED), key=KEY, aad=AAD)
    fetched.clear()
    offsets = [
        offset for offset, _ in opened.segments([(0, 1), (10, 5), (FIRST + OTHER, 1), (FIRST, 2), (30 * OTHER, 1)])
    ]
    assert offsets == [0, FIRST, FIRST + OTHER, FIRST + 29 * OTHER]
    assert fetched == [(40, 3 * SEGMENT - 40), (30 * SEGMENT, SEGMENT)]


def test_neighbours_are_fetched_in_runs_of_bounded_size() -> None:
    fetched: list[int] = []

    def read(start: int, length: int) -> bytes:
        fetched.append(length)
        return LONG_SEALED[start : start + length]

    opened = SegmentReader(read, sealed_size=len(LONG_SEALED), key=KEY, aad=AAD)
    assert read_all(opened) == LONG
    assert max(fetched) <= 4 * 1024 * 1024
    assert len(fetched) == 2 + 3


def refused(make: Callable[[], object], code: str = "object_corrupt") -> None:
    with pytest.raises(IntegrityFailed) as failure:
        make()
    assert failure.value.code == code
    assert failure.value.params == {}


@pytest.mark.parametrize("size", [0, 1, FIRST, FIRST + 1, FIRST + OTHER])
def test_a_flipped_bit_is_refused_wherever_it_is(size: int) -> None:
    sealed = seal(content(size))[0]
    places = {*range(56), *range(len(sealed) - 20, len(sealed)), *range(0, len(sealed), 4999)}
    places |= {place for edge in range(SEGMENT, len(sealed), SEGMENT) for place in (edge - 17, edge - 1, edge)}
    for place in sorted(places & set(range(len(sealed)))):
        changed = sealed[:place] + bytes([sealed[place] ^ 0x10]) + sealed[place + 1 :]
        refused(lambda changed=changed: read_all(reader(changed)))


@pytest.mark.parametrize("size", [0, 1, FIRST, FIRST + OTHER, FIRST + 2 * OTHER + 7])
def test_a_truncated_object_is_refused_even_at_a_segment_edge(size: int) -> None:
    sealed = seal(content(size))[0]
    lengths = {
        0,
        1,
        39,
        40,
        55,
        len(sealed) - 1,
        len(sealed) - 16,
        len(sealed) - 17,
        *range(SEGMENT, len(sealed), SEGMENT),
    }
    for length in sorted(n for n in lengths if n < len(sealed)):
        refused(lambda length=length: read_all(reader(sealed[:length])))  # the length follows the object
        refused(lambda length=length: read_all(reader(sealed[:length], sealed_size=len(sealed))))  # or the manifest


def test_an_extended_object_is_refused() -> None:
    for size in (0, 5, FIRST, FIRST + OTHER):
        sealed = seal(content(size))[0]
        for more in (b"\0", b"\0" * 16, sealed, sealed[40:]):
            refused(lambda more=more, sealed=sealed: read_all(reader(sealed + more)))


def test_segments_do_not_change_places() -> None:
    sealed = seal(content(FIRST + 3 * OTHER))[0]
    one, two = sealed[SEGMENT : 2 * SEGMENT], sealed[2 * SEGMENT : 3 * SEGMENT]
    swapped = sealed[:SEGMENT] + two + one + sealed[3 * SEGMENT :]
    refused(lambda: read_all(reader(swapped)))
    assert reader(swapped).read(0, FIRST) == content(FIRST), "what was not moved still opens"


def test_the_end_is_proved_before_anything_is_read() -> None:
    sealed = LONG_SEALED[: 20 * SEGMENT]
    refused(lambda: reader(sealed))
    refused(lambda: reader(LONG_SEALED + b"more"))
    empty = seal(b"", aad=b"ver_1/1/0")[0]
    refused(lambda: reader(empty))


def test_objects_do_not_change_places() -> None:
    sealed = seal(b"bucket 0", aad=b"ver_1/0/0")[0]
    refused(lambda: read_all(reader(sealed, aad=b"ver_1/1/0")))
    refused(lambda: read_all(reader(sealed, key=bytes(32))))


def test_the_same_bytes_never_seal_to_the_same_object() -> None:
    first, second = seal(b"plain")[0], seal(b"plain")[0]
    assert first[1:40] != second[1:40]
    refused(lambda: read_all(reader(first[:40] + second[40:])))


def test_ranges_outside_the_object_are_refused() -> None:
    opened = reader(seal(b"0123456789")[0])
    for start, length in ((0, 11), (10, 1), (11, 0), (-1, 1), (5, -1)):
        refused(lambda start=start, length=length: opened.read(start, length))
    assert opened.read(10, 0) == b""


def test_a_key_of_another_size_is_refused() -> None:
    with pytest.raises(IntegrityFailed, match="key_size_wrong"):
        seal(b"", key=bytes(16))
