"""Object keys: the one rule for what a key may look like in every object store."""

from __future__ import annotations

import re
from typing import Final

from sandbox.errors import RequestError

_KEY: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*(?:/[A-Za-z0-9][A-Za-z0-9._-]*)*")
_LONGEST: Final = 200


def checked_key(key: str) -> str:
    """The key itself, if it cannot lead anywhere else.

    Raises:
        RequestError: `object_key_refused`.
    """
    if len(key) > _LONGEST or not _KEY.fullmatch(key):
        raise RequestError("object_key_refused")
    return key


def folder_of(prefix: str) -> str:
    """The folder that all keys with this prefix lie in; empty if it is the store's own.

    Raises:
        RequestError: `object_key_refused`.
    """
    folder = prefix.rpartition("/")[0]
    return checked_key(folder) if folder else ""
