"""The keyed order equals CMAC, row by row, however many rows there are."""

from __future__ import annotations

import numpy as np
import pytest
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.cmac import CMAC
from hypothesis import given
from hypothesis import strategies as st

from sandbox.crypto.order import keyed_order
from sandbox.errors import IntegrityFailed

KEY = bytes.fromhex("603deb1015ca71be2b73aef0857d77811f352c073b6108d72d9810a30914dff4")
MESSAGE = bytes.fromhex(
    "6bc1bee22e409f96e93d7e117393172aae2d8a571e03ac9c9eb76fac45af8e51"
    "30c81c46a35ce411e5fbc1191a0a52eff69f2445df4f9b17ad2b417be66c3710"
)


def rows_of(*rows: bytes) -> np.ndarray:
    return np.frombuffer(b"".join(rows), dtype=np.uint8).reshape(len(rows), -1)


def macs(ordered: np.ndarray) -> list[bytes]:
    return [int(high).to_bytes(8, "big") + int(low).to_bytes(8, "big") for high, low in ordered]


def cmac(key: bytes, message: bytes) -> bytes:
    mac = CMAC(AES(key))
    mac.update(message)
    return mac.finalize()


def test_vectors_of_nist_sp_800_38b() -> None:
    assert macs(keyed_order(KEY, rows_of(MESSAGE[:16])))[0].hex() == "28a7023f452e8f82bd4bf28d8c37c35c"
    assert macs(keyed_order(KEY, rows_of(MESSAGE)))[0].hex() == "e1992190549f6ed5696a2c056c315410"


@given(
    key=st.binary(min_size=32, max_size=32),
    rows=st.integers(1, 5).flatmap(
        lambda m: st.lists(st.binary(min_size=16 * m, max_size=16 * m), min_size=1, max_size=9)
    ),
)
def test_each_row_is_its_cmac(key: bytes, rows: list[bytes]) -> None:
    ordered = keyed_order(key, rows_of(*rows))
    assert ordered.dtype == np.uint64
    assert ordered.shape == (len(rows), 2)
    assert macs(ordered) == [cmac(key, row) for row in rows]


@pytest.mark.parametrize("count", [16_384, 16_385, 40_000])
def test_rows_are_the_same_in_every_chunk(count: int) -> None:
    rows = np.zeros((count, 32), dtype=np.uint8)
    rows[:, :8] = np.arange(count, dtype=np.uint64).view(np.uint8).reshape(count, 8)
    ordered = keyed_order(KEY, rows)
    for place in (0, 1, 16_382, 16_383, count - 1):
        assert macs(ordered[place : place + 1])[0] == cmac(KEY, rows[place].tobytes())
    assert np.array_equal(ordered[::-1], keyed_order(KEY, rows[::-1])), "a row's place does not matter"


def test_no_rows_give_no_macs() -> None:
    assert keyed_order(KEY, np.zeros((0, 16), dtype=np.uint8)).shape == (0, 2)


def test_rows_cut_out_of_a_wider_table_are_read_right() -> None:
    wide = np.frombuffer(bytes(range(240)), dtype=np.uint8).reshape(5, 48)
    cut = wide[:, 16:32]
    assert macs(keyed_order(KEY, cut)) == [cmac(KEY, row.tobytes()) for row in cut]


@pytest.mark.parametrize(
    "blocks",
    [np.zeros((2, 15), np.uint8), np.zeros((2, 0), np.uint8), np.zeros(16, np.uint8), np.zeros((2, 2), np.uint64)],
)
def test_rows_that_are_not_whole_blocks_are_refused(blocks: np.ndarray) -> None:
    with pytest.raises(ValueError, match="16-byte blocks"):
        keyed_order(KEY, blocks)


def test_a_key_of_another_size_is_refused() -> None:
    with pytest.raises(IntegrityFailed, match="key_size_wrong"):
        keyed_order(bytes(16), np.zeros((1, 16), np.uint8))
