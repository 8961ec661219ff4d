"""What the flow works with, and the moment an answer may leave."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Final

from sandbox import crash
from sandbox.clock import Clock, parse_rfc3339, rfc3339
from sandbox.flow import Charged, Stored
from sandbox.objects.versions import Versions
from sandbox.policy.decisions import Policy
from sandbox.ports import ObjectStore
from sandbox.query.kernel.task import Bench
from sandbox.query.planning.rung import FIRST, CostModel
from sandbox.query.release.free import Source
from sandbox.store.sessions import Sessions

LEASE_SECONDS: Final = 15.0
"""How long after its rung a charged query may be silent before another worker takes it over."""

SETTLE_SECONDS: Final = 0.25
"""How long after the rung a repeated question looks for what the first one has written at the rung."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """Everything a question passes by.

    Of every step of STEPS, `trace(step, seconds)` is told as it ends, `broke(step, seconds, error)` if by an error.
    """

    sessions: Sessions
    clock: Clock
    policy: Policy
    objects: ObjectStore
    bench: Bench
    versions: Versions
    model: CostModel
    worker_id: str
    trace: Callable[[str, float], None] = lambda _step, _seconds: None
    broke: Callable[[str, float, Exception], None] = lambda _step, _seconds, _error: None


@contextmanager
def step(parts: Parts, name: str) -> Iterator[None]:
    """One step of STEPS: timed, and a kill point after it."""
    start = time.perf_counter()
    try:
        yield
    except Exception as error:
        parts.broke(name, time.perf_counter() - start, error)
        raise
    parts.trace(name, time.perf_counter() - start)
    crash.point(name)


@dataclass(slots=True)
class Outcome:
    """What became of computing, kept in memory until the rung: the sealed answer, or why there is none."""

    stored: Stored | None = None
    failure: str | None = None
    blameless: bool = False
    """The failure is the platform's own, by something that no row can cause: it counts towards no stop (P7.1)."""
    ended: bool = False
    """The end has been written: what comes now comes too late."""
    lock: threading.Lock = field(default_factory=threading.Lock)


@dataclass(frozen=True, slots=True, kw_only=True)
class Pending:
    """A question that has been paid for, and the moment its answer may leave."""

    query_id: str
    leaves_at: str
    clock: Clock
    charged: Charged | None = None
    """What `finish` computes; None for a question that was paid for before."""
    source: Source | None = None
    """Where a free answer comes from (P6.4)."""
    outcome: Outcome = field(default_factory=Outcome)

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
