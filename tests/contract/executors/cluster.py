"""A Ray cluster of two nodes on this machine's loopback, guarded by a token; a node can be killed, stopped and woken."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from sandbox.crypto.suite import INTL

ROOT = Path(__file__).parents[3]
RAY = Path(sys.executable).with_name("ray")
STARTED = "Ray runtime started"


class Node:
    """One `ray start --block` with all that it started."""

    def __init__(self, place: Path, name: str, *arguments: str) -> None:
        self.log = place / f"{name}.log"
        command = [
            str(RAY), "start", "--block", "--disable-usage-stats", "--object-store-memory=100000000", *arguments,
        ]  # fmt: skip
        with self.log.open("w") as log:
            self._process = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT, env=os.environ.copy())
        ends = time.monotonic() + 120
        while STARTED not in self.log.read_text():
            assert self._process.poll() is None, self.log.read_text()[-3000:]
            assert time.monotonic() < ends, self.log.read_text()[-3000:]
            time.sleep(0.1)

    def processes(self) -> list[int]:
        """All that it started, itself first."""
        parents = dict(_parents())
        found = [self._process.pid]
        for pid in found:
            found += [child for child, parent in parents.items() if parent == pid]
        return found

    def send(self, number: signal.Signals) -> None:
        """A signal to every process of the node, as if the machine had it."""
        for pid in self.processes():
            with suppress(ProcessLookupError):
                os.kill(pid, number)

    def kill(self) -> None:
        """As a power cut."""
        self.send(signal.SIGKILL)
        self._process.wait(timeout=30)


class Cluster:
    """A head, where the driver is too and which stays, and one more node, which need not."""

    def __init__(self, place: Path) -> None:
        self._place = place
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.address = f"127.0.0.2:{free.getsockname()[1]}"
        port = self.address.partition(":")[2]
        self.head = Node(
            place, "head", "--head", "--node-ip-address=127.0.0.2", f"--port={port}", "--num-cpus=3",
            "--include-dashboard=false", f"--temp-dir={place}",
        )  # fmt: skip
        self._count = 0
        self.other = self._join()

    def _join(self) -> Node:
        self._count += 1
        return Node(
            self._place, f"other{self._count}", f"--address={self.address}",
            f"--node-ip-address=127.0.0.{2 + self._count}", "--num-cpus=3",
        )  # fmt: skip

    def renew(self) -> None:
        """Another node in place of the one that was killed."""
        self.other = self._join()

    def close(self) -> None:
        """End both."""
        for node in (self.other, self.head):
            node.send(signal.SIGCONT)
            node.kill()


@contextmanager
def cluster() -> Iterator[Cluster]:
    """A cluster in a folder of a short name: Ray keeps sockets in it, whose paths may be 107 bytes long."""
    place = Path(tempfile.mkdtemp(prefix="ray", dir="/tmp"))
    token = place / "token"
    token.touch(mode=0o600)
    token.write_text(INTL.random(32).hex())
    os.environ |= {
        "RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN_PATH": str(token), "PYTHONPATH": str(ROOT), "RAY_USAGE_STATS_ENABLED": "0",
    }  # fmt: skip
    made = Cluster(place)
    try:
        yield made
    finally:
        made.close()
        shutil.rmtree(place, ignore_errors=True)


def wait_for(there: Callable[[], bool]) -> None:
    """Until it is so; a minute at most."""
    ends = time.monotonic() + 60
    while not there():
        assert time.monotonic() < ends
        time.sleep(0.05)


def _parents() -> Iterator[tuple[int, int]]:
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            with suppress(OSError):
                yield int(folder.name), int((folder / "stat").read_text().rpartition(")")[2].split()[1])
