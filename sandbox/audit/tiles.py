"""Tiles: the log's hashes cut into files of 256, from which any root or proof follows in a few reads.

Source: C2SP tlog-tiles (https://c2sp.org/tlog-tiles); RFC 6962 section 2.1 (the tree and its proofs).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

from sandbox.audit.merkle import EMPTY_ROOT, consistency_ranges, inclusion_ranges, node_hash
from sandbox.errors import IntegrityFailed, NotFound

HEIGHT: Final = 8
"""Levels of the tree that one tile spans."""
WIDTH: Final = 1 << HEIGHT
"""Hashes in a full tile, entries in a full bundle."""
HASH: Final = 32
"""Bytes of a hash."""
FULL: Final = WIDTH * HASH
"""Bytes of a full tile."""
LARGEST_ENTRY: Final = 65_535
"""Bytes of the longest entry that a bundle can hold: its length has 16 bits."""

Reader: TypeAlias = "Callable[[int, int], bytes | None]"
"""`read(level, index)`: the hashes of that tile, one behind the other, or None if it is not kept.

Full tiles of level 0 must be kept. A tile of a higher level that is missing or short is computed from those below it
(255 reads at worst), so a store that also keeps the growing tiles of levels 1 and up answers in a handful of reads.
"""

_PATH: Final = re.compile(
    r"tile/(?P<level>entries|0|[1-9][0-9]?)/(?P<index>(?:x[0-9]{3}/){0,5}[0-9]{3})(?:\.p/(?P<width>[1-9][0-9]{0,2}))?"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Which tile: `level` is None for a bundle of entries; `width` is 256 for a full one."""

    level: int | None
    index: int
    width: int


def width_at(level: int, index: int, size: int) -> int:
    """How many hashes that tile has in a tree of `size` leaves; 0 if it does not exist yet."""
    return max(0, min(WIDTH, (size >> HEIGHT * level) - index * WIDTH)) if index >= 0 else 0


def rows_of_tiles(size: int) -> Iterator[tuple[int, int]]:
    """(level, how many hashes its tiles hold together) in a tree of `size` leaves, lowest level first."""
    level = 0
    while (hashes := size >> HEIGHT * level) > 0:
        yield level, hashes
        level += 1


def tile_path(level: int, index: int, width: int = WIDTH) -> str:
    """`tile/0/x001/x234/067` or, with less than 256 hashes, `tile/0/x001/x234/067.p/8`."""
    return _path(str(level), index, width)


def entries_path(index: int, width: int = WIDTH) -> str:
    """The same for the bundle of entries beside the tile of level 0."""
    return _path("entries", index, width)


def parse_tile_path(text: str) -> Place:
    """The place that a path names; every place has one path only.

    Raises:
        NotFound: `tile_path_malformed`.
    """
    parts = _PATH.fullmatch(text)
    if parts is None or (parts["level"] != "entries" and int(parts["level"]) > 63):
        raise NotFound("tile_path_malformed", path=text)
    level = None if parts["level"] == "entries" else int(parts["level"])
    index = int(parts["index"].replace("x", "").replace("/", ""))
    width = int(parts["width"] or WIDTH)
    if _path(parts["level"], index, width) != text:
        raise NotFound("tile_path_malformed", path=text)
    return Place(level=level, index=index, width=width)


def pack_entries(bodies: Sequence[bytes]) -> bytes:
    """A bundle: each entry behind its length in two bytes, big end first.

    Raises:
        IntegrityFailed: `entry_too_long`.
    """
    parts = []
    for body in bodies:
        if len(body) > LARGEST_ENTRY:
            raise IntegrityFailed("entry_too_long", size=len(body), limit=LARGEST_ENTRY)
        parts += [len(body).to_bytes(2, "big"), body]
    return b"".join(parts)


def unpack_entries(bundle: bytes) -> list[bytes]:
    """The entries of a bundle.

    Raises:
        IntegrityFailed: `entries_malformed`, a length does not fit what follows.
    """
    bodies: list[bytes] = []
    place = 0
    while place < len(bundle):
        start = place + 2
        place = start + int.from_bytes(bundle[place:start], "big")
        if place > len(bundle) or start > len(bundle):
            raise IntegrityFailed("entries_malformed", entry=len(bodies))
        bodies.append(bundle[start:place])
    return bodies


class Tiles:
    """The tree of one size over kept tiles: its root, its proofs, any of its tiles, and how it grows.

    `tail` holds the leaf hashes behind the last full tile of level 0, one behind the other; left out, they are read
    like any tile. Tiles read once are remembered: the tree of one size never changes.
    """

    __slots__ = ("_read", "_seen", "_tail", "size")

    def __init__(self, read: Reader, size: int, tail: bytes = b"") -> None:
        self.size = size
        self._read = read if isinstance(read, _Over) else _Over(read, {})
        self._tail = tail
        self._seen: dict[tuple[int, int], bytes] = {}

    def root(self) -> bytes:
        """The root of all leaves.

        Raises:
            IntegrityFailed: `tile_missing`, a tile is not kept, or is shorter than the tree is wide.
        """
        return self._range(0, self.size) if self.size else EMPTY_ROOT

    def leaf(self, index: int) -> bytes:
        """The hash of leaf `index`.

        Raises:
            IndexError: there is no such leaf.
            IntegrityFailed: `tile_missing`.
        """
        if not 0 <= index < self.size:
            raise IndexError(index)
        return self._perfect(0, index)

    def inclusion(self, index: int) -> list[bytes]:
        """The siblings that lead from leaf `index` to the root, lowest first.

        Raises:
            IndexError: there is no such leaf.
            IntegrityFailed: `tile_missing`.
        """
        return [self._range(low, high) for low, high in inclusion_ranges(index, self.size)]

    def consistency(self, old_size: int) -> list[bytes]:
        """Nodes from which both the root of the first `old_size` leaves and that of all leaves follow.

        Raises:
            IndexError: `old_size` is not between 0 and the size.
            IntegrityFailed: `tile_missing`.
        """
        return [self._range(low, high) for low, high in consistency_ranges(old_size, self.size)]

    def tile(self, level: int, index: int, width: int | None = None) -> bytes:
        """The first `width` hashes of a tile, or all that it has in this tree.

        Raises:
            NotFound: `tile_missing`, the tree has no such tile yet, or not of that width.
            IntegrityFailed: `tile_missing`.
        """
        there = width_at(level, index, self.size)
        wanted = there if width is None else width
        if not 1 <= wanted <= there:
            raise NotFound("tile_missing", level=level, index=index)
        return self._hashes(level, index)[: wanted * HASH]

    def grow(self, leaves: Sequence[bytes]) -> tuple[Tiles, dict[tuple[int, int], bytes]]:
        """The tree with more leaves, and the tiles to keep for it under (level, index).

        Those are the tiles of level 0 that became full, and the changed tiles of the levels above, which grow: keep
        the newest, or only those of 8,192 bytes and let the rest be computed. The larger tree holds them in memory:
        open it anew from the store once they are kept.

        Raises:
            IntegrityFailed: `tile_missing`.
        """
        added, level, tail = b"".join(leaves), 0, b"" if leaves else self._tail
        changed: dict[tuple[int, int], bytes] = {}
        while added:
            start, kept = divmod(self.size >> HEIGHT * level, WIDTH)
            if kept:
                added = self._hashes(level, start) + added
            cut = [added[place : place + FULL] for place in range(0, len(added), FULL)]
            changed |= {(level, start + place): tile for place, tile in enumerate(cut)}
            if level == 0 and len(cut[-1]) < FULL:
                tail = changed.pop((0, start + len(cut) - 1))
            added = b"".join(_fold(tile) for tile in cut if len(tile) == FULL)
            level += 1
        return Tiles(self._read.over(changed), self.size + len(leaves), tail), changed

    def _hashes(self, level: int, index: int) -> bytes:
        """All hashes that a tile has in this tree."""
        known = self._seen.get((level, index))
        if known is not None:
            return known
        needed = width_at(level, index, self.size) * HASH
        is_tail = level == 0 and needed < FULL and self._tail
        found = (self._tail if is_tail else self._read(level, index)) or b""
        if len(found) < needed:
            if level == 0:
                raise IntegrityFailed("tile_missing", level=level, index=index)
            below = range(index * WIDTH, index * WIDTH + needed // HASH)
            found = b"".join(_fold(self._hashes(level - 1, child)) for child in below)
        self._seen[level, index] = found = bytes(found[:needed])
        return found

    def _perfect(self, height: int, number: int) -> bytes:
        """The root of the full subtree of 2^height leaves, the `number`-th of its kind."""
        level, rest = divmod(height, HEIGHT)
        index, offset = divmod(number << rest, WIDTH)
        return _fold(self._hashes(level, index)[offset * HASH : (offset + (1 << rest)) * HASH])

    def _perfects(self, low: int, high: int) -> list[bytes]:
        """The roots of the full subtrees that leaves `low` to `high` fall into, largest first."""
        roots = []
        while low < high:
            height = (high - low).bit_length() - 1
            roots.append(self._perfect(height, low >> height))
            low += 1 << height
        return roots

    def _range(self, low: int, high: int) -> bytes:
        *larger, node = self._perfects(low, high)
        for left in reversed(larger):
            node = node_hash(left, node)
        return node


class _Over:
    """A reader with newer tiles laid over it."""

    __slots__ = ("_below", "_newer")

    def __init__(self, below: Reader, newer: dict[tuple[int, int], bytes]) -> None:
        self._below = below
        self._newer = newer

    def __call__(self, level: int, index: int) -> bytes | None:
        return self._newer.get((level, index)) or self._below(level, index)

    def over(self, newer: dict[tuple[int, int], bytes]) -> _Over:
        return _Over(self._below, self._newer | newer)


def _fold(hashes: bytes) -> bytes:
    """The root over a power of two of hashes."""
    row = [hashes[place : place + HASH] for place in range(0, len(hashes), HASH)]
    while len(row) > 1:
        row = [node_hash(left, right) for left, right in zip(row[::2], row[1::2], strict=True)]
    return row[0]


def _path(level: str, index: int, width: int) -> str:
    digits = f"{index:03d}"
    digits = digits.zfill(-(-len(digits) // 3) * 3)
    *groups, last = (digits[place : place + 3] for place in range(0, len(digits), 3))
    partial = "" if width == WIDTH else f".p/{width}"
    return f"tile/{level}/{''.join(f'x{group}/' for group in groups)}{last}{partial}"
