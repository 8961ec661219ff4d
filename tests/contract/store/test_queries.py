"""A query is charged and written down at once, ends once, and is begun at most twice."""

from __future__ import annotations

import json
import threading

import pytest

from sandbox.errors import Conflict, Denied, SandboxError
from sandbox.flow import Cost
from sandbox.privacy.accounting import UNIT
from sandbox.store import committee, log, queries, stops
from sandbox.store import tables as t
from sandbox.store.queries import QueryRecord
from tests.promises import promise
from tests.unit.store.home import LEASE, Home, ask

ENDINGS = {"fail": queries.fail, "lose": queries.lose}


def states(home: Home) -> list[object]:
    return [row["state"] for row in home.rows(t.QueryRow)]


@promise("P6.2")
def test_charge_query_key_and_event_are_one_transaction(home: Home) -> None:
    grant = home.grant()
    record = ask(home, grant, key=("k1", "d1"))
    assert (record.state, record.attempt, record.lease_owner) == ("charged", 1, "wrk_1")
    (event,) = home.events("query.charge")
    assert event.id == record.event
    details = json.loads(event.body)["details"]
    assert details["rung_ms"] == 250
    paths = set(details["records"])
    assert f"queries/{record.id}" in paths
    assert sum(path.startswith("caps/") for path in paths) == sum(path.startswith("ledger/") for path in paths) == 3
    with home.sessions.reading() as session:
        assert queries.idempotent(session, home.engineer.id, "k1") == ("d1", record.id)
        assert queries.idempotent(session, home.other_engineer.id, "k1") is None
        assert queries.get(session, record.id) == record


@promise("P6.2")
def test_a_refused_charge_writes_no_query_and_no_key(home: Home) -> None:
    grant = home.grant()
    with pytest.raises(Denied):
        ask(home, grant, key=("k1", "d1"), cost=Cost(eps_p=2 * UNIT))
    assert home.rows(t.QueryRow) == home.rows(t.IdempotencyRow) == home.rows(t.LedgerRow) == []
    assert home.events("query.") == []


def test_a_key_charges_once(home: Home) -> None:
    grant = home.grant()
    record = ask(home, grant, key=("k1", "d1"))
    for digest, code in (("d1", "idempotency_in_flight"), ("d2", "idempotency_key_reused")):
        with pytest.raises(Conflict) as caught:
            ask(home, grant, key=("k1", digest))
        assert caught.value.code == code
    assert len(home.rows(t.QueryRow)) == 1
    ask(home, home.grant(by=home.other_engineer), by=home.other_engineer, key=("k1", "d1"))
    assert record.id in {row["resource"] for row in home.rows(t.IdempotencyRow)}


def test_a_key_that_was_lost_in_a_restore_is_used_and_says_so(home: Home) -> None:
    grant = home.grant()
    lost = {"principal": home.engineer.id, "key": "k1", "digest": "", "resource": "qry_lost", "at": home.clock.text()}
    with home.sessions.begin() as session:
        session.add(t.IdempotencyRow(**lost))
    with pytest.raises(Conflict) as caught:
        ask(home, grant, key=("k1", "d1"))
    assert (caught.value.code, caught.value.params["query"]) == ("idempotency_key_lost", "qry_lost")
    assert home.rows(t.QueryRow) == []


@pytest.mark.parametrize("ending", ["revoke", "stop", "expire"])
def test_a_grant_that_ended_after_the_decision_is_not_charged(home: Home, ending: str) -> None:
    grant = home.grant()
    with home.sessions.begin() as session:
        committee.move_grant(session, home.clock, actor=log.SYSTEM, grant=grant.id, action=ending, details={})
    with pytest.raises(Denied) as caught:
        ask(home, grant)
    assert caught.value.code == "grant_not_active"


def test_a_grant_whose_time_is_over_is_not_charged_even_before_the_duty_ran(home: Home) -> None:
    grant = home.grant(days=1)
    home.minutes(24 * 60)
    with pytest.raises(Denied) as caught:
        ask(home, grant)
    assert caught.value.code == "grant_expired"


@promise("P6.2")
def test_a_query_is_settled_once(home: Home) -> None:
    record = ask(home, home.grant())
    with home.sessions.begin() as session:
        settled = queries.settle(session, home.clock, record.id, 1, answer_object="a/1", answer_sha256="cd" * 32)
    assert (settled.state, settled.answer_object, settled.lease_owner) == ("settled", "a/1", None)
    for end in (
        lambda s: queries.settle(s, home.clock, record.id, 1, answer_object="a/2", answer_sha256="ef" * 32),
        lambda s: queries.fail(s, home.clock, record.id, 1, "engine_failed"),
        lambda s: queries.lose(s, home.clock, record.id, 1, "engine_failed"),
        lambda s: queries.overrun(s, home.clock, record.id, 1),
    ):
        with pytest.raises(Conflict) as caught, home.sessions.begin() as session:
            end(session)
        assert caught.value.code == "query_already_settled"
    (event,) = home.events("query.settle")
    details = json.loads(event.body)["details"]
    assert (details["answer"], details["attempt"], event.tenant) == ("cd" * 32, 1, "system")
    assert [row["answer_object"] for row in home.rows(t.QueryRow)] == ["a/1"]


@promise("P6.2")
def test_of_sixteen_that_settle_one_does(home: Home) -> None:
    record = ask(home, home.grant())
    outcomes: list[str] = []
    start = threading.Barrier(16)

    def settle(number: int) -> None:
        start.wait()
        try:
            with home.sessions.begin() as session:
                queries.settle(session, home.clock, record.id, 1, answer_object=f"a/{number}", answer_sha256="x")
            outcomes.append("settled")
        except Conflict as conflict:
            outcomes.append(conflict.code)

    threads = [threading.Thread(target=settle, args=(number,)) for number in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(outcomes) == ["query_already_settled"] * 15 + ["settled"]


@promise("P6.2", "P6.5")
def test_a_lost_query_is_taken_over_once_then_fails_and_stays_charged(home: Home) -> None:
    record = ask(home, home.grant())
    caps = home.rows(t.CapRow)
    with home.sessions.begin() as session:
        assert queries.take_over(session, home.clock, "wrk_2", LEASE) is None  # still leased
        assert not queries.abandoned(session, home.clock)
    home.minutes(1)
    with home.sessions.reading() as session:
        assert queries.abandoned(session, home.clock)
    with home.sessions.begin() as session:
        second = queries.take_over(session, home.clock, "wrk_2", LEASE)
        assert queries.take_over(session, home.clock, "wrk_3", LEASE) is None
    assert second is not None
    assert (second.id, second.attempt, second.lease_owner, second.state) == (record.id, 2, "wrk_2", "charged")
    with pytest.raises(Conflict), home.sessions.begin() as session:  # the first attempt comes back too late
        queries.settle(session, home.clock, record.id, 1, answer_object="a", answer_sha256="b")
    home.minutes(1)
    with home.sessions.begin() as session:
        assert queries.take_over(session, home.clock, "wrk_3", LEASE) is None
    assert states(home) == ["failed"]
    (event,) = home.events("query.fail")
    assert json.loads(event.body)["details"]["code"] == "attempts_exhausted"
    assert home.rows(t.CapRow) == caps


@promise("P6.2")
def test_the_second_attempt_can_settle(home: Home) -> None:
    record = ask(home, home.grant())
    home.minutes(1)
    with home.sessions.begin() as session:
        queries.take_over(session, home.clock, "wrk_2", LEASE)
        queries.settle(session, home.clock, record.id, 2, answer_object="a", answer_sha256="b")
    assert states(home) == ["settled"]


@promise("P6.2")
def test_an_exhausted_query_is_taken_again_only_where_its_answer_is_stored(home: Home) -> None:
    grant = home.grant()
    lost, kept = ask(home, grant), ask(home, grant)
    home.minutes(1)
    with home.sessions.begin() as session:
        assert queries.exhausted(session, home.clock) == []
        for _ in (lost, kept):
            queries.take_over(session, home.clock, "wrk_2", LEASE)
    home.minutes(2)
    with home.sessions.begin() as session:
        assert queries.exhausted(session, home.clock) == [lost.id, kept.id]
        taken = queries.take_over(session, home.clock, "wrk_3", LEASE, stored=[kept.id])
    assert taken is not None
    assert (taken.id, taken.attempt) == (kept.id, 3)
    assert states(home) == ["failed", "charged"]


def test_an_exhausted_query_does_not_hide_the_next_one(home: Home) -> None:
    grant = home.grant()
    ask(home, grant)
    home.minutes(1)
    with home.sessions.begin() as session:
        queries.take_over(session, home.clock, "wrk_2", LEASE)
    waiting = ask(home, grant)
    home.minutes(2)
    with home.sessions.begin() as session:
        taken = queries.take_over(session, home.clock, "wrk_3", LEASE)
    assert taken is not None
    assert taken.id == waiting.id
    assert states(home) == ["failed", "charged"]


@promise("P6.5")
@pytest.mark.parametrize("ending", ["settle", "fail", "lose", "overrun"])
def test_whatever_ends_a_query_it_stays_charged(home: Home, ending: str) -> None:
    record = ask(home, home.grant())
    before = home.rows(t.CapRow), home.rows(t.LedgerRow)
    with home.sessions.begin() as session:
        if ending == "settle":
            queries.settle(session, home.clock, record.id, 1, answer_object="a", answer_sha256="b")
        elif ending == "overrun":
            queries.overrun(session, home.clock, record.id, 1)
        else:
            ENDINGS[ending](session, home.clock, record.id, 1, "engine_failed")
    assert (home.rows(t.CapRow), home.rows(t.LedgerRow)) == before


def without_answer(home: Home, record: QueryRecord, how: str) -> None:
    """End a query as a process would that has no answer for it."""
    if how == "exhausted":
        for _ in range(2):
            home.minutes(2)
            with home.sessions.begin() as session:
                queries.take_over(session, home.clock, "wrk_2", LEASE)
        return
    with home.sessions.begin() as session:
        if how == "overrun":
            queries.overrun(session, home.clock, record.id, 1)
        else:
            ENDINGS[how](session, home.clock, record.id, 1, "query_no_answer")


@promise("P7.1")
@pytest.mark.parametrize("how", ["overrun overrun overrun", "fail fail fail", "fail overrun exhausted"])
def test_the_third_query_without_an_answer_over_all_grants_stops_them_there_and_nowhere_else(
    home: Home, how: str
) -> None:
    first, second = home.grant(), home.grant("health.survey")
    rival = home.grant(by=home.other_engineer)
    with home.sessions.begin() as session:
        vehicles = home.add_population(session, "vehicles")
        home.add_dataset(session, "transport.trips", population=vehicles)
    elsewhere = home.grant("transport.trips")
    version = policy_version(home)
    for number, (grant, end) in enumerate(zip((first, second, first), how.split(), strict=True)):
        without_answer(home, ask(home, grant), end)
        assert len(home.events("grant.stop")) == (2 if number == 2 else 0)
    with home.sessions.reading() as session:
        ours = {g.id: g.state for g in committee.grants_of(session, home.company)}
        theirs = {g.id: g.state for g in committee.grants_of(session, home.rival)}
    assert ours == {first.id: "stopped", second.id: "stopped", elsewhere.id: "active"}
    assert theirs == {rival.id: "active"}
    assert policy_version(home) > version
    details = json.loads(home.events("grant.stop")[0].body)["details"]
    assert (details["cause"], details["queries"], details["population"]) == ("no_answers", 3, home.population)


@promise("P7.1")
def test_a_grant_that_the_committee_gives_after_the_stop_stands_until_the_next_query_without_an_answer(
    home: Home,
) -> None:
    grant = home.grant()
    for how in ("fail", "fail", "overrun"):
        without_answer(home, ask(home, grant), how)
    again = home.grant()
    record = ask(home, again)
    with home.sessions.begin() as session:
        queries.settle(session, home.clock, record.id, 1, answer_object="a", answer_sha256="b")
    without_answer(home, ask(home, again), "lose")
    assert len(home.events("grant.stop")) == 1
    without_answer(home, ask(home, again), "fail")
    assert len(home.events("grant.stop")) == 2


@promise("P7.1")
@pytest.mark.parametrize("how", ["overrun", "fail"])
def test_queries_without_an_answer_of_others_or_elsewhere_do_not_count(home: Home, how: str) -> None:
    with home.sessions.begin() as session:
        vehicles = home.add_population(session, "vehicles")
        home.add_dataset(session, "transport.trips", population=vehicles)
    ours, elsewhere, rival = home.grant(), home.grant("transport.trips"), home.grant(by=home.other_engineer)
    for record in (
        ask(home, ours), ask(home, ours), ask(home, rival, by=home.other_engineer),
        ask(home, elsewhere, population=vehicles), ask(home, elsewhere, population=vehicles),
    ):  # fmt: skip
        without_answer(home, record, how)
    assert home.events("grant.stop") == []


@promise("P7.1")
def test_what_the_platform_lost_counts_for_nobody(home: Home) -> None:
    grant = home.grant()
    for _ in range(5):
        without_answer(home, ask(home, grant), "lose")
    assert states(home) == ["lost"] * 5
    assert len(home.events("query.fail")) == 5
    with home.sessions.begin() as session:
        stops.count(session, home.clock, tenant=home.company, population=home.population)
    assert home.events("grant.stop") == []


def policy_version(home: Home) -> int:
    with home.sessions.reading() as session:
        return log.policy_version(session)


def test_a_company_lists_its_own_queries_by_keyset(home: Home) -> None:
    grant = home.grant()
    ids = [ask(home, grant).id for _ in range(3)]
    ask(home, home.grant(by=home.other_engineer), by=home.other_engineer)
    with home.sessions.reading() as session:
        assert [q.id for q in queries.list_own(session, home.company, "", 2)] == ids[:2]
        assert [q.id for q in queries.list_own(session, home.company, ids[1], 2)] == ids[2:]
        assert queries.get(session, "qry_none") is None


def test_an_unknown_query_ends_nothing(home: Home) -> None:
    with pytest.raises(SandboxError) as caught, home.sessions.begin() as session:
        queries.fail(session, home.clock, "qry_none", 1, "x")
    assert caught.value.code == "query_already_settled"
