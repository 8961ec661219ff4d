"""Kill points: where the fault tests end the process with SIGKILL, when the environment names the point."""

from __future__ import annotations

import os
import signal
from typing import Final

VARIABLE: Final = "SANDBOX_CRASH_AT"


def point(name: str) -> None:
    """Die here, as by a power cut, if the variable holds this name; else nothing happens.

    Only tests set the variable. Whoever could set it for a gateway could as well kill it.
    """
    if os.environ.get(VARIABLE) == name:
        os.kill(os.getpid(), signal.SIGKILL)
