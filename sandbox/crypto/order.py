"""Keyed order: AES-256-CMAC of many rows at once, one block-cipher pass per block over all rows.

Source: NIST SP 800-38B (CMAC), FIPS 197 (AES), NIST SP 800-38A (ECB, used here only as the bare block cipher).
"""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt
from cryptography.hazmat.primitives.ciphers import Cipher, CipherContext, algorithms, modes

from sandbox.crypto.suite import KEY_SIZE
from sandbox.errors import IntegrityFailed

BLOCK: Final = 16
"""Bytes of a cipher block."""

_CHUNK: Final = 1 << 14
"""Rows at a time: a state of 256 KiB stays in the processor's cache."""


def keyed_order(key: bytes, blocks: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint64]:
    """The CMAC of each row, as two integers (first and second half, big-endian): comparing them compares the MACs.

    `blocks` has shape (n, 16 m), m at least 1: a caller pads its rows to one width. The result has shape (n, 2) and row
    i depends on the key and row i alone.

    Raises:
        IntegrityFailed: `key_size_wrong`.
        ValueError: the shape or type of `blocks` is another.
    """
    if len(key) != KEY_SIZE:
        raise IntegrityFailed("key_size_wrong", size=len(key), needed=KEY_SIZE)
    if blocks.dtype != np.uint8 or blocks.ndim != 2 or blocks.shape[1] % BLOCK or not blocks.shape[1]:
        raise ValueError("rows must be whole 16-byte blocks of uint8")
    # ECB is the bare block cipher: CMAC chains the blocks itself, row by row.
    cipher = Cipher(algorithms.AES(key), modes.ECB()).encryptor()  # noqa: S305
    subkey = _subkey(cipher)
    rows = blocks.shape[0]
    macs = np.empty((rows, 2), dtype=np.uint64)
    state = np.empty((min(rows, _CHUNK), 2), dtype=np.uint64)
    out = np.empty(state.nbytes + BLOCK - 1, dtype=np.uint8)  # update_into asks for this much room
    for low in range(0, rows, _CHUNK):
        words = np.ascontiguousarray(blocks[low : low + _CHUNK]).view(np.uint64)
        macs[low : low + _CHUNK] = _macs(cipher, subkey, words, state, out)
    return macs


def _macs(
    cipher: CipherContext,
    subkey: npt.NDArray[np.uint64],
    words: npt.NDArray[np.uint64],
    state: npt.NDArray[np.uint64],
    out: npt.NDArray[np.uint8],
) -> npt.NDArray[np.uint64]:
    """CMAC of a chunk: state = E(state xor block) per block, the last one also xor the subkey."""
    rows, width = words.shape
    state = state[:rows]
    encrypted = out[: state.nbytes].view(np.uint64).reshape(rows, 2)
    for column in range(0, width, 2):
        if column:
            np.bitwise_xor(encrypted, words[:, column : column + 2], out=state)
        else:
            np.copyto(state, words[:, :2])
        if column == width - 2:
            np.bitwise_xor(state, subkey, out=state)
        cipher.update_into(state.data.cast("B"), out.data)
    return encrypted.view(">u8")


def _subkey(cipher: CipherContext) -> npt.NDArray[np.uint64]:
    """K1 of SP 800-38B 6.1: E(0) doubled in GF(2^128)."""
    zero = int.from_bytes(cipher.update(bytes(BLOCK)), "big")
    doubled = (zero << 1) & (2**128 - 1)
    if zero >> 127:
        doubled ^= 0x87
    return np.frombuffer(doubled.to_bytes(BLOCK, "big"), dtype=np.uint64)
