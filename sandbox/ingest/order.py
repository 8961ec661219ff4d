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

from sandbox.crypto.order import BLOCK, keyed_order
from sandbox.crypto.suite import Suite
from sandbox.ingest.columns import Held, Shape

Words: TypeAlias = npt.NDArray[np.uint64]
Places: TypeAlias = npt.NDArray[np.int64]

_CHUNK: Final = 1 << 15
_UNIT_BITS: Final = 40
_UNIT_MASK: Final = np.uint64(((1 << _UNIT_BITS) - 1) << (64 - _UNIT_BITS))


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
        self._layout = _layout(self._shapes)
        self._places = {s.column.name: _sorted_places(s) for s in self._shapes if s.kind == "code"}

    def number(self, pseudonyms: Words, columns: Mapping[str, Held]) -> Numbered:
        """Number each unit's rows."""
        tags = self._tags(pseudonyms, columns)
        order, tied = _by_unit_and_tag(pseudonyms, tags)
        repeated = self._tag_repeated(pseudonyms, tags, order[tied])
        if len(repeated):
            order = _sorted_again(order, pseudonyms, tags, np.sort(pseudonyms[repeated]))
        ordered = pseudonyms[order]
        starts = np.empty(len(ordered), np.bool_)
        starts[:1] = True
        np.not_equal(ordered[1:], ordered[:-1], out=starts[1:])
        first = np.flatnonzero(starts)
        unit = np.cumsum(starts, dtype=np.int64) - 1
        return Numbered(rows=order, unit=unit, ordinal=np.arange(len(ordered)) - first[unit], units=len(first))

    def _tag_repeated(self, pseudonyms: Words, tags: Words, rows: Places) -> Places:
        """Give rows that repeat an earlier one of their unit a tag of their own; `rows` stand in stored order.

        Gives those rows.
        """
        same = pseudonyms[rows[1:]] == pseudonyms[rows[:-1]]
        same &= (tags[rows[1:]] == tags[rows[:-1]]).all(axis=1)
        if not same.any():
            return np.zeros(0, np.int64)
        # Occurrence number: how many equal rows stand before. Equal rows are neighbours.
        place = np.arange(1, len(rows))
        last_new = np.maximum.accumulate(np.where(same, 0, place))
        occurrence = np.concatenate([[0], np.where(same, place - last_new, 0)])
        repeated = rows[occurrence > 0]
        blocks = np.zeros((len(repeated), 4), np.uint64)
        blocks[:, :2] = tags[repeated]
        blocks[:, 2] = occurrence[occurrence > 0]
        tags[repeated] = keyed_order(self._again_key, blocks.view(np.uint8))
        return repeated

    def _tags(self, pseudonyms: Words, columns: Mapping[str, Held]) -> Words:
        """The CMAC of each row."""
        texts = {s.column.name: self._digests(columns[s.column.name]) for s in self._shapes if s.kind == "text"}
        rows = len(pseudonyms)
        tags = np.empty((rows, 2), np.uint64)
        blocks = np.zeros(min(_CHUNK, rows), self._layout)
        for low in range(0, rows, _CHUNK):
            some = slice(low, min(low + _CHUNK, rows))
            block = blocks[: some.stop - low]
            block[""] = pseudonyms[some]
            for shape in self._shapes:
                name = shape.column.name
                if shape.kind == "text":
                    block[name] = texts[name][some]
                elif shape.kind == "code":
                    block[name] = self._places[name][np.asarray(columns[name])[some]]
                else:
                    block[name] = np.asarray(columns[name])[some]
            tags[some] = keyed_order(self._row_key, block.view(np.uint8).reshape(len(block), -1))
        return tags

    def _digests(self, column: pa.Array) -> Words:
        """Two words for each text; two zeros, at the end of the table where -1 points, for NULL."""
        coded = column.dictionary_encode()
        digests = self._suite.macs(self._text_key, coded.dictionary.view(pa.binary()).to_pylist(), BLOCK)
        table = np.frombuffer(digests + bytes(BLOCK), np.uint64).reshape(-1, 2)
        return table[np.asarray(coded.indices.fill_null(-1).to_numpy(zero_copy_only=False), np.int64)]


def _layout(shapes: Sequence[Shape]) -> np.dtype[np.void]:
    """A row's bytes under the CMAC: the pseudonym, then each column as narrow as it is held, in whole blocks.

    NULL is a value of its own in every column: one below the least integer, -1, or zeros for a text.
    """
    names, formats, offsets, at = [""], ["<u8"], [0], 8
    for shape in shapes:
        form = np.dtype((np.uint64, 2)) if shape.kind == "text" else shape.dtype
        names.append(shape.column.name)
        formats.append(form)  # type: ignore[arg-type]  # numpy takes dtypes beside their names
        offsets.append(at)
        at += form.itemsize
    size = -(-at // BLOCK) * BLOCK
    return np.dtype({"names": names, "formats": formats, "offsets": offsets, "itemsize": size})


def _sorted_places(shape: Shape) -> npt.NDArray[np.signedinteger]:
    """For each code of a domain its place among the sorted texts, so that their order in the manifest does not matter.

    Codes of a *declared* domain are declared facts; they depend on no unit (P2.4). The last entry is NULL's.
    """
    words = [str(v) for v in shape.column.domain or ()]
    places = np.empty(len(words) + 1, shape.dtype)
    places[sorted(range(len(words)), key=lambda i: words[i].encode())] = np.arange(len(words))
    places[-1] = -1
    return places


def _sorted_again(order: Places, pseudonyms: Words, tags: Words, changed: Words) -> Places:
    """The order after some tags of the units `changed` (sorted) have changed."""
    if 4 * len(changed) > len(order):
        return _by_unit_and_tag(pseudonyms, tags)[0]
    ordered = pseudonyms[order]
    near = changed[np.minimum(np.searchsorted(changed, ordered), len(changed) - 1)]
    theirs = np.flatnonzero(near == ordered)
    among = order[theirs]
    order[theirs] = among[np.lexsort((tags[among, 1], tags[among, 0], pseudonyms[among]))]
    return order


def _by_unit_and_tag(pseudonyms: Words, tags: Words) -> tuple[Places, Places]:
    """Sort by (pseudonym, tag): one 64-bit sort on the first bits of both, then the few ties in full.

    Gives the order, and the places in it that were tied: those of rows that are equal are among them.
    """
    count = len(pseudonyms)
    if count == 0:
        return np.zeros(0, np.int64), np.zeros(0, np.int64)
    shared = 64 - int(pseudonyms.max() ^ pseudonyms.min()).bit_length()  # a part's rows begin with the same bits
    packed = ((pseudonyms << np.uint64(min(shared, 63))) & _UNIT_MASK) | (tags[:, 0] >> np.uint64(_UNIT_BITS))
    order = np.argsort(packed)
    packed = packed[order]
    unit_bits = packed & _UNIT_MASK
    mixed = unit_bits[1:] == unit_bits[:-1]
    ordered = pseudonyms[order]
    apart = mixed & (ordered[1:] != ordered[:-1])
    tie = packed[1:] == packed[:-1]
    if apart.any():
        # Two units share their first bits and lie among each other: all rows with those bits are sorted again.
        tie |= mixed & np.isin(unit_bits[1:], unit_bits[1:][apart])
    tied = np.flatnonzero(np.concatenate([tie, [False]]) | np.concatenate([[False], tie]))
    if len(tied):
        among = order[tied]
        first = unit_bits[tied]
        order[tied] = among[np.lexsort((tags[among, 1], tags[among, 0], pseudonyms[among], first))]
    return order, tied
