"""The Ray executor: buckets on workers of a cluster that keep theirs open; nothing is counted twice, whatever dies."""

from __future__ import annotations

import logging
import os
import pickle
import threading
import time
from collections import Counter
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any, Final

from sandbox.crypto.suite import INTL
from sandbox.errors import DependencyFailed, RequestError
from sandbox.executors.claims import Claims
from sandbox.executors.fleet import Fleet, Seat
from sandbox.executors.worker import Call, Craft, Receipt, joined_place, piece_place
from sandbox.ports import Merging
from sandbox.settings import is_loopback

_WINDOW: Final = 2
"""Items of one request that a worker has at one time: one to do, and the next so that it does not wait for it."""
_TICK: Final = 0.1
"""Seconds after which a request looks again for who lives."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Answer:
    """Where an item's sealed pieces are, and who made them."""

    worker: str
    weight: int
    pieces: tuple[Any, ...]


@dataclass(slots=True, kw_only=True)
class _Job:
    """Items to be done, each by some worker, until a deadline."""

    claims: Claims[_Answer]
    send: Callable[[Seat, int], Sequence[Any]]
    """Asks a worker for an item: references of the receipt, and of its pieces."""
    place: Callable[[int, int], str]
    """Where a piece of an item belongs."""
    first: int
    ends: float
    calls: dict[Any, tuple[Seat, int, tuple[Any, ...]]] = field(default_factory=dict)
    load: Counter[str] = field(default_factory=Counter)


class RayExecutor:
    """Implements `ports.Executor` over a fleet of actors.

    A bucket goes to the same worker while that lives; when it is not heard of, to another. Of several answers for a
    bucket the first is taken, and one that never comes fails the request. Results come sealed; large ones of private
    keys are merged by the workers first, each its part of the keys.
    """

    def __init__(
        self, craft: Craft, *, address: str, actors: int, seconds: float = 600, patience: float = 5.0,
        alone: int = 1_000_000, start_seconds: float = 60,
    ) -> None:  # fmt: skip
        """Connect, and start the workers.

        Args:
            craft: what workers must know; travels to them.
            address: of the cluster, as `ray.init` takes it.
            actors: how many workers.
            seconds: in which one request must be done.
            patience: seconds without a pulse after which a worker's items are given to others.
            alone: rows of results up to which this process merges them by itself.
            start_seconds: in which the first worker must be there.

        Raises:
            RequestError: `ray_missing`, `ray_unprotected`.
            DependencyFailed: `ray_unreachable`, `worker_absent`, `worker_refused`, `worker_release`.
        """
        self._craft = craft
        self._seconds = seconds
        self._alone = alone
        self._ray, self._connected = connect(address, start_seconds)
        self._fleet = Fleet(self._ray, craft, seats=actors, patience=patience)
        try:
            self._fleet.start(start_seconds)
        except DependencyFailed:
            self.close()
            raise

    def map(self, function: Callable[[Any, int, Any], Any], task: Any, buckets: Sequence[int], bench: Any) -> list[Any]:
        """See `ports.Executor.map`.

        Raises:
            DependencyFailed: `worker_late`, `worker_lost`, `worker_failed`; and what `function` raises.
        """
        call = Call(request=_fresh(), function=function, task=task, buckets=tuple(buckets))
        job, _ = self._first_stage(call)
        return self._read(job, call, bench, call.buckets)

    def gather(
        self, function: Callable[[Any, int, Any], Any], task: Any, buckets: Sequence[int], bench: Any, merging: Merging
    ) -> list[Any]:
        """See `ports.Executor.gather`: beyond a weight, workers merge the same piece of all buckets with each other.

        Raises:
            DependencyFailed: as `map`.
        """
        if not merging.spreads(task) or len(buckets) == 1:
            return self.map(function, task, buckets, bench)
        call = Call(
            request=_fresh(), function=function, task=task, buckets=tuple(buckets), merging=merging,
            ways=self._fleet.size,
        )  # fmt: skip
        job, packed = self._first_stage(call)
        if sum(answer.weight for answer in job.claims.answers()) <= self._alone:
            return self._read(job, call, bench, call.buckets)
        return self._second_stage(job, call, packed, bench)

    def held(self) -> set[str]:
        """See `ports.Executor.held`."""
        return self._fleet.held()

    def forget(self, versions: Collection[str]) -> None:
        """See `ports.Executor.forget`."""
        self._fleet.forget(versions)

    def close(self) -> None:
        """End the workers, and the connection if it was made here."""
        self._fleet.close()
        if self._connected:
            self._ray.shutdown()

    # --- stages ---------------------------------------------------------------------------------------------------

    def _first_stage(self, call: Call) -> tuple[_Job, Any]:
        packed = self._ray.put(pickle.dumps(call))
        job = _Job(
            claims=Claims(call.request, call.buckets),
            send=lambda seat, bucket: seat.actor.run.options(num_returns=1 + call.ways).remote(
                call.request, packed, bucket
            ),
            place=lambda bucket, way: piece_place(call.request, bucket, way),
            first=self._craft.first(call.task),
            ends=time.monotonic() + self._seconds,
        )
        self._finish(job)
        return job, packed

    def _second_stage(self, job: _Job, call: Call, packed: Any, bench: Any) -> list[Any]:
        """Each way's pieces, one of every bucket, merged where they need not all pass through here."""
        try:
            return self._read(self._joining(job, call, packed), call, bench, range(call.ways))
        except DependencyFailed as error:
            if error.code != "worker_lost":
                raise
        # What the buckets' workers held went with them: once more from the start, with nothing kept of the first time.
        return self._read(self._joining(self._first_stage(call)[0], call, packed), call, bench, range(call.ways))

    def _joining(self, job: _Job, call: Call, packed: Any) -> _Job:
        answers = job.claims.answers()
        joining = _Job(
            claims=Claims(call.request, range(call.ways)),
            send=lambda seat, way: seat.actor.join.options(num_returns=2).remote(
                call.request, packed, way, *(answer.pieces[way] for answer in answers)
            ),
            place=lambda way, _: joined_place(call.request, way),
            first=job.first,
            ends=job.ends,
        )
        self._finish(joining)
        return joining

    # --- one job --------------------------------------------------------------------------------------------------

    def _finish(self, job: _Job) -> None:
        """Ask and hear until every item has its answer."""
        while job.claims.missing:
            if time.monotonic() > job.ends:
                raise DependencyFailed("worker_late", missing=job.claims.missing, seconds=int(self._seconds))
            self._ask(job)
            self._hear(job)
        job.claims.answers()

    def _ask(self, job: _Job) -> None:
        living = self._fleet.living()
        if not living:
            return
        for item in job.claims.open([seat.name for seat in living]):
            seat = home(item + job.first, living, self._fleet.size)
            if job.load[seat.name] < _WINDOW:
                receipt, *pieces = job.send(seat, item)
                job.claims.ask(item, seat.name)
                job.calls[receipt] = (seat, item, tuple(pieces))
                job.load[seat.name] += 1

    def _hear(self, job: _Job) -> None:
        if not job.calls:
            time.sleep(_TICK)
            return
        if not self._ray.wait(list(job.calls), num_returns=1, timeout=_TICK)[0]:
            return
        for ready in self._ray.wait(list(job.calls), num_returns=len(job.calls), timeout=0)[0]:
            seat, item, pieces = job.calls.pop(ready)
            job.load[seat.name] -= 1
            try:
                receipt: Receipt = self._ray.get(ready)
            except self._ray.exceptions.RayError:
                self._fleet.doubt(seat)
                job.claims.lose(item, seat.name)
                continue
            answer = _Answer(worker=seat.name, weight=receipt.weight, pieces=pieces)
            job.claims.take(receipt.request, receipt.item, receipt.failure or answer)

    def _read(self, job: _Job, call: Call, bench: Any, items: Sequence[int]) -> list[Any]:
        """Every item's pieces, opened, in order; an item whose pieces went with their machine is done again."""
        opened: dict[int, list[Any]] = {}
        while len(opened) < len(items):
            self._finish(job)
            for item, answer in zip(items, job.claims.answers(), strict=True):
                if item in opened:
                    continue
                try:
                    sealed = self._ray.get(list(answer.pieces), timeout=max(0.1, job.ends - time.monotonic()) / 4)
                except self._ray.exceptions.RayError:
                    job.claims.reopen(item, answer.worker)
                    continue
                opened[item] = [
                    self._craft.open(call.task, bench, job.place(item, way), piece) for way, piece in enumerate(sealed)
                ]
        return [piece for item in items for piece in opened[item]]


def home(index: int, living: Sequence[Seat], size: int) -> Seat:
    """The seat of an item: always the same while it lives; else one of the others, spread over them."""
    for seat in living:
        if seat.number == index % size:
            return seat
    return living[index // size % len(living)]


def _fresh() -> str:
    return INTL.random(16).hex()


# --- the cluster ------------------------------------------------------------------------------------------------------


def connect(address: str, seconds: float = 60) -> tuple[Any, bool]:
    """The module, connected, and whether it was connected here. The token and certificates are Ray's own environment.

    Raises:
        RequestError: `ray_missing`; `ray_unprotected`, no token, or no TLS between machines.
        DependencyFailed: `ray_unreachable`.
    """
    try:
        ray = import_module("ray")
    except ImportError:
        raise RequestError("ray_missing") from None
    if os.environ.get("RAY_AUTH_MODE") != "token":
        raise RequestError("ray_unprotected", machines=[address])
    if ray.is_initialized():
        return ray, False
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"  # nothing is told to anybody outside
    problem = _init(ray, address, seconds)
    if problem is not None:
        raise DependencyFailed("ray_unreachable", address=address, kind=problem)
    machines = sorted({node["NodeManagerAddress"] for node in ray.nodes() if node["Alive"]})
    apart = [machine for machine in machines if not is_loopback(machine)]
    if len(apart) > 1 and os.environ.get("RAY_USE_TLS") not in {"1", "true"}:
        ray.shutdown()
        raise RequestError("ray_unprotected", machines=apart)
    return ray, True


def _init(ray: Any, address: str, seconds: float) -> str | None:
    """Connect, and say what kind of error there was, if any.

    In a thread, for two reasons: against a cluster that speaks TLS a client without it waits for ever; and in the main
    thread Ray would put its own end of the process in place of ours, at SIGTERM.
    """
    problem: list[str | None] = ["no answer"]

    def init() -> None:
        try:
            ray.init(
                address=address, namespace="sandbox", log_to_driver=False, configure_logging=False,
                logging_level=logging.ERROR,
            )  # fmt: skip
            problem[0] = None
        except Exception as error:  # noqa: BLE001  # a wrong token, address and certificate are errors of many kinds
            problem[0] = type(error).__qualname__

    thread = threading.Thread(target=init, name="ray", daemon=True)
    thread.start()
    thread.join(seconds)
    return problem[0]
