"""Clipping: a measure's norm from a histogram that is released, and which histograms of earlier answers are as good."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final, TypeAlias

from sandbox.errors import RequestError
from sandbox.flow import Ints, Plan
from sandbox.plans import Measure, Norm
from sandbox.privacy import mechanisms, norms
from sandbox.query.planning.bounding import NORM_SHARE
from sandbox.query.planning.sizes import most_rows

COARSER: Final = 2.0
"""How much more noise than a new one an earlier histogram may have: with four times its rho a question buys its own."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Histogram:
    """A noisy histogram of units' norms that a query has released, and its noise."""

    query: str
    counts: Ints
    """Shape (bins,)."""
    scale: float


Histograms: TypeAlias = Mapping[str, Histogram]
"""By `measured`: what one grant's answers have released of the vectors that a plan clips."""


def measured(measure: Measure) -> str:
    """What a histogram is of: what is measured, whatever part of a budget it has; as text, in which 1 is not TRUE."""
    return repr(replace(measure, share=0))


def norm_of(plan: Plan, index: int, counts: Ints, *, scale: float, groups: int, loss: int) -> int:
    """Where to clip a measure whose values get noise for so much rho, in steps of its integers.

    Privacy: post-processing of the histogram.
    """
    most = most_rows(plan.relation, plan.tables) * plan.measures[index].row_bound
    sigma = mechanisms.scale("gaussian", sensitivity=1, loss=loss)
    return norms.choose(counts, scale=scale, groups=max(groups, 1), sigma=sigma, maximum=most)


def reused(plan: Plan, index: int, histograms: Histograms, *, loss: int) -> Norm | None:
    """The norm that an earlier histogram gives, if that is about as good as a new one's; all rho then buys values.

    A histogram overlooks up to `norms.overlooked` units at its top. That is good enough where it is at most `COARSER`
    times what a new one for its part of this loss would overlook, or where so many are cut on purpose at this loss.

    Privacy: post-processing of what the same grant's answers have released; which histogram is good enough follows from
    its noise and from the price alone.
    """
    known = None if plan.private else histograms.get(measured(plan.measures[index]))
    if known is None or loss < 1:
        return None
    try:
        new = norms.scale(rho=max(1, loss // NORM_SHARE))
        sigma = mechanisms.scale("gaussian", sensitivity=1, loss=loss)
    except RequestError:  # budget_too_small: what the question itself cannot buy is not lent to it either
        return None
    enough = norms.cut_on_purpose(groups=max(plan.groups, 1), sigma=sigma)
    if norms.overlooked(known.scale) > max(COARSER * norms.overlooked(new), enough):
        return None
    norm = norm_of(plan, index, known.counts, scale=known.scale, groups=plan.groups, loss=loss)
    return Norm(query=known.query, norm=norm)
