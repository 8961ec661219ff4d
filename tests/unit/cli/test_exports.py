"""Taking an export home from a gateway that means ill: no file that has no place there, and none larger than what came."""

from __future__ import annotations

import gzip
import tarfile
import tracemalloc
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest

from sandbox.cli.exports import take
from sandbox.client.http import Http, ProblemError

MANY = 8 * 1024**3 - 1
END = bytes(1024)


def header(name: str, size: int, kind: bytes = tarfile.REGTYPE) -> bytes:
    member = tarfile.TarInfo(name)
    member.size, member.type = size, kind
    return member.tobuf(tarfile.GNU_FORMAT)


def sparse(name: str, real: int) -> bytes:
    """A GNU sparse file: none of its bytes are in the tar, all of them on the disk of whoever unpacks it."""
    block = bytearray(header(name, 0, tarfile.GNUTYPE_SPARSE))
    block[483:495] = b"%011o " % real
    block[148:156] = b" " * 8
    block[148:156] = b"%06o\0 " % sum(block)
    return bytes(block)


def member(name: str, content: bytes, kind: bytes = tarfile.REGTYPE) -> bytes:
    return header(name, len(content), kind) + content + bytes(-len(content) % 512)


CHECKPOINT = member("checkpoint", b"log.example\n0\n")
PAX_SPARSE = b"22 GNU.sparse.major=1\n22 GNU.sparse.minor=0\n"


def refused(tmp_path: Path, *pieces: bytes) -> str:
    with pytest.raises(ProblemError) as caught:
        take(pieces, tmp_path / "export")
    assert caught.value.code == "export_broken"
    assert list(tmp_path.iterdir()) == [], "nothing is left behind"
    return str(caught.value.params["file"])


def test_a_sparse_file_is_refused_before_a_byte_of_it_is_written(tmp_path: Path) -> None:
    assert refused(tmp_path, sparse("records/votes.jsonl", 1 << 24) + CHECKPOINT + END) == "records/votes.jsonl"


@pytest.mark.parametrize(
    "kind",
    [tarfile.GNUTYPE_SPARSE, tarfile.CONTTYPE, tarfile.LNKTYPE, tarfile.SYMTYPE, tarfile.CHRTYPE, tarfile.BLKTYPE,
     tarfile.FIFOTYPE, tarfile.DIRTYPE, tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.GNUTYPE_LONGNAME,
     tarfile.GNUTYPE_LONGLINK, b"Z"],
)  # fmt: skip
def test_only_plain_files_are_known(tmp_path: Path, kind: bytes) -> None:
    refused(tmp_path, member("records/votes.jsonl", b"", kind) + CHECKPOINT + END)
    extended = member("records/votes.jsonl", PAX_SPARSE, kind) + member("records/caps.jsonl", b"x")
    refused(tmp_path, extended + CHECKPOINT + END)


def test_both_spellings_of_plain_are_known(tmp_path: Path) -> None:
    table = member("records/votes.jsonl", b"{}\n", tarfile.AREGTYPE)
    assert take([table + CHECKPOINT + END], tmp_path / "export") == 2
    assert (tmp_path / "export" / "records" / "votes.jsonl").read_bytes() == b"{}\n"


def test_a_long_header_does_not_fill_the_memory(tmp_path: Path) -> None:
    """The library reads such a name whole, however long it is said to be."""

    def endless() -> Iterator[bytes]:
        yield header("././@LongLink", MANY, tarfile.GNUTYPE_LONGNAME)
        for _ in range(64):
            yield b"x" * (1 << 20)

    tracemalloc.start()
    with pytest.raises(ProblemError):
        take(endless(), tmp_path / "export")
    highest = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert highest < 8 << 20


@pytest.mark.parametrize(
    ("name", "size"),
    [
        ("checkpoint", 65_537),
        ("tile/0/000", 8_193),
        ("tile/0/000", 8_191),
        ("tile/0/000", MANY),
        ("tile/0/000.p/3", 97),
        ("tile/1/x001/234", 0),
        ("tile/entries/000", 256 * 65_537 + 1),
        ("tile/entries/000", 511),
        ("tile/entries/000.p/2", 2 * 65_537 + 1),
    ],
)
def test_each_kind_has_its_largest_size(tmp_path: Path, name: str, size: int) -> None:
    def promised() -> Iterator[bytes]:
        yield header(name, size)
        raise AssertionError("the content was read")

    with pytest.raises(ProblemError) as caught:
        take(promised(), tmp_path / "export")
    assert caught.value.params == {"file": name}
    assert list(tmp_path.iterdir()) == []


def test_what_is_as_large_as_can_be_is_taken(tmp_path: Path) -> None:
    files = {
        "records/caps.jsonl": 3 << 20,
        "tile/0/x001/234": 8_192,
        "tile/1/000.p/255": 255 * 32,
        "tile/entries/000": 256 * 65_537,
        "tile/entries/001.p/1": 2,
        "checkpoint": 65_536,
    }
    whole = b"".join(member(name, b"x" * size) for name, size in files.items()) + END
    pieces = (whole[start : start + 70_001] for start in range(0, len(whole), 70_001))
    assert take(pieces, tmp_path / "export") == len(files)
    assert {name: (tmp_path / "export" / name).stat().st_size for name in files} == files


@pytest.mark.parametrize(
    "name",
    ["../checkpoint", "/checkpoint", "checkpoint/", "Checkpoint", "records/a.jsonl/b", "records/.jsonl", "records/a.json",
     "records/../a.jsonl", "tile/0/0", "tile/00/000", "tile/0/000.p/0", "tile/0/000.p/256", "tile/0/000.p/01",
     "tile/data/000", "tile/0/x000/x000/x000/000", "tile/0/\u0660\u0660\u0660", "checkpoint\n", "x"],
)  # fmt: skip
def test_other_names_are_refused(tmp_path: Path, name: str) -> None:
    for size in (1, 32, 8_192):
        refused(tmp_path, member(name, b"x" * size) + CHECKPOINT + END)


def test_no_file_comes_twice(tmp_path: Path) -> None:
    twice = member("records/caps.jsonl", b"x")
    assert refused(tmp_path, twice + twice + CHECKPOINT + END) == "records/caps.jsonl"
    assert refused(tmp_path, CHECKPOINT + CHECKPOINT + END) == "checkpoint"


def test_a_table_is_no_larger_than_what_came(tmp_path: Path) -> None:
    assert refused(tmp_path, header("records/caps.jsonl", MANY), b"x" * 5_000) == "records/caps.jsonl"
    assert refused(tmp_path, header("records/caps.jsonl", -1) + CHECKPOINT + END) == "records/caps.jsonl"


def test_a_stream_that_ends_anywhere_is_no_export(tmp_path: Path) -> None:
    """The end is said, so that nothing short of it passes."""
    whole = member("records/caps.jsonl", b"x" * 700) + CHECKPOINT + END
    for length in range(0, len(whole), 64):
        refused(tmp_path, whole[:length])
    refused(tmp_path, member("records/caps.jsonl", b"x") + END + CHECKPOINT + END)
    assert take([whole], tmp_path / "export") == 2


def test_a_name_is_shown_without_what_a_terminal_would_obey(tmp_path: Path) -> None:
    assert refused(tmp_path, member("\x1b]0;x\x07", b"") + END) == "?]0;x?"


def test_a_compressed_stream_is_not_unpacked(tmp_path: Path) -> None:
    """Compressed, a thousandth of the bytes would fill the same disk."""
    packed = gzip.compress(member("records/caps.jsonl", bytes(1 << 20)) + CHECKPOINT + END)
    asked: list[str] = []

    def answer(request: httpx2.Request) -> httpx2.Response:
        asked.append(request.headers["accept-encoding"])
        return httpx2.Response(200, headers={"Content-Encoding": "gzip"}, stream=httpx2.ByteStream(packed))

    transport = httpx2.MockTransport(answer)
    with Http("https://gateway.example", "key", transport=transport) as http, http.download("/log") as (_, got):
        assert refused(tmp_path, *got) == "-"
    assert asked == ["identity"]
