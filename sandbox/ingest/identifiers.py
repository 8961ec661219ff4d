"""From raw identifiers to 64-bit pseudonyms: one canonical form per population, then HMAC under its key (P2.0, P2.1).

Source: RFC 2104 (HMAC) and FIPS 180-4, cut to the first 8 bytes; what a collision costs is P2.2.
"""

from __future__ import annotations

import re
import unicodedata
from typing import Final, TypeAlias

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from sandbox.catalog import Identifier
from sandbox.crypto.suite import KEY_SIZE, Suite
from sandbox.errors import RequestError
from sandbox.ingest.columns import present
from sandbox.ingest.remembered import Remembered

Hashed: TypeAlias = npt.NDArray[np.uint64]
Flags: TypeAlias = npt.NDArray[np.bool_]
Places: TypeAlias = npt.NDArray[np.int64]

MOST: Final = 2_000_000
"""Identifiers whose pseudonyms are remembered between batches; then the memory is begun anew."""

LONGEST: Final = 256
"""Bytes of a raw identifier; a longer one is unusable."""

_DIGITS: Final = re.compile(r"0*(\d+)", re.ASCII)
_UNUSABLE: Final = frozenset({"Cc", "Cf", "Cs", "Co", "Cn"})


def canonical(identifier: Identifier, raw: bytes) -> str | None:
    """The one text for all spellings of an identifier, or None where it is none.

    NFKC first in both forms, so that full-width digits are digits. Control and format characters have no place in an
    identifier: invisible, they would split a person.
    """
    if len(raw) > LONGEST:
        return None
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError:
        return None
    text = unicodedata.normalize("NFKC", text)
    text = "".join(text.split()) if identifier.spaces == "remove" else text.strip()
    if not text or any(unicodedata.category(c) in _UNUSABLE for c in text):
        return None
    if identifier.kind == "digits":
        shape = _DIGITS.fullmatch(text)
        return _padded(identifier, shape[1]) if shape else None
    if identifier.case != "keep":
        text = text.upper() if identifier.case == "upper" else text.lower()
        text = unicodedata.normalize("NFKC", text)
    return text


def _padded(identifier: Identifier, digits: str) -> str | None:
    if identifier.width is None:
        return digits
    return digits.rjust(identifier.width, "0") if len(digits) <= identifier.width else None


def canonical_all(identifier: Identifier, words: pa.Array) -> pa.Array:
    """`canonical` of a whole string array: text or null.

    Printable ASCII, the common case, goes through Arrow at once; the tests hold both ways to each other.
    """
    body = words.buffers()[2]
    printable = body is None or not ((np.frombuffer(body, np.uint8) - np.uint8(0x20)) > 0x5E).any()
    if not printable:
        return pa.array([canonical(identifier, w) for w in words.view(pa.binary()).to_pylist()], pa.string())
    short = pc.less_equal(pc.binary_length(words), LONGEST)
    texts = pc.if_else(short, words, None)
    texts = pc.replace_substring(texts, " ", "") if identifier.spaces == "remove" else pc.ascii_trim(texts, " ")
    if identifier.kind == "digits":
        bare = pc.ascii_ltrim(pc.if_else(pc.ascii_is_decimal(texts), texts, None), "0")
        bare = pc.if_else(pc.equal(bare, ""), "0", bare)
        if identifier.width is None:
            return bare
        fits = pc.less_equal(pc.binary_length(bare), identifier.width)
        return pc.ascii_lpad(pc.if_else(fits, bare, None), identifier.width, "0")
    cased = {"keep": lambda t: t, "upper": pc.ascii_upper, "lower": pc.ascii_lower}[identifier.case](texts)
    return pc.if_else(pc.equal(cased, ""), None, cased)


class Pseudonyms:
    """Pseudonyms of a population's units; each distinct identifier is hashed about once.

    Privacy: the raw identifiers pass through memory and end here. Without the key a pseudonym tells nothing, also to
    somebody who has a list of all identifiers.
    """

    def __init__(self, suite: Suite, key: bytes, identifier: Identifier, *, most_remembered: int = MOST) -> None:
        self._macs = suite.macs
        self._key = key
        self._identifier = identifier
        self._known = Remembered(suite.random(KEY_SIZE), most_remembered)
        self._pseudonyms = np.zeros(1, np.uint64)
        self._usable = np.zeros(1, np.bool_)

    def of(self, cells: pa.Array, *, file: str, column: str) -> tuple[Hashed, Flags]:
        """(pseudonym, usable) of each cell; a missing or malformed identifier is not usable.

        Raises:
            RequestError: `source_column_type`.
        """
        if pa.types.is_dictionary(cells.type):
            pseudonyms, usable = self._of_cells(cells.dictionary, file, column)
            places = np.asarray(cells.indices.fill_null(0).to_numpy(zero_copy_only=False), np.int64)
            if not len(pseudonyms):
                return np.zeros(len(places), np.uint64), np.zeros(len(places), np.bool_)
            return pseudonyms[places], usable[places] & present(cells)
        pseudonyms, usable = self._of_cells(cells, file, column)
        return pseudonyms, usable & present(cells) if cells.null_count else usable

    def _of_cells(self, cells: pa.Array, file: str, column: str) -> tuple[Hashed, Flags]:
        if pa.types.is_signed_integer(cells.type):
            whole = cells.fill_null(0) if cells.null_count else cells
            values = np.asarray(whole.to_numpy(zero_copy_only=False), np.int64)
            return self._known_or_hashed(self._known.macs_of_integers(values), pa.array(values))
        words = _texts(cells, file, column).fill_null("")
        lengths = np.asarray(pc.binary_length(words).to_numpy(zero_copy_only=False), np.int64)
        short = np.flatnonzero(lengths <= LONGEST)
        if len(short) == len(words):
            return self._known_or_hashed(self._known.macs_of_texts(words), words)
        pseudonyms, usable = np.zeros(len(words), np.uint64), np.zeros(len(words), np.bool_)
        words = words.take(pa.array(short))  # longer ones are unusable
        pseudonyms[short], usable[short] = self._known_or_hashed(self._known.macs_of_texts(words), words)
        return pseudonyms, usable

    def _known_or_hashed(self, macs: Hashed, cells: pa.Array) -> tuple[Hashed, Flags]:
        """Look all up; hash the new ones, each once; look those up again."""
        entries = self._known.find(macs)
        new = np.flatnonzero(entries < 0)
        pseudonyms, usable = self._pseudonyms[entries], self._usable[entries]
        if len(new):
            once, back = _distinct(macs[new])
            fresh = self._hashed(_as_texts(cells.take(pa.array(new[once]))))
            self._remember(macs[new[once]], *fresh)
            pseudonyms[new], usable[new] = fresh[0][back], fresh[1][back]
        return pseudonyms, usable

    def _remember(self, macs: Hashed, pseudonyms: Hashed, usable: Flags) -> None:
        entries = self._known.add(macs)
        if len(entries) and len(self._pseudonyms) <= entries[-1]:
            room = max(2 * len(self._pseudonyms), int(entries[-1]) + 1)
            self._pseudonyms = np.resize(self._pseudonyms, room)
            self._usable = np.resize(self._usable, room)
        self._pseudonyms[entries], self._usable[entries] = pseudonyms, usable

    def _hashed(self, words: pa.Array) -> tuple[Hashed, Flags]:
        texts = canonical_all(self._identifier, words)
        usable = present(texts)
        macs = self._macs(self._key, texts.drop_null().view(pa.binary()).to_pylist(), 8)
        pseudonyms = np.zeros(len(texts), np.uint64)
        pseudonyms[usable] = np.frombuffer(macs, ">u8")
        return pseudonyms, usable


def _texts(cells: pa.Array, file: str, column: str) -> pa.Array:
    """Identifiers as text: numbers in their plain decimal form."""
    kind = cells.type
    if pa.types.is_string(kind):
        return cells
    if pa.types.is_binary(kind):
        return cells.view(pa.string())
    if pa.types.is_floating(kind):
        # Floats that hold whole numbers (a column with gaps, written by pandas) are those numbers; others are no ids.
        values = cells.cast(pa.float64())
        whole = pc.and_(pc.equal(pc.floor(values), values), pc.less(pc.abs(values), 2.0**53))
        return pc.if_else(whole, values, None).cast(pa.int64()).cast(pa.string())
    if pa.types.is_integer(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind):
        return cells.cast(pa.string())
    if pa.types.is_null(kind):
        return cells.cast(pa.string())
    raise RequestError("source_column_type", file=file, column=column)


def _as_texts(cells: pa.Array) -> pa.Array:
    return cells if pa.types.is_string(cells.type) else cells.cast(pa.string())


def _distinct(macs: Hashed) -> tuple[Places, Places]:
    """(places of one cell for each distinct MAC, which of those each cell is)."""
    order = np.argsort(macs[:, 0])
    ordered = macs[order]
    starts = np.concatenate([[True], (ordered[1:] != ordered[:-1]).any(axis=1)])
    back = np.empty(len(macs), np.int64)
    back[order] = np.cumsum(starts) - 1
    return order[starts], back
