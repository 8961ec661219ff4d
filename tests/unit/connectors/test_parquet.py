"""Parquet sources: the file's own types, text in its dictionaries, damage told without content."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from connectors.parquet import ROWS, ParquetConnector
from sandbox.catalog import Source
from sandbox.errors import DependencyFailed, RequestError

SOURCE = Source(connector="parquet", path="x.parquet", options={})


def read(path: Path, columns: list[str], source: Source = SOURCE) -> list[pa.RecordBatch]:
    return [b.table for b in ParquetConnector().read(source, str(path), columns)]


def write(folder: Path, table: pa.Table) -> Path:
    path = folder / "x.parquet"
    pq.write_table(table, path)
    return path


def test_types_stay_and_text_is_a_dictionary(tmp_path: Path) -> None:
    path = write(tmp_path, pa.table({"a": [1, None], "b": ["x", None], "c": [1.5, 2.5]}))
    (batch,) = read(path, ["b", "a"])
    assert batch.schema.names == ["b", "a"]
    assert batch.to_pylist() == [{"b": "x", "a": 1}, {"b": None, "a": None}]
    assert pa.types.is_dictionary(batch.column("b").type)


def test_rows_come_in_batches(tmp_path: Path) -> None:
    path = write(tmp_path, pa.table({"a": range(2 * ROWS + 5)}))
    source = list(ParquetConnector().read(SOURCE, str(path), ["a"]))
    assert [b.first_row for b in source][:2] == [1, 1 + source[0].table.num_rows]
    assert sum(b.table.num_rows for b in source) == 2 * ROWS + 5
    assert max(b.table.num_rows for b in source) <= ROWS


def test_one_long_text_a_million_times_does_not_swell(tmp_path: Path) -> None:
    text = pa.DictionaryArray.from_arrays(pa.array([0] * 100_000, pa.int32()), ["x" * 100_000])
    path = write(tmp_path, pa.table({"a": text}))
    assert path.stat().st_size < 10**6
    before = pa.total_allocated_bytes()
    (batch,) = read(path, ["a"])
    assert pa.total_allocated_bytes() - before < 10**8
    assert batch.num_rows == 100_000


@pytest.mark.parametrize(
    ("table", "column", "code"),
    [
        (pa.table({"a": [1]}), "b", "source_column_missing"),
        (pa.table([pa.array([1]), pa.array([2])], ["b", "b"]), "b", "source_column_twice"),
        (pa.table({"b": [[1, 2]]}), "b", "source_column_type"),
    ],
)
def test_bad_columns(tmp_path: Path, table: pa.Table, column: str, code: str) -> None:
    with pytest.raises(RequestError) as caught:
        read(write(tmp_path, table), [column])
    assert (caught.value.code, caught.value.params["column"]) == (code, column)


@pytest.mark.parametrize("damage", ["cut", "text", "flipped", "empty"])
def test_a_damaged_file(tmp_path: Path, damage: str) -> None:
    path = write(tmp_path, pa.table({"a": list(range(10_000)), "b": [f"secret{i}" for i in range(10_000)]}))
    whole = path.read_bytes()
    flipped = bytearray(whole)
    flipped[20:3000] = b"\xff" * 2980
    path.write_bytes({"cut": whole[:-50], "text": b"a,b\n1,2\n", "flipped": bytes(flipped), "empty": b""}[damage])
    with pytest.raises(RequestError) as caught:
        read(path, ["a", "b"])
    assert (caught.value.code, caught.value.params) == ("source_not_parquet", {"file": "x.parquet"})


def test_a_file_that_is_not_there_and_options_it_does_not_have(tmp_path: Path) -> None:
    with pytest.raises(DependencyFailed):
        read(tmp_path / "none", ["a"])
    with pytest.raises(RequestError) as caught:
        read(tmp_path / "none", ["a"], Source(connector="parquet", path="x", options={"rows": "1"}))
    assert caught.value.code == "connector_option_unknown"
