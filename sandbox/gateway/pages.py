"""Pages of a list by keyset: what comes after an id, so that a page is the same however the list grows before it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Annotated, TypeAlias, TypeVar

from fastapi import Query

from sandbox.schemas import Page

Source = TypeVar("Source")
Item = TypeVar("Item")

After: TypeAlias = Annotated[str, Query(max_length=200, description="Only items after this one.")]
Limit: TypeAlias = Annotated[int, Query(ge=1, le=1000, description="At most so many items.")]


def page(
    found: Sequence[Source], limit: int, key: Callable[[Source], str], shape: Callable[[Source], Item]
) -> Page[Item]:
    """A page from up to `limit` + 1 found values; the one too many tells that there is a next page."""
    shown = found[:limit]
    return Page(items=[shape(value) for value in shown], next=key(shown[-1]) if len(found) > limit else None)
