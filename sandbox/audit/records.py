"""Records: the one JSON form of a database row, whose digest the log carries and the auditor recomputes."""

from __future__ import annotations

import base64
import json
import math
from collections.abc import Mapping
from typing import TypeAlias

import rfc8785

from sandbox.crypto.suite import INTL
from sandbox.errors import IntegrityFailed

Plain: TypeAlias = "str | bool | list[Plain] | dict[str, Plain] | None"
"""JSON without numbers, so that nothing is lost in any reader's number type."""


def plain(values: Mapping[str, object]) -> dict[str, Plain]:
    """A row in the form that the digest covers and the auditor gets.

    Integers become decimal text (the ledger's pass 2^53), floats their shortest text that reads back to the same
    float, bytes standard base64; dicts and lists are taken apart; text, booleans and null stay as they are.

    Raises:
        IntegrityFailed: `record_refused`, naming the column whose value has no such form.
    """
    return {column: _plain(value, column) for column, value in values.items()}


def record_digest(values: Mapping[str, object]) -> str:
    """SHA-256, in hex, of the canonical JSON of `plain(values)`.

    Source: RFC 8785 (JSON Canonicalization Scheme), FIPS 180-4 (SHA-256).

    Raises:
        IntegrityFailed: `record_refused`.
    """
    return INTL.digest(canonical(plain(values))).hex()


def canonical(form: Mapping[str, Plain]) -> bytes:
    """RFC 8785 of a row in its plain form.

    Without numbers the standard library writes the same bytes ten times faster, as long as no text has a character
    outside the basic plane: there the two orders of keys differ.
    """
    text = json.dumps(form, ensure_ascii=False, sort_keys=True, separators=(",", ":"))
    try:
        if text.isascii() or max(text) < "\ud800":
            return text.encode()
        raw: bytes = rfc8785.dumps(form)
    except (rfc8785.CanonicalizationError, UnicodeEncodeError):  # a text that is not valid Unicode
        raise IntegrityFailed("record_refused", column="text") from None
    return raw


def _plain(value: object, column: str) -> Plain:
    if value is None or isinstance(value, bool | str):
        return value
    if isinstance(value, int):
        return str(value)
    if isinstance(value, float) and math.isfinite(value):
        return repr(value)
    if isinstance(value, bytes):
        return base64.b64encode(value).decode("ascii")
    if isinstance(value, dict | Mapping):  # asking for a dict first is quicker
        return {_key(key, column): _plain(child, column) for key, child in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(child, column) for child in value]
    raise IntegrityFailed("record_refused", column=column)


def _key(key: object, column: str) -> str:
    if not isinstance(key, str):
        raise IntegrityFailed("record_refused", column=column)
    return key
