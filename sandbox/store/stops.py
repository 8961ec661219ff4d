"""Stops: a company's third query without an answer in a population ends its grants there (P7.1)."""

from __future__ import annotations

from typing import Final

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from sandbox.clock import Clock
from sandbox.store import committee, log
from sandbox.store import tables as t

UNANSWERED: Final = 3
"""This many queries of a company in a population that gave no answer stop its grants there (P7.1)."""

COUNTED: Final = ("failed", "overrun")
"""Ends that rows may have had a part in; `lost` is the platform's doing, or a steward's, and counts for nobody."""


def count(session: Session, clock: Clock, *, tenant: str, population: str) -> None:
    """Count a query that has just ended without an answer; the third over all grants stops the active ones there.

    The caller has written the end in this session. Event `grant.stop` for each grant. A new grant is the committee's
    to give; the count does not begin anew, so that the next query without an answer stops that one too.
    """
    # One at a time in a population, or two that are the third together would each count two.
    session.execute(select(t.PopulationRow.id).where(t.PopulationRow.id == population).with_for_update())
    unanswered = (
        t.QueryRow.state.in_(COUNTED) & (t.QueryRow.tenant == tenant) & (t.QueryRow.population == population)
    )
    found = session.scalar(select(func.count()).select_from(t.QueryRow).where(unanswered)) or 0
    if found < UNANSWERED:
        return
    for grant in committee.lock_active(session, committee.active_grants_in(session, tenant, population)):
        committee.move_grant(
            session, clock, actor=log.SYSTEM, grant=grant.id, action="stop",
            details={"cause": "no_answers", "population": population, "queries": found},
        )  # fmt: skip
