"""Reading a source: from the connector's batches to canonical rows, dropped and counted where they cannot be stored."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from sandbox.catalog import DatasetSpec
from sandbox.errors import RequestError
from sandbox.ingest.canonical import Canonical
from sandbox.ingest.columns import Held, Report, Shape, present
from sandbox.ingest.identifiers import Pseudonyms
from sandbox.ports import Connector, SourceBatch


@dataclass(frozen=True, slots=True, kw_only=True)
class Rows:
    """Canonical rows of a batch; `pseudonyms` is None for a public table."""

    pseudonyms: npt.NDArray[np.uint64] | None
    columns: Mapping[str, Held]
    count: int

    def as_batch(self) -> pa.RecordBatch:
        """The rows as Arrow, for the spill."""
        arrays = [pa.array(self.pseudonyms), *(pa.array(held) for held in self.columns.values())]
        return pa.RecordBatch.from_arrays(arrays, ["pseudonym", *self.columns])


class Reader:
    """Reads one dataset's source, filling in its report.

    Privacy: rows without a usable identifier, or without a required value, are dropped and counted (P2.1); more rows
    than N_max are refused, and how many there were is told to nobody (P2.5).
    """

    def __init__(
        self, spec: DatasetSpec, pseudonyms: Pseudonyms | None, report: Report, *, threads: Executor
    ) -> None:
        self._spec = spec
        self._pseudonyms = pseudonyms
        self._report = report
        self._threads = threads
        stored = [c for c in spec.columns if c.name != spec.unit]
        self._columns = {c.name: Canonical(c, spec.source.path) for c in stored}
        self._headers = {c.name: c.header or c.name for c in spec.columns}
        self.shapes: Sequence[Shape] = [c.shape for c in self._columns.values()]
        self._kept = 0
        report.columns.update({name: c.counts for name, c in self._columns.items()})

    def rows(self, connector: Connector, path: str) -> Iterator[Rows]:
        """Canonical rows, batch by batch.

        Raises:
            RequestError: `source_…` with its place; `ingest_too_many_rows`.
            DependencyFailed: `source_unreadable`.
        """
        batches = connector.read(self._spec.source, path, list(self._headers.values()))
        for batch in ahead(batches):
            yield self._canonical(batch.table)

    def earlier(self, batches: Iterator[Rows]) -> Iterator[Rows]:
        """The rows that were there before, which count towards N_max like the new ones.

        Raises:
            RequestError: `ingest_too_many_rows`.
        """
        for rows in batches:
            self._report.rows_earlier += rows.count
            self._count(rows.count)
            yield rows

    def _count(self, rows: int) -> None:
        self._kept += rows
        if self._kept > self._spec.n_max:
            raise RequestError("ingest_too_many_rows", dataset=self._spec.name, n_max=self._spec.n_max)

    def _canonical(self, table: pa.RecordBatch) -> Rows:
        self._report.rows_read += table.num_rows
        try:
            waiting = {
                name: self._threads.submit(canonical.of, table.column(self._headers[name]))
                for name, canonical in self._columns.items()
            }
            pseudonyms, usable = self._identified(table)
            columns = {name: future.result() for name, future in waiting.items()}
        except pa.ArrowException:  # its text would quote a cell
            raise RequestError("source_malformed", file=self._spec.source.path) from None
        keep = self._complete(columns, usable)
        count = int(np.count_nonzero(keep))
        self._count(count)
        if count == table.num_rows:
            return Rows(pseudonyms=pseudonyms, columns=columns, count=count)
        return Rows(
            pseudonyms=None if pseudonyms is None else pseudonyms[keep],
            columns={name: _filtered(held, keep) for name, held in columns.items()},
            count=count,
        )

    def _identified(self, table: pa.RecordBatch) -> tuple[npt.NDArray[np.uint64] | None, npt.NDArray[np.bool_]]:
        if self._pseudonyms is None or self._spec.unit is None:
            return None, np.ones(table.num_rows, np.bool_)
        cells = table.column(self._headers[self._spec.unit])
        pseudonyms, usable = self._pseudonyms.of(cells, file=self._spec.source.path, column=self._spec.unit)
        self._report.rows_without_id += int(np.count_nonzero(~usable))
        return pseudonyms, usable

    def _complete(self, columns: Mapping[str, Held], usable: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
        """Rows that have an identifier and every required value."""
        keep = usable
        for name, canonical in self._columns.items():
            column = self._spec.column(name)
            if column is not None and column.required:
                keep = keep & ~_nulls(columns[name], canonical.shape)
        self._report.rows_missing_required += int(np.count_nonzero(usable & ~keep))
        return keep


def ahead(batches: Iterator[SourceBatch]) -> Iterator[SourceBatch]:
    """The same batches, the next one read while this one is worked on."""
    with ThreadPoolExecutor(1) as reader:
        waiting = reader.submit(next, batches, None)
        while (batch := waiting.result()) is not None:
            waiting = reader.submit(next, batches, None)
            yield batch


def located(source_dirs: Sequence[Path], owner: str, path: str) -> Path:
    """The file of a source's path, inside the owner's own folder below one of the folders, also after symbolic links.

    Raises:
        RequestError: `source_not_found`.
    """
    if Path(owner).name != owner:  # not one plain name: it could point elsewhere
        raise RequestError("source_not_found", path=path, owner=owner)
    for folder in source_dirs:
        root = (folder / owner).resolve()
        if not root.is_relative_to(folder.resolve()):
            continue
        file = (root / path).resolve()
        if file.is_relative_to(root) and file.is_file():
            return file
    raise RequestError("source_not_found", path=path, owner=owner)


def _nulls(held: Held, shape: Shape) -> npt.NDArray[np.bool_]:
    if isinstance(held, np.ndarray):
        return np.asarray(held == shape.null)
    return ~present(held)


def _filtered(held: Held, keep: npt.NDArray[np.bool_]) -> Held:
    return held[keep] if isinstance(held, np.ndarray) else held.filter(pa.array(keep))
