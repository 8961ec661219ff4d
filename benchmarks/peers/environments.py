"""An environment for each peer, made from its lock with hashes; or the one line that says why there is none."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parent.parent.parent
LOCKS: Final = ROOT / "requirements" / "peers"
PROGRAMS: Final = {"tumult": ("java", "Spark needs a Java runtime")}
"""What a peer needs that no lock can bring."""


class NotInstalled(Exception):
    """The text is the reason, in one line."""


def _uv(*arguments: str, environment: Path | None = None) -> None:
    beside = Path(sys.executable).parent / "uv"
    uv = str(beside) if beside.exists() else shutil.which("uv")
    if uv is None:
        raise NotInstalled("uv is not there")
    chosen = {**os.environ} | ({"VIRTUAL_ENV": str(environment)} if environment else {})
    done = subprocess.run([uv, *arguments], env=chosen, capture_output=True, text=True, check=False)
    if done.returncode:
        lines = [line.strip(" ×╰─▶") for line in done.stderr.splitlines() if line.strip()]
        raise NotInstalled((lines or ["uv failed"])[0][:160])


def python_of(name: str, envs: Path) -> Path:
    """The interpreter of a peer's environment below `envs`, made or made anew where its lock has changed.

    Raises:
        NotInstalled: with the reason.
    """
    program, why = PROGRAMS.get(name, (None, ""))
    if program is not None and shutil.which(program) is None:
        raise NotInstalled(why)
    lock, environment = LOCKS / f"{name}.txt", (envs / name).absolute()
    stamp, digest = environment / ".lock", hashlib.sha256(lock.read_bytes()).hexdigest()
    if not stamp.exists() or stamp.read_text() != digest:
        _uv("venv", "--quiet", "--clear", "--python", sys.executable, str(environment))
        _uv("pip", "install", "--quiet", "--require-hashes", "-r", str(lock), environment=environment)
        stamp.write_text(digest)
    return environment / "bin" / "python"
