"""Applications, consents, votes and grants in SQL; the committee's rules are above, in `sandbox.committee`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from sqlalchemy import select
from sqlalchemy.orm import Session

from sandbox.audit.records import record_digest
from sandbox.clock import Clock
from sandbox.errors import IntegrityFailed, NotFound
from sandbox.flow import Principal
from sandbox.ids import new_id
from sandbox.machine import Transition
from sandbox.policy.grants import Held
from sandbox.policy.lifecycles import GRANT
from sandbox.policy.terms import Application, DatasetFacts, Grant, PopulationFacts, Terms, Vote
from sandbox.store import log
from sandbox.store import tables as t

# --- what is declared -------------------------------------------------------------------------------------------------


def dataset_facts(session: Session, names: Sequence[str]) -> dict[str, DatasetFacts]:
    """The datasets of these names, as far as there are any."""
    rows = session.scalars(select(t.DatasetRow).where(t.DatasetRow.name.in_(names)))
    return {
        row.name: DatasetFacts(
            id=row.id,
            name=row.name,
            owner=row.tenant,
            consent=bool(row.spec["consent"]),
            population=row.population,
            state=row.state,
        )
        for row in rows
    }


def dataset_names(session: Session) -> list[str]:
    """Every dataset's name, for the nearest one."""
    return list(session.scalars(select(t.DatasetRow.name).order_by(t.DatasetRow.name)))


def population_facts(session: Session, population: str) -> PopulationFacts:
    """A population that a dataset names, with its cap.

    Raises:
        NotFound: `population_unknown`.
    """
    row = session.get(t.PopulationRow, population)
    cap = session.get(t.CapRow, ("population", population))
    if row is None or cap is None:
        raise NotFound("population_unknown", population=population)
    return PopulationFacts(id=row.id, name=row.name, n_ids=int(row.spec["n_ids"]), epsilon=cap.epsilon, delta=cap.delta)


# --- applications -----------------------------------------------------------------------------------------------------


def add_application(session: Session, clock: Clock, *, actor: Principal, terms: Terms, move: Transition) -> Application:
    """Write an application down, after its first move; event `application.submit` with the digest of its terms."""
    row = t.ApplicationRow(
        id=new_id("app"), tenant=actor.tenant, principal=actor.id, terms=_json(terms), state=move.target,
        created_at=clock.text(),
    )  # fmt: skip
    session.add(row)
    details = {"application": row.id, "terms": terms_digest(terms)}
    log.append(session, clock, _event(move), actor=actor, subject=row.id, details=details, records=[row])
    return _application(row)


def add_vote(
    session: Session, clock: Clock, *, actor: Principal, application: str, round_: str, approve: bool, reason: str,
    move: Transition,
) -> Application:  # fmt: skip
    """Write a vote or a consent down with the move it makes; event `application.vote` or `application.consent`.

    The event is of the voter's organisation, as the voice is. The caller has locked the application as it looked it up.
    """
    row = session.get_one(t.ApplicationRow, application)
    row.state = move.target
    vote = t.VoteRow(
        application=application, round=round_, principal=actor.id, tenant=actor.tenant, approve=approve, reason=reason,
        at=clock.text(),
    )  # fmt: skip
    session.add(vote)
    details = {"application": application, "round": round_, "approve": approve}
    log.append(session, clock, _event(move), actor=actor, subject=application, details=details, records=[vote, row])
    return _application(row)


def move_application(
    session: Session, clock: Clock, *, actor: Principal, application: str, move: Transition
) -> Application:
    """Make a move of the table `APPLICATION` that was looked up for the present state, with its event."""
    row = session.get_one(t.ApplicationRow, application)
    row.state = move.target
    log.append(
        session, clock, _event(move), actor=actor, subject=row.id, details={"application": row.id}, tenant=row.tenant,
        records=[row],
    )  # fmt: skip
    return _application(row)


def get_application(session: Session, application: str, *, lock: bool = False) -> Application:
    """One application as it is now; locked, where the database can, for who is about to move it.

    Raises:
        NotFound: `application_unknown`.
    """
    row = session.get(t.ApplicationRow, application, populate_existing=True, with_for_update=lock)
    if row is None:
        raise NotFound("application_unknown", application=application)
    return _application(row)


def list_applications(
    session: Session, *, tenant: str | None = None, state: str | None = None, after: str = "", limit: int = 100
) -> list[Application]:
    """Applications in order of their ids, after one of them; of one company, or in one state, if told."""
    query = select(t.ApplicationRow).where(t.ApplicationRow.id > after).order_by(t.ApplicationRow.id).limit(limit)
    if tenant is not None:
        query = query.where(t.ApplicationRow.tenant == tenant)
    if state is not None:
        query = query.where(t.ApplicationRow.state == state)
    return [_application(row) for row in session.scalars(query)]


def votes_of(session: Session, application: str) -> list[Vote]:
    """Every vote and consent on an application, in the order they were given."""
    query = select(t.VoteRow).where(t.VoteRow.application == application).order_by(t.VoteRow.at, t.VoteRow.principal)
    return [_vote(row) for row in session.scalars(query)]


# --- grants -----------------------------------------------------------------------------------------------------------


def add_grant(
    session: Session, clock: Clock, *, actor: Principal, application: str, move: Transition,
    votes_needed: int, consents_needed: Sequence[str],
) -> Grant:  # fmt: skip
    """Approve an application: it becomes a grant. Event `grant.create`, with the records of both."""
    approved = session.get_one(t.ApplicationRow, application)
    approved.state = move.target
    terms = _terms(approved.terms)
    row = t.GrantRow(
        id=new_id("grt"), tenant=approved.tenant, application=application, terms=_json(terms), state=GRANT.start,
        starts_at=terms.starts_at, expires_at=terms.expires_at, created_at=clock.text(),
    )  # fmt: skip
    session.add(row)
    log.bump_policy(session)
    details = {
        "grant": row.id,
        "application": application,
        "terms": terms_digest(terms),
        "votes_needed": votes_needed,
        "consents_needed": list(consents_needed),
        "caps": [["grant", row.id]],
    }
    log.append(
        session, clock, _event(move), actor=actor, subject=row.id, details=details, tenant=row.tenant,
        records=[row, approved],
    )  # fmt: skip
    return _grant(row)


def move_grant(
    session: Session, clock: Clock, *, actor: Principal, grant: str, action: str, details: Mapping[str, object]
) -> Grant:
    """Make a move of the table `GRANT`, with its event.

    Its cap is locked first, as every charge under it does: what is charged after this sees the move. Who moves several
    calls `lock_active` before.

    Raises:
        NotFound: `grant_unknown`.
        Conflict: `transition_refused`.
    """
    _lock_caps(session, [grant])
    row = session.get(t.GrantRow, grant, populate_existing=True, with_for_update=True)
    if row is None:
        raise NotFound("grant_unknown", grant=grant)
    move = GRANT.step(row.state, action)
    row.state = move.target
    log.bump_policy(session)
    log.append(
        session, clock, _event(move), actor=actor, subject=row.id, details={**details, "grant": row.id},
        tenant=row.tenant, records=[row],
    )  # fmt: skip
    return _grant(row)


def lock_active(session: Session, grants: Sequence[Grant]) -> list[Grant]:
    """Lock these grants with their caps, in order; gives those that still are active, as they are now."""
    ids = sorted(grant.id for grant in grants)
    _lock_caps(session, ids)
    active = (t.GrantRow.id.in_(ids)) & (t.GrantRow.state == "active")
    query = select(t.GrantRow).where(active).order_by(t.GrantRow.id).with_for_update()
    return [_grant(row) for row in session.scalars(query.execution_options(populate_existing=True))]


def _lock_caps(session: Session, grants: Sequence[str]) -> None:
    mine = (t.CapRow.scope == "grant") & t.CapRow.subject.in_(grants)
    session.execute(select(t.CapRow.subject).where(mine).order_by(t.CapRow.subject).with_for_update()).all()


def get_grant(session: Session, grant: str) -> Grant | None:
    """One grant as it is now."""
    row = session.get(t.GrantRow, grant, populate_existing=True)
    return None if row is None else _grant(row)


def grant_of_application(session: Session, application: str) -> str | None:
    """The id of the grant that an application became."""
    return session.scalar(select(t.GrantRow.id).where(t.GrantRow.application == application))


def grants_of(session: Session, tenant: str) -> list[Grant]:
    """Every grant of a company, in whatever state, oldest first."""
    query = select(t.GrantRow).where(t.GrantRow.tenant == tenant).order_by(t.GrantRow.id)
    return [_grant(row) for row in session.scalars(query)]


def held(session: Session, tenant: str) -> list[Held]:
    """A company's grants as a decision looks at them (`sandbox.policy.grants.query_context`)."""
    return [grant.held for grant in grants_of(session, tenant)]


def list_grants(session: Session, after: str = "", limit: int = 100) -> list[Grant]:
    """Grants of all companies in order of their ids, after one of them."""
    query = select(t.GrantRow).where(t.GrantRow.id > after).order_by(t.GrantRow.id).limit(limit)
    return [_grant(row) for row in session.scalars(query)]


def grants_over(session: Session, now: str) -> list[Grant]:
    """Active grants whose time is over."""
    over = (t.GrantRow.state == "active") & (t.GrantRow.expires_at <= now)
    return [_grant(row) for row in session.scalars(select(t.GrantRow).where(over).order_by(t.GrantRow.id))]


def active_grants_in(session: Session, tenant: str, population: str) -> list[Grant]:
    """A company's active grants that read anything of a population."""
    names = set(session.scalars(select(t.DatasetRow.name).where(t.DatasetRow.population == population)))
    return [g for g in grants_of(session, tenant) if g.state == "active" and names & set(g.terms.datasets)]


# --- rows <-> values --------------------------------------------------------------------------------------------------


def terms_digest(terms: Terms) -> str:
    """SHA-256 (hex) of the terms as the records of application and grant hold them."""
    return record_digest(_json(terms))


def _json(terms: Terms) -> dict[str, object]:
    return {
        "scenario": terms.scenario,
        "purpose": terms.purpose,
        "datasets": list(terms.datasets),
        "actions": list(terms.actions),
        "epsilon": str(terms.epsilon),
        "preset": terms.preset,
        "starts_at": terms.starts_at,
        "expires_at": terms.expires_at,
    }


def _terms(stored: Mapping[str, object]) -> Terms:
    datasets, actions, preset = stored["datasets"], stored["actions"], stored["preset"]
    assert isinstance(datasets, list) and isinstance(actions, list)  # noqa: S101, PT018 - as `_json` wrote them
    return Terms(
        scenario=str(stored["scenario"]),
        purpose=str(stored["purpose"]),
        datasets=tuple(datasets),
        actions=tuple(actions),
        epsilon=int(str(stored["epsilon"])),
        preset=None if preset is None else str(preset),
        starts_at=str(stored["starts_at"]),
        expires_at=str(stored["expires_at"]),
    )


def _event(move: Transition) -> str:
    if move.event is None:
        raise IntegrityFailed("event_refused", type=move.action, where="move")
    return move.event


def _application(row: t.ApplicationRow) -> Application:
    return Application(
        id=row.id, tenant=row.tenant, principal=row.principal, terms=_terms(row.terms), state=row.state,
        created_at=row.created_at,
    )  # fmt: skip


def _vote(row: t.VoteRow) -> Vote:
    return Vote(
        application=row.application, round=row.round, principal=row.principal, tenant=row.tenant, approve=row.approve,
        reason=row.reason, at=row.at,
    )  # fmt: skip


def _grant(row: t.GrantRow) -> Grant:
    return Grant(
        id=row.id, tenant=row.tenant, application=row.application, terms=_terms(row.terms), state=row.state,
        created_at=row.created_at,
    )  # fmt: skip
