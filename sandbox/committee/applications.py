"""Applications and grants step by step: each function checks its rules, makes its move, and logs it, in one session."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy.orm import Session

from sandbox import crash
from sandbox.clock import Clock
from sandbox.committee import rules
from sandbox.committee.terms import LONGEST_REASON, checked_text
from sandbox.errors import Conflict, IntegrityFailed, RequestError
from sandbox.flow import Principal
from sandbox.policy.lifecycles import APPLICATION, GRANT
from sandbox.policy.terms import Application, DatasetFacts, Grant, Terms
from sandbox.privacy import accounting, mechanisms
from sandbox.store import committee as store
from sandbox.store import ledger, log

__all__ = ["APPLICATION", "GRANT", "consent", "expire", "revoke", "submit", "vote", "withdraw"]


def submit(session: Session, clock: Clock, principal: Principal, terms: Terms) -> Application:
    """Apply for a scenario: it waits for the owners that want to consent, else for the review at once.

    Raises:
        Denied: `not_your_role`.
        RequestError: what is wrong with the terms (`terms_…`, `grant_…`).
    """
    rules.may_submit(principal)
    facts = _datasets(session, terms)
    rules.budget(terms, store.population_facts(session, _population(facts)))
    action = "ask_owners" if rules.consents_needed(facts) else "open_review"
    move = APPLICATION.step(APPLICATION.start, action)
    return store.add_application(session, clock, actor=principal, terms=terms, move=move)


def consent(
    session: Session, clock: Clock, principal: Principal, application_id: str, *, dataset: str, approve: bool,
    reason: str = "",
) -> Application:  # fmt: skip
    """Say an owner's yes or no for one dataset; the last yes opens the review, the first no rejects.

    Raises:
        NotFound: `application_unknown`.
        RequestError: `consent_not_asked`, the application or the dataset's manifest does not ask for it; `terms_text`.
        Denied: `not_your_role`, `consent_not_owner`, `consent_own_application`.
        Conflict: `transition_refused`, `consent_already_given`.
    """
    application = store.get_application(session, application_id, lock=True)
    facts = _datasets(session, application.terms)
    needed = rules.consents_needed(facts)
    if dataset not in needed:
        raise RequestError("consent_not_asked", dataset=dataset, asked=list(needed))
    votes = store.votes_of(session, application_id)
    rules.may_consent(principal, application, next(fact for fact in facts if fact.name == dataset), votes)
    missing = rules.consents_missing(needed, votes)
    action = "consent_last" if approve and missing == [dataset] else "consent"
    moved = store.add_vote(
        session, clock, actor=principal, application=application_id, round_=rules.consent_round(dataset),
        approve=approve, reason=_reason(reason), move=APPLICATION.step(application.state, action),
    )  # fmt: skip
    if approve:
        return moved
    refusal = APPLICATION.step(moved.state, "refuse")
    return store.move_application(session, clock, actor=principal, application=application_id, move=refusal)


def vote(
    session: Session, clock: Clock, principal: Principal, application_id: str, *, approve: bool, reason: str = ""
) -> Application:
    """Vote as a member; the second vote for it makes a grant with its cap, the second against it rejects.

    Raises:
        NotFound: `application_unknown`.
        RequestError: `terms_text`, or what has become wrong with the terms since.
        Denied: `not_your_role`, `vote_own_side`.
        Conflict: `transition_refused`, `vote_already_given`, `consents_missing`.
    """
    application = store.get_application(session, application_id, lock=True)
    rules.may_vote(principal, application, store.votes_of(session, application_id))
    moved = store.add_vote(
        session, clock, actor=principal, application=application_id, round_=rules.REVIEW, approve=approve,
        reason=_reason(reason), move=APPLICATION.step(application.state, "vote"),
    )  # fmt: skip
    crash.point("approval.voted")
    outcome = rules.outcome(moved, store.votes_of(session, application_id))
    if outcome == "approve":
        _grant(session, clock, principal, moved)
        return store.get_application(session, application_id)
    if outcome == "reject":
        rejection = APPLICATION.step(moved.state, "reject")
        return store.move_application(session, clock, actor=principal, application=application_id, move=rejection)
    return moved


def withdraw(session: Session, clock: Clock, principal: Principal, application_id: str) -> Application:
    """Take an application back while nothing is decided.

    Raises:
        NotFound: `application_unknown`.
        Denied: `not_yours`.
        Conflict: `transition_refused`.
    """
    application = store.get_application(session, application_id, lock=True)
    rules.may_withdraw(principal, application)
    move = APPLICATION.step(application.state, "withdraw")
    return store.move_application(session, clock, actor=principal, application=application_id, move=move)


def revoke(session: Session, clock: Clock, principal: Principal, grant_id: str) -> Grant:
    """End a grant at once; what was spent under it stays spent.

    Raises:
        NotFound: `grant_unknown`.
        Denied: `not_your_role`.
        Conflict: `transition_refused`.
    """
    rules.may_revoke(principal)
    return store.move_grant(
        session, clock, actor=principal, grant=grant_id, action="revoke", details={"cause": "committee"}
    )


def expire(session: Session, clock: Clock) -> list[Grant]:
    """The duty that ends the grants whose time is over; gives them."""
    over = store.grants_over(session, clock.text())
    return [
        store.move_grant(session, clock, actor=log.SYSTEM, grant=grant.id, action="expire", details={"cause": "time"})
        for grant in store.lock_active(session, over)  # one may be revoked just now
    ]


def _grant(session: Session, clock: Clock, principal: Principal, application: Application) -> Grant:
    """Check once more what may have changed since the application, then write the grant and open its cap."""
    facts = _datasets(session, application.terms)
    needed = rules.consents_needed(facts)
    missing = rules.consents_missing(needed, store.votes_of(session, application.id))
    if missing:
        raise Conflict("consents_missing", application=application.id, datasets=missing)
    budget = rules.budget(application.terms, store.population_facts(session, _population(facts)))
    cap = accounting.open_cap(
        epsilon=budget.epsilon, delta=budget.delta, conversion=budget.conversion,
        epsilon_of_rho=mechanisms.epsilon_of_rho,
    )  # fmt: skip
    grant = store.add_grant(
        session, clock, actor=principal, application=application.id, votes_needed=rules.VOTES_NEEDED,
        consents_needed=needed, move=APPLICATION.step(application.state, "approve"),
    )  # fmt: skip
    ledger.open_cap(
        session, clock, principal, scope="grant", subject=grant.id, tenant=grant.tenant, cap=cap, spent=budget.opening
    )
    crash.point("approval.granted")
    return grant


def _datasets(session: Session, terms: Terms) -> list[DatasetFacts]:
    found = store.dataset_facts(session, terms.datasets)
    known = () if len(found) == len(terms.datasets) else store.dataset_names(session)
    return rules.datasets_of(terms, found, known)


def _population(facts: Sequence[DatasetFacts]) -> str:
    population = facts[0].population
    if population is None:
        raise IntegrityFailed("population_unknown", population=None)
    return population


def _reason(reason: str) -> str:
    return checked_text("reason", reason, LONGEST_REASON, empty=True)
