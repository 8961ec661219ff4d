"""What the auditor takes away, as a stream in bounded memory: records of one instant, then the log that made them."""

from __future__ import annotations

import base64
import json
import tarfile
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from typing import Any, Final

from sqlalchemy.orm import Session

from sandbox.audit.export import record_line
from sandbox.audit.records import plain
from sandbox.audit.tiles import WIDTH, entries_path, pack_entries, rows_of_tiles, tile_path
from sandbox.gateway.snapshot import Instant
from sandbox.store import cosignatures, log, tiles
from sandbox.wiring import House
from sandbox.work.tree import Tree

_PAGE: Final = 1000
_BUNDLES: Final = 8
"""Bundles of entries that are read at one time."""
_PIECE: Final = 1 << 18
"""Bytes worth sending."""
_END: Final = bytes(2 * tarfile.BLOCKSIZE)


def as_json(house: House, instant: Instant, stack: ExitStack) -> Iterator[bytes]:
    """One JSON value: `v`, `checkpoint`, `records` by path, `entries` in order. The stack is closed at the end."""
    with stack:
        yield f'{{"v":1,"checkpoint":{json.dumps(instant.note)},"records":{{'.encode()
        yield from _pieces(_joined(_json_records(instant.records)))
    yield b'},"entries":['
    yield from _pieces(_joined(_json_entries(house, instant.size)))
    yield b"]}"


def as_tar(house: House, tree: Tree, instant: Instant, stack: ExitStack) -> Iterator[bytes]:
    """The export folder as a tar. `checkpoint` comes last, so that a broken stream leaves a folder that says so.

    The snapshot of the records is let go of as early as can be; events and tiles never change.
    """
    with stack:
        # The checkpoint of this instant is new, and no witness has seen it: the newest one that they signed goes along.
        cosigned = cosignatures.cosigned_note(instant.records)
        yield from _pieces(_tar_records(instant.records))
    if cosigned is not None:
        yield b"".join(_member("cosigned", cosigned[1].encode()))
    yield from _pieces(_tar_tiles(house, tree, instant.size))
    yield from _pieces(_tar_entries(house, instant.size))
    yield b"".join(_member("checkpoint", instant.note.encode())) + _END


def entry(index: int, body: bytes, leaf: str) -> dict[str, Any]:
    """A leaf as it stands on the wire."""
    return {"index": index, "body": base64.b64encode(body).decode("ascii"), "leaf": leaf}


def _json_records(session: Session) -> Iterator[bytes]:
    for table in log.AUDITED:
        for path, values in _records(session, table):
            yield f"{json.dumps(path)}:{json.dumps(plain(values), ensure_ascii=False)}".encode()


def _json_entries(house: House, size: int) -> Iterator[bytes]:
    for start in range(0, size, _PAGE):
        with house.sessions.reading() as session:
            found = log.entries(session, start, min(_PAGE, size - start))
        yield from (json.dumps(entry(*one)).encode() for one in found)


def _tar_records(session: Session) -> Iterator[bytes]:
    """A tar tells the length before the content, so each table is gone through twice, which the snapshot allows."""
    for table in log.AUDITED:
        length = sum(len(line) for line in _lines(session, table))
        yield _header(f"records/{table}.jsonl", length)
        yield from _lines(session, table)
        yield _padding(length)


def _lines(session: Session, table: str) -> Iterator[bytes]:
    return (record_line(path, plain(values)) for path, values in _records(session, table))


def _records(session: Session, table: str) -> Iterator[tuple[str, dict[str, Any]]]:
    after = ""
    while page := list(log.records(session, table, after, _PAGE)):
        yield from page
        after = page[-1][0]


def _tar_tiles(house: House, tree: Tree, size: int) -> Iterator[bytes]:
    rows = [(level, *divmod(hashes, WIDTH)) for level, hashes in rows_of_tiles(size)]
    for level, end, _ in rows:
        for start in range(0, end, _PAGE):
            stop = min(end, start + _PAGE)
            with house.sessions.reading() as session:
                row = tiles.read_row(session, level, start, stop)
            for index, hashes in zip(range(start, stop), row, strict=True):
                yield from _member(tile_path(level, index), hashes)
    with house.sessions.reading() as session:
        grown = tree.at(session, size)
        for level, growing, width in rows:
            if width:
                yield from _member(tile_path(level, growing, width), grown.tile(level, growing, width))


def _tar_entries(house: House, size: int) -> Iterator[bytes]:
    step = _BUNDLES * WIDTH
    for first in range(0, size, step):
        with house.sessions.reading() as session:
            bodies = log.bodies(session, first, min(size, first + step))
        for start in range(0, len(bodies), WIDTH):
            bundle = bodies[start : start + WIDTH]
            yield from _member(entries_path((first + start) // WIDTH, len(bundle)), pack_entries(bundle))


def _member(name: str, content: bytes) -> tuple[bytes, bytes, bytes]:
    return _header(name, len(content)), content, _padding(len(content))


def _header(name: str, size: int) -> bytes:
    info = tarfile.TarInfo(name)
    info.size, info.mode = size, 0o644
    return info.tobuf(tarfile.GNU_FORMAT)


def _padding(size: int) -> bytes:
    return bytes(-size % tarfile.BLOCKSIZE)


def _joined(parts: Iterable[bytes]) -> Iterator[bytes]:
    """The parts with commas between them."""
    comma = b""
    for part in parts:
        yield comma + part
        comma = b","


def _pieces(parts: Iterable[bytes]) -> Iterator[bytes]:
    piece = bytearray()
    for part in parts:
        piece += part
        if len(piece) >= _PIECE:
            yield bytes(piece)
            piece.clear()
    yield bytes(piece)
