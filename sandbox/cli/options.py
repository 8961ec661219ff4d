"""Options that remote verbs share, and the connection they make."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Annotated, Any, Final, TypeAlias

import typer

from sandbox.client.http import Http, ProblemError

Url: TypeAlias = Annotated[
    str | None, typer.Option("--url", envvar="SANDBOX_URL", help="The gateway's address. 网关地址", show_envvar=True)
]
Key: TypeAlias = Annotated[
    str | None, typer.Option("--key", envvar="SANDBOX_KEY", help="An API key. 密钥", show_envvar=True)
]
Json: TypeAlias = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table. 输出 JSON")]

LARGEST_DOCUMENT: Final = 4_000_000
"""A manifest or population longer than this is no manifest; the gateway's own limits are lower."""


def connect(url: str | None, key: str | None) -> Http:
    """A connection with the verb's options or their variables."""
    return Http(url, key)


def print_json(value: Any) -> None:
    """Write a value as indented JSON."""
    sys.stdout.write(json.dumps(value, ensure_ascii=False, indent=2) + "\n")


def word_or_file(value: str) -> str:
    """An option's value, or the text of the file that it names behind an @.

    Raises:
        ProblemError: `file_without_at`, it is the path of a file; `file_not_utf8`, `file_too_long`.
        OSError: the file cannot be read.
    """
    if not value.startswith("@") and os.path.exists(value):  # noqa: PTH110  # Path.exists raises for a word that is too long for a path
        raise ProblemError("file_without_at", status=400, params={"file": value})
    return document(Path(value[1:]))["text"].strip() if value.startswith("@") else value.strip()


def document(path: Path) -> dict[str, str]:
    """A manifest or population file as the gateway takes it.

    Raises:
        ProblemError: `file_not_utf8`, `file_too_long`.
        OSError: the file cannot be read.
    """
    with path.open("rb") as file:
        raw = file.read(LARGEST_DOCUMENT + 1)
    if len(raw) > LARGEST_DOCUMENT:
        raise ProblemError("file_too_long", status=400, params={"file": str(path), "limit": LARGEST_DOCUMENT})
    try:
        return {"file": path.name, "text": raw.decode("utf-8")}
    except UnicodeDecodeError:
        raise ProblemError("file_not_utf8", status=400, params={"file": str(path)}) from None
