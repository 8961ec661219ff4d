"""One try at the ingests of a workshop, in a process of its own that a kill point may end: `python one_ingest.py FOLDER`."""

from __future__ import annotations

import sys
from pathlib import Path

from sandbox.ingest import duty
from tests.workshop import open_workshop

if __name__ == "__main__":
    # A short lease, so that the next worker need not wait; a small buffer, so that rows are spilled.
    workshop = open_workshop(Path(sys.argv[1]), lease_seconds=0.5, most_buffered=500, worker_id="wrk_killed")
    duty.run_next(workshop.parts)
