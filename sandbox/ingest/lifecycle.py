"""The life of an ingest: its transition table, and the steps of an attempt, which are also its kill points."""

from __future__ import annotations

from typing import Final

from sandbox.machine import Machine, Transition

DUTY: Final = "ingest duty"

INGEST: Final = Machine(
    name="ingest",
    start="queued",
    ends=frozenset({"committed", "failed"}),
    transitions=(
        Transition(sources=("queued",), action="claim", target="running", owner=DUTY, event="ingest.start"),
        Transition(sources=("running",), action="take_over", target="running", owner=DUTY, event="ingest.start"),
        Transition(sources=("running",), action="commit", target="committed", owner=DUTY, event="ingest.commit"),
        Transition(sources=("running",), action="fail", target="failed", owner=DUTY, event="ingest.fail"),
        Transition(sources=("running",), action="give_up", target="failed", owner=DUTY, event="ingest.fail"),
    ),
)
"""`take_over`: the lease ran out, so its worker is dead. `give_up`: it ran out in the last attempt."""

MOST_ATTEMPTS: Final = 2

STEPS: Final = (
    "ingest.claimed",
    "ingest.read",
    "ingest.spilled",
    "ingest.sorted",
    "ingest.written",
    "ingest.sealed",
    "ingest.uploaded",
    "ingest.manifest",
    "ingest.committing",
    "ingest.committed",
)
"""The points of an attempt at which the fault tests kill it, in their order."""
