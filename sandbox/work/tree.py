"""The tree over the tiles in SQL: opened at any size in a few reads, for what was read or folded is remembered."""

from __future__ import annotations

import threading
from collections import OrderedDict
from typing import Final

from sqlalchemy.orm import Session

from sandbox.audit import merkle
from sandbox.audit.tiles import HASH, WIDTH, Tiles, width_at
from sandbox.store import tiles

_REMEMBERED: Final = 512
"""Full tiles kept in memory, 8 KiB each; they never change."""


class Tree:
    """One log's tree, for every thread of a process.

    SQL holds full tiles only. The growing one at the right end of each upper level is kept here: without it, each
    root and each proof would fold up to 255 tiles of the level below again.
    """

    def __init__(self) -> None:
        self._full: OrderedDict[tuple[int, int], bytes] = OrderedDict()
        self._growing: dict[int, tuple[int, bytes]] = {}
        self._lock = threading.Lock()

    def at(self, session: Session, size: int) -> Tiles:
        """The tree of the first `size` events, which must be numbered; good for as long as the session is.

        Its methods raise IntegrityFailed `tile_missing` where the sequencer has not written tiles for them.
        """

        def read(level: int, index: int) -> bytes | None:
            width = width_at(level, index, size)
            return self._full_tile(session, level, index) or (self._partial(session, level, index, width))

        return Tiles(read, size, tiles.tail(session, size))

    def _full_tile(self, session: Session, level: int, index: int) -> bytes | None:
        place = (level, index)
        with self._lock:
            if place in self._full:
                self._full.move_to_end(place)
                return self._full[place]
        found = tiles.read(session, level, index)
        if found is not None:
            with self._lock:
                self._full[place] = found
                if len(self._full) > _REMEMBERED:
                    self._full.popitem(last=False)
        return found

    def _partial(self, session: Session, level: int, index: int, width: int) -> bytes | None:
        """The first hashes of an upper tile that is not full, from those known and the tiles below."""
        if level == 0:
            return None
        with self._lock:
            place, known = self._growing.get(level, (-1, b""))
        if place != index:
            known = b""
        done = len(known) // HASH
        if done < width:
            below = tiles.read_row(session, level - 1, index * WIDTH + done, index * WIDTH + width)
            known += b"".join(_folded(tile) for tile in below)
            with self._lock:
                if index >= self._growing.get(level, (-1, b""))[0]:
                    self._growing[level] = (index, known)
        return known[: width * HASH]


def _folded(tile: bytes) -> bytes:
    return merkle.root([tile[start : start + HASH] for start in range(0, len(tile), HASH)])
