"""Twins: two neighbouring houses, asked over HTTP on a clock that jumps over the hold as soon as an answer is stored."""

from __future__ import annotations

import asyncio
import dataclasses
import gc
import itertools
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest import mock

from starlette.testclient import TestClient

from sandbox.clock import Clock
from sandbox.flow import Cost, GrantTerms, Plan
from sandbox.gateway.app import create_app
from sandbox.gateway.routes import queries as route
from sandbox.query import answer, repeats
from sandbox.query.parts import Parts, Pending
from sandbox.query.planning.offers import Purse
from sandbox.query.planning.rung import CostModel
from sandbox.store import ledger
from tests.house import City, city
from tests.privacy.attacks import race
from tests.trips import MANIFEST, Row

UNHURRIED = CostModel(row_column=1e-9, row_node=1e-9, number=1e-7, fixed=5.0, threads=2)
"""Rungs that no busy machine misses; nobody waits for them."""

OFTEN = {"tenant_per_minute": 1_000_000}
"""No rate would let one company ask so much so soon."""


class Jumping(Clock):
    """A clock that can be told to jump ahead."""

    def __init__(self) -> None:
        self.ahead = timedelta()
        super().__init__(lambda: datetime.now(UTC) + self.ahead)


@dataclass(slots=True)
class Twin:
    """One of two neighbouring houses, and the question that is computed in it just now."""

    town: City
    clock: Jumping
    computed: Future[None] = field(default_factory=Future)
    numbers: Iterator[int] = field(default_factory=itertools.count)

    def ask(self, sql: str, **asked: Any) -> Mapping[str, Any]:
        """POST the question, wait until it has answered, and GET its answer."""
        self.computed = Future()
        posted = self.town.ask(sql, f"audit-{next(self.numbers):06}", **asked)
        assert posted.status_code == 200, posted.text
        read: Mapping[str, Any] = self.town.ok("GET", f"/v1/answers/{posted.json()['id']}")
        return read

    @contextmanager
    def hurried(self) -> Iterator[None]:
        """Without waiting, without free answers or norms, and as if each question were the first under its caps.

        The route's sleep until the rung ends when the answer is stored, and then the clock stands at the rung.
        """
        finish, purse = answer.finish, answer.purse_of

        def finish_and_jump(parts: Parts, pending: Pending) -> None:
            finish(parts, pending)
            self.clock.ahead += timedelta(seconds=pending.leaves_in())
            self.computed.set_result(None)

        async def until_computed(_seconds: float) -> None:
            await asyncio.wrap_future(self.computed)

        def fresh(parts: Parts, grant: GrantTerms, plans: Sequence[Plan]) -> Purse:
            return Purse(cap=purse(parts, grant, plans).cap, spent=Cost())

        with ExitStack() as stack:
            for where, name, instead in (
                (answer, "finish", finish_and_jump),
                (answer, "purse_of", fresh),
                (route, "anyio", SimpleNamespace(sleep=until_computed)),
                (repeats, "repeat", lambda _parts, _plan: None),
                (repeats, "roll_up", lambda _parts, _plans, _asked: None),
                (ledger, "_check", race.stale),
            ):
                stack.enter_context(mock.patch.object(where, name, instead))
            yield


@contextmanager
def twin(folder: Path, rows: Sequence[Row]) -> Iterator[Twin]:
    """A house with these rows and a grant, whose gateway goes by a clock that can jump."""
    folder.mkdir()
    with city(folder, settings=OFTEN) as made:
        made.load(rows, MANIFEST)
        made.grant(epsilon="10")
        clock = Jumping()
        house = dataclasses.replace(made.house, clock=clock, model=UNHURRIED)
        with house.sessions.writer.connect() as connection:
            # Nothing here is cut off from its power, and the disk is not what is audited.
            connection.connection.driver_connection.execute("PRAGMA synchronous=OFF")  # type: ignore[union-attr]
        with TestClient(create_app(house)) as client:
            yield Twin(town=City(house=house, client=client, keys=made.keys), clock=clock)


@contextmanager
def seldom_collected() -> Iterator[None]:
    """What is there by now lives as long as the houses: no need to look through it again and again."""
    often = gc.get_threshold()
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 20)
    try:
        yield
    finally:
        gc.set_threshold(*often)
        gc.unfreeze()


@contextmanager
def twins(folder: Path, rows: Sequence[Row], target: Sequence[Row]) -> Iterator[tuple[Twin, Twin]]:
    """Two houses: the target's rows are in the first alone."""
    with twin(folder / "with", [*rows, *target]) as one, twin(folder / "without", rows) as other, seldom_collected():
        yield one, other
