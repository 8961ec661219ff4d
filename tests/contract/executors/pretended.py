"""A cluster that is pretended, in threads of this process: actors that work, die, stand still, or answer late."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future
from concurrent.futures import wait as waited
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any


class RayError(Exception):
    """As Ray's: what went wrong with a call."""


class ActorDiedError(RayError):
    """As Ray's: whoever was asked is dead."""


@dataclass(eq=False)
class Actor:
    """One worker; its calls run in threads. `before` may hold a call up, or end the actor, before it is answered."""

    cluster: PretendedRay
    worker: Any
    number: int
    dead: threading.Event = field(default_factory=threading.Event)
    awake: threading.Event = field(default_factory=threading.Event)
    calls: list[Future[Any]] = field(default_factory=list)

    def __getattr__(self, name: str) -> Any:
        return SimpleNamespace(
            remote=lambda *told: self.call(name, told, 1),
            options=lambda num_returns=1, **_: SimpleNamespace(remote=lambda *told: self.call(name, told, num_returns)),
        )

    def call(self, name: str, told: Sequence[Any], returns: int) -> Any:
        """References of what the call gives."""
        futures: list[Future[Any]] = [Future() for _ in range(returns)]
        self.calls += futures
        if self.dead.is_set():
            self.die()
        else:
            threading.Thread(target=self._run, args=(name, told, futures), daemon=True).start()
        return futures[0] if returns == 1 else futures

    def die(self) -> None:
        """End: what was asked of it and not given is lost."""
        self.dead.set()
        for future in self.calls:
            _end(future, ActorDiedError())

    def _run(self, name: str, told: Sequence[Any], futures: Sequence[Future[Any]]) -> None:
        self.awake.wait()
        if name != "pulse":
            self.cluster.before(self, told)
            self.awake.wait()
        found = getattr(self.worker, name)(*(x.result() if isinstance(x, Future) else x for x in told))
        for future, value in zip(futures, found if len(futures) > 1 else [found], strict=True):
            _end(future, value)


def _end(future: Future[Any], value: Any) -> None:
    if future.done():
        return
    if isinstance(value, Exception):
        future.set_exception(value)
    else:
        future.set_result(value)


class PretendedRay:
    """As much of the module as the executor uses."""

    exceptions = SimpleNamespace(RayError=RayError, ActorDiedError=ActorDiedError)

    def __init__(self, before: Callable[[Actor, Sequence[Any]], None] = lambda _actor, _told: None) -> None:
        self.before = before
        self.actors: list[Actor] = []

    def remote(self, **_: Any) -> Callable[[type], Any]:
        """As a decorator: the class's actors are made of it."""

        def made(kind: type) -> Any:
            def start(craft: Any) -> Actor:
                actor = Actor(cluster=self, worker=kind(craft), number=len(self.actors))
                actor.awake.set()
                self.actors.append(actor)
                return actor

            return SimpleNamespace(options=lambda **_: SimpleNamespace(remote=start))

        return made

    def put(self, value: Any) -> Future[Any]:
        """A reference of a value."""
        future: Future[Any] = Future()
        future.set_result(value)
        return future

    def get(self, found: Any, timeout: float | None = None) -> Any:
        """What references stand for."""
        if isinstance(found, list):
            return [self.get(one, timeout) for one in found]
        try:
            return found.result(timeout)
        except TimeoutError:
            raise RayError from None

    def wait(self, found: Sequence[Any], *, num_returns: int, timeout: float) -> tuple[list[Any], list[Any]]:
        """Those that are ready, once so many are, or the time is over."""
        ends = time.monotonic() + timeout
        while len(done := [f for f in found if f.done()]) < num_returns and time.monotonic() < ends:
            waited([f for f in found if not f.done()], timeout=max(0.0, ends - time.monotonic()), return_when=FIRST_COMPLETED)
        return done, [f for f in found if f not in done]

    def kill(self, actor: Actor) -> None:
        """As a node that is shot."""
        actor.die()

    def shutdown(self) -> None:
        """Nothing was connected."""
