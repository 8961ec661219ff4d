"""The fleet: a gateway's workers on a Ray cluster, their pulse that tells who lives, and others for the dead."""

from __future__ import annotations

import threading
import time
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any, Final

from sandbox import __version__
from sandbox.errors import DependencyFailed
from sandbox.executors.worker import Craft, Pulse, Worker

_RESPAWN: Final = 5.0
"""Seconds that a seat's worker must have had before the next one is made: one that cannot start is no storm."""
_GROUP: Final = "pulse"
"""Calls of this group have a thread of their own in the worker, so that a busy one is not taken for a dead one."""


@dataclass(slots=True)
class Seat:
    """A worker by its place in the fleet; the next worker in the same place is another seat of the same number."""

    number: int
    name: str
    actor: Any
    made: float
    heard: float = float("-inf")
    asked: Any = None
    """The pulse that it was asked for and has not given."""
    pulse: Pulse | None = None


class Fleet:
    """As many workers as there are seats. `ray` is the module, connected. Its methods may be called from any thread."""

    def __init__(self, ray: Any, craft: Craft, *, seats: int, patience: float) -> None:
        self.size = seats
        self._ray = ray
        self._craft = craft
        self._patience = patience
        self._kind = ray.remote(concurrency_groups={_GROUP: 1})(Worker)
        self._lock = threading.Lock()
        self._seats = {number: self._seated(number, 0) for number in range(seats)}
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="fleet", daemon=True)

    def start(self, seconds: float) -> None:
        """Begin to watch, and wait for the first worker that can work.

        Raises:
            DependencyFailed: `worker_absent`, `worker_refused`, `worker_release`.
        """
        self._thread.start()
        ends = time.monotonic() + seconds
        while not self.living():
            pulses = [seat.pulse for seat in self._all()]
            if all(pulses) or time.monotonic() > ends:
                self._complain([p for p in pulses if p is not None], int(seconds))
            self._stop.wait(0.05)

    def living(self) -> list[Seat]:
        """The seats whose workers were heard of just now and can work, by number."""
        since = time.monotonic() - self._patience
        return [seat for seat in self._all() if seat.heard >= since and _is_able(seat.pulse)]

    def doubt(self, seat: Seat) -> None:
        """A call has failed: it is not asked again before its next pulse."""
        seat.heard = float("-inf")

    def held(self) -> set[str]:
        """Versions that workers have told to have opened files of."""
        return {version for seat in self._all() if seat.pulse is not None for version in seat.pulse.held}

    def forget(self, versions: Collection[str]) -> None:
        """Tell all workers to drop these versions. Nobody waits for it: what a worker still holds, its pulse says."""
        for seat in self._all():
            seat.actor.forget.options(concurrency_group=_GROUP).remote(sorted(versions))

    def close(self) -> None:
        """Stop watching, and end the workers."""
        self._stop.set()
        self._thread.join()
        for seat in self._all():
            self._ray.kill(seat.actor)

    def _all(self) -> list[Seat]:
        with self._lock:
            return list(self._seats.values())

    def _complain(self, pulses: list[Pulse], seconds: int) -> None:
        found = next((p.release for p in pulses if p.release != __version__), None)
        if found is not None:
            raise DependencyFailed("worker_release", found=found, wanted=__version__)
        problem = next((p.failure for p in pulses if p.failure), None)
        if problem is not None:
            raise DependencyFailed("worker_refused", problem=problem)
        raise DependencyFailed("worker_absent", seconds=seconds)

    def _seated(self, number: int, generation: int) -> Seat:
        # Nothing is retried or restarted by Ray: what may be asked again, and what counts, is for `Claims` to say.
        options = {"num_cpus": 1, "max_restarts": 0, "max_task_retries": 0, "scheduling_strategy": "SPREAD"}
        actor = self._kind.options(**options).remote(self._craft)
        return Seat(number=number, name=f"{number}.{generation}", actor=actor, made=time.monotonic())

    def _watch(self) -> None:
        beat = self._patience / 10
        while not self._stop.wait(beat / 10):
            asked = {self._ask(seat): seat for seat in self._all()}
            self._ray.wait(list(asked), num_returns=len(asked), timeout=beat)
            ready, _ = self._ray.wait(list(asked), num_returns=len(asked), timeout=0)
            for pulse in ready:
                self._hear(asked[pulse], pulse)
            self._stop.wait(beat)

    def _ask(self, seat: Seat) -> Any:
        if seat.asked is None:
            seat.asked = seat.actor.pulse.options(concurrency_group=_GROUP).remote()
        return seat.asked

    def _hear(self, seat: Seat, pulse: Any) -> None:
        errors = self._ray.exceptions
        seat.asked = None
        try:
            seat.pulse = self._ray.get(pulse)
            seat.heard = time.monotonic()
        except errors.ActorDiedError:
            self.doubt(seat)
            self._replace(seat)
        except errors.RayError:
            self.doubt(seat)

    def _replace(self, seat: Seat) -> None:
        if time.monotonic() - seat.made < _RESPAWN:
            return
        _, _, generation = seat.name.partition(".")
        following = self._seated(seat.number, int(generation) + 1)
        with self._lock:
            self._seats[seat.number] = following


def _is_able(pulse: Pulse | None) -> bool:
    return pulse is not None and not pulse.failure and pulse.release == __version__
