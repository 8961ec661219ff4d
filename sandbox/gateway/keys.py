"""API keys: 256 random bits behind a prefix that scanners for leaked secrets can find; kept only as a SHA-256."""

from __future__ import annotations

import base64
import re
from typing import Final

from sandbox.crypto.suite import INTL

_FORM: Final = re.compile(r"sbx_[A-Za-z0-9_-]{43}")


def new_key() -> str:
    """A fresh key; its text is told once and stored nowhere."""
    return "sbx_" + base64.urlsafe_b64encode(INTL.random(32)).decode("ascii").rstrip("=")


def well_formed(key: str) -> bool:
    """True when a text can be a key at all."""
    return _FORM.fullmatch(key) is not None


def digest_of(key: str) -> str:
    """What is stored of a key. So many random bits need no slow hash (and a slow one is a way to flood us)."""
    return INTL.digest(key.encode()).hex()
