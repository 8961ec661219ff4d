"""The demo's stage: a home under .demo, a gateway that runs beside the script, and the people with their keys."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import httpx2

ROOT = Path(__file__).parent.parent
STAGE = ROOT / ".demo"
HOME = STAGE / "home"
ENV = STAGE / "env"
PID = STAGE / "gateway.pid"
LOG = STAGE / "gateway.log"
SANDBOX = Path(sys.executable).parent / "sandbox"

PARTS = ("OPERATOR", "STEWARD", "COMMITTEE1", "COMMITTEE2", "COMPANY", "AUDITOR")


def clear() -> None:
    """Begin with nothing: stop an earlier gateway, remove its home."""
    stop()
    shutil.rmtree(STAGE, ignore_errors=True)
    STAGE.mkdir(mode=0o700)


def start(port: int = 0) -> str:
    """Start `sandbox serve` in the background; gives its URL once it takes requests."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith("SANDBOX_")}
    with LOG.open("ab") as log:
        offset = log.tell()
        gateway = subprocess.Popen(
            [SANDBOX, "serve", str(HOME), "--port", str(port)],
            stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=environment, start_new_session=True,
        )  # fmt: skip
    PID.write_text(str(gateway.pid))
    for _ in range(600):
        text = LOG.read_bytes()[offset:].decode(errors="replace")
        if "ready on " in text:
            return text.split("ready on ")[1].split()[0]
        if gateway.poll() is not None:
            break
        time.sleep(0.1)
    raise SystemExit(f"The gateway did not start:\n{LOG.read_text()[-2000:]}")


def running() -> int | None:
    """The process id of the stage's gateway, if it runs."""
    try:
        pid = int(PID.read_text())
        command = Path(f"/proc/{pid}/cmdline").read_bytes() if Path("/proc").exists() else b"serve"
        os.kill(pid, 0)
    except (OSError, ValueError):
        return None
    return pid if b"serve" in command else None


def stop() -> bool:
    """Stop the stage's gateway; True if one ran."""
    pid = running()
    if pid is None:
        PID.unlink(missing_ok=True)
        return False
    os.kill(pid, signal.SIGTERM)
    for _ in range(300):
        if running() is None or _gone(pid):
            break
        time.sleep(0.1)
    PID.unlink(missing_ok=True)
    return True


def _gone(pid: int) -> bool:
    try:
        return os.waitpid(pid, os.WNOHANG) != (0, 0)
    except ChildProcessError:
        return False


def write_env(values: dict[str, str]) -> None:
    """Write .demo/env, readable by its owner alone."""
    ENV.unlink(missing_ok=True)
    descriptor = os.open(ENV, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.writelines(f"{name}={value}\n" for name, value in values.items())


def read_env() -> dict[str, str]:
    """The values of .demo/env."""
    lines = ENV.read_text().splitlines() if ENV.exists() else []
    return dict(line.split("=", 1) for line in lines if "=" in line)


def sandbox(*arguments: str, url: str = "", key: str = "", check: bool = True, show: bool = True) -> str:
    """Run the real command line; gives its standard output. `check`: it must succeed."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith("SANDBOX_")}
    environment |= {"SANDBOX_URL": url, "SANDBOX_KEY": key} if url else {}
    environment.setdefault("COLUMNS", "150")
    done = subprocess.run(
        [SANDBOX, *arguments], env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
    )
    text = (done.stdout + done.stderr).rstrip()
    if show and text:
        sys.stdout.write("\n".join("   " + line for line in text.splitlines()) + "\n")
        sys.stdout.flush()
    if check == (done.returncode != 0):
        raise SystemExit(f"`sandbox {' '.join(arguments)}` ended with {done.returncode}:\n{text}")
    return done.stdout


def sandbox_json(*arguments: str, url: str = "", key: str = "") -> Any:
    """Run a verb with --json and read what it prints."""
    return json.loads(sandbox(*arguments, "--json", url=url, key=key, show=False))


def alive(url: str) -> bool:
    """Whether a gateway answers there."""
    try:
        return httpx2.get(f"{url}/health/live", timeout=5).status_code == 200
    except httpx2.HTTPError:
        return False
