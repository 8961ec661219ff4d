"""Starts processes of the house quickly: a process that has loaded everything forks one for each line it reads.

A line on standard input is a JSON object: `role` (gateway, worker, backup), `home`, `port`, `folder`, `crash`. It
answers with lines `{"started": pid}` and `{"ended": pid, "signal": number, "code": number}` on standard output.
"""

from __future__ import annotations

import json
import os
import select
import signal
import sys
import traceback
from pathlib import Path
from typing import Any

from sandbox.cli import backup as _backup  # noqa: F401 - loaded before the fork
from sandbox.cli import homes, serving, working
from sandbox.crash import VARIABLE
from sandbox.work import backup


def live(order: dict[str, Any]) -> None:
    """What the child does; it never comes back."""
    code = 1
    try:
        os.environ.pop(VARIABLE, None)
        if order.get("crash"):
            os.environ[VARIABLE] = order["crash"]
        quiet = os.open(order["log"], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        os.dup2(quiet, 1)
        os.dup2(quiet, 2)
        os.dup2(os.open("/dev/null", os.O_RDONLY), 0)
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        home = Path(order["home"])
        if order["role"] == "gateway":
            serving.run(home, host="127.0.0.1", port=order["port"])
        elif order["role"] == "worker":
            working.run(home)
        else:
            with homes.source_of(home) as (source, _):
                backup.make(source, Path(order["folder"]), copies=True)
        code = 0
    except SystemExit as leaving:
        code = int(leaving.code or 0)
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stderr.flush()
        os._exit(code)


def tell(**what: int) -> None:
    sys.stdout.write(json.dumps(what) + "\n")
    sys.stdout.flush()


def main() -> None:
    wake, woken = os.pipe()
    os.set_blocking(woken, False)
    signal.set_wakeup_fd(woken)
    signal.signal(signal.SIGCHLD, lambda _number, _frame: None)
    buffer = b""
    while True:
        ready, _, _ = select.select([0, wake], [], [])
        if wake in ready:
            os.read(wake, 4096)
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                break
            if pid == 0:
                break
            number = os.WTERMSIG(status) if os.WIFSIGNALED(status) else 0
            tell(ended=pid, signal=number, code=0 if number else os.WEXITSTATUS(status))
        if 0 in ready:
            piece = os.read(0, 65536)
            if not piece:
                return
            buffer += piece
            *lines, buffer = buffer.split(b"\n")
            for line in lines:
                pid = os.fork()
                if pid == 0:
                    live(json.loads(line))
                tell(started=pid)


if __name__ == "__main__":
    main()
