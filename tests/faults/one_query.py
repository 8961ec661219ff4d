"""A process that opens a home and asks one question; the fault tests kill it at a named point."""

from __future__ import annotations

import dataclasses
import sys
import time
from pathlib import Path

from sandbox.crypto.suite import INTL
from sandbox.flow import Principal, Request
from sandbox.query import answer, ends
from sandbox.wiring import open_house

SQL = "SELECT line, count(*), avg(delay) FROM city.trips GROUP BY line"


def request_of(principal: str, tenant: str) -> Request:
    """The question, always under the same idempotency key."""
    return Request(
        principal=Principal(id=principal, tenant=tenant, roles=frozenset({"engineer"})), sql=SQL, grant=None,
        purpose=None, epsilon=10**11, within=None, rows=None, idempotency_key="the-one-question",
        digest=INTL.digest(SQL.encode()).hex(),
    )  # fmt: skip


if __name__ == "__main__":
    home, principal, tenant = sys.argv[1:]
    with open_house(Path(home)) as house:
        parts = dataclasses.replace(house.parts(), model=dataclasses.replace(house.model, fixed=1.0))
        request = request_of(principal, tenant)
        pending = answer.submit(parts, request)
        answer.finish(parts, pending)
        time.sleep(pending.leaves_in())
        ends.end(parts, pending)
        answer.read(parts, request.principal, pending.query_id)
