"""Sixteen at one time: whatever must happen once happens once, a cap is never overspent, and nobody waits for ever."""

from __future__ import annotations

import json
import threading
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress

import pytest
from sqlalchemy.orm import Session

from sandbox.audit.records import record_digest
from sandbox.catalog import restored
from sandbox.committee import applications
from sandbox.errors import SandboxError
from sandbox.flow import Cost
from sandbox.ingest.lifecycle import INGEST
from sandbox.ingest.manifest import parse_manifest, parse_population
from sandbox.policy.terms import Application
from sandbox.privacy.accounting import UNIT
from sandbox.store import (
    calibration,
    committee,
    datasets,
    duties,
    ingests,
    ledger,
    log,
    numbering,
    principals,
    queries,
    removals,
)
from sandbox.store import tables as t
from tests.promises import promise
from tests.unit.store.home import LEASE, Home, ask, small_cap
from tests.workshop import POPULATION, manifest

MANY = 16
SPEC = parse_manifest(manifest("age: {type: integer, bounds: [0, 120], %}"), "m.yaml")


def together(calls: Sequence[Callable[[], object]]) -> list[object]:
    """What each call gives, begun at one time: its result, or its error's code."""
    outcomes: list[object] = [None] * len(calls)
    start = threading.Barrier(len(calls))

    def run(place: int, call: Callable[[], object]) -> None:
        start.wait()
        try:
            outcomes[place] = call()
        except SandboxError as error:
            outcomes[place] = error.code

    threads = [threading.Thread(target=run, args=pair) for pair in enumerate(calls)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    assert not any(thread.is_alive() for thread in threads)
    return outcomes


def many(call: Callable[[int], object], count: int = MANY) -> Counter[object]:
    """The outcomes of so many calls at one time, counted."""
    return Counter(together([lambda number=number: call(number) for number in range(count)]))  # type: ignore[misc]


def write(home: Home, call: Callable[[Session], object]) -> object:
    with home.sessions.begin() as session:
        return call(session)


# --- the ledger -------------------------------------------------------------------------------------------------------


@promise("P6.2")
def test_one_key_charges_once_whoever_sends_it_and_under_whichever_grant(home: Home) -> None:
    grants = [home.grant(), home.grant()]

    def one(number: int) -> object:
        ask(home, grants[number % 2], key=("the-key", "the-digest"))
        return "charged"

    assert many(one) == {"charged": 1, "idempotency_in_flight": MANY - 1}
    assert len(home.rows(t.QueryRow)) == len(home.rows(t.IdempotencyRow)) == 1
    assert len(home.rows(t.LedgerRow)) == 3
    assert len(home.events("query.charge")) == 1


def test_one_step_is_charged_once(home: Home) -> None:
    grant = home.grant()
    keys = ledger.keys_of(grant=grant.id, datasets=[home.datasets["health.visits"]], population=home.population)

    def charge(session: Session) -> object:
        ledger.charge(
            session, home.clock, actor=home.engineer, query_id="qry_1", step="main", grant=grant.id, keys=keys,
            cost=Cost(eps_p=1), details={},
        )  # fmt: skip
        return "charged"

    assert many(lambda _: write(home, charge)) == {"charged": 1, "step_already_charged": MANY - 1}


def test_a_cap_opens_once(home: Home) -> None:
    def open_(session: Session) -> object:
        ledger.open_cap(
            session, home.clock, home.steward, scope="dataset", subject="ds_new", tenant=home.bureau, cap=small_cap(),
            spent=Cost(),
        )  # fmt: skip
        return "opened"

    assert many(lambda _: write(home, open_)) == {"opened": 1, "cap_exists": MANY - 1}


@promise("P6.1")
def test_charges_while_their_grant_is_revoked(home: Home) -> None:
    """Every charge that went through came before the revocation in the log, and the last record is the cap's own."""
    grant = home.grant(preset="research")

    def one(number: int) -> object:
        if number == MANY // 2:
            return write(home, lambda s: applications.revoke(s, home.clock, home.members[0], grant.id)) and "revoked"
        ask(home, grant, cost=Cost(eps_p=UNIT // 1000))
        return "charged"

    found = many(one)
    assert found["revoked"] == 1
    assert found["charged"] + found["grant_not_active"] == MANY - 1
    with home.sessions.begin() as session:
        numbering.number(session)
    ordered = sorted(home.events(), key=lambda event: event.idx or 0)
    kinds = [e.type for e in ordered if e.type in {"query.charge", "grant.revoke"}]
    assert kinds == ["query.charge"] * found["charged"] + ["grant.revoke"]
    vouched: dict[str, str] = {}
    for event in ordered:
        vouched |= json.loads(event.body)["details"].get("records", {})
    with home.sessions.reading() as session:
        for table in log.AUDITED:
            for path, values in log.records(session, table, "", 10_000):
                assert vouched[path] == record_digest(values), path


@promise("P6.1")
def test_a_dataset_is_not_retired_while_somebody_charges_it(home: Home) -> None:
    """Who charges has seen that it is in use, and holds its cap: the retirement comes behind the charge in the log."""
    grant, dataset = home.grant(), home.datasets["health.visits"]
    keys = ledger.keys_of(grant=grant.id, datasets=[dataset], population=home.population)
    retiring = threading.Thread(
        target=lambda: write(
            home, lambda s: removals.retire(s, home.clock, home.steward, dataset=dataset, reason="old")
        )
    )
    with home.sessions.begin() as session:
        ledger.lock(session, keys)
        retiring.start()
        retiring.join(1)
        assert retiring.is_alive()
        ledger.charge(
            session, home.clock, actor=home.engineer, query_id="qry_1", step="main", grant=grant.id, keys=keys,
            cost=Cost(eps_p=1), details={},
        )  # fmt: skip
    retiring.join(60)
    with home.sessions.begin() as session:
        assert datasets.state_of(session, "health.visits") == "retired"
        numbering.number(session)
    ordered = sorted(home.events(), key=lambda event: event.idx or 0)
    assert [e.type for e in ordered][-2:] == ["query.charge", "dataset.retire"]


def test_expiry_revocation_and_charges_over_several_grants_do_not_lock_each_other_out(home: Home) -> None:
    grants = [home.grant(days=1) for _ in range(4)]
    living = [home.grant(days=30) for _ in range(4)]
    home.minutes(24 * 60)

    def one(number: int) -> object:
        kind, which = divmod(number, 4)
        if kind == 0:
            return bool(write(home, lambda s: applications.expire(s, home.clock)) or True)
        if kind == 1:
            write(home, lambda s: applications.revoke(s, home.clock, home.members[0], grants[-1 - which].id))
        else:
            ask(home, living[which], cost=Cost(eps_p=1))
        return True

    found = many(one)
    assert set(found) <= {True, "transition_refused"}, found
    states = {row["id"]: row["state"] for row in home.rows(t.GrantRow)}
    assert all(states[grant.id] in {"expired", "revoked"} for grant in grants)
    assert all(states[grant.id] == "active" for grant in living)
    assert len(home.events("grant.expire")) + len(home.events("grant.revoke")) == len(grants)


# --- queries ----------------------------------------------------------------------------------------------------------


@promise("P7.1")
def test_three_queries_without_an_answer_at_one_time_are_seen_by_one_of_them(home: Home) -> None:
    grants = [home.grant(), home.grant()]
    asked = [ask(home, grants[number % 2]) for number in range(3)]
    ends: list[Callable[[Session, str], object]] = [
        lambda s, query: queries.overrun(s, home.clock, query, 1),
        lambda s, query: queries.fail(s, home.clock, query, 1, "query_no_answer"),
    ]
    found = many(lambda n: write(home, lambda s: ends[n % 2](s, asked[n].id)) and "ended", 3)
    assert found == {"ended": 3}
    with home.sessions.reading() as session:
        assert {grant.state for grant in committee.grants_of(session, home.company)} == {"stopped"}
    assert len(home.events("grant.stop")) == 2


def test_a_query_ends_once(home: Home) -> None:
    record = ask(home, home.grant())
    ends: list[Callable[[Session], object]] = [
        lambda s: queries.settle(s, home.clock, record.id, 1, answer_object="a/1", answer_sha256="ab" * 32),
        lambda s: queries.fail(s, home.clock, record.id, 1, "query_no_answer"),
        lambda s: queries.overrun(s, home.clock, record.id, 1),
    ]
    found = many(lambda number: write(home, ends[number % 3]) and "ended")
    assert found == {"ended": 1, "query_already_settled": MANY - 1}


def test_every_abandoned_query_is_taken_over_by_one_worker(home: Home) -> None:
    grant = home.grant(preset="research")
    asked = {ask(home, grant, cost=Cost(eps_p=1)).id for _ in range(5)}
    home.minutes(10)
    taken = together(
        [lambda n=n: write(home, lambda s: queries.take_over(s, home.clock, f"wrk_{n}", LEASE)) for n in range(MANY)]  # type: ignore[misc]
    )
    found = [record for record in taken if isinstance(record, queries.QueryRecord)]
    assert len({record.id for record in found}) == len(found)
    assert {type(record) for record in taken} <= {queries.QueryRecord, type(None)}
    # Who found a query in another's hands looked further: none is left when somebody looks again.
    with home.sessions.begin() as session:
        while (more := queries.take_over(session, home.clock, "wrk_last", LEASE)) is not None:
            found.append(more)
    assert {record.id for record in found} == asked
    assert {row["attempt"] for row in home.rows(t.QueryRow)} == {2}


# --- the committee ----------------------------------------------------------------------------------------------------


def test_two_votes_at_one_time_make_one_grant(home: Home) -> None:
    for _ in range(4):
        application = home.submit()
        found = many(lambda n, a=application: voted(home, a, n), 3)  # type: ignore[misc]
        assert found["approved"] == 1
        assert found == {"in_review": 1, "approved": 1, "transition_refused": 1}
    assert len(home.rows(t.GrantRow)) == 4
    assert len([row for row in home.rows(t.CapRow) if row["scope"] == "grant"]) == 4


def voted(home: Home, application: Application, member: int) -> str:
    return home.vote(application, member).state


def test_one_member_votes_once(home: Home) -> None:
    application = home.submit()
    assert many(lambda _: voted(home, application, 0)) == {"in_review": 1, "vote_already_given": MANY - 1}


def test_a_vote_and_a_withdrawal(home: Home) -> None:
    application = home.submit()
    home.vote(application, 0)

    def one(number: int) -> object:
        if number % 2:
            return voted(home, application, 1)
        return write(home, lambda s: applications.withdraw(s, home.clock, home.engineer, application.id).state)

    found = many(one, 2)
    assert found in ({"approved": 1, "transition_refused": 1}, {"withdrawn": 1, "transition_refused": 1})
    assert len(home.rows(t.GrantRow)) == found["approved"]


# --- ingests and datasets ---------------------------------------------------------------------------------------------


def submit(home: Home, name: str = SPEC.name) -> ingests.Ingest:
    spec = restored(type(SPEC), {**datasets.plain(SPEC), "name": name})
    with home.sessions.begin() as session:
        return ingests.submit(
            session, home.clock, home.steward, machine=INGEST, spec=spec, manifest="m", sha256="ab" * 32
        )


def claim(home: Home, worker: str) -> str | None:
    with home.sessions.begin() as session:
        due = ingests.due(session, home.clock.text())
        if due is None:
            return None
        return ingests.take(
            session, home.clock, due, machine=INGEST, owner=worker, version=f"ver_{worker}", lease_seconds=60
        ).id


def test_one_ingest_is_under_way_for_a_name(home: Home) -> None:
    assert many(lambda _: submit(home).state) == {"queued": 1, "ingest_under_way": MANY - 1}


def test_every_ingest_is_claimed_by_one_worker(home: Home) -> None:
    waiting = {submit(home, f"city.d{number}").id for number in range(3)}
    claimed = [found for found in together([lambda n=n: claim(home, f"w{n}") for n in range(MANY)]) if found]  # type: ignore[misc]
    assert len(claimed) == len(set(claimed))
    while (more := claim(home, "last")) is not None:
        claimed.append(more)
    assert sorted(map(str, claimed)) == sorted(waiting)
    assert len(home.events("ingest.start")) == 3
    home.minutes(2)
    again = [found for found in together([lambda n=n: claim(home, f"x{n}") for n in range(MANY)]) if found]  # type: ignore[misc]
    assert len(again) == len(set(again)) >= 1


def test_an_ingest_that_was_found_due_before_is_taken_once(home: Home) -> None:
    submit(home)
    with home.sessions.reading() as session:
        due = ingests.due(session, home.clock.text())
    assert due is not None

    def one(number: int) -> object:
        with home.sessions.begin() as session:
            return ingests.take(
                session, home.clock, due, machine=INGEST, owner=f"w{number}", version="ver_1", lease_seconds=60
            ).state

    assert many(one) == {"running": 1, "lease_lost": MANY - 1}


def test_identifiers_are_counted_one_ingest_at_a_time(home: Home) -> None:
    """Two that each would fit, and together would not: the second sees what the first has brought."""
    ids, both_counted = [submit(home, f"city.d{number}").id for number in range(2)], threading.Barrier(2)
    assert {claim(home, f"w{number}") for number in range(2)} == set(ids)

    def one(number: int) -> object:
        with home.sessions.begin() as session:
            before = ingests.units_of(session, "people", home.bureau)
            with suppress(threading.BrokenBarrierError):  # which happens only if both may count at one time
                both_counted.wait(0.3)
            if before + 6 > 10:
                return "too many"
            held = ingests.get(session, ids[number])
            ingests.end(session, home.clock, held, machine=INGEST, action="commit", details={}, report={"units": 6})
            return "committed"

    with home.sessions.begin() as session:
        add_population(home, session)
    assert many(one, 2) == {"committed": 1, "too many": 1}


def add_population(home: Home, session: Session) -> str:
    made = parse_population(POPULATION, "p.yaml")
    return datasets.add_population(
        session, home.clock, home.steward, id="pop_people", population=made, suite="intl", wrapped_key=b"k"
    ).id


def test_names_are_given_once(home: Home) -> None:
    def population(session: Session) -> object:
        return add_population(home, session) and "made"

    assert many(lambda _: write(home, population)) == {"made": 1, "population_exists": MANY - 1}

    def dataset(number: int) -> object:
        with home.sessions.begin() as session:
            datasets.add_dataset(
                session, home.clock, home.steward, id=f"ds_{number}", tenant=home.bureau, spec=SPEC,
                population_id="pop_people", bits=0,
            )  # fmt: skip
        return "made"

    assert many(dataset) == {"made": 1, "dataset_exists": MANY - 1}

    def tenant(session: Session) -> object:
        return principals.create_tenant(session, home.clock, actor=log.SYSTEM, name="New", kind="company") and "made"

    assert many(lambda _: write(home, tenant)) == {"made": 1, "tenant_exists": MANY - 1}


# --- people, policy, duties -------------------------------------------------------------------------------------------


def test_every_change_of_policy_counts(home: Home) -> None:
    with home.sessions.reading() as session:
        before = log.policy_version(session)

    def one(number: int) -> object:
        with home.sessions.begin() as session:
            key = principals.create_key(
                session, home.clock, actor=log.SYSTEM, principal=home.engineer.id, sha256=f"{number:064x}"
            )
        return key[:4]

    assert many(one) == {"key_": MANY}
    with home.sessions.reading() as session:
        assert log.policy_version(session) == before + MANY
        (key, *_) = principals.keys_of(session, home.engineer.id)
    assert len({json.loads(event.body)["policy"] for event in home.events("key.create")}) == MANY
    many(lambda _: write(home, lambda s: principals.revoke_key(s, home.clock, actor=log.SYSTEM, key=key)))
    assert len(home.events("key.revoke")) == 1
    same = many(lambda _: write(home, lambda s: principals.create_key(
        s, home.clock, actor=log.SYSTEM, principal=home.engineer.id, sha256="ef" * 32) and "made"))  # fmt: skip
    assert same == {"made": 1, "key_exists": MANY - 1}


def test_a_duty_is_held_by_one_worker(home: Home) -> None:
    found = together([lambda n=n: write(home, lambda s: duties.take(s, home.clock, "sequence", f"w{n}", 60)) for n in range(MANY)])  # type: ignore[misc]
    assert [fence for fence in found if fence] == [1]
    many(lambda n: write(home, lambda s: duties.report(s, home.clock, "load", worker=f"w{n}", error=None)))
    with home.sessions.reading() as session:
        assert [duty.name for duty in duties.all_duties(session)] == ["load", "sequence"]


def test_what_two_machines_measure_is_kept_in_any_order(home: Home) -> None:
    found = many(lambda n: write(home, lambda s: calibration.save(s, home.clock, "threads 2", {"fixed": float(n)})))
    assert found == {None: MANY}
    with home.sessions.reading() as session:
        assert set(calibration.read_all(session)["threads 2"]) == {"fixed"}


@pytest.mark.parametrize("writers", [MANY])
def test_no_event_is_lost_or_doubled_while_they_are_numbered(home: Home, writers: int) -> None:
    before, stop = len(home.events()), threading.Event()

    def sequence() -> None:
        while not stop.is_set():
            with home.sessions.begin() as session:
                numbering.number(session, limit=7)

    def one(number: int) -> object:
        for _ in range(20):
            with home.sessions.begin() as session:
                log.append(session, home.clock, "log.read", actor=home.engineer, subject=str(number), details={})
        return "done"

    sequencer = threading.Thread(target=sequence)
    sequencer.start()
    try:
        assert many(one, writers) == {"done": writers}
    finally:
        stop.set()
        sequencer.join()
    with home.sessions.begin() as session:
        numbering.number(session)
        indexes = [index for index, _, _ in log.entries(session, 0, 10_000)]
    assert indexes == list(range(before + 20 * writers))
