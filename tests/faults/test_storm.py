"""A short storm: kills at named points under sixteen clients, on both databases; `make faults` has a thousand."""

from __future__ import annotations

import pytest

from tests.faults.storm.run import storm
from tests.promises import promise

POINTS = ["charge", "stored", "settle", "committing", "approval.voted", "log.numbered", "backup.tables", "ingest.sealed"]


@promise("P6.1", "P6.2", "P6.3")
@pytest.mark.parametrize("postgres", [False, True], ids=["sqlite", "postgresql"])
def test_after_every_kill_charges_events_caps_and_objects_agree(postgres: bool) -> None:
    tally = storm(len(POINTS), postgres=postgres, points=POINTS, seed=7)
    assert tally.wrong == []
    assert tally.kills == len(POINTS)
    assert sum(tally.at_point.values()) >= len(POINTS) // 2, "most processes died where they were told to"
    assert tally.told["answers"] > 0
