"""A desk that answers: the real path from the text of a question to noisy numbers, with a ledger and without HTTP."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from sandbox.errors import Denied
from sandbox.flow import Charged, Cost, Exact, Ints, Noisy, Priced
from sandbox.privacy import accounting
from sandbox.privacy.accounting import UNIT
from sandbox.query.kernel.task import task_of
from sandbox.query.planning.offers import Purse
from sandbox.query.planning.plan import Known
from sandbox.query.planning.plan import plan as plans_of
from sandbox.query.planning.price import price
from sandbox.query.release.noise import noise
from tests.privacy.pipeline import Pipeline
from tests.unit.query.plans import permitted, request_of
from tests.unit.query.test_price import CAP, MODEL, PURSE


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """What an attack got: from a broken variant, from the real path, and what the real path may give at most."""

    attack: str
    broken: float
    real: float
    limit: float
    says: str
    """The line that is printed; {broken} and {real} are put in as they are to be read."""

    def __str__(self) -> str:
        return f"{self.attack}: {self.says.format(broken=self.broken, real=self.real, limit=self.limit)}"


@dataclass(slots=True)
class Desk:
    """Answers questions over one state of the rows, under one cap."""

    pipeline: Pipeline
    known: Known
    spent: Cost = field(default_factory=lambda: PURSE.spent)

    def priced(self, sql: str, epsilon: float = 1.0, **asked: Any) -> Priced:
        """The price of a question, from declared facts and what is spent."""
        request = request_of(sql, epsilon=round(epsilon * UNIT), **asked)
        return price(plans_of(permitted(request), self.known), Purse(cap=CAP, spent=self.spent), MODEL)

    def pay(self, priced: Priced) -> Charged:
        """Spend it.

        Raises:
            Denied: `budget_exhausted`.
        """
        if not accounting.fits(self.spent, priced.cost, CAP):
            raise Denied("budget_exhausted")
        self.spent += priced.cost
        return Charged(priced=priced, query_id="qry_1", attempt=1, charged_at="", event_id="", receipt={})

    def exact(self, charged: Charged) -> Exact:
        """The exact integers of the first stage."""
        stage = charged.priced.plan.stages[0]
        task = task_of(charged.priced, stage)
        values, labels = self.pipeline.stage(charged.priced.plan, stage, votes=task.votes)
        return Exact(charged=charged, stage=stage, values=values, labels=labels)

    def ask(self, sql: str, epsilon: float = 1.0, **asked: Any) -> Noisy:
        """The noisy numbers of a question that is paid for."""
        return noise(self.exact(self.pay(self.priced(sql, epsilon, **asked))))

    def draws(self, sql: str, times: int, epsilon: float = 1.0, **asked: Any) -> list[Ints]:
        """The first measure of so many releases of one question: what so many worlds would have seen."""
        charged = Charged(
            priced=self.priced(sql, epsilon, **asked), query_id="qry_1", attempt=1, charged_at="", event_id="", receipt={}
        )
        exact = self.exact(charged)
        return [noise(exact).values[0] for _ in range(times)]


@contextmanager
def pipelines(**given: Any) -> Iterator[Pipeline]:
    """A pipeline in a folder of its own."""
    with tempfile.TemporaryDirectory() as folder:
        made = Pipeline(Path(folder), **given)
        yield made
        made.close()


def right(with_unit: Ints, without: Ints, moved: int) -> float:
    """How often a guess is right that says "there" above the middle between two states that `moved` apart."""
    low = np.median(np.asarray(without, np.float64))
    middle = low + moved / 2
    return float(((np.asarray(with_unit) > middle).mean() + (np.asarray(without) <= middle).mean()) / 2)


def main(found: Found) -> None:
    """Print what an attack found."""
    print(found)
