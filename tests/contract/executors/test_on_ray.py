"""The Ray executor's suite, in an environment of its own: Ray is too large for everybody's."""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
from hashlib import sha256
from pathlib import Path

import pytest

from sandbox.errors import RequestError
from sandbox.executors.ray import connect

HERE = Path(__file__).parent
ROOT = HERE.parents[2]
PLACE = ROOT / ".venv-ray"
LOCK = HERE / "ray.txt"
UV = Path(sys.executable).with_name("uv")


def python() -> Path:
    """An interpreter with the server's libraries and Ray, from their lock; made once."""
    PLACE.mkdir(exist_ok=True)
    (PLACE / ".gitignore").write_text("*\n")
    with (PLACE / "lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        place = PLACE / sha256(LOCK.read_bytes()).hexdigest()[:16]
        if not (place / "done").exists():
            subprocess.run([UV, "venv", "--quiet", "--clear", "--python", sys.executable, str(place)], check=True)
            install = [UV, "pip", "install", "--quiet", "--require-hashes", "-r", str(LOCK)]
            subprocess.run(install, check=True, env={**os.environ, "VIRTUAL_ENV": str(place)})
            (place / "done").touch()
    return place / "bin" / "python"


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_the_suite_passes_on_two_nodes() -> None:
    command = [python(), "-m", "pytest", "-q", "-p", "no:cacheprovider", str(HERE / "suite_on_ray.py")]
    environment = {key: value for key, value in os.environ.items() if not key.startswith("PYTEST_")}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-6000:]
    assert " passed" in done.stdout


def test_without_ray_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(RequestError) as caught:
        connect("auto")
    assert caught.value.code == "ray_missing"
