"""What a peer is asked and how it answers: the questions with their declared bounds, and one JSON line a run."""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

TABLE: Final = "rows"
LOWER: Final = 0
UPPER: Final = 3_000
SOON: Final = 20.0
"""Seconds after which no run begins beyond those asked for; a fast library answers thrice as often, for its errors' sake."""
ENOUGH: Final = 100.0
"""Seconds after which no run begins at all: one slow answer is enough to know that it is slow."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """One question: its key column and measures, and what one unit may add.

    `rows` is how many rows a unit gives at most, over all groups. `public`: every value of the key is declared; otherwise
    a key appears only if the library lets it. `below`: only rows of smaller values are asked for, so that a unit's rows
    can be chosen only when the question is known.
    """

    title: str
    key: str | None
    measures: tuple[str, ...]
    rows: int
    public: bool
    below: int | None = None


QUESTIONS: Final = {
    "months": Question(
        title="count, sum, average by month", key="month", measures=("count", "sum", "avg"), rows=10, public=True
    ),
    "tenth": Question(
        title="count by month, of a tenth of the rows", key="month", measures=("count",), rows=10, public=True, below=213
    ),
    "destinations": Question(title="count by destination", key="dest", measures=("count",), rows=10, public=True),
    "units": Question(title="distinct units", key=None, measures=("units",), rows=1, public=True),
    "flights": Question(
        title="count by flight, private keys", key="flight", measures=("count",), rows=10, public=False
    ),
    "median": Question(title="median of value", key=None, measures=("median",), rows=10, public=True),
}

Answer = Sequence[Sequence[Any]]
"""Rows of an answer: the key (where there is one), then the measures."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Timed:
    """An answer that knows its own time, and further times by name, in seconds."""

    answer: Answer
    seconds: float
    also: Mapping[str, float]


class Unsupported(Exception):
    """The library has no way to ask this with user-level privacy; the text says why, in one line."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """A peer's task: a Parquet file of `rows` rows, a question, and what it may spend in all on one answer."""

    parquet: str
    name: str
    epsilon: float
    delta: float
    rows: int
    runs: int
    domain: tuple[Any, ...] = ()
    """Declared values of the question's key; empty if it has none, or its values are private."""

    @property
    def most(self) -> int:
        """The most answers that there will be."""
        return 3 * self.runs

    @property
    def question(self) -> Question:
        """What is asked, with its bounds."""
        return QUESTIONS[self.name]

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns that the question reads, the unit first."""
        key = (self.question.key,) if self.question.key else ()
        valued = self.question.below is not None or {"sum", "median"} & set(self.question.measures)
        value = ("value",) if valued else ()
        return ("unit", *key, *value)


def tell(**line: Any) -> None:
    """One JSON line to whoever started this peer."""
    sys.stdout.write(json.dumps(line, default=_plain) + "\n")
    sys.stdout.flush()


def _plain(value: Any) -> Any:
    """A library's own number as a number of JSON."""
    return value.item() if hasattr(value, "item") else float(value)


def asked() -> Asked:
    """The command line of a peer: PARQUET QUESTION EPSILON DELTA --rows N --runs N --domain JSON."""
    line = argparse.ArgumentParser()
    line.add_argument("parquet")
    line.add_argument("name", choices=list(QUESTIONS))
    line.add_argument("epsilon", type=float)
    line.add_argument("delta", type=float)
    line.add_argument("--rows", type=int, required=True)
    line.add_argument("--runs", type=int, default=5)
    line.add_argument("--domain", type=json.loads, default=[])
    got = vars(line.parse_args())
    return Asked(**{**got, "domain": tuple(got["domain"])})


def answer(task: Asked, open_: Callable[[Asked], Callable[[], Answer | Timed]]) -> None:
    """Load once, then answer again and again, each answer with fresh noise: `{"seconds", "answer"}` a line.

    `open_` does what a service does once (start its engine, read a table that must be in memory) and gives the question.
    """
    start = time.perf_counter()
    try:
        ask = open_(task)
        tell(loaded=time.perf_counter() - start)
        for number in range(task.most):
            began = time.perf_counter()
            got = ask()
            if not isinstance(got, Timed):
                got = Timed(answer=got, seconds=time.perf_counter() - began, also={})
            tell(seconds=got.seconds, answer=[list(row) for row in got.answer], **got.also)
            if time.perf_counter() - start > (SOON if number + 1 >= task.runs else ENOUGH):
                break
    except Unsupported as why:
        tell(unsupported=str(why))
