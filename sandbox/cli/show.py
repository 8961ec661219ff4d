"""What people see in a terminal: tables by Rich, where no text from outside is taken for markup."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.progress import Progress, ProgressColumn
from rich.table import Table
from rich.text import Text

_WIDE: Final = 200


def console(*, error: bool = False) -> Console:
    """A console for standard output or error; a pipe is wide enough for any table."""
    stream = sys.stderr if error else sys.stdout
    width = None if stream.isatty() or "COLUMNS" in os.environ else _WIDE
    return Console(file=stream, width=width, highlight=False, markup=False, emoji=False)


@contextmanager
def progress(*columns: ProgressColumn, transient: bool = True) -> Iterator[Progress]:
    """A progress bar on standard error; a pipe gets none."""
    where = console(error=True)
    with Progress(*columns, console=where, transient=transient, disable=not where.is_terminal) as bar:
        yield bar


def plain(value: Any) -> Text:
    """A cell: lists joined, None as a dash, control characters made visible."""
    if value is None or value == "":
        text = "-"
    elif isinstance(value, bool):
        text = "yes 是" if value else "no 否"
    elif isinstance(value, list | tuple):
        text = ", ".join(str(v) for v in value) or "-"
    else:
        text = str(value)
    return Text("".join(c if c.isprintable() else "�" for c in text))


def table(columns: Sequence[str], rows: Iterable[Sequence[Any]], *, title: str | None = None) -> None:
    """Print a table; an empty one says so."""
    grid = Table(box=SIMPLE_HEAD, title=title, title_justify="left", pad_edge=False)
    for column in columns:
        # An id is copied whole: other columns make room for it.
        grid.add_column(column, overflow="fold", no_wrap=column == "id")
    for row in rows:
        grid.add_row(*(plain(cell) for cell in row))
    if grid.row_count == 0:
        line("Nothing here yet. 暂无内容。")
        return
    console().print(grid)


def pairs(values: Iterable[tuple[str, Any]]) -> None:
    """Print names and values, one pair a line."""
    grid = Table.grid(padding=(0, 2))
    grid.add_column(no_wrap=True)
    grid.add_column(overflow="fold")
    for name, value in values:
        grid.add_row(Text(name, style="bold"), plain(value))
    console().print(grid)


def line(text: str) -> None:
    """Print one line."""
    console().print(Text(text), soft_wrap=True)
