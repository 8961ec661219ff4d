"""From application to grant: who may, how often, and what follows, by the rules of the committee."""

from __future__ import annotations

import json

import pytest

from sandbox.committee import applications, rules
from sandbox.errors import Conflict, Denied, NotFound, RequestError, SandboxError
from sandbox.flow import Principal
from sandbox.policy.terms import Application
from sandbox.privacy import accounting, mechanisms
from sandbox.privacy.accounting import UNIT
from sandbox.store import committee, ledger, log, principals
from sandbox.store import tables as t
from tests.unit.store.home import N_IDS, POPULATION_DELTA, Home


def person(home: Home, tenant: str, *roles: str) -> Principal:
    with home.sessions.begin() as session:
        return principals.create_principal(
            session, home.clock, actor=log.SYSTEM, tenant=tenant, name="Somebody", roles=roles
        ).principal


def consent(home: Home, by: Principal, application: Application, dataset: str, *, approve: bool = True) -> Application:
    with home.sessions.begin() as session:
        return applications.consent(session, home.clock, by, application.id, dataset=dataset, approve=approve)


def vote(home: Home, by: Principal, application: Application, *, approve: bool = True) -> Application:
    with home.sessions.begin() as session:
        return applications.vote(session, home.clock, by, application.id, approve=approve)


def grant_states(home: Home) -> list[object]:
    return [row["state"] for row in home.rows(t.GrantRow)]


def test_two_different_members_make_a_grant_with_its_cap(home: Home) -> None:
    application = home.submit("health.visits", "health.survey")
    assert application.state == "in_review"
    assert home.vote(application, 0).state == "in_review"
    assert grant_states(home) == []
    assert home.vote(application, 1).state == "approved"
    with home.sessions.reading() as session:
        (grant,) = committee.grants_of(session, home.company)
        ((_, cap, spent),) = ledger.read_caps(session, [("grant", grant.id)])
    assert (grant.state, grant.terms, grant.application) == ("active", application.terms, application.id)
    delta = POPULATION_DELTA // 100
    assert (cap.epsilon, cap.delta, cap.conversion) == (UNIT, delta, delta // 2)
    assert spent.delta == accounting.delta_0(N_IDS) > 0
    assert (spent.eps_p, spent.rho) == (0, 0)
    assert cap == accounting.open_cap(
        epsilon=UNIT, delta=delta, conversion=delta // 2, epsilon_of_rho=mechanisms.epsilon_of_rho
    )
    (event,) = home.events("grant.create")
    details = json.loads(event.body)["details"]
    assert (details["votes_needed"], details["consents_needed"]) == (2, [])
    assert details["caps"] == [["grant", grant.id]]
    (submitted,) = home.events("application.submit")
    assert details["terms"] == json.loads(submitted.body)["details"]["terms"]
    assert event.tenant == home.company


def test_one_member_is_not_enough_nor_twice(home: Home) -> None:
    application = home.submit()
    home.vote(application, 0)
    for again in (True, False):
        with pytest.raises(Conflict) as caught:
            home.vote(application, 0, approve=again)
        assert caught.value.code == "vote_already_given"
    assert grant_states(home) == []
    assert len(home.rows(t.VoteRow)) == 1


def test_nobody_of_the_applicants_side_votes(home: Home) -> None:
    application = home.submit()
    insider = person(home, home.company, "committee")
    applicant = Principal(id=home.engineer.id, tenant=home.board, roles=frozenset({"committee"}))
    for voter in (insider, applicant):
        with pytest.raises(Denied) as caught:
            vote(home, voter, application)
        assert caught.value.code == "vote_own_side"
    for voter in (home.steward, home.other_engineer):
        with pytest.raises(Denied) as caught:
            vote(home, voter, application)
        assert caught.value.code == "not_your_role"
    assert home.rows(t.VoteRow) == []


def test_two_rejecting_members_reject(home: Home) -> None:
    application = home.submit()
    assert home.vote(application, 0, approve=False).state == "in_review"
    assert home.vote(application, 1).state == "in_review"
    assert home.vote(application, 2, approve=False).state == "rejected"
    assert [event.type for event in home.events("application.")] == [
        "application.submit", "application.vote", "application.vote", "application.vote", "application.reject",
    ]  # fmt: skip
    assert grant_states(home) == []


@pytest.mark.parametrize("approve", [True, False])
def test_a_decided_application_takes_no_more_votes(home: Home, approve: bool) -> None:
    application = home.submit()
    for member in (0, 1):
        home.vote(application, member, approve=approve)
    with pytest.raises(Conflict) as caught:
        home.vote(application, 2)
    assert caught.value.code == "transition_refused"
    assert len(grant_states(home)) == approve


def test_the_review_waits_for_the_owners_consent(home: Home) -> None:
    application = home.submit("health.visits", "health.births")
    assert application.state == "consent_pending"
    with pytest.raises(Conflict) as caught:
        home.vote(application, 0)
    assert caught.value.code == "transition_refused"
    assert consent(home, home.steward, application, "health.births").state == "in_review"
    for member in (0, 1):
        home.vote(application, member)
    (event,) = home.events("grant.create")
    assert json.loads(event.body)["details"]["consents_needed"] == ["health.births"]


def test_every_owner_that_is_asked_must_consent(home: Home) -> None:
    school = person(home, home.rival, "steward")
    with home.sessions.begin() as session:
        home.add_dataset(session, "school.pupils", consent=True, owner=home.rival)
    application = home.submit("health.births", "school.pupils")
    assert consent(home, school, application, "school.pupils").state == "consent_pending"
    assert consent(home, home.steward, application, "health.births").state == "in_review"


def test_one_refused_consent_rejects(home: Home) -> None:
    application = home.submit("health.births")
    assert consent(home, home.steward, application, "health.births", approve=False).state == "rejected"
    assert [event.type for event in home.events("application.")][-2:] == ["application.consent", "application.reject"]


def test_only_the_owners_steward_consents_and_once(home: Home) -> None:
    with home.sessions.begin() as session:
        home.add_dataset(session, "health.deaths", consent=True)
    application = home.submit("health.births", "health.visits", "health.deaths")
    foreign = person(home, home.rival, "steward")
    clerk = person(home, home.bureau, "engineer")
    refused = [
        (foreign, "health.births", "consent_not_owner"),
        (clerk, "health.births", "not_your_role"),
        (home.members[0], "health.births", "not_your_role"),
        (home.steward, "health.visits", "consent_not_asked"),
        (home.steward, "health.nothing", "consent_not_asked"),
    ]
    for by, dataset, code in refused:
        with pytest.raises((Denied, RequestError)) as caught:
            consent(home, by, application, dataset)
        assert caught.value.code == code
    consent(home, home.steward, application, "health.births")
    with pytest.raises(Conflict) as conflict:
        consent(home, person(home, home.bureau, "steward"), application, "health.births")
    assert conflict.value.code == "consent_already_given"


def test_a_bureau_cannot_consent_to_an_application_by_the_same_person(home: Home) -> None:
    both = person(home, home.bureau, "steward", "engineer")
    application = home.submit("health.births", by=both)
    with pytest.raises(Denied) as caught:
        consent(home, both, application, "health.births")
    assert caught.value.code == "consent_own_application"
    assert consent(home, home.steward, application, "health.births").state == "in_review"


def test_a_consent_that_the_manifest_asks_for_later_holds_up_the_grant(home: Home) -> None:
    application = home.submit("health.visits")
    with home.sessions.begin() as session:
        session.get_one(t.DatasetRow, home.datasets["health.visits"]).spec = {"consent": True}
    home.vote(application, 0)
    with pytest.raises(Conflict) as caught:
        home.vote(application, 1)
    assert caught.value.code == "consents_missing"
    assert grant_states(home) == []


@pytest.mark.parametrize("datasets", [("health.visits",), ("health.births",)])
def test_the_applicants_side_withdraws_while_nothing_is_decided(home: Home, datasets: tuple[str, ...]) -> None:
    application = home.submit(*datasets)
    for by in (home.other_engineer, home.members[0]):
        with pytest.raises(Denied), home.sessions.begin() as session:
            applications.withdraw(session, home.clock, by, application.id)
    with home.sessions.begin() as session:
        assert applications.withdraw(session, home.clock, home.engineer, application.id).state == "withdrawn"
    with pytest.raises(Conflict), home.sessions.begin() as session:
        applications.withdraw(session, home.clock, home.engineer, application.id)
    with pytest.raises(Conflict):
        home.vote(application, 0)


def test_a_grant_is_revoked_by_a_member_and_once(home: Home) -> None:
    grant = home.grant()
    with pytest.raises(Denied), home.sessions.begin() as session:
        applications.revoke(session, home.clock, home.engineer, grant.id)
    with home.sessions.begin() as session:
        assert applications.revoke(session, home.clock, home.members[2], grant.id).state == "revoked"
    with pytest.raises(Conflict), home.sessions.begin() as session:
        applications.revoke(session, home.clock, home.members[2], grant.id)
    assert len(home.events("grant.revoke")) == 1


def test_grants_expire_at_their_time_and_the_policy_version_tells(home: Home) -> None:
    grant, later = home.grant(days=1), home.grant(days=2)
    with home.sessions.begin() as session:
        assert applications.expire(session, home.clock) == []
    home.minutes(24 * 60)
    with home.sessions.begin() as session:
        before = log.policy_version(session)
        assert [g.id for g in applications.expire(session, home.clock)] == [grant.id]
        assert log.policy_version(session) == before + 1
        assert applications.expire(session, home.clock) == []
    with home.sessions.reading() as session:
        assert [g.state for g in committee.grants_of(session, home.company)] == ["expired", "active"]
        assert later.id in {held.terms.id for held in committee.held(session, home.company) if held.state == "active"}


@pytest.mark.parametrize(
    ("datasets", "code", "nearest"),
    [
        (("health.visit",), "terms_dataset_unknown", "health.visits"),
        (("zzz",), "terms_dataset_unknown", None),
        (("health.codes",), "terms_dataset_public", None),
        (("health.visits", "transport.trips"), "grant_one_population", None),
    ],
)
def test_datasets_that_cannot_be_granted(home: Home, datasets: tuple[str, ...], code: str, nearest: str | None) -> None:
    with home.sessions.begin() as session:
        vehicles = home.add_population(session, "vehicles")
        home.add_dataset(session, "transport.trips", population=vehicles)
    with pytest.raises(RequestError) as caught:
        home.submit(*datasets)
    assert (caught.value.code, caught.value.params.get("nearest")) == (code, nearest)
    assert home.rows(t.ApplicationRow) == []


def test_no_grant_is_larger_than_its_population(home: Home) -> None:
    assert home.submit(epsilon="10").state == "in_review"
    with pytest.raises(RequestError) as caught:
        home.submit(epsilon="10.000000000001")
    assert caught.value.code == "grant_epsilon_range"
    assert (caught.value.params["most"], caught.value.params["population"]) == ("10", "residents")


def test_a_population_with_too_many_identifiers_for_its_delta_gives_no_grant(home: Home) -> None:
    """delta_0 beside the reserve must lie inside a hundredth of D; the largest N_ids that does is told and does."""
    with home.sessions.begin() as session:
        crowd = home.add_population(session, "crowd", n_ids=10**12, delta=10**12)
        home.add_dataset(session, "crowd.one", population=crowd)
    with pytest.raises(RequestError) as caught:
        home.submit("crowd.one")
    assert caught.value.code == "grant_delta_too_small"
    most = caught.value.params["most"]
    assert isinstance(most, int)
    with home.sessions.begin() as session:
        for name, n_ids in (("fits", most), ("over", most + most // 1000)):
            population = home.add_population(session, name, n_ids=n_ids, delta=10**12)
            home.add_dataset(session, f"{name}.one", population=population)
    assert home.submit("fits.one").state == "in_review"
    with pytest.raises(RequestError):
        home.submit("over.one")


def test_only_an_engineer_applies(home: Home) -> None:
    for by in (home.steward, home.members[0]):
        with pytest.raises(Denied) as caught:
            home.submit(by=by)
        assert caught.value.code == "not_your_role"


def test_what_is_not_there_is_not_found(home: Home) -> None:
    with home.sessions.begin() as session:
        for call in (
            lambda: applications.vote(session, home.clock, home.members[0], "app_none", approve=True),
            lambda: applications.withdraw(session, home.clock, home.engineer, "app_none"),
            lambda: applications.revoke(session, home.clock, home.members[0], "grt_none"),
        ):
            with pytest.raises(NotFound):
                call()


@pytest.mark.parametrize("reason", ["x" * 2001, "\x1b[31m", "\ud800"])
def test_a_reason_is_plain_text(home: Home, reason: str) -> None:
    application = home.submit()
    with pytest.raises(SandboxError) as caught, home.sessions.begin() as session:
        applications.vote(session, home.clock, home.members[0], application.id, approve=True, reason=reason)
    assert caught.value.code == "terms_text"


def test_votes_and_applications_are_listed(home: Home) -> None:
    first, second = home.submit(), home.submit(by=home.other_engineer)
    home.vote(first, 0)
    with home.sessions.reading() as session:
        assert [a.id for a in committee.list_applications(session)] == [first.id, second.id]
        assert [a.id for a in committee.list_applications(session, tenant=home.company)] == [first.id]
        assert committee.list_applications(session, state="approved") == []
        (given,) = committee.votes_of(session, first.id)
    assert (given.round, given.principal, given.tenant, given.approve) == (
        rules.REVIEW, home.members[0].id, home.board, True,
    )  # fmt: skip
