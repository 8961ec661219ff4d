"""Logs: one line a record on standard error, with no control characters and no exception texts."""

from __future__ import annotations

import logging
from typing import Final

_LONGEST: Final = 2000


class OneLine(logging.Formatter):
    """Time, level, name, message; a line break in a message cannot begin a forged line."""

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)s %(name)s %(message)s")

    def format(self, record: logging.LogRecord) -> str:
        """The record as one printable line.

        Privacy: tracebacks are left out, since drivers' texts quote cells (P7.2).
        """
        line = f"{self.formatTime(record)} {record.levelname} {record.name} {record.getMessage()}"
        if record.exc_info and record.exc_info[0] is not None:
            line += f" [{record.exc_info[0].__qualname__}]"
        return "".join(c if c.isprintable() else "�" for c in line)[:_LONGEST]


def configure(level: str) -> None:
    """Send everything of this process to standard error, as one-line records."""
    handler = logging.StreamHandler()
    handler.setFormatter(OneLine())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    for noisy in ("uvicorn.access", "sqlalchemy.engine", "alembic"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
