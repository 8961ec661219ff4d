"""Dates, timestamps and booleans from text: ISO 8601 and nothing else; what does not exist is unreadable."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from typing import Final

import numpy as np
import pyarrow as pa

from sandbox.ingest.columns import GOOD, MISSING, UNREADABLE, Parsed, present

MICRO: Final = 1_000_000

_DATE: Final = re.compile(r"\d{4}-\d{2}-\d{2}", re.ASCII)
_MOMENT: Final = re.compile(
    r"(\d{4}-\d{2}-\d{2})(?:[T ](\d{2}:\d{2}(?::\d{2})?)(\.\d{1,9})?\s?(Z|[+-]\d{2}:?\d{2})?)?", re.ASCII
)
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_TRUE: Final = frozenset({"true", "t", "yes", "y", "1", "1.0", "是"})
_FALSE: Final = frozenset({"false", "f", "no", "n", "0", "0.0", "否"})


def day(text: str) -> int:
    """Days since 1970 of `2013-02-28`; of a moment, its own date.

    Raises:
        ValueError: it is neither, or no such day exists.
    """
    shape = _MOMENT.fullmatch(text)
    if not shape:
        raise ValueError("not a date")
    if shape[2]:
        micros(text)
    return (date.fromisoformat(shape[1]) - _EPOCH.date()).days


def micros(text: str) -> int:
    """Microseconds since 1970 (UTC unless it says another offset); digits beyond microseconds are cut.

    Raises:
        ValueError: it is no moment, or no such one exists.
    """
    shape = _MOMENT.fullmatch(text)
    if not shape:
        raise ValueError("not a moment")
    clock, fraction, zone = shape[2] or "00:00", (shape[3] or ".0")[1:7], shape[4] or "Z"
    at = datetime.fromisoformat(f"{shape[1]}T{clock}{'+00:00' if zone == 'Z' else zone}")
    return (at - _EPOCH) // timedelta(microseconds=1) + int(fraction.ljust(6, "0"))


def truth(text: str) -> int:
    """1 or 0.

    Raises:
        ValueError: it is neither.
    """
    word = text.lower()
    if word in _TRUE:
        return 1
    if word in _FALSE:
        return 0
    raise ValueError("neither true nor false")


def each(column: pa.Array, read: Callable[[str], int]) -> Parsed:
    """Apply `read` to each distinct text of a column."""
    coded = column.dictionary_encode()
    words = coded.dictionary.view(pa.binary()).to_pylist()
    parsed = Parsed(np.zeros(len(words), np.int64), np.zeros(len(words), np.uint8))
    for i, word in enumerate(words):
        parsed.units[i], parsed.state[i] = _one(word, read)
    places = np.asarray(coded.indices.fill_null(0).to_numpy(zero_copy_only=False), np.int64)
    return parsed.taken(places, present(coded))


def _one(word: bytes, read: Callable[[str], int]) -> tuple[int, int]:
    try:
        text = word.decode("utf-8").strip()
        return (read(text), GOOD) if text else (0, MISSING)
    except (ValueError, OverflowError):  # a UnicodeDecodeError is a ValueError
        return 0, UNREADABLE
