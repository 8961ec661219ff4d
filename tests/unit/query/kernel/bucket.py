"""A small bucket for oracles: rows of pseudonyms, labels and values; codes, indexes and slots as ingest would give them."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
from hypothesis import strategies as st

from sandbox.query.kernel.groups import Pairs, pairs
from sandbox.query.kernel.slotted import Cells
from sandbox.query.kernel.sums import Column, part

Row = tuple[int, str, int | None]
LABELS = ("a", "b", "c", "d", "e")
BOUND = 1000


def keyed(pseudonym: int, label: str) -> int:
    """A keyed hash of 128 bits: all that a choice may depend on."""
    return int.from_bytes(hashlib.blake2b(f"{pseudonym}/{label}".encode(), digest_size=16).digest(), "big")


@dataclass
class Bucket:
    """Rows as they pass a filter, with all arrays a kernel gets. `salt` turns the codes about: they must not matter."""

    rows: list[Row]
    salt: int = 0
    extra: list[tuple[int, str]] = field(default_factory=list)
    """(unit, label) that the bucket has slots for, though no row passes."""

    def __post_init__(self) -> None:
        held = {(p, g) for p, g, _ in self.rows} | set(self.extra)
        self.pseudonyms = sorted({p for p, _ in held})
        index = {p: i for i, p in enumerate(self.pseudonyms)}
        self.labels = sorted(LABELS, key=lambda g: keyed(self.salt, g))
        code = {g: i for i, g in enumerate(self.labels)}
        self.unit = np.array([index[p] for p, _, _ in self.rows], np.uint32)
        self.group = np.array([code[g] for _, g, _ in self.rows], np.int64)
        self.valid = np.array([v is not None for _, _, v in self.rows], np.bool_)
        self.values = np.array([0 if v is None else v for _, _, v in self.rows], np.int64)
        slots = sorted(held, key=lambda s: (s[0], keyed(*s)))
        number = {s: i for i, s in enumerate(slots)}
        self.slot = np.array([number[p, g] for p, g, _ in self.rows], np.uint32)
        self.owner = np.array([index[p] for p, _ in slots], np.uint32)
        self.code = np.array([code[g] for _, g in slots], np.int64)

    @property
    def columns(self) -> tuple[Column, ...]:
        return (Column(), Column(valid=self.valid), Column(values=self.values, valid=self.valid, bound=BOUND))

    def slot_pairs(self, columns: tuple[Column, ...] | None = None, *, chunk: int = 7) -> Pairs:
        """Its pairs by slots, of rows that come a few at a time."""
        columns = self.columns if columns is None else columns
        cells = Cells(len(self.owner), columns, most=max(len(self.rows), 1))
        for low in range(0, len(self.rows), chunk):
            cells.add(self.slot[low : low + chunk], [part(c, slice(low, low + chunk)) for c in columns])
        return cells.pairs(slice(None), self.owner, self.code)

    def group_pairs(self, columns: tuple[Column, ...] | None = None) -> Pairs:
        """The same by the codes of groups."""
        return pairs(self.unit, self.group, len(LABELS), self.columns if columns is None else columns)

    def hash_of(self, unit: npt.NDArray[np.uint32], code: npt.NDArray[np.int64]) -> npt.NDArray[np.uint64]:
        both = [keyed(self.pseudonyms[u], self.labels[c]) for u, c in zip(unit.tolist(), code.tolist(), strict=True)]
        return np.array([[h >> 64, h & (1 << 64) - 1] for h in both], np.uint64).reshape(len(both), 2)

    def kept(self, most: int) -> set[tuple[int, str]]:
        """By brute force: each unit's groups of lowest keyed hash among those with rows."""
        found: set[tuple[int, str]] = set()
        for p in self.pseudonyms:
            theirs = sorted({g for q, g, _ in self.rows if q == p}, key=lambda g: keyed(p, g))
            found |= {(p, g) for g in theirs[:most]}
        return found

    def without(self, pseudonym: int) -> Bucket:
        """The neighbour: codes, indexes and slots of the others shift."""
        return Bucket(
            [r for r in self.rows if r[0] != pseudonym],
            salt=self.salt + 1,
            extra=[e for e in self.extra if e[0] != pseudonym],
        )

    def by_label(self, counts: npt.NDArray[np.int64]) -> dict[str, int]:
        return dict(zip(self.labels, counts.tolist(), strict=True))


PSEUDONYMS = st.integers(0, 12)
VALUES = st.one_of(st.none(), st.integers(-BOUND, BOUND))
ROWS = st.lists(st.tuples(PSEUDONYMS, st.sampled_from(LABELS), VALUES), max_size=60)
EXTRA = st.lists(st.tuples(PSEUDONYMS, st.sampled_from(LABELS)), max_size=30)
BUCKETS = st.builds(Bucket, ROWS, salt=st.integers(0, 9), extra=EXTRA)
