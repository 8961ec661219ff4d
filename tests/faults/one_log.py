"""One life of a log, in a process of its own that a kill point may end: `python one_log.py FOLDER`."""

from __future__ import annotations

import sys
from pathlib import Path

from sandbox.store import migrations
from sandbox.store.sessions import Sessions
from tests.unit.work.logs import Log
from tests.unit.work.times import Times

EVENTS = 600


def opened(folder: Path, minutes: int) -> Log:
    """The log in a folder, so many minutes after its beginning, always with the same keys."""
    times = Times()
    times.pass_(60 * minutes)
    return Log(Sessions(folder / "home.db"), folder, times=times, key=bytes(range(32)), secret=bytes(range(32)))


def live(kept: Log) -> None:
    """Number, publish, let a minute pass, publish."""
    kept.sequence()
    kept.publish()
    kept.times.pass_(60)
    kept.publish()


if __name__ == "__main__":
    home = Path(sys.argv[1])
    migrations.upgrade(home / "home.db")
    log = opened(home, 0)
    log.write_many(EVENTS)
    live(log)
