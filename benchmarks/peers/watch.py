"""Run a peer under watch: what it said, the most memory that it and its children held, and an end at the limits."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

MINUTES: Final = 10.0
MEGABYTES: Final = 16_000.0
EVERY: Final = 0.2
"""Seconds between two looks; a process's own high-water mark catches what lies between them."""
_PAGE: Final = os.sysconf("SC_PAGE_SIZE")


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """The JSON lines a run printed, its peak memory, and why it was ended or failed, in one line."""

    lines: tuple[dict[str, Any], ...]
    peak_mb: float
    ended: str | None
    """It met a limit."""
    failed: str | None
    """It stopped by itself, with an error."""


NOTHING: Final = Outcome(lines=(), peak_mb=0.0, ended=None, failed=None)
"""Of a peer that was not run."""


def tree(root: int) -> list[int]:
    """A process and all that it started, as far as they live."""
    parents: dict[int, int] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with suppress(OSError, ValueError, IndexError):
                parents[int(entry.name)] = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
    found = [root]
    for process in found:
        found.extend(child for child, parent in parents.items() if parent == process)
    return found


def _held(processes: Sequence[int]) -> tuple[float, float]:
    """Megabytes that they hold now in all, and the largest high-water mark of one."""
    now = peak = 0.0
    for process in processes:
        with suppress(OSError, ValueError, IndexError):
            now += int(Path(f"/proc/{process}/statm").read_text().split()[1]) * _PAGE / 2**20
            mark = re.search(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{process}/status").read_text())
            peak = max(peak, int(mark[1]) / 1024 if mark else 0.0)
    return now, peak


def _end(root: int) -> None:
    """End what this watch started, children first seen included: some of them lead groups of their own."""
    for process in tree(root):
        with suppress(OSError):
            os.kill(process, signal.SIGKILL)


def _said(path: Path) -> tuple[dict[str, Any], ...]:
    """The JSON objects among the lines of a file."""
    found = []
    for line in path.read_text(errors="replace").splitlines():
        with suppress(ValueError):
            told = json.loads(line)
            if isinstance(told, dict):
                found.append(told)
    return tuple(found)


def _last(path: Path) -> str:
    """The last line that says something: where Python puts an error's text."""
    lines = [line.strip() for line in path.read_text(errors="replace").splitlines() if line.strip()]
    errors = [line for line in lines if re.match(r"[\w.]*(Error|Exception)\b", line)]
    return (errors or lines or ["said nothing"])[-1][:160]


def run(
    command: Sequence[str], environment: Mapping[str, str], *, minutes: float = MINUTES, megabytes: float = MEGABYTES
) -> Outcome:
    """Run a command in a folder of its own until it ends or meets a limit."""
    with tempfile.TemporaryDirectory(prefix="peer-") as name:
        out, error, work = Path(name) / "out", Path(name) / "error", Path(name) / "work"
        work.mkdir()
        with out.open("wb") as said, error.open("wb") as complained:
            process = subprocess.Popen(
                command, cwd=work, env=dict(environment), stdin=subprocess.DEVNULL, stdout=said, stderr=complained
            )
        start, peak, ended = time.monotonic(), 0.0, None
        try:
            while process.poll() is None and ended is None:
                now, mark = _held(tree(process.pid))
                peak = max(peak, now, mark)
                if now > megabytes:
                    ended = f"more than {megabytes / 1000:.0f} GB"
                elif time.monotonic() - start > 60 * minutes:
                    ended = f"more than {minutes:g} minutes"
                else:
                    with suppress(subprocess.TimeoutExpired):
                        process.wait(EVERY)
        finally:
            if process.poll() is None:
                _end(process.pid)
                process.wait()
        failed = _last(error) if process.returncode and ended is None else None
        return Outcome(lines=_said(out), peak_mb=peak, ended=ended, failed=failed)
