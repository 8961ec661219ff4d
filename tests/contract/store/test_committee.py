"""The committee's rows on PostgreSQL as on SQLite: every rule again, and what is listed."""

from __future__ import annotations

import pytest

from sandbox.audit.records import record_digest
from sandbox.errors import Conflict, NotFound
from sandbox.policy.lifecycles import APPLICATION
from sandbox.store import committee, log
from tests.unit.committee.test_applications import *  # noqa: F403
from tests.unit.store.home import N_IDS, Home


def test_what_is_declared(home: Home) -> None:
    with home.sessions.reading() as session:
        facts = committee.dataset_facts(session, ["health.visits", "health.births", "health.codes", "none"])
        assert {name: (f.consent, f.owner, f.population is None) for name, f in facts.items()} == {
            "health.visits": (False, home.bureau, False),
            "health.births": (True, home.bureau, False),
            "health.codes": (False, home.bureau, True),
        }
        assert committee.dataset_names(session) == ["health.births", "health.codes", "health.survey", "health.visits"]
        assert committee.population_facts(session, home.population).n_ids == N_IDS
        with pytest.raises(NotFound):
            committee.population_facts(session, "pop_none")


def test_applications_are_listed_by_keyset_company_and_state(home: Home) -> None:
    ours = [home.submit() for _ in range(3)]
    theirs = home.submit(by=home.other_engineer)
    home.vote(ours[0], 0)
    home.vote(ours[0], 1)
    with home.sessions.reading() as session:
        listed = committee.list_applications(session)
        assert [a.id for a in listed] == [*(a.id for a in ours), theirs.id]
        assert committee.list_applications(session, after=ours[0].id, limit=2) == listed[1:3]
        assert [a.id for a in committee.list_applications(session, tenant=home.rival)] == [theirs.id]
        assert [a.id for a in committee.list_applications(session, tenant=home.company, state="approved")] == [ours[0].id]
        votes = committee.votes_of(session, ours[0].id)
        assert [(v.round, v.principal, v.approve) for v in votes] == sorted(
            ("review", member.id, True) for member in home.members[:2]
        )
        assert committee.terms_digest(ours[0].terms) == committee.terms_digest(listed[0].terms)


def test_grants_are_listed_and_found(home: Home) -> None:
    grants = [home.grant(), home.grant("health.survey"), home.grant(by=home.other_engineer, days=2)]
    with home.sessions.reading() as session:
        assert committee.list_grants(session) == grants
        assert committee.list_grants(session, grants[0].id, 1) == grants[1:2]
        assert committee.grants_of(session, home.company) == grants[:2]
        assert committee.held(session, home.rival) == [grants[2].held]
        assert committee.get_grant(session, grants[0].id) == grants[0]
        assert committee.get_grant(session, "grt_none") is None
        assert committee.grant_of_application(session, grants[0].application) == grants[0].id
        assert committee.grant_of_application(session, "app_none") is None
        assert committee.active_grants_in(session, home.company, home.population) == grants[:2]
        assert committee.active_grants_in(session, home.company, "pop_none") == []
        assert committee.grants_over(session, home.clock.text()) == []
        assert committee.grants_over(session, home.clock.text(plus_seconds=3 * 86400)) == grants[2:]


def test_only_active_grants_are_locked_and_moved(home: Home) -> None:
    grants = [home.grant(), home.grant()]
    with home.sessions.begin() as session:
        moved = committee.move_grant(
            session, home.clock, actor=log.SYSTEM, grant=grants[0].id, action="stop", details={"cause": "x"}
        )
        assert moved.state == "stopped"
        assert committee.lock_active(session, grants[::-1]) == [grants[1]]
    with pytest.raises(Conflict) as caught, home.sessions.begin() as session:
        committee.move_grant(session, home.clock, actor=log.SYSTEM, grant=grants[0].id, action="revoke", details={})
    assert caught.value.code == "transition_refused"
    with pytest.raises(NotFound), home.sessions.begin() as session:
        committee.move_grant(session, home.clock, actor=log.SYSTEM, grant="grt_none", action="revoke", details={})


def test_the_steps_of_an_application_each_by_itself(home: Home) -> None:
    """What `sandbox.committee` composes: every write with its event and the digests of what it changed."""
    move = APPLICATION.step
    with home.sessions.begin() as session:
        terms = home.terms()
        made = committee.add_application(
            session, home.clock, actor=home.engineer, terms=terms, move=move(APPLICATION.start, "open_review")
        )
        committee.add_vote(
            session, home.clock, actor=home.members[0], application=made.id, round_="review", approve=True,
            reason="好 🚲", move=move("in_review", "vote"),
        )  # fmt: skip
        grant = committee.add_grant(
            session, home.clock, actor=home.members[1], application=made.id, votes_needed=2, consents_needed=(),
            move=move("in_review", "approve"),
        )  # fmt: skip
        other = committee.add_application(
            session, home.clock, actor=home.engineer, terms=terms, move=move(APPLICATION.start, "open_review")
        )
        committee.move_application(
            session, home.clock, actor=home.engineer, application=other.id, move=move("in_review", "withdraw")
        )
    with home.sessions.reading() as session:
        assert committee.get_application(session, made.id).state == "approved"
        assert committee.get_application(session, other.id).state == "withdrawn"
        assert committee.get_grant(session, grant.id) == grant
        assert [vote.reason for vote in committee.votes_of(session, made.id)] == ["好 🚲"]
        (path, values) = next(iter(log.records(session, "grants", "", 1)))
        with pytest.raises(NotFound):
            committee.get_application(session, "app_none", lock=False)
    (event,) = home.events("grant.create")
    assert f'"{path}":"{record_digest(values)}"'.encode() in event.body
