"""Two programs that nobody here wrote, brought up for the tests: Go's sumdb packages, and aics-tlog in an environment of its own."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[3]
HERE = Path(__file__).parent
PLACE = ROOT / ".venv-tlog"
GOPATH = Path("/usr/share/gocode")
PACKAGES = [name for name in (ROOT / "deploy" / "apt.txt").read_text("ascii").split() if name.startswith("golang")]


class Oracle:
    """A program that answers a JSON line with a line."""

    def __init__(self, command: list[str]) -> None:
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def ask(self, **asked: Any) -> str:
        """One question, one line back."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(asked) + "\n")
        self._process.stdin.flush()
        return self._process.stdout.readline().rstrip("\n")

    def close(self) -> None:
        """Let it go."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.stdout.close()
        self._process.wait(timeout=30)


def go() -> Oracle:
    """Go's own note and tlog packages, built offline from Debian's sources."""
    with _alone():
        _install_go()
        source = HERE / "go" / "oracle.go"
        built = PLACE / f"oracle-{sha256(source.read_bytes()).hexdigest()[:16]}"
        if not built.exists():
            environment = os.environ | {
                "GO111MODULE": "off", "GOPATH": str(GOPATH), "GOFLAGS": "", "GOCACHE": str(PLACE / "go-cache"), "GOTOOLCHAIN": "local",
            }  # fmt: skip
            subprocess.run(["go", "build", "-o", f"{built}.new", str(source)], env=environment, check=True)
            Path(f"{built}.new").replace(built)
    return Oracle([str(built)])


def aics() -> Oracle:
    """aics-tlog, from its own lock: it wants a newer `cryptography` than it must have beside our own."""
    lock = ROOT / "requirements" / "tlog.txt"
    with _alone():
        place = PLACE / f"python-{sha256(lock.read_bytes()).hexdigest()[:16]}"
        if not (place / "done").exists():
            shutil.rmtree(place, ignore_errors=True)
            subprocess.run([sys.executable, "-m", "venv", str(place)], check=True)
            # It declares 3.12; its code runs on 3.11.
            pip = [str(place / "bin" / "pip"), "install", "--quiet", "--disable-pip-version-check", "--require-hashes"]
            subprocess.run([*pip, "--ignore-requires-python", "-r", str(lock)], check=True)
            (place / "done").touch()
    return Oracle([str(place / "bin" / "python"), str(HERE / "aics.py")])


def _install_go() -> None:
    there = shutil.which("go") and (GOPATH / "src" / "golang.org" / "x" / "mod" / "sumdb" / "tlog").is_dir()
    if not there and os.geteuid() == 0:
        subprocess.run(["apt-get", "update", "-qq"], check=True)
        subprocess.run(["apt-get", "install", "-y", "-qq", "--no-install-recommends", *PACKAGES], check=True)
    elif not there:
        message = f"Go's tlog is the log's oracle, and is not here. Run: apt-get install {' '.join(PACKAGES)}"
        raise AssertionError(message)


@contextmanager
def _alone() -> Iterator[None]:
    """One process at a time builds."""
    PLACE.mkdir(exist_ok=True)
    with (PLACE / "lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
