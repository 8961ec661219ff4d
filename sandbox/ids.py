"""Ids: a prefix that says the noun, then a UUIDv7, as text that sorts by time."""

from __future__ import annotations

from typing import Literal, TypeAlias

import uuid_utils

Prefix: TypeAlias = Literal[
    "ten", "prn", "key", "pop", "ds", "ver", "ing", "app", "grt", "qry", "evt", "wrk", "bak", "rem"
]  # fmt: skip


def new_id(prefix: Prefix) -> str:
    """A fresh id such as `qry_01890f2e-…`."""
    return f"{prefix}_{uuid_utils.uuid7()}"
