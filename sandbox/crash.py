"""Kill points: where the fault tests end the process with SIGKILL, when the environment names the point."""

from __future__ import annotations

import os
import signal
import threading
from collections import Counter
from typing import Final

VARIABLE: Final = "SANDBOX_CRASH_AT"

_passed: Counter[str] = Counter()
_lock = threading.Lock()


def point(name: str) -> None:
    """Die here, as by a power cut, if the variable says `name`, or `name@7` and this is the seventh time.

    Only tests set the variable. Whoever could set it for a gateway could as well kill it.
    """
    asked = os.environ.get(VARIABLE)
    if asked is None or asked.partition("@")[0] != name:
        return
    with _lock:
        _passed[name] += 1
        if _passed[name] >= int(asked.partition("@")[2] or 1):
            os.kill(os.getpid(), signal.SIGKILL)
