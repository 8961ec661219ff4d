"""What a free answer says of where it comes from, and numbers that were added up from a stored answer's."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import Any, Final, Literal, TypeAlias

from sandbox.flow import Released

Kind: TypeAlias = Literal["repeat", "roll-up"]

_WORDS: Final[dict[Kind, tuple[str, str]]] = {
    "repeat": (
        "Free: the same question was answered before, as {query}.",
        "免费：相同的问题已在 {query} 中得到答复。",
    ),
    "roll-up": (
        "Free: added up from the stored answer of {query}, {cells} of its numbers in each; it errs no more than asked.",
        "免费：由 {query} 的已存答案汇总而得，每个数字由其中 {cells} 个相加；误差不大于所求。",
    ),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """The query whose stored answer a free answer comes from; `cells` of its numbers are added up in each."""

    query: str
    kind: Kind
    cells: int = 1

    def told(self) -> dict[str, Any]:
        """As answers and explanations carry it."""
        words = (w.format(query=self.query, cells=self.cells) for w in _WORDS[self.kind])
        shown: dict[str, Any] = {"query": self.query, "kind": self.kind}
        if self.kind == "roll-up":
            shown["cells"] = self.cells
        return shown | {"text": dict(zip(("en", "zh"), words, strict=True))}


@dataclass(frozen=True, slots=True, kw_only=True)
class Summed(Released):
    """Released integers each of which is a sum of `cells` released ones: so many independent noises are in it."""

    cells: int
    scales: tuple[float, ...]
    """Of one noise in each measure, in steps of its integers."""
    fixed: Fraction = Fraction(1)
    """The part of a unit that one step stands for: 1, but for clipped vectors."""
