"""Parquet sources, read row group by row group; text stays in its dictionaries, so that no file can swell."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

import pyarrow as pa
import pyarrow.parquet as pq

from sandbox.catalog import Source
from sandbox.errors import DependencyFailed, RequestError
from sandbox.ports import CONTRACT, SourceBatch

ROWS: Final = 1 << 18
"""Rows of a batch."""


class ParquetConnector:
    """Flat columns of a Parquet file, with the file's own types; texts arrive as dictionaries."""

    name = "parquet"
    contract = CONTRACT

    def read(self, source: Source, path: str, columns: Sequence[str]) -> Iterator[SourceBatch]:
        """Batches of at most `ROWS` rows, with just `columns`, in the file's order.

        Raises:
            RequestError: `connector_option_unknown`, `source_not_parquet`, `source_column_missing`,
                `source_column_twice`, `source_column_type`.
            DependencyFailed: `source_unreadable`.
        """
        for option in source.options:
            raise RequestError("connector_option_unknown", connector="parquet", option=option, known=[])
        wanted = list(dict.fromkeys(columns))
        try:
            texts = _check_schema(source, pq.read_schema(path), wanted)
            with pq.ParquetFile(path, read_dictionary=texts, buffer_size=1 << 20, pre_buffer=False) as file:
                first_row = 1
                for batch in file.iter_batches(batch_size=ROWS, columns=wanted):
                    yield SourceBatch(first_row=first_row, table=batch)
                    first_row += batch.num_rows
        except (pa.ArrowException, UnicodeError):
            raise RequestError("source_not_parquet", file=source.path) from None
        except OSError:
            # Arrow says OSError for damaged pages too; a file that opens and then fails is not what it claims to be.
            raise _unreadable(source, path) from None


def _check_schema(source: Source, schema: pa.Schema, columns: list[str]) -> list[str]:
    """The text columns among those wanted, once each is there exactly once and flat."""
    texts: list[str] = []
    for column in columns:
        found = schema.get_all_field_indices(column)
        if len(found) != 1:
            code = "source_column_twice" if found else "source_column_missing"
            raise RequestError(code, file=source.path, column=column)
        kind = schema.field(found[0]).type
        if pa.types.is_nested(kind):
            raise RequestError("source_column_type", file=source.path, column=column)
        if pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_binary(kind):
            texts.append(column)
    return texts


def _unreadable(source: Source, path: str) -> RequestError | DependencyFailed:
    try:
        with open(path, "rb") as file:  # noqa: PTH123  # `path` is text by the port's contract
            file.read(1)
    except OSError:
        return DependencyFailed("source_unreadable", file=source.path)
    return RequestError("source_not_parquet", file=source.path)
