"""One try at the confirmed destructions of a home, in a process that a kill point may end: `python one_removal.py HOME`."""

from __future__ import annotations

import sys
from pathlib import Path

from sandbox.committee import destroying
from sandbox.wiring import open_house

if __name__ == "__main__":
    with open_house(Path(sys.argv[1])) as house:
        destroying.run_next(
            house.sessions, house.clock, house.objects, log_name=house.log_name, log_key=house.log_key
        )
