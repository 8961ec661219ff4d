"""CSV sources, read as a stream of text columns; what is malformed is told by file and line, never by its content."""

from __future__ import annotations

import codecs
import csv
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from io import RawIOBase
from pathlib import Path
from typing import BinaryIO, Final

import pyarrow as pa
import pyarrow.csv as arrow_csv

from sandbox.catalog import Source
from sandbox.errors import DependencyFailed, Position, RequestError
from sandbox.ports import CONTRACT, SourceBatch

BLOCK: Final = 16 << 20
"""Bytes parsed at a time, and so the longest record: memory stays at a few blocks whatever the file holds."""

ENCODINGS: Final = ("utf-8", "gb18030")
_OPTIONS: Final = ("delimiter", "encoding", "nulls", "quote")
_UTF16: Final = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Dialect:
    """How a file is written, from the source's options.

    `delimiter`: one character, or `tab`. `quote`: one character, or `none`. `encoding`: one of `ENCODINGS`. `nulls`:
    spellings of a missing value beside the empty one, between bars (`NA|.`).
    """

    delimiter: str
    quote: str | None
    encoding: str
    nulls: tuple[str, ...]

    @classmethod
    def of(cls, options: Mapping[str, str]) -> Dialect:
        """Read the options.

        Raises:
            RequestError: `connector_option_unknown` or `connector_option_value`.
        """
        for name in options:
            if name not in _OPTIONS:
                raise RequestError("connector_option_unknown", connector="csv", option=name, known=list(_OPTIONS))
        delimiter = {"tab": "\t"}.get(options.get("delimiter", ","), options.get("delimiter", ","))
        quote = options.get("quote", '"')
        encoding = options.get("encoding", "utf-8").lower()
        for name, value in (("delimiter", delimiter), ("quote", "'" if quote == "none" else quote)):
            if len(value) != 1 or not value.isascii() or value in "\r\n\x00":
                raise RequestError("connector_option_value", connector="csv", option=name)
        if encoding not in ENCODINGS:
            raise RequestError("connector_option_value", connector="csv", option="encoding")
        nulls = tuple(options["nulls"].split("|")) if "nulls" in options else ()
        return cls(delimiter=delimiter, quote=None if quote == "none" else quote, encoding=encoding, nulls=nulls)


class CsvConnector:
    """RFC 4180 files with a header. Cells arrive as text whose UTF-8 nobody has checked yet; empty ones are null."""

    name = "csv"
    contract = CONTRACT

    def read(self, source: Source, path: str, columns: Sequence[str]) -> Iterator[SourceBatch]:
        """Batches of at most `BLOCK` bytes of the file, with just `columns`, in its order.

        Raises:
            RequestError: `source_empty`, `source_encoding`, `source_column_missing`, `source_column_twice`,
                `source_ragged_row`, `source_line_long`, `source_quote_open`, `source_malformed`; the place where known.
            DependencyFailed: `source_unreadable`.
        """
        dialect = Dialect.of(source.options)
        wanted = list(dict.fromkeys(columns))
        try:
            width = _check_header(source, path, dialect, wanted)
            with Path(path).open("rb") as file:
                counted = _Counted(file, (dialect.quote or "").encode("ascii"))
                yield from _batches(counted, dialect, wanted)
            if counted.quotes % 2:
                raise _Malformed
        except (pa.ArrowException, UnicodeError, _Malformed):
            # The reader's own text quotes the row: look for the place ourselves.
            raise _located(source, path, dialect, width) from None
        except OSError:
            raise DependencyFailed("source_unreadable", file=source.path) from None


class _Malformed(Exception):
    """What the reader let pass but a CSV file must not have."""


class _Counted(RawIOBase):
    """A file that counts its quotes: an odd number means one was never closed, and rows were swallowed."""

    def __init__(self, file: BinaryIO, quote: bytes) -> None:
        super().__init__()
        self._file = file
        self._quote = quote
        self.quotes = 0

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        piece = self._file.read(size)
        if self._quote:
            self.quotes += piece.count(self._quote)
        return piece


def _batches(file: _Counted, dialect: Dialect, columns: list[str]) -> Iterator[SourceBatch]:
    reader = arrow_csv.open_csv(
        pa.PythonFile(file, mode="r"),
        read_options=arrow_csv.ReadOptions(block_size=BLOCK, encoding=dialect.encoding.replace("utf-8", "utf8")),
        parse_options=arrow_csv.ParseOptions(
            delimiter=dialect.delimiter, quote_char=dialect.quote or False, newlines_in_values=dialect.quote is not None
        ),
        convert_options=arrow_csv.ConvertOptions(
            check_utf8=False,
            column_types=dict.fromkeys(columns, pa.string()),
            include_columns=columns,
            strings_can_be_null=True,
            quoted_strings_can_be_null=False,
            null_values=["", *dialect.nulls],
        ),
    )
    first_row = 1
    for batch in reader:
        yield SourceBatch(first_row=first_row, table=batch)
        first_row += batch.num_rows


def _check_header(source: Source, path: str, dialect: Dialect, columns: list[str]) -> int:
    """The number of columns, once every wanted one is there exactly once."""
    with Path(path).open("rb") as file:
        start = file.read(4)
    if start[:2] in _UTF16:
        raise RequestError("source_encoding", position=_line(source, 1), file=source.path, known=list(ENCODINGS))
    header = next(_records(source, path, dialect), None)
    if header is None:
        raise RequestError("source_empty", file=source.path)
    for column in columns:
        if header[1].count(column) != 1:
            code = "source_column_twice" if column in header[1] else "source_column_missing"
            raise RequestError(code, position=_line(source, 1), file=source.path, column=column)
    return len(header[1])


def _located(source: Source, path: str, dialect: Dialect, width: int) -> RequestError:
    """The error for a file that could not be read, with the line of the first record at fault."""
    try:
        for line, record in _records(source, path, dialect):
            cells = len(record)
            if cells not in {0, width}:
                at = _line(source, line)
                return RequestError("source_ragged_row", position=at, file=source.path, expected=width, found=cells)
    except RequestError as e:
        return e
    except UnicodeError:
        return RequestError("source_encoding", file=source.path, known=list(ENCODINGS))
    return RequestError("source_malformed", file=source.path)


def _records(source: Source, path: str, dialect: Dialect) -> Iterator[tuple[int, list[str]]]:
    """(first line, cells) of each record, slowly; only for the header and for finding what is wrong."""
    csv.field_size_limit(BLOCK)  # its own limit would call a long cell malformed
    with Path(path).open("rb") as file:
        lines = _Lines(source, file, dialect)
        options = {"delimiter": dialect.delimiter, "strict": True}
        if dialect.quote is None:
            reader = csv.reader(lines, quoting=csv.QUOTE_NONE, **options)  # type: ignore[arg-type]
        else:
            reader = csv.reader(lines, quotechar=dialect.quote, **options)  # type: ignore[arg-type]
        while True:
            first = lines.number + 1
            try:
                record = next(reader)
            except StopIteration:
                return
            except csv.Error:
                raise RequestError("source_quote_open", position=_line(source, first), file=source.path) from None
            yield first, record


class _Lines:
    """The lines of a file, none longer than a block, decoded."""

    def __init__(self, source: Source, file: BinaryIO, dialect: Dialect) -> None:
        self._source = source
        self._file = file
        self._encoding = dialect.encoding
        self.number = 0

    def __iter__(self) -> _Lines:
        return self

    def __next__(self) -> str:
        line = self._file.readline(BLOCK)
        if not line:
            raise StopIteration
        self.number += 1
        if len(line) >= BLOCK:
            raise RequestError(
                "source_line_long", position=_line(self._source, self.number), file=self._source.path, limit=BLOCK >> 20
            )
        if self.number == 1:
            line = line.removeprefix(codecs.BOM_UTF8)
        try:
            # In UTF-8, cells that are not valid become NULL later: only the structure matters here.
            return line.decode(self._encoding, "replace" if self._encoding == "utf-8" else "strict")
        except UnicodeError:
            position = _line(self._source, self.number)
            raise RequestError(
                "source_encoding", position=position, file=self._source.path, known=list(ENCODINGS)
            ) from None


def _line(source: Source, number: int) -> Position:
    return Position(line=number, column=1, file=source.path)
