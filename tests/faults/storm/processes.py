"""The processes of a storm, by role: started through the zygote, killed, and waited for."""

from __future__ import annotations

import json
import os
import queue
import signal
import subprocess
import sys
import threading
import time
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx2


@dataclass(slots=True)
class Running:
    """A process of the house, and how it ended once it has."""

    role: str
    pid: int
    ended: threading.Event = field(default_factory=threading.Event)
    signal: int = 0
    code: int = 0

    def kill(self) -> None:
        """SIGKILL; waits for the end."""
        with suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGKILL)
        assert self.ended.wait(30)


class Zygote:
    """One loaded process that forks all others."""

    def __init__(self, log: Path) -> None:
        self._log = log
        self._running: dict[int, Running] = {}
        self._early: dict[int, dict[str, int]] = {}
        self._started: queue.SimpleQueue[int] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.faults.storm.zygote"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self._listener = threading.Thread(target=self._listen, daemon=True)
        self._listener.start()

    def start(self, role: str, home: Path, **order: Any) -> Running:
        """Fork a process of that role."""
        assert self._process.stdin is not None
        line = json.dumps({"role": role, "home": str(home), "log": str(self._log), **order})
        self._process.stdin.write(line + "\n")
        self._process.stdin.flush()
        running = Running(role, self._started.get(timeout=60))
        with self._lock:
            self._running[running.pid] = running
            early = self._early.pop(running.pid, None)
        if early is not None:
            self._end(running, early)
        return running

    def close(self) -> None:
        """Kill what still runs, then the zygote."""
        for running in list(self._running.values()):
            if not running.ended.is_set():
                running.kill()
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.wait(30)
        self._listener.join(30)
        self._process.stdout.close()

    def _listen(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            told = json.loads(line)
            if "started" in told:
                self._started.put(told["started"])
                continue
            with self._lock:
                running = self._running.get(told["ended"])
                if running is None:
                    self._early[told["ended"]] = told
            if running is not None:
                self._end(running, told)

    @staticmethod
    def _end(running: Running, told: dict[str, int]) -> None:
        running.signal, running.code = told["signal"], told["code"]
        running.ended.set()


def answers(port: int, running: Running, seconds: float = 60.0) -> bool:
    """Wait until the gateway answers; False if it died before."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        if running.ended.is_set():
            return False
        with suppress(httpx2.HTTPError):
            if httpx2.get(f"http://127.0.0.1:{port}/health/live", timeout=5).status_code == 200:
                return True
        time.sleep(0.02)
    raise AssertionError("the gateway does not answer")
