"""CSV sources: the dialects people have, bounded memory, and places without content."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pytest

from connectors.csv import BLOCK, CsvConnector
from sandbox.catalog import Source
from sandbox.errors import DependencyFailed, RequestError


def read(folder: Path, content: bytes, columns: list[str] | None = None, **options: str) -> list[dict[str, str | None]]:
    path = folder / "x.csv"
    path.write_bytes(content)
    source = Source(connector="csv", path="x.csv", options=options)
    batches = list(CsvConnector().read(source, str(path), columns or ["a", "b"]))
    assert [b.first_row for b in batches] == [1 + sum(c.table.num_rows for c in batches[:i]) for i in range(len(batches))]
    return [row for batch in batches for row in batch.table.to_pylist()]


def test_just_the_columns_asked_for_in_their_order(tmp_path: Path) -> None:
    assert read(tmp_path, b"b,c,a\n1,2,3\n", ["a", "b"]) == [{"a": "3", "b": "1"}]


def test_missing_values_are_null_and_quoted_empty_ones_are_text(tmp_path: Path) -> None:
    rows = read(tmp_path, b'a,b\n,""\nNA,"NA"\n.,x\n', nulls="NA|.")
    assert rows == [{"a": None, "b": ""}, {"a": None, "b": "NA"}, {"a": None, "b": "x"}]


@pytest.mark.parametrize(
    ("content", "options"),
    [
        (b"a;b\n1;2\n", {"delimiter": ";"}),
        (b"a\tb\n1\t2\n", {"delimiter": "tab"}),
        (b"\xef\xbb\xbfa,b\r\n1,2\r\n", {}),
        (b"a,b\n1,2", {}),
        (b"'a','b'\n'1','2'\n", {"quote": "'"}),
        ("a,b\n1,2\n".encode("gb18030"), {"encoding": "gb18030"}),
    ],
)
def test_dialects(tmp_path: Path, content: bytes, options: dict[str, str]) -> None:
    assert read(tmp_path, content, **options) == [{"a": "1", "b": "2"}]


def test_a_chinese_encoding(tmp_path: Path) -> None:
    assert read(tmp_path, "姓名,b\n张三,2\n".encode("gb18030"), ["姓名"], encoding="gb18030") == [{"姓名": "张三"}]


def test_quotes_may_hold_lines_delimiters_and_quotes(tmp_path: Path) -> None:
    assert read(tmp_path, b'a,b\n"1\n2","x,""y"""\n') == [{"a": "1\n2", "b": 'x,"y"'}]


def test_quotes_can_be_text(tmp_path: Path) -> None:
    assert read(tmp_path, b'a,b\n5" pipe,2\n', quote="none") == [{"a": '5" pipe', "b": "2"}]
    with pytest.raises(RequestError) as caught:
        read(tmp_path, b'a,b\n5" pipe,2\n')
    assert caught.value.code in {"source_quote_open", "source_malformed"}


def test_many_blocks_are_read_in_bounded_memory(tmp_path: Path) -> None:
    line = b"1," + b"x" * 997 + b"\n"
    content = b"a,b\n" + line * 100_000
    path = tmp_path / "x.csv"
    path.write_bytes(content)
    rows = most = 0
    for batch in CsvConnector().read(Source(connector="csv", path="x.csv", options={}), str(path), ["a"]):
        rows += batch.table.num_rows
        most = max(most, pa.total_allocated_bytes())
    assert rows == 100_000
    assert most < 6 * BLOCK


def test_a_line_of_two_gigabytes_ends_after_two_blocks(tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    with path.open("wb") as file:
        file.write(b"a,b\n1,2\n3,")
        file.truncate(2 << 30)  # sparse: NUL bytes without a line end
    with pytest.raises(RequestError) as caught:
        list(CsvConnector().read(Source(connector="csv", path="x.csv", options={}), str(path), ["a", "b"]))
    assert (caught.value.code, caught.value.position.line if caught.value.position else 0) == ("source_line_long", 3)
    assert pa.total_allocated_bytes() < 6 * BLOCK


@pytest.mark.parametrize(
    ("content", "code", "line"),
    [
        (b'a,b\n"1\n2",x\n1,2,3\n', "source_ragged_row", 4),
        (b'a,b\n1,2\n3,"four\n', "source_quote_open", 3),
        (b"a,b\n1,2\n\xff\xff\x80,2\n", "source_encoding", 3),
    ],
)
def test_places_count_lines_and_not_rows(tmp_path: Path, content: bytes, code: str, line: int) -> None:
    options = {"encoding": "gb18030"} if code == "source_encoding" else {}
    with pytest.raises(RequestError) as caught:
        read(tmp_path, content, **options)
    assert (caught.value.code, caught.value.position.line if caught.value.position else 0) == (code, line)


@pytest.mark.parametrize(
    ("options", "code"),
    [
        ({"delimeter": ","}, "connector_option_unknown"),
        ({"delimiter": ",,"}, "connector_option_value"),
        ({"encoding": "ebcdic"}, "connector_option_value"),
        ({"quote": "\n"}, "connector_option_value"),
    ],
)
def test_bad_options(tmp_path: Path, options: dict[str, str], code: str) -> None:
    with pytest.raises(RequestError) as caught:
        read(tmp_path, b"a,b\n", **options)
    assert caught.value.code == code


def test_a_file_that_cannot_be_opened(tmp_path: Path) -> None:
    with pytest.raises(DependencyFailed) as caught:
        list(CsvConnector().read(Source(connector="csv", path="d", options={}), str(tmp_path), ["a"]))
    assert (caught.value.code, caught.value.params) == ("source_unreadable", {"file": "d"})
