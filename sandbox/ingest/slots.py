"""Slots: the (unit, value) pairs of a key column, numbered by unit and in a keyed order of each unit's values (P2.4).

The order within a unit is AES-256-CMAC over (pseudonym, canonical value), under a key of the lineage and the column: a
value keeps its place among its unit's values whatever other units, other rows and later versions bring. Canonical are
a number in grid units as int64, a text by its bytes, NULL as itself, however narrow or coded a column is held.

Source: NIST SP 800-38B (CMAC); texts enter by HMAC-SHA256 cut to 16 bytes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from sandbox.crypto.order import BLOCK, keyed_order
from sandbox.crypto.suite import Suite
from sandbox.ingest.columns import Held, Shape
from sandbox.objects.sidecars import Slots

Places: TypeAlias = npt.NDArray[np.int64]
Words: TypeAlias = npt.NDArray[np.uint64]
Bits: TypeAlias = npt.NDArray[np.bool_]

_NULL: Final = np.iinfo(np.int64).min
"""NULL among integers: no bounded column reaches it."""

_DENSE: Final = 2
"""Up to so many cells of a table (unit, value) per row, pairs are found by marking its cells, else by sorting rows."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PartSlots:
    """A part's slots of one column: the slot of each row, how many each unit has, and each slot's value.

    A value is an integer as the column is held, or a place in `words`.
    """

    rows: npt.NDArray[np.uint32]
    counts: npt.NDArray[np.uint32]
    values: Places
    words: pa.Array | None


class SlotOrder:
    """Numbers the slots of one column of one lineage."""

    def __init__(self, suite: Suite, key: bytes, shape: Shape) -> None:
        self.column = shape.column.name
        self.shape = shape
        self._suite = suite
        self._key = suite.kdf(key, b"sandbox slot order v1\n" + self.column.encode())
        self._text_key = suite.kdf(key, b"sandbox slot text v1\n" + self.column.encode())
        declared = pa.array([str(v) for v in shape.column.domain or ()], pa.string()) if shape.kind == "code" else None
        self._declared = None if declared is None else (declared, self._digests(declared))

    def number(self, pseudonyms: Words, unit: Places, held: Held) -> PartSlots:
        """Number the slots of rows that stand in order of their units; `unit` counts these from 0 without a gap."""
        values, words, digests = self._valued(held)
        units = int(unit[-1]) + 1 if len(unit) else 0
        low, high = (int(values.min()), int(values.max())) if len(values) else (0, 0)
        back: Places | None = None
        if units * (high - low + 1) <= _DENSE * len(values):
            # Few values: the pairs are the marked cells of a table, and only they are sorted.
            first = np.flatnonzero(np.concatenate([[True], unit[1:] != unit[:-1]])) if units else unit
            back, unit, values = _marked(unit, values - low, units, high - low + 1)
            values, pseudonyms = values + low, pseudonyms[first][unit]
        tags = self._tags(pseudonyms, values, digests)
        order, new = _by_unit_tag_and_value(unit, tags, values, words)
        places = np.empty(len(order), np.uint32)
        places[order] = np.cumsum(new) - 1
        ones = order[new]
        return PartSlots(
            rows=places if back is None else places[back],
            counts=np.bincount(unit[ones], minlength=units).astype(np.uint32),
            values=values[ones],
            words=words,
        )

    def joined(self, parts: Sequence[PartSlots]) -> Slots:
        """A bucket's slots: its parts' one behind the other, values coded by their place among all that occur."""
        values = self._distinct(parts)
        codes = [self._coded(part, values) for part in parts]
        counts = np.concatenate([np.zeros(1, np.uint32), *(part.counts for part in parts)])
        return Slots(
            codes=np.concatenate([np.zeros(0, np.uint32), *codes]),
            first=np.cumsum(counts, dtype=np.uint32),
            values=values,
        )

    def empty(self) -> PartSlots:
        """The slots of a part without rows."""
        nothing = np.zeros(0, np.uint64)
        return self.number(nothing, nothing.astype(np.int64), _nothing(self.shape))

    # --- values ---

    def _valued(self, held: Held) -> tuple[Places, pa.Array | None, Words | None]:
        """Each row's value as an integer; for texts the words and digests that it is a place in, NULL the last one."""
        if not isinstance(held, np.ndarray):
            coded = held.dictionary_encode()
            words, digests = coded.dictionary, self._digests(coded.dictionary)
            places = np.asarray(coded.indices.fill_null(-1).to_numpy(zero_copy_only=False), np.int64)
        elif self._declared is None:
            return held.astype(np.int64), None, None
        else:
            words, digests = self._declared
            places = held.astype(np.int64)
        return np.where(places < 0, len(words), places), pa.concat_arrays([words, pa.nulls(1, pa.string())]), digests

    def _digests(self, words: pa.Array) -> Words:
        """Three words for each text: 1 and its digest; zeros, at the end, for NULL."""
        macs = self._suite.macs(self._text_key, words.view(pa.binary()).to_pylist(), BLOCK)
        digests = np.zeros((len(words) + 1, 3), np.uint64)
        digests[:-1, 0] = 1
        digests[:-1, 1:] = np.frombuffer(macs, np.uint64).reshape(-1, 2)
        return digests

    def _tags(self, pseudonyms: Words, values: Places, digests: Words | None) -> Words:
        """The CMAC of each pair: one block for a number, two for a text."""
        blocks = np.empty((len(values), 2 if digests is None else 4), np.uint64)
        blocks[:, 0] = pseudonyms
        if digests is None:
            blocks[:, 1] = np.where(values == self.shape.null, _NULL, values).view(np.uint64)
        else:
            blocks[:, 1:] = digests[values]
        return keyed_order(self._key, blocks.view(np.uint8))

    def _distinct(self, parts: Sequence[PartSlots]) -> pa.Array:
        """The values that occur in a bucket, ascending, NULL last."""
        if self.shape.kind == "integer":
            found = _sorted_set(np.concatenate([np.zeros(0, np.int64), *(_sorted_set(p.values) for p in parts)]))
            known = pa.array(found[found != self.shape.null], pa.int64())
            return pa.concat_arrays([known, pa.nulls(len(found) - len(known), pa.int64())])
        taken = [p.words.take(pa.array(_sorted_set(p.values))) for p in parts if p.words is not None]
        words = pc.unique(pa.chunked_array(taken, pa.string()))
        return words.take(pc.array_sort_indices(words))

    def _coded(self, part: PartSlots, values: pa.Array) -> npt.NDArray[np.uint32]:
        """Each slot's value as its place among the bucket's."""
        if part.words is not None:
            found = pc.index_in(part.words, value_set=values).fill_null(0)
            return np.asarray(found.to_numpy(zero_copy_only=False)).astype(np.uint32)[part.values]
        known = np.asarray(values.drop_null().to_numpy(), np.int64)
        null = part.values == self.shape.null
        low, span = (int(known[0]), int(known[-1]) - int(known[0]) + 1) if len(known) else (0, 0)
        if 0 < span <= _DENSE * len(part.values):
            table = np.zeros(span, np.uint32)
            table[known - low] = np.arange(len(known), dtype=np.uint32)
            codes = table[np.where(null, 0, part.values - low)]
        else:
            codes = np.searchsorted(known, part.values).astype(np.uint32)
        codes[null] = len(known)
        return codes


def _marked(unit: Places, value: Places, units: int, span: int) -> tuple[Places, Places, Places]:
    """The pairs that occur, as (place of each row's pair, unit and value of each pair)."""
    cell = unit * span + value
    marked = np.zeros(units * span, np.bool_)
    marked[cell] = True
    pairs = np.flatnonzero(marked)
    place = np.cumsum(marked, dtype=np.int64) - 1
    found = np.divmod(pairs, max(span, 1))
    return place[cell], found[0], found[1]


def _by_unit_tag_and_value(unit: Places, tags: Words, values: Places, words: pa.Array | None) -> tuple[Places, Bits]:
    """Sort pairs by (unit, tag, value); gives the order, and in it where a pair differs from the one before.

    One 64-bit sort on the unit and the first bits of the tag. Equal ones are nearly always the same pair again; where
    they are not, they are sorted in full, equal tags by their values' own order.
    """
    count = len(unit)
    if not count:
        return np.zeros(0, np.int64), np.zeros(0, np.bool_)
    bits = int(unit[-1]).bit_length()
    packed = (unit.astype(np.uint64) << np.uint64(63 - bits)) | (tags[:, 0] >> np.uint64(bits + 1))
    order = np.argsort(packed)
    tied = np.concatenate([[False], packed[order][1:] == packed[order][:-1]])
    other = np.concatenate([[True], values[order][1:] != values[order][:-1]])
    if (tied & other).any():
        runs = np.cumsum(~tied)
        mixed = np.flatnonzero(np.isin(runs, runs[tied & other]))
        among = order[mixed]
        order[mixed] = among[np.lexsort((_ranked(values, words)[among], tags[among, 1], tags[among, 0], unit[among]))]
        other = np.concatenate([[True], values[order][1:] != values[order][:-1]])
    return order, other | ~tied


def _ranked(values: Places, words: pa.Array | None) -> Places:
    """Values by which ties are broken: numbers themselves, texts by the order of their bytes, NULL first."""
    if words is None:
        return values
    ranks = np.empty(len(words), np.int64)
    ranks[np.asarray(pc.array_sort_indices(words, null_placement="at_start").to_numpy())] = np.arange(len(words))
    return ranks[values]


def _sorted_set(values: Places) -> Places:
    """Each value once, ascending."""
    if not len(values):
        return values
    low, high = int(values.min()), int(values.max())
    if high - low < _DENSE * len(values):
        marked = np.zeros(high - low + 1, np.bool_)
        marked[values - low] = True
        return np.asarray(np.flatnonzero(marked) + low)
    ordered = np.sort(values)
    return np.asarray(ordered[np.concatenate([[True], ordered[1:] != ordered[:-1]])])


def _nothing(shape: Shape) -> Held:
    return pa.array([], pa.string()) if shape.kind == "text" else np.zeros(0, shape.dtype)
