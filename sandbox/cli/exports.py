"""Taking an export home: a stream becomes a folder, whole or not at all, with nothing in it that has no place there."""

from __future__ import annotations

import io
import re
import shutil
import tarfile
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final

from sandbox.client.http import ProblemError

_NAME: Final = re.compile(
    r"checkpoint|records/[a-z_]+\.jsonl|tile/(?:entries|[0-9]{1,2})/(?:x[0-9]{3}/){0,5}[0-9]{3}(?:\.p/[0-9]{1,3})?"
)
_LAST: Final = "checkpoint"
_PIECE: Final = 1 << 20


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
    count, name = 0, "-"
    try:
        with tarfile.open(fileobj=io.BufferedReader(_Stream(chunks)), mode="r|") as archive:
            for member in archive:
                name = member.name
                content = archive.extractfile(member) if member.isreg() and _NAME.fullmatch(name) else None
                if content is None or (folder / name).exists():
                    raise _broken(name)
                (folder / name).parent.mkdir(parents=True, exist_ok=True)
                with (folder / name).open("wb") as file:
                    shutil.copyfileobj(content, file, _PIECE)
                count += 1
    except tarfile.TarError:
        raise _broken(name) from None
    if name != _LAST:  # the gateway sends it last
        raise _broken(name)
    return count


def _broken(name: str) -> ProblemError:
    return ProblemError("export_broken", status=0, params={"file": name[:200]})


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
