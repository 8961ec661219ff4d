"""What the flow works with, and the moment an answer may leave."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from sandbox import crash
from sandbox.clock import Clock, parse_rfc3339, rfc3339
from sandbox.flow import Charged
from sandbox.objects.versions import Versions
from sandbox.policy.decisions import Policy
from sandbox.ports import ObjectStore
from sandbox.query.kernel import Bench
from sandbox.query.rung import FIRST, CostModel
from sandbox.store.sessions import Sessions

LEASE_SECONDS: Final = 15.0
"""How long after its rung a charged query may be silent before another worker takes it over."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """Everything a question passes by. `trace(step, seconds)` is told of every step of STEPS as it ends."""

    sessions: Sessions
    clock: Clock
    policy: Policy
    objects: ObjectStore
    bench: Bench
    versions: Versions
    model: CostModel
    worker_id: str
    trace: Callable[[str, float], None] = lambda _step, _seconds: None


@contextmanager
def step(parts: Parts, name: str) -> Iterator[None]:
    """One step of STEPS: timed, and a kill point after it."""
    start = time.perf_counter()
    yield
    parts.trace(name, time.perf_counter() - start)
    crash.point(name)


@dataclass(frozen=True, slots=True, kw_only=True)
class Pending:
    """A question that has been paid for, and the moment its answer may leave."""

    query_id: str
    leaves_at: str
    clock: Clock
    charged: Charged | None = None
    """What `finish` computes; None for a question that was paid for before."""

    def leaves_in(self) -> float:
        """Seconds until the rung; 0 once it is reached."""
        return max(0.0, (parse_rfc3339(self.leaves_at) - self.clock.now()).total_seconds())


def leaves_at(charged_at: str, rung: float, attempt: int) -> str:
    """When an answer leaves: the rung after the charge; in a later attempt, the first rung after its lease began.

    A function of the price and the attempt alone, so that it tells nothing else (P7.1, docs/adr/0004).
    """
    wanted, ladder = rung + (attempt - 1) * 2 * (rung + LEASE_SECONDS), FIRST
    while ladder < wanted:
        ladder *= 2
    return rfc3339(parse_rfc3339(charged_at) + timedelta(seconds=ladder))
