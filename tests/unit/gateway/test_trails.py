"""Trails: what is kept of a request's steps depends on its declared moments, never on when computing ended."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any, cast

from sandbox.clock import Clock, rfc3339
from sandbox.flow import Charged, Cost, Plan, Priced
from sandbox.gateway.trails import Trail, Walked
from sandbox.query.parts import Pending
from tests.promises import promise

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


def walked(*, seconds: float, computed: bool) -> tuple[Trail, Walked]:
    """A charged request that ends so long after its charge, whose rung is a second after it."""
    clock = Clock(lambda: NOW + timedelta(seconds=seconds))
    priced = Priced(plan=cast("Plan", None), releases=(), cost=Cost(), rung=1.0)
    charged = Charged(priced=priced, query_id="qry_1", attempt=1, charged_at=rfc3339(NOW), event_id="evt_1", receipt={})
    trail, leaves = Trail(clock), rfc3339(NOW + timedelta(seconds=1))
    trail.note("charge", 0.01)
    trail.paid(Pending(query_id="qry_1", leaves_at=leaves, clock=clock, charged=charged))
    if computed:
        trail.note("compute", 0.2)
    return trail, end(trail)


def end(trail: Trail) -> Walked:
    told: dict[str, Any] = {"request_id": "r", "route": "-", "method": "POST", "status": 503, "code": None}
    return trail.end(**told, principal=None)


@promise("P7.2")
def test_a_request_that_ends_before_its_rung_does_not_tell_whether_it_was_computed() -> None:
    early = [[s.name for s in walked(seconds=0.5, computed=computed)[1].steps] for computed in (True, False)]
    assert early == [["charge"], ["charge"]]
    assert [s.name for s in walked(seconds=1.0, computed=True)[1].steps] == ["charge", "compute"]


def test_a_step_that_ends_after_its_request_is_not_told() -> None:
    trail, _ = walked(seconds=2.0, computed=False)
    trail.note("compute", 3.0)
    assert end(trail).steps == ()
