"""A worker elsewhere: keeps a bench of its own open, runs a function on buckets with it, and tells that it lives."""

from __future__ import annotations

import pickle
import threading
from collections import OrderedDict
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from pathlib import PurePath
from typing import Any, Final, Protocol

from sandbox import __version__
from sandbox.errors import DependencyFailed, SandboxError
from sandbox.ports import Merging

_CALLS: Final = 16
"""Requests whose task a worker keeps unpacked."""


class Craft(Protocol):
    """What a worker must know of its work. It travels to every worker, so it holds names and places, never a secret."""

    def bench(self) -> Any:
        """What to work with, made where the worker is, from that machine's own settings, keys and object store."""
        ...

    def first(self, task: Any) -> int:
        """Where a task begins to count the workers, so that small tasks do not all meet at the first."""
        ...

    def held(self, bench: Any) -> set[str]:
        """Versions that the bench has opened files of."""
        ...

    def forget(self, bench: Any, versions: Collection[str]) -> None:
        """Drop what the bench has opened of these versions."""
        ...

    def seal(self, task: Any, bench: Any, place: str, result: Any) -> bytes:
        """A result for the way back: readable only with the task's keys, and only as what belongs in this place."""
        ...

    def open(self, task: Any, bench: Any, place: str, sealed: bytes) -> Any:
        """The result that was sealed for this place."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """What all calls of one request have in common."""

    request: str
    function: Callable[[Any, int, Any], Any]
    task: Any
    buckets: tuple[int, ...]
    merging: Merging | None = None
    ways: int = 1
    """Pieces that each bucket's result is split in."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Receipt:
    """What a worker answers at once; sealed pieces come beside it."""

    request: str
    item: int
    weight: int = 0
    failure: SandboxError | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Pulse:
    """That a worker lives, and what it is."""

    release: str
    held: frozenset[str]
    failure: str = ""
    """Code of why it has no bench."""


def piece_place(request: str, bucket: int, way: int) -> str:
    """Where a piece of a bucket's result belongs."""
    return f"{request} bucket {bucket} way {way}"


def joined_place(request: str, way: int) -> str:
    """Where the joined pieces of all buckets belong."""
    return f"{request} joined {way}"


class Worker:
    """Runs in a process of a cluster. Nothing that it gives back is readable without the keys, no failure is a text."""

    def __init__(self, craft: Craft) -> None:
        self._craft = craft
        self._bench: Any = None
        self._failure = ""
        self._lock = threading.Lock()
        self._calls: OrderedDict[str, Call] = OrderedDict()
        self._make()

    def pulse(self) -> Pulse:
        """That it lives. Without a bench it tries again to have one: a disk or a store may be back."""
        with self._lock:
            if self._bench is None:
                self._make()
        held = self._craft.held(self._bench) if self._bench is not None else set()
        return Pulse(release=__version__, held=frozenset(held), failure=self._failure)

    def forget(self, versions: Collection[str]) -> None:
        """Drop what was opened of these versions."""
        if self._bench is not None:
            self._craft.forget(self._bench, versions)

    def run(self, request: str, packed: bytes, bucket: int) -> tuple[Any, ...]:
        """The receipt for one bucket, and its result in sealed pieces.

        Privacy: exact results leave this process sealed under the task's own keys only.
        """
        call = self._call(request, packed)
        try:
            result = call.function(call.task, bucket, self._bench)
            weight, pieces = 0, [result]
            if call.merging is not None and call.ways > 1:
                weight, pieces = call.merging.weight(result), call.merging.split(call.task, result, call.ways)
            places = [piece_place(call.request, bucket, way) for way in range(call.ways)]
            sealed = [self._seal(call, place, piece) for place, piece in zip(places, pieces, strict=True)]
            return Receipt(request=call.request, item=bucket, weight=weight), *sealed
        except Exception as error:  # noqa: BLE001  # a kernel may fail in any way; no text of it may travel
            return Receipt(request=call.request, item=bucket, failure=told(error)), *[b""] * call.ways

    def join(self, request: str, packed: bytes, way: int, *pieces: bytes) -> tuple[Any, ...]:
        """The receipt for one piece of all buckets, merged, and what they are together, sealed."""
        call = self._call(request, packed)
        try:
            joined = self._joined(call, way, pieces)
            sealed = self._seal(call, joined_place(call.request, way), joined)
            return Receipt(request=call.request, item=way), sealed
        except Exception as error:  # noqa: BLE001  # as above
            return Receipt(request=call.request, item=way, failure=told(error)), b""

    def _joined(self, call: Call, way: int, pieces: Sequence[bytes]) -> Any:
        if call.merging is None:
            raise ValueError(call.request)
        opened = [
            self._craft.open(call.task, self._bench, piece_place(call.request, bucket, way), piece)
            for bucket, piece in zip(call.buckets, pieces, strict=True)
        ]
        return call.merging.join(call.task, opened)

    def _seal(self, call: Call, place: str, result: Any) -> bytes:
        return self._craft.seal(call.task, self._bench, place, result)

    def _call(self, request: str, packed: bytes) -> Call:
        """The call, unpacked once for all its buckets: a plan over many files is large."""
        with self._lock:
            call = self._calls.get(request)
            if call is None:
                call = pickle.loads(packed)  # noqa: S301  # the cluster is the gateway's own: token and TLS guard it
                self._calls[request] = call
                if len(self._calls) > _CALLS:
                    self._calls.popitem(last=False)
            return call

    def _make(self) -> None:
        try:
            self._bench, self._failure = self._craft.bench(), ""
        except Exception as error:  # noqa: BLE001  # told by `pulse`: an actor that raises is only dead
            self._failure = told(error).code


def told(error: Exception) -> SandboxError:
    """An error as it may travel: ours as it is, another without its text, which could hold what a driver has read."""
    if isinstance(error, SandboxError):
        return error.with_traceback(None)
    place, trace = "", error.__traceback__
    while trace is not None:
        place, trace = f"{PurePath(trace.tb_frame.f_code.co_filename).name}:{trace.tb_lineno}", trace.tb_next
    return DependencyFailed("worker_failed", kind=type(error).__qualname__, place=place)
