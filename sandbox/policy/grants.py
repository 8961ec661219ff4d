"""Choosing the grant a query stands on, from those the company holds: pure, and with the reason when none will do."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sandbox.flow import GrantTerms
from sandbox.names import nearest


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """A grant that a company holds, in whatever state it is."""

    terms: GrantTerms
    state: str


def query_context(
    held: Sequence[Held], *, asked: str | None, purpose: str | None, dataset: str, now: str, action: str = "query",
    dataset_state: str | None = None, also: Sequence[str] = (),
) -> Mapping[str, object]:  # fmt: skip
    """The context for deciding on a query: the grant asked for, else the only one that fits.

    A grant that names the tables in `also` too comes before others. Several that fit are listed as `candidates`. If
    none fits, the nearest miss is taken, so that the refusal can say what is wrong with it: one in force for another
    purpose, then one that is over; None if no grant names the dataset.
    """
    chosen: Held | None
    candidates: tuple[str, ...] = ()
    if asked is not None:
        chosen = next((g for g in held if g.terms.id == asked), None)
    else:
        wanted = {dataset, *also}
        some = [g for g in held if dataset in g.terms.datasets]
        naming = [g for g in some if wanted <= set(g.terms.datasets)] or some
        fitting = [g for g in naming if _fits(g, purpose, action, now)]
        candidates = tuple(g.terms.id for g in fitting)
        chosen = fitting[0] if len(fitting) == 1 else None if fitting else _nearest_miss(naming, purpose, now)
    return {
        "grant": chosen.terms if chosen else None,
        "grant_state": chosen.state if chosen else None,
        "candidates": candidates,
        "purpose": purpose,
        "dataset": dataset,
        "dataset_state": dataset_state,
        "nearest": nearest(dataset, {name for grant in held for name in grant.terms.datasets}),
        "action": action,
        "now": now,
    }


def _fits(grant: Held, purpose: str | None, action: str, now: str) -> bool:
    right_purpose = purpose is None or purpose == grant.terms.purpose
    return right_purpose and action in grant.terms.actions and _in_force(grant, now)


def _in_force(grant: Held, now: str) -> bool:
    return grant.state == "active" and grant.terms.starts_at <= now < grant.terms.expires_at


def _nearest_miss(naming: Sequence[Held], purpose: str | None, now: str) -> Held | None:
    """In force before over, the asked purpose before another, the newest first (ids sort by time)."""

    def nearness(grant: Held) -> tuple[bool, bool, str]:
        return _in_force(grant, now), purpose is None or purpose == grant.terms.purpose, grant.terms.id

    return max(naming, key=nearness, default=None)
