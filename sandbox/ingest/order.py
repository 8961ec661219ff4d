"""Ordinals: each unit's rows in a keyed order of their own content, blind to all other units and to positions (P2.4).

The order of a row is AES-256-CMAC over (pseudonym, stored values). Rows of one unit that are equal get a second tag
over (tag, occurrence number): they are bit-identical, so which of them is which occurrence does not show, and no
content is favoured for being frequent.

Source: NIST SP 800-38B (CMAC); texts enter by HMAC-SHA256 cut to 16 bytes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from sandbox.crypto.order import keyed_order
from sandbox.crypto.suite import Suite
from sandbox.ingest.columns import Held, Shape

Words: TypeAlias = npt.NDArray[np.uint64]
Places: TypeAlias = npt.NDArray[np.int64]

_CHUNK: Final = 1 << 16
_NULLS: Final = 64
"""NULL marks in one word."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Numbered:
    """Rows in stored order: `rows` are places in what came in, `unit` counts units from 0 in order of pseudonyms."""

    rows: Places
    unit: Places
    ordinal: Places
    units: int


class RowOrder:
    """The keyed order of one dataset's rows. Columns enter by name, so the manifest's order does not matter."""

    def __init__(self, suite: Suite, key: bytes, shapes: Sequence[Shape]) -> None:
        self._suite = suite
        self._row_key = suite.kdf(key, b"sandbox row order v1")
        self._again_key = suite.kdf(key, b"sandbox row occurrence v1")
        self._text_key = suite.kdf(key, b"sandbox row text v1")
        self._shapes = sorted(shapes, key=lambda s: s.column.name)
        self._codes = {
            s.column.name: self._text_words([str(v) for v in s.column.domain or ()])
            for s in self._shapes
            if s.kind == "code"
        }

    def number(self, pseudonyms: Words, columns: Mapping[str, Held]) -> Numbered:
        """Number each unit's rows."""
        by_unit = np.argsort(pseudonyms)
        ordered = pseudonyms[by_unit]
        starts = np.empty(len(ordered), np.bool_)
        starts[:1] = True
        np.not_equal(ordered[1:], ordered[:-1], out=starts[1:])
        first = np.flatnonzero(starts)
        unit = np.cumsum(starts, dtype=np.int64) - 1
        ordinal = np.arange(len(ordered)) - first[unit]
        rows = by_unit
        if len(first) < len(ordered):
            rows = by_unit[self._within_units(unit, self._tags(pseudonyms, columns, by_unit))]
        return Numbered(rows=rows, unit=unit, ordinal=ordinal, units=len(first))

    def _within_units(self, unit: Places, tags: Words) -> Places:
        """The order by (unit, tag), for rows that stand in order of their units."""
        order, tied = _by_unit_and_tag(unit, tags)
        if not len(tied):
            return order
        among = order[tied]
        same = (unit[among[1:]] == unit[among[:-1]]) & (tags[among[1:]] == tags[among[:-1]]).all(axis=1)
        if not same.any():
            return order
        # Occurrence number: how many equal rows stand before. Equal rows are neighbours among the tied, too.
        place = np.arange(1, len(among))
        last_new = np.maximum.accumulate(np.where(same, 0, place))
        occurrence = np.concatenate([[0], np.where(same, place - last_new, 0)])
        repeated = among[occurrence > 0]
        blocks = np.zeros((len(repeated), 4), np.uint64)
        blocks[:, :2] = tags[repeated]
        blocks[:, 2] = occurrence[occurrence > 0]
        tags[repeated] = keyed_order(self._again_key, blocks.view(np.uint8))
        return _by_unit_and_tag(unit, tags)[0]

    def _tags(self, pseudonyms: Words, columns: Mapping[str, Held], rows: Places) -> Words:
        """The CMAC of each of `rows`, in their order."""
        nulls = -(-max(len(self._shapes), 1) // _NULLS)
        width = 1 + nulls + sum(1 if s.kind == "integer" else 2 for s in self._shapes)
        width += width % 2
        texts = {s.column.name: self._digests(columns[s.column.name]) for s in self._shapes if s.kind == "text"}
        tags = np.empty((len(rows), 2), np.uint64)
        block = np.zeros((min(_CHUNK, len(rows)), width), np.uint64)
        for low in range(0, len(rows), _CHUNK):
            some = rows[low : low + _CHUNK]
            words = block[: len(some)]
            words[:, : 1 + nulls] = 0
            words[:, 0] = pseudonyms[some]
            self._fill(words, some, columns, texts, nulls)
            tags[low : low + len(some)] = keyed_order(self._row_key, words.view(np.uint8))
        return tags

    def _fill(
        self, words: Words, rows: Places, columns: Mapping[str, Held], texts: Mapping[str, Words], nulls: int
    ) -> None:
        """Stored values as words: integers as they are, texts by their digest, NULL as a mark and zeros."""
        at = 1 + nulls
        for i, shape in enumerate(self._shapes):
            name = shape.column.name
            if shape.kind == "text":
                digests = texts[name][rows]
                null = ~digests.any(axis=1)
                words[:, at : at + 2] = digests
            else:
                values = np.asarray(columns[name])[rows]
                null = values == shape.null
                if shape.kind == "integer":
                    words[:, at] = np.where(null, 0, values.astype(np.int64)).view(np.uint64)
                else:
                    words[:, at : at + 2] = self._codes[name][values]
            words[:, 1 + i // _NULLS] |= null.astype(np.uint64) << np.uint64(i % _NULLS)
            at += 1 if shape.kind == "integer" else 2

    def _text_words(self, texts: Sequence[str]) -> Words:
        """Two words for each text, and two zeros at the end, where the code -1 of NULL points."""
        digests = b"".join([self._suite.mac(self._text_key, t.encode())[:16] for t in texts])
        return np.frombuffer(digests + bytes(16), np.uint64).reshape(-1, 2)

    def _digests(self, column: pa.Array) -> Words:
        coded = column.dictionary_encode()
        table = self._text_words(coded.dictionary.to_pylist())
        return table[np.asarray(coded.indices.fill_null(-1).to_numpy(zero_copy_only=False), np.int64)]


def _by_unit_and_tag(unit: Places, tags: Words) -> tuple[Places, Places]:
    """Sort by (unit, tag): one 64-bit sort on the unit and the tag's first bits, then the few ties in full.

    Gives the order, and the places in it that were tied.
    """
    bits = int(unit[-1]).bit_length()
    packed = tags[:, 0] >> np.uint64(bits)
    if bits:
        packed |= unit.view(np.uint64) << np.uint64(64 - bits)
    order = np.argsort(packed)
    packed = packed[order]
    tie = packed[1:] == packed[:-1]
    tied = np.zeros(0, np.int64)
    if tie.any():
        tied = np.flatnonzero(np.concatenate([tie, [False]]) | np.concatenate([[False], tie]))
        among = order[tied]
        order[tied] = among[np.lexsort((tags[among, 1], tags[among, 0], packed[tied]))]
    return order, tied
