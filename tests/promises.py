"""`@promise("P4.2")` marks the test that proves a numbered promise; docs/promises.md lists them."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import pytest

F = TypeVar("F", bound=Callable[..., object])


def promise(*ids: str) -> Callable[[F], F]:
    """Mark a test (or a class) as proof of these promises."""
    mark: Callable[[F], F] = pytest.mark.promise(*ids)
    return mark
