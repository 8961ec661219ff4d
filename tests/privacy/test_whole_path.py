"""The whole path (9.5): answers of two neighbouring houses prove no larger loss than each was charged.

2,000 answers a shape and state go through the real flow: submit, charge, compute, noise, store, settle, read; without
HTTP, and on a clock that jumps over the hold. Repeats are switched off: they would give the first answer again; and so is
the check of the cap, which would stop after three answers that are large enough to prove anything.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest

from sandbox.clock import Clock
from sandbox.flow import Ints, Principal, Request
from sandbox.privacy import mechanisms
from sandbox.privacy.mechanisms import Mechanism
from sandbox.query import answer, ends, repeats
from sandbox.query.paid import priced_again, stored_values
from sandbox.query.parts import Parts
from sandbox.store import ledger, queries
from tests.house import City, city
from tests.privacy import audits
from tests.privacy.attacks import race
from tests.promises import promise
from tests.trips import MANIFEST, Row, some_rows

SHAPES = {
    "count": "SELECT count(*) FROM city.trips",
    "grouped sum": "SELECT line, count(*), sum(delay) FROM city.trips GROUP BY line",
    "filtered": "SELECT count(*) FROM city.trips WHERE delay > 100",
    "units": "SELECT count(DISTINCT rider) FROM city.trips",
    "histogram": "SELECT histogram(fare, 0, 200, 4) FROM city.trips",
    "many": "SELECT line, hour, count(*) FROM city.trips WHERE hour < 12 GROUP BY line, hour",
}
TARGET: list[Row] = [("target", "B", 7, 1300, "150", 1, "2013-05-05")] * 10
NOTHING = timedelta()
ALPHA = 1e-5
"""Chance that a bound is wrong: few answers prove little, and with more certainty nothing."""


class Jumping(Clock):
    """A clock that can be told to jump ahead."""

    def __init__(self) -> None:
        self.ahead = NOTHING
        super().__init__(lambda: datetime.now(UTC) + self.ahead)


@contextmanager
def houses(folder: Path) -> Iterator[list[City]]:
    """Two houses: the target's rows are in one of them."""
    with ExitStack() as stack:
        made = []
        for name, rows in (("with", [*some_rows(20), *TARGET]), ("without", some_rows(20))):
            (folder / name).mkdir()
            town = stack.enter_context(city(folder / name))
            town.load(rows, MANIFEST)
            town.grant(epsilon="3")
            made.append(town)
        yield made


def asked(parts: Parts, clock: Jumping, request: Request) -> tuple[np.ndarray, float, bool]:
    """One question through the flow: its noisy numbers as stored, what was paid, and whether that is mu."""
    pending = answer.submit(parts, request)
    answer.finish(parts, pending)
    clock.ahead += timedelta(seconds=pending.leaves_in())
    ends.end(parts, pending)
    with parts.sessions.reading() as session:
        record = queries.get(session, pending.query_id)
    assert record is not None
    assert answer.read(parts, request.principal, pending.query_id)["id"] == pending.query_id
    priced = priced_again(parts, record)
    values = stored_values(parts, priced.plan, record).values
    return np.concatenate([v.reshape(-1) for v in values]), *audits.charged_loss(priced)


def audited(towns: list[City], sql: str, answers: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """So many answers of each house, and what they prove."""
    monkeypatch.setattr(repeats, "repeat", lambda _parts, _plan: None)
    monkeypatch.setattr(repeats, "roll_up", lambda _parts, _plans, _asked: None)
    monkeypatch.setattr(ledger, "_check", race.stale)
    states, paid, gaussian = [], 0.0, False
    for town in towns:
        clock = Jumping()
        parts = dataclasses.replace(town.house.parts(), clock=clock)
        principal = _company(town)
        found = []
        for _ in range(answers):
            request = Request(
                principal=principal, sql=sql, grant=None, purpose=None, epsilon=10**12, within=None, rows=None,
                idempotency_key=None, digest="",
            )  # fmt: skip
            numbers, paid, gaussian = asked(parts, clock, request)
            found.append(numbers)
        states.append(np.array(found, dtype=np.float64))
    proven = audits.proven(states[0], states[1], gaussian=gaussian, alpha=ALPHA)
    assert proven <= paid, f"figure: a loss of {proven:.2f} was proven where {paid:.2f} was paid"


def _company(town: City) -> Principal:
    me = town.ok("GET", "/v1/me")
    return Principal(id=me["id"], tenant=me["tenant"], roles=frozenset(me["roles"]))


@pytest.fixture(scope="module")
def towns(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[City]]:
    with houses(tmp_path_factory.mktemp("houses")) as made:
        yield made


@promise("P1.2", "P5.1")
def test_some_answers_prove_no_more_than_was_paid(towns: list[City], monkeypatch: pytest.MonkeyPatch) -> None:
    audited(towns, SHAPES["count"], 160, monkeypatch)


@promise("P1.2", "P5.1")
def test_answers_with_too_little_noise_are_caught(towns: list[City], monkeypatch: pytest.MonkeyPatch) -> None:
    """The audit can fail: noise of a tenth of the scale that was paid for."""
    drawn = mechanisms.add_noise

    def faint(mechanism: Mechanism, *, scale: float, values: Ints) -> Ints:
        return drawn(mechanism, scale=scale / 10, values=values)

    monkeypatch.setattr(mechanisms, "add_noise", faint)
    with pytest.raises(AssertionError, match="was proven"):
        audited(towns, SHAPES["count"], 160, monkeypatch)


@pytest.mark.slow
@promise("P1.2", "P5.1", "P5.2")
@pytest.mark.parametrize("shape", SHAPES)
def test_two_thousand_answers_prove_no_more_than_was_paid(
    towns: list[City], shape: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    audited(towns, SHAPES[shape], 2_000, monkeypatch)
