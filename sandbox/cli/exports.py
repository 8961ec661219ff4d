"""Taking an export home: a stream becomes a folder, whole or not at all, with nothing in it that has no place there."""

from __future__ import annotations

import io
import re
import shutil
import tarfile
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any, BinaryIO, Final

from sandbox.client.http import ProblemError

_NAME: Final = re.compile(
    r"checkpoint|cosigned|records/[a-z_]{1,60}\.jsonl"
    r"|tile/(?P<level>entries|0|[1-9][0-9]?)/(?:x[0-9]{3}/){0,2}[0-9]{3}(?:\.p/(?P<width>[1-9][0-9]{0,2}))?"
)
_LAST: Final = "checkpoint"
_PIECE: Final = 1 << 20
_BLOCK: Final = tarfile.BLOCKSIZE
_PLAIN: Final = frozenset({tarfile.REGTYPE, tarfile.AREGTYPE})
_LONGEST_NOTE: Final = 65_536
_WIDTH, _HASH, _LENGTH, _LONGEST_ENTRY = 256, 32, 2, 65_535
"""Of C2SP tlog-tiles: hashes or entries in a full tile, bytes of a hash, of an entry's length, of the longest entry."""


def check_free(folder: Path) -> None:
    """An export goes into a folder of its own.

    Raises:
        ProblemError: `export_folder_used`.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise ProblemError("export_folder_used", status=409, params={"folder": str(folder)})


def take(chunks: Iterable[bytes], folder: Path) -> int:
    """Unpack the gateway's tar into a folder that is not there yet, or is empty; gives the number of files.

    It is built beside its place and moved there: half an export never stands under this name.

    Raises:
        ProblemError: `export_folder_used`; `export_broken`, the stream ended early or held what no export holds.
        OSError: the disk refuses.
    """
    check_free(folder)
    folder = folder.absolute()
    folder.parent.mkdir(parents=True, exist_ok=True)
    building = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=folder.parent))
    try:
        count = _unpack(chunks, building)
        building.chmod(0o755)
        building.rename(folder)  # over an empty folder as well
    except BaseException:
        shutil.rmtree(building, ignore_errors=True)
        raise
    return count


def _unpack(chunks: Iterable[bytes], folder: Path) -> int:
    """Only plain files: tar's extensions let few bytes stand for many (sparse), or fill memory (long names, pax)."""
    stream = io.BufferedReader(_Stream(chunks))
    count, name = 0, "-"
    while (block := stream.read(_BLOCK)) != bytes(_BLOCK):
        try:
            member = tarfile.TarInfo.frombuf(block, "ascii", "backslashreplace")
        except tarfile.TarError:
            raise _broken(name) from None
        name = member.name
        place = folder / name
        if member.type not in _PLAIN or not _fits(name, member.size) or place.exists():
            raise _broken(name)
        place.parent.mkdir(parents=True, exist_ok=True)
        if not _copied(stream, place, member.size):
            raise _broken(name)
        count += 1
    if name != _LAST or stream.read(_BLOCK) != bytes(_BLOCK):  # the gateway sends it last, and says that it ended
        raise _broken(name)
    return count


def _fits(name: str, size: int) -> bool:
    """Whether an export holds such a file, of that size; a table may be of any size that the stream really carries."""
    parts = _NAME.fullmatch(name)
    if parts is None:
        return False
    if parts["level"] is None:
        return 0 <= size <= _LONGEST_NOTE if name in {_LAST, "cosigned"} else size >= 0
    if parts["width"] is not None and int(parts["width"]) >= _WIDTH:
        return False
    width = int(parts["width"] or _WIDTH)
    if parts["level"] == "entries":
        return width * _LENGTH <= size <= width * (_LENGTH + _LONGEST_ENTRY)
    return size == width * _HASH


def _copied(stream: BinaryIO, place: Path, size: int) -> bool:
    """Whether the stream carried all that the header promised, padding and all."""
    left = size
    with place.open("xb") as file:
        while left and (piece := stream.read(min(left, _PIECE))):
            left -= file.write(piece)
    padding = -size % _BLOCK
    return not left and len(stream.read(padding)) == padding


def _broken(name: str) -> ProblemError:
    shown = "".join(sign if sign.isprintable() else "?" for sign in name[:200])
    return ProblemError("export_broken", status=0, params={"file": shown})


class _Stream(io.RawIOBase):
    """Chunks, read as a file."""

    def __init__(self, chunks: Iterable[bytes]) -> None:
        super().__init__()
        self._chunks = iter(chunks)
        self._rest = memoryview(b"")

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        while not self._rest:
            chunk = next(self._chunks, None)
            if chunk is None:
                return 0
            self._rest = memoryview(chunk)
        size = min(len(buffer), len(self._rest))
        buffer[:size], self._rest = self._rest[:size], self._rest[size:]
        return size
