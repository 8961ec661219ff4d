"""Removals: a steward retires a dataset, or proposes to destroy it; a member of the committee confirms or declines."""

from __future__ import annotations

from sqlalchemy.orm import Session

from sandbox.clock import Clock
from sandbox.committee.terms import LONGEST_REASON, checked_text
from sandbox.errors import Denied
from sandbox.flow import Principal
from sandbox.policy.predicates import second_person
from sandbox.store import datasets
from sandbox.store import removals as store
from sandbox.store.removals import Removal


def retire(session: Session, clock: Clock, principal: Principal, dataset: str, *, reason: str) -> Removal:
    """Take a dataset of this name out of use: no new question, application or update; grants and answers stay readable.

    Raises:
        NotFound: `dataset_unknown`.
        Denied: `not_yours`.
        RequestError: `terms_text`, no reason or one too long.
        Conflict: `transition_refused`.
    """
    return store.retire(session, clock, principal, dataset=_own(session, principal, dataset), reason=_reason(reason))


def propose(session: Session, clock: Clock, principal: Principal, dataset: str, *, reason: str) -> Removal:
    """Propose to destroy a dataset of this name; nothing happens to it before a second person confirms.

    Raises:
        NotFound: `dataset_unknown`.
        Denied: `not_yours`.
        RequestError: `terms_text`.
        Conflict: `transition_refused`, `removal_under_way`.
    """
    return store.propose(session, clock, principal, dataset=_own(session, principal, dataset), reason=_reason(reason))


def confirm(session: Session, clock: Clock, principal: Principal, removal: str) -> Removal:
    """Destroy what was proposed. There is no way back: with the commit the keys are gone.

    Raises:
        NotFound: `removal_unknown`.
        Denied: `removal_own_side`.
        Conflict: `transition_refused`.
    """
    _require_second(principal, store.get(session, removal))
    return store.confirm(session, clock, principal, removal)


def decline(session: Session, clock: Clock, principal: Principal, removal: str) -> Removal:
    """Say no to what was proposed; it can be proposed again.

    Raises:
        NotFound: `removal_unknown`.
        Denied: `removal_own_side`.
        Conflict: `transition_refused`.
    """
    _require_second(principal, store.get(session, removal))
    return store.decline(session, clock, principal, removal)


def _own(session: Session, principal: Principal, name: str) -> str:
    found = datasets.dataset(session, name)
    if found.tenant != principal.tenant:
        raise Denied("not_yours")
    return found.id


def _require_second(principal: Principal, removal: Removal) -> None:
    """Who proposed it, and whose it is, never changes: this needs no lock."""
    refusal = second_person(principal, {"tenant": removal.tenant, "proposed_by": removal.proposed_by})
    if refusal is not None:
        raise Denied(refusal.code)


def _reason(reason: str) -> str:
    return checked_text("reason", reason, LONGEST_REASON)
