"""The nearest known name to one that is not known."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import Final

LONGEST: Final = 120
"""Of a longer word only the beginning is compared: the comparison is quadratic."""


def nearest(name: str, known: Iterable[str], *, cutoff: float = 0.6) -> str | None:
    """The known name most like `name`, or None where nothing comes near."""
    found = difflib.get_close_matches(name[:LONGEST].lower(), sorted(known), n=1, cutoff=cutoff)
    return found[0] if found else None
