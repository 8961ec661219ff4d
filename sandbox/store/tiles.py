"""Tiles in SQL: the full ones, which the sequencer writes with the numbers they stand for, and the leaves behind."""

from __future__ import annotations

from collections.abc import Mapping

from sqlalchemy import func, insert, select
from sqlalchemy.orm import Session

from sandbox.audit.tiles import FULL, WIDTH
from sandbox.store import log
from sandbox.store import tables as t


def read(session: Session, level: int, index: int) -> bytes | None:
    """A full tile, or None if it is not kept."""
    return session.scalar(select(t.TileRow.hashes).where(t.TileRow.level == level, t.TileRow.idx == index))


def read_row(session: Session, level: int, start: int, end: int) -> list[bytes]:
    """The full tiles of a level from `start` to before `end`, in order, as far as they are kept."""
    row = (t.TileRow.level == level) & (t.TileRow.idx >= start) & (t.TileRow.idx < end)
    return list(session.scalars(select(t.TileRow.hashes).where(row).order_by(t.TileRow.idx)))


def save(session: Session, tiles: Mapping[tuple[int, int], bytes]) -> None:
    """Keep those of the tiles that are full."""
    rows = [
        {"level": level, "idx": index, "hashes": hashes}
        for (level, index), hashes in tiles.items()
        if len(hashes) == FULL
    ]
    if rows:
        session.execute(insert(t.TileRow), rows)


def covered(session: Session) -> int:
    """How many leaves lie in full tiles that are kept."""
    last = session.scalar(select(func.max(t.TileRow.idx)).where(t.TileRow.level == 0))
    return 0 if last is None else (last + 1) * WIDTH


def tail(session: Session, size: int) -> bytes:
    """The leaf hashes behind the last full tile of a tree of `size` leaves, one behind the other."""
    return b"".join(log.leaves(session, size - size % WIDTH, size))
