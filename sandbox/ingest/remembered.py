"""Pseudonyms already made, by their raw identifiers: a bounded hash table that looks up whole columns at once."""

from __future__ import annotations

from typing import Final, TypeAlias

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from sandbox.crypto.order import BLOCK, keyed_order

Words: TypeAlias = npt.NDArray[np.uint64]
Places: TypeAlias = npt.NDArray[np.int64]

_FIRST_BITS: Final = 18
_FREE: Final = -1


class Remembered:
    """Maps identifiers to entries 0, 1, 2, … in order of arrival.

    Identifiers are known by 128-bit MACs under a key that lives as long as this object: two that share one are less
    likely, by 2^64, than two that share a pseudonym (P2.2), and none can be chosen to crowd the table.
    """

    def __init__(self, key: bytes, most: int) -> None:
        self._key = key
        self._most = most
        self.clear()

    def clear(self) -> None:
        """Forget all."""
        self.count: int = 0
        # The halves apart: comparing two flat arrays is several times faster than rows of two.
        self._first: Words = np.zeros(1 << _FIRST_BITS, np.uint64)
        self._second: Words = np.zeros(1 << _FIRST_BITS, np.uint64)
        self._table = np.full(2 << _FIRST_BITS, _FREE, np.int32)

    def macs_of_texts(self, words: pa.Array) -> Words:
        """The MACs of an Arrow string array without nulls, shape (n, 2)."""
        return keyed_order(self._key, _padded(words))

    def macs_of_integers(self, values: Places) -> Words:
        """The MACs of integers, which share none with texts."""
        blocks = np.full((len(values), 2), -1, np.int64)
        blocks[:, 0] = values
        return keyed_order(self._key, blocks.view(np.uint8))

    def find(self, macs: Words) -> Places:
        """The entry of each MAC, or -1."""
        mask = np.uint64(len(self._table) - 1)
        first, second = np.ascontiguousarray(macs[:, 0]), np.ascontiguousarray(macs[:, 1])
        slots = first & mask
        found = self._table[slots]
        taken = found != _FREE
        hit = taken & (self._first[found] == first) & (self._second[found] == second)
        found[~hit] = _FREE
        open_ = np.flatnonzero(taken & ~hit)
        while len(open_):
            slots[open_] = (slots[open_] + np.uint64(1)) & mask
            entries = self._table[slots[open_]]
            taken = entries != _FREE
            open_, entries = open_[taken], entries[taken]
            hit = (self._first[entries] == first[open_]) & (self._second[entries] == second[open_])
            found[open_[hit]] = entries[hit]
            open_ = open_[~hit]
        return np.asarray(found, np.int64)

    def add(self, macs: Words) -> Places:
        """New entries for MACs that are not known and differ from each other; all others are forgotten if need be."""
        if self.count + len(macs) > self._most:
            self.clear()
        entries = np.arange(self.count, self.count + len(macs), dtype=np.int32)
        self.count += len(macs)
        while self.count > len(self._first):
            self._first = np.concatenate([self._first, np.zeros_like(self._first)])
            self._second = np.concatenate([self._second, np.zeros_like(self._second)])
        self._first[entries], self._second[entries] = macs[:, 0], macs[:, 1]
        if 2 * self.count > len(self._table):
            self._table = np.full(4 * len(self._first), _FREE, np.int32)
            self._place(np.arange(self.count, dtype=np.int32))
        else:
            self._place(entries)
        return entries.astype(np.int64)

    def _place(self, entries: npt.NDArray[np.int32]) -> None:
        """Linear probing for all entries at once: who finds its own number in its slot afterwards has it."""
        mask = np.uint64(len(self._table) - 1)
        slots = self._first[entries] & mask
        while len(entries):
            free = self._table[slots] == _FREE
            self._table[slots[free]] = entries[free]
            waiting = self._table[slots] != entries
            entries, slots = entries[waiting], (slots[waiting] + np.uint64(1)) & mask


def _padded(words: pa.Array) -> npt.NDArray[np.uint8]:
    """Each word in whole blocks, zeros behind it, its length in the last two bytes."""
    _, offsets_buffer, body_buffer = words.buffers()
    offsets = np.frombuffer(offsets_buffer, np.int32)[words.offset : words.offset + len(words) + 1].astype(np.int64)
    lengths = np.diff(offsets)
    width = -(-(int(lengths.max(initial=0)) + 2) // BLOCK) * BLOCK
    body = np.frombuffer(body_buffer, np.uint8) if body_buffer is not None else np.zeros(0, np.uint8)
    body = np.concatenate([body[: offsets[-1]], np.zeros(width, np.uint8)])
    windows = np.lib.stride_tricks.as_strided(body, (len(body) - width + 1, width), (1, 1), writeable=False)
    rows = windows[offsets[:-1]]
    rows[np.arange(width) >= lengths[:, None]] = 0
    rows[:, -2:] = lengths.astype("<u2").view(np.uint8).reshape(-1, 2)
    return rows
