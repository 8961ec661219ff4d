"""Shapes of questions and answers."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self, TypeAlias

from pydantic import BaseModel, Field, model_validator
from pydantic_core import PydanticCustomError

from sandbox.schemas.wire import Both, Epsilon, Id, Wire, Within

Preset: TypeAlias = Literal["strict", "standard", "research"]


class QueryAsk(Wire):
    """A question. One of `epsilon`, `preset`, `within`; a `within` in percent needs one of the others as its cap."""

    sql: Annotated[str, Field(min_length=1)]
    grant: Id | None = None
    purpose: Annotated[str, Field(min_length=1, max_length=120)] | None = None
    epsilon: Epsilon | None = None
    preset: Preset | None = None
    within: Within | None = None
    """An error at 95 %: in units of what is counted or summed, or, as "5%", a part of each number."""
    rows: Annotated[int, Field(ge=1, le=2**31 - 1)] | None = None
    bounding: Literal["ingest", "rows", "groups", "clip"] | None = None
    """How one unit's influence is bounded, instead of the way that the planner would choose."""
    groups: Annotated[int, Field(ge=1, le=1_000_000)] | None = None
    per_group: Annotated[int, Field(ge=1, le=2**31 - 1)] | None = None
    version: Annotated[int, Field(ge=1, le=2**31 - 1)] | None = None
    explain: bool = False

    @model_validator(mode="after")
    def _one_accuracy(self) -> Self:
        absolute = None if isinstance(self.within, str) else self.within
        if sum(value is not None for value in (self.epsilon, self.preset, absolute)) > 1:
            raise PydanticCustomError("one_of", "one of these", {"fields": "epsilon, preset, within"})
        return self


class AnswerColumn(Wire):
    """A column of an answer. `scale` is the noise's, in the column's own unit; `level` is the intervals' level.

    A quantile (and MIN and MAX, which are extreme ones) is a value that was chosen: its interval is in rank,
    `rank_half_width` rows on either side of the `rank` that was asked for. A histogram's cells are lists over `bins`;
    those of APPROX_TOP_K and of several quantiles are lists of `elements`, and each quantile has its own in `ranks` and
    `rank_half_widths`.
    """

    label: str
    kind: Literal[
        "key", "count", "sum", "avg", "variance", "stddev", "quantile", "min", "max", "quantiles", "histogram", "top",
        "expression",
    ]  # fmt: skip
    type: str | None
    mechanism: str | None
    scale: float | list[float] | None
    level: float | None
    rank: list[int] | None = None
    rank_half_width: float | None = None
    elements: str | None = None
    ranks: list[list[int]] | None = None
    rank_half_widths: list[float] | None = None
    bins: list[Any] | None = None


class AnswerSource(BaseModel):
    """The query whose stored answer a free answer comes from; a roll-up adds up `cells` of its numbers in each."""

    query: str
    kind: Literal["repeat", "roll-up"]
    cells: int | None = None
    text: Both


class AnswerAccuracy(BaseModel):
    """Of a question by relative accuracy: what was asked, after how many releases it was left at, how far they came.

    `reached`: every count and sum is within `within` of itself; else `wide` of them are not; their rows are flagged.
    """

    within: str
    releases: int
    reached: bool
    wide: int
    text: Both


class Answer(BaseModel):
    """A noisy table with an interval of the bounded aggregate beside each number, and all that stands behind it."""

    id: str
    grant: str
    dataset: str
    version: int
    purpose: str | None
    columns: list[AnswerColumn]
    rows: list[list[Any]]
    low: list[list[Any]]
    high: list[list[Any]]
    flags: list[list[Any]]
    bounds: dict[str, Any]
    source: AnswerSource | None = None
    accuracy: AnswerAccuracy | None = None
    price: dict[str, str]
    epsilon: str | None
    left: dict[str, str]
    rung: float
    event: str
    facts: list[dict[str, Any]]
    promise: Both


class Explanation(BaseModel):
    """What a question would compute and cost: plan, outputs with expected errors, price, rung; no data was touched.

    For a relative accuracy the price is the most that it may come to, and `steps` says how it is spent.
    """

    dataset: str
    version: int
    grant: str
    rule: str
    plan: dict[str, Any]
    source: AnswerSource | None = None
    outputs: list[dict[str, Any]]
    groups: int
    price: dict[str, str]
    epsilon: str | None
    steps: dict[str, Any] | None = None
    affordable: bool
    left_before: dict[str, str]
    left_after: dict[str, str] | None
    rung: float
    facts: list[dict[str, Any]]
    bounds: dict[str, Any]
    text: Both


class QuerySummary(Wire):
    """A paid query of the caller's."""

    id: str
    grant: str
    state: str
    charged_at: str
    event: str
