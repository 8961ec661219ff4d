"""What every shape is made of: no unknown fields, names, budgets, pages, problems."""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated, Generic, TypeAlias, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Discriminator, Field, Tag
from pydantic_core import PydanticCustomError

Name: TypeAlias = Annotated[str, Field(min_length=1, max_length=120, pattern=r"^[^\x00-\x1f\x7f]+$")]
Id: TypeAlias = Annotated[str, Field(min_length=1, max_length=120)]


def _short(value: object) -> object:
    # A number is short; this keeps a megabyte of digits away from the decimal arithmetic. A boolean is no number.
    if isinstance(value, bool) or (isinstance(value, str) and len(value) > 40):
        raise PydanticCustomError("number_type", "not a number")
    return value


Epsilon: TypeAlias = Annotated[
    Decimal, BeforeValidator(_short), Field(ge=Decimal("0.000001"), le=100, decimal_places=12)
]
"""A privacy budget as a person types it: a decimal, as text or number."""
Error: TypeAlias = Annotated[float, BeforeValidator(_short), Field(gt=0, le=1e15, allow_inf_nan=False)]
"""An absolute error at 95 %."""

Share: TypeAlias = Annotated[str, Field(pattern=r"^[0-9]{1,2}(\.[0-9]{1,4})?\s?%$")]
"""A part of a number at 95 %, in percent: 5%, 0.5%."""


def _sort_of_error(value: object) -> str:
    return "|percent" if isinstance(value, str) and "%" in value else "|units"


Within: TypeAlias = Annotated[
    Annotated[Error, Tag("|units")] | Annotated[Share, Tag("|percent")], Discriminator(_sort_of_error)
]
"""An error at 95 %: in units of what is measured, or as a part of each number. A tag begins with |: no field does."""

Item = TypeVar("Item")


class Wire(BaseModel):
    """Base of all shapes: no unknown fields."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Page(Wire, Generic[Item]):
    """One page of a list; `next` is what to send as `after` for the following page, None at the end."""

    items: list[Item]
    next: str | None


class Both(Wire):
    """A text in both languages."""

    en: str
    zh: str


class Place(Wire):
    """A place in a text that the caller sent."""

    line: int
    column: int
    file: str | None = None


class Problem(Wire):
    """What went wrong (RFC 9457). `code` is for programs, `detail` and `text` are for people."""

    type: str
    title: str
    status: int
    code: str
    params: dict[str, str | int | bool | list[str] | None]
    position: Place | None = None
    detail: str
    text: Both
    instance: str
