"""Trails: the steps that one request has gone through, told to metrics and traces once its answer may leave."""

from __future__ import annotations

import threading
import time
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Final

from sandbox.clock import Clock, parse_rfc3339
from sandbox.errors import SandboxError
from sandbox.flow import STEPS, Principal
from sandbox.query.answer import Pending

PAID: Final = STEPS.index("charge")
LATER: Final = frozenset(STEPS[PAID + 1 :])
"""Steps after the charge: how long they took is never told, since it could depend on protected rows (P7.2)."""
AT_RUNG: Final = frozenset(STEPS[STEPS.index("hold") + 1 :])
"""Of them those that come at the rung and not before."""


@dataclass(frozen=True, slots=True)
class Step:
    """A step that ended: at which nanosecond, after how many seconds, and how (`ok`, `refused` or `failed`)."""

    name: str
    ended: int
    seconds: float
    outcome: str


@dataclass(frozen=True, slots=True)
class Charge:
    """A question that was paid for: when, when its answer leaves (nanoseconds), and the declared rung in seconds."""

    query_id: str
    at: int
    leaves: int
    rung: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Walked:
    """A request that is over. `steps` after the charge are there for their names and outcomes only."""

    request_id: str
    route: str
    method: str
    status: int
    code: str | None
    principal: Principal | None
    began: int
    ended: int
    steps: tuple[Step, ...]
    charge: Charge | None

    @property
    def timed(self) -> bool:
        """Whether its duration may be told: no step after the charge is in it."""
        return self.charge is None and not any(s.name in LATER for s in self.steps)


class Trail:
    """What is known of one request while it is under way; steps may come from any thread."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._steps: list[Step] | None = []
        self._charge: Charge | None = None
        self._began = time.time_ns()

    def note(self, name: str, seconds: float, outcome: str = "ok") -> None:
        """A step has ended. After the trail's end nothing is noted: it would come at a moment that computing chose."""
        with self._lock:
            if self._steps is not None:
                self._steps.append(Step(name, time.time_ns(), seconds, outcome))

    def paid(self, pending: Pending) -> None:
        """The question has been charged; its declared moments are known."""
        if pending.charged is not None:
            charged = pending.charged
            self._charge = Charge(
                query_id=pending.query_id,
                at=_nanoseconds(charged.charged_at),
                leaves=_nanoseconds(pending.leaves_at),
                rung=charged.priced.rung,
            )

    def end(
        self, *, request_id: str, route: str, method: str, status: int, code: str | None, principal: Principal | None
    ) -> Walked:
        """Close the trail. A request that ends before its rung (a stop) keeps nothing of the steps after the charge."""
        with self._lock:
            steps, self._steps = tuple(self._steps or ()), None
        charge = self._charge
        if charge is not None and _nanoseconds(self._clock.text()) < charge.leaves:
            steps = tuple(s for s in steps if s.name not in LATER)
        return Walked(
            request_id=request_id, route=route, method=method, status=status, code=code, principal=principal,
            began=self._began, ended=time.time_ns(), steps=steps, charge=charge,
        )  # fmt: skip


current: ContextVar[Trail | None] = ContextVar("trail", default=None)
"""The trail of the request that this code runs for; threads and tasks that the request begins have it too."""


def went(step: str, seconds: float) -> None:
    """`Parts.trace`: the step belongs to the request under way; a duty's belong to none."""
    trail = current.get()
    if trail is not None:
        trail.note(step, seconds)


def broke(step: str, seconds: float, error: BaseException) -> None:
    """`Parts.broke`: as `went`, for a step that an error ended."""
    trail = current.get()
    if trail is not None:
        trail.note(step, seconds, "refused" if isinstance(error, SandboxError) and error.status < 500 else "failed")


def paid(pending: Pending) -> None:
    """Tell the request under way that its question was charged."""
    trail = current.get()
    if trail is not None:
        trail.paid(pending)


def _nanoseconds(moment: str) -> int:
    return round(parse_rfc3339(moment).timestamp() * 1e6) * 1000
