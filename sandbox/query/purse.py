"""The purse of a grant: what its ledger says is left, and the norms that its answers have released."""

from __future__ import annotations

from collections.abc import Sequence

from sandbox.flow import GrantTerms, Plan
from sandbox.query import canonical, ends
from sandbox.query.paid import priced_again, stored_values
from sandbox.query.parts import Parts
from sandbox.query.planning.clipping import Histogram, measured
from sandbox.query.planning.offers import Purse
from sandbox.store import ledger, repeats


def purse_of(parts: Parts, grant: GrantTerms, plans: Sequence[Plan]) -> Purse:
    """What a question under a grant is priced with: a function of the grant's own ledger and released numbers."""
    with parts.sessions.reading() as session:
        ((_, cap, spent),) = ledger.read_caps(session, [("grant", grant.id)])
    return Purse(cap=cap, spent=spent, norms=_norms(parts, plans))


def _norms(parts: Parts, plans: Sequence[Plan]) -> dict[str, Histogram]:
    """Of each measure the histogram with the least noise, among the answers that have left.

    Privacy: reads what the same grant was charged for and has been given; no protected row (P5.3, P6.5). An answer
    that is not out yet lends nothing, so that what a preview says tells nothing of when it was computed (P7.1).
    """
    plan = next((p for p in plans if p.bound.form == "clip" and not p.private), None)
    if plan is None:
        return {}
    with parts.sessions.reading() as session:
        answers = repeats.norm_answers(session, plan.permitted.grant.id, plan.version.id, canonical.clipping(plan))
    found: dict[str, Histogram] = {}
    for record in answers:
        if parts.clock.text() < ends.leaves_of(record):
            continue
        source = priced_again(parts, record)
        histograms = stored_values(parts, source.plan, record).histograms
        for index, release, counts in zip(source.clipped_anew, source.norms, histograms, strict=True):
            measure = measured(source.plan.measures[index])
            if measure not in found or release.scale < found[measure].scale:
                found[measure] = Histogram(query=record.id, counts=counts[0], scale=release.scale)
    return found
