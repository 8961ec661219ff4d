"""Real processes of one home: gateways and workers, each of its own, started, stopped, killed, and spoken to."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import httpx2

ROOT = Path(__file__).parents[2]


class Member:
    """One process of a home, running when it is made. Its standard error lies in `log`."""

    def __init__(self, home: Path, verb: str, log: Path, flags: tuple[str, ...], variables: Mapping[str, str]) -> None:
        environment = {k: v for k, v in os.environ.items() if not k.startswith("SANDBOX_")}
        self.verb, self.log = verb, log
        with log.open("ab") as file:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "sandbox.cli.main", verb, str(home), *flags],
                cwd=ROOT, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=file, text=True,
                env={**environment, **variables}, start_new_session=True,
            )  # fmt: skip
        self._said: str | None = None

    def said(self) -> str:
        """What it is ready as, or on; waits until it says so."""
        if self._said is None:
            assert self.process.stdout is not None
            line = self.process.stdout.readline().strip()
            assert line.startswith("ready "), f"{self.verb}: {line!r}\n{self.log.read_text()[-3000:]}"
            self._said = line.split(" ", 2)[2]
        return self._said

    @property
    def url(self) -> str:
        """A gateway's address."""
        return self.said()

    @property
    def port(self) -> int:
        """A gateway's port."""
        return int(self.url.rpartition(":")[2])

    def stop(self, seconds: float = 60) -> int:
        """SIGTERM; gives the exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.wait(seconds)

    def kill(self) -> None:
        """SIGKILL."""
        self.process.kill()
        self.wait(30)

    def pause(self) -> None:
        """SIGSTOP."""
        self.process.send_signal(signal.SIGSTOP)

    def go_on(self) -> None:
        """SIGCONT."""
        self.process.send_signal(signal.SIGCONT)

    def wait(self, seconds: float) -> int:
        """Until it is gone; gives the exit code."""
        code = self.process.wait(seconds)
        if self.process.stdout is not None:
            self.process.stdout.close()
        return code

    def get(self, path: str, **headers: str) -> httpx2.Response:
        """GET from a gateway."""
        return httpx2.get(self.url + path, headers=headers, timeout=30)

    def ready(self) -> dict[str, Any]:
        """A gateway's readiness."""
        found: dict[str, Any] = self.get("/health/ready").json()
        return found


@dataclass
class Fleet:
    """The processes of a home; whatever still runs at the end is ended."""

    home: Path
    members: list[Member] = field(default_factory=list)

    def start(self, verb: str, *flags: str, **variables: str) -> Member:
        """Start one; ask it what it said to know that it is ready."""
        log = self.home.parent / f"{verb}{len(self.members)}.log"
        flags = ("--port", "0", *flags) if verb == "serve" and "--port" not in flags else flags
        member = Member(self.home, verb, log, flags, variables)
        self.members.append(member)
        return member

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        living = [m for m in self.members if m.process.poll() is None]
        for member in living:
            with suppress(ProcessLookupError):
                member.go_on()
                member.process.send_signal(signal.SIGTERM)
        for member in living:
            try:
                member.wait(30)
            except subprocess.TimeoutExpired:
                member.kill()


def until(true: Callable[[], Any], seconds: float = 60.0, pause: float = 0.1) -> Any:
    """Wait for something to become true; gives what it became. Long, since machines are shared; never a measure."""
    deadline = time.monotonic() + seconds
    while not (found := true()):
        assert time.monotonic() < deadline, "it did not come true"
        time.sleep(pause)
    return found


@contextmanager
def balancer(*ports: Callable[[], int | None]) -> Iterator[str]:
    """A port of this machine whose connections go to the first of these ports that takes them; gives its URL."""
    listener = socket.create_server(("127.0.0.1", 0))
    with ExitStack() as stack:
        stack.callback(listener.close)
        threading.Thread(target=_accept, args=(listener, ports), daemon=True).start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"


def _accept(listener: socket.socket, ports: tuple[Callable[[], int | None], ...]) -> None:
    turn = 0
    while True:
        try:
            front, _ = listener.accept()
        except OSError:
            return
        turn += 1
        choices = [ports[(turn + i) % len(ports)]() for i in range(len(ports))]
        back = next((s for s in map(_connected, choices) if s is not None), None)
        if back is None:
            front.close()
            continue
        for one, other in ((front, back), (back, front)):
            threading.Thread(target=_pump, args=(one, other), daemon=True).start()


def _connected(port: int | None) -> socket.socket | None:
    try:
        return None if port is None else socket.create_connection(("127.0.0.1", port), 5)
    except OSError:
        return None


def _pump(one: socket.socket, other: socket.socket) -> None:
    with suppress(OSError):
        while piece := one.recv(65536):
            other.sendall(piece)
    for end in (one, other):
        with suppress(OSError):
            end.shutdown(socket.SHUT_RDWR)
        end.close()
