"""Applications and grants: apply, consent, vote, withdraw, revoke, and read what concerns the caller."""

from __future__ import annotations

from fastapi import APIRouter
from sqlalchemy.orm import Session

from sandbox import schemas
from sandbox.committee import applications
from sandbox.committee.terms import draft
from sandbox.errors import NotFound
from sandbox.flow import Principal
from sandbox.gateway.access import At, Caller, Gate, permit, sees_all
from sandbox.gateway.pages import After, Limit, page
from sandbox.gateway.shapes import delta_text
from sandbox.policy.terms import Application, Grant, Terms, Vote
from sandbox.privacy import accounting
from sandbox.schemas import ApplicationAsk, Budget, ConsentAsk, Page, VoteAsk
from sandbox.store import committee as store
from sandbox.store import ledger

router = APIRouter(prefix="/v1", tags=["committee"])


@router.post("/applications", status_code=201)
def submit(ask: ApplicationAsk, gate: At, caller: Caller) -> schemas.Application:
    """Apply for one scenario."""
    permit(gate, caller, "application", "submit")
    terms = draft(
        scenario=ask.scenario, purpose=ask.purpose, datasets=ask.datasets, actions=ask.actions, preset=ask.preset,
        epsilon=ask.epsilon, starts_at=ask.starts_at, expires_at=ask.expires_at, now=gate.house.clock.text(),
    )  # fmt: skip
    with gate.house.sessions.begin() as session:
        return _application(session, applications.submit(session, gate.house.clock, caller, terms))


@router.get("/applications")
def list_applications(gate: At, caller: Caller, after: After = "", limit: Limit = 100) -> Page[schemas.Application]:
    """Applications, oldest first: all of them for those who decide on them, else one's own organisation's."""
    permit(gate, caller, "application", "read", {"tenant": caller.tenant})
    tenant = None if sees_all(gate, caller, "application", "read") else caller.tenant
    with gate.house.sessions.reading() as session:
        found = store.list_applications(session, tenant=tenant, after=after, limit=limit + 1)
        return page(found, limit, lambda a: a.id, lambda a: _application(session, a))


@router.get("/applications/{application_id}")
def read_application(application_id: str, gate: At, caller: Caller) -> schemas.Application:
    """An application with what was said on it."""
    with gate.house.sessions.reading() as session:
        found = store.get_application(session, application_id)
        shape = _application(session, found)
    _permit_application(gate, caller, "read", found)
    return shape


@router.post("/applications/{application_id}/consent")
def consent(application_id: str, ask: ConsentAsk, gate: At, caller: Caller) -> schemas.Application:
    """Say a data owner's yes or no for one dataset."""
    permit(gate, caller, "application", "consent")
    with gate.house.sessions.begin() as session:
        moved = applications.consent(
            session, gate.house.clock, caller, application_id, dataset=ask.dataset, approve=ask.approve,
            reason=ask.reason,
        )  # fmt: skip
        return _application(session, moved)


@router.post("/applications/{application_id}/vote")
def vote(application_id: str, ask: VoteAsk, gate: At, caller: Caller) -> schemas.Application:
    """Vote as a member of the committee."""
    permit(gate, caller, "application", "vote")
    with gate.house.sessions.begin() as session:
        moved = applications.vote(
            session, gate.house.clock, caller, application_id, approve=ask.approve, reason=ask.reason
        )
        return _application(session, moved)


@router.post("/applications/{application_id}/withdraw")
def withdraw(application_id: str, gate: At, caller: Caller) -> schemas.Application:
    """Take an application back while nothing is decided."""
    with gate.house.sessions.reading() as session:
        found = store.get_application(session, application_id)
    _permit_application(gate, caller, "withdraw", found)
    with gate.house.sessions.begin() as session:
        return _application(session, applications.withdraw(session, gate.house.clock, caller, application_id))


@router.get("/grants")
def list_grants(gate: At, caller: Caller, after: After = "", limit: Limit = 100) -> Page[schemas.Grant]:
    """Grants, oldest first, with what is left of each: all of them for those who watch over them, else one's own."""
    permit(gate, caller, "grant", "read", {"tenant": caller.tenant})
    with gate.house.sessions.reading() as session:
        if sees_all(gate, caller, "grant", "read"):
            found = store.list_grants(session, after, limit + 1)
        else:
            found = [g for g in store.grants_of(session, caller.tenant) if g.id > after][: limit + 1]
        return page(found, limit, lambda g: g.id, lambda g: _grant(session, g))


@router.get("/grants/{grant_id}")
def read_grant(grant_id: str, gate: At, caller: Caller) -> schemas.Grant:
    """A grant: terms, state, and what is left of it."""
    with gate.house.sessions.reading() as session:
        found = store.get_grant(session, grant_id)
        if found is None:
            raise NotFound("grant_unknown", grant=grant_id)
        shape = _grant(session, found)
    hidden = NotFound("grant_unknown", grant=grant_id)
    permit(gate, caller, "grant", "read", {"tenant": found.tenant}, hidden=hidden)
    return shape


@router.post("/grants/{grant_id}/revoke")
def revoke(grant_id: str, gate: At, caller: Caller) -> schemas.Grant:
    """End a grant at once; what was spent under it stays spent."""
    permit(gate, caller, "grant", "revoke")
    with gate.house.sessions.begin() as session:
        return _grant(session, applications.revoke(session, gate.house.clock, caller, grant_id))


def _permit_application(gate: Gate, caller: Principal, verb: str, found: Application) -> None:
    hidden = NotFound("application_unknown", application=found.id)
    permit(gate, caller, "application", verb, {"tenant": found.tenant}, hidden=hidden)


def _application(session: Session, found: Application) -> schemas.Application:
    votes = store.votes_of(session, found.id)
    grant = store.grant_of_application(session, found.id)
    return schemas.Application(
        id=found.id,
        tenant=found.tenant,
        principal=found.principal,
        state=found.state,
        terms=_terms(found.terms),
        votes=[_vote(v) for v in votes],
        grant=grant,
        created_at=found.created_at,
    )


def _vote(vote: Vote) -> schemas.Vote:
    return schemas.Vote(
        round=vote.round, principal=vote.principal, tenant=vote.tenant, approve=vote.approve, reason=vote.reason,
        at=vote.at,
    )  # fmt: skip


def _terms(terms: Terms) -> schemas.Terms:
    return schemas.Terms(
        scenario=terms.scenario,
        purpose=terms.purpose,
        datasets=list(terms.datasets),
        actions=list(terms.actions),
        preset=terms.preset,
        epsilon=accounting.decimal(terms.epsilon),
        starts_at=terms.starts_at,
        expires_at=terms.expires_at,
    )


def _grant(session: Session, found: Grant) -> schemas.Grant:
    ((_, cap, spent),) = ledger.read_caps(session, [("grant", found.id)])
    left_pure, left_rho = accounting.left([(spent, cap)])
    return schemas.Grant(
        id=found.id,
        tenant=found.tenant,
        application=found.application,
        state=found.state,
        terms=_terms(found.terms),
        created_at=found.created_at,
        budget=Budget(
            epsilon=accounting.decimal(cap.epsilon),
            delta=delta_text(cap.delta),
            spent_pure=accounting.decimal(spent.eps_p),
            spent_rho=accounting.decimal(spent.rho),
            spent_delta=delta_text(spent.delta),
            left_pure=accounting.decimal(left_pure),
            left_rho=accounting.decimal(left_rho),
        ),
    )

