"""A charge passes all of its caps or none, exactly as often as fits, under any number of writers."""

from __future__ import annotations

import json
import threading

import pytest

from sandbox.errors import Conflict, Denied, IntegrityFailed, RequestError
from sandbox.flow import Cost
from sandbox.privacy import accounting
from sandbox.privacy.accounting import UNIT
from sandbox.store import ledger, log
from sandbox.store import tables as t
from tests.promises import promise
from tests.unit.store.home import N_IDS, Home, small_cap

COST = Cost(eps_p=UNIT // 10)


def keys(home: Home, grant: str, *datasets: str) -> list[ledger.Key]:
    ids = [home.datasets[name] for name in datasets or ("health.visits",)]
    return ledger.keys_of(grant=grant, datasets=ids, population=home.population)


def charge(home: Home, grant: str, query: str, passing: list[ledger.Key], cost: Cost = COST, step: str = "main") -> str:
    with home.sessions.begin() as session:
        return ledger.charge(
            session, home.clock, actor=home.engineer, query_id=query, step=step, grant=grant, keys=passing, cost=cost,
            details={"plan": "ab" * 32, "rung_ms": 250},
        )  # fmt: skip


def spent(home: Home) -> dict[str, tuple[int, int, int]]:
    return {
        f"{row['scope']}/{row['subject']}": (row["spent_eps_p"], row["spent_rho"], row["spent_delta"])  # type: ignore[misc]
        for row in home.rows(t.CapRow)
    }


@promise("P1.5")
def test_a_charge_hits_the_grant_every_lineage_and_the_population_once(home: Home) -> None:
    grant = home.grant("health.visits", "health.survey")
    before = spent(home)
    passing = keys(home, grant.id, "health.visits", "health.survey", "health.visits")
    event = charge(home, grant.id, "qry_1", [*passing, *passing])
    changed = {key for key, value in spent(home).items() if value != before[key]}
    assert changed == {
        f"grant/{grant.id}",
        f"dataset/{home.datasets['health.visits']}",
        f"dataset/{home.datasets['health.survey']}",
        f"population/{home.population}",
    }
    for key in changed:
        assert spent(home)[key][0] - before[key][0] == COST.eps_p
    rows = home.rows(t.LedgerRow)
    assert sorted((row["scope"], row["subject"]) for row in rows) == passing
    assert {row["event"] for row in rows} == {event}


@promise("P1.5")
def test_two_grants_on_one_population_share_its_cap_alone(home: Home) -> None:
    ours, theirs = home.grant(), home.grant(by=home.other_engineer)
    charge(home, ours.id, "qry_1", keys(home, ours.id))
    charge(home, theirs.id, "qry_2", keys(home, theirs.id))
    now = spent(home)
    assert now[f"population/{home.population}"][0] == 2 * COST.eps_p
    assert now[f"grant/{ours.id}"][0] == now[f"grant/{theirs.id}"][0] == COST.eps_p


@promise("P6.1")
@pytest.mark.parametrize("exhausted", ["grant", "dataset", "population"])
def test_a_charge_passes_all_or_none(home: Home, exhausted: str) -> None:
    grant = home.grant("health.visits", "health.survey", preset="research")
    passing = keys(home, grant.id, "health.visits", "health.survey")
    with home.sessions.begin() as session:
        for row in session.query(t.CapRow).filter(t.CapRow.scope == exhausted):
            row.spent_eps_p = row.epsilon - COST.eps_p + 1
    before = spent(home), home.rows(t.LedgerRow), len(home.events())
    with pytest.raises(Denied) as caught:
        charge(home, grant.id, "qry_1", passing)
    assert caught.value.code == "budget_exhausted"
    assert caught.value.params["scope"] == exhausted
    assert caught.value.params["left_pure"] == accounting.decimal(COST.eps_p - 1)
    assert caught.value.params["needed"] == "ε 0.1"
    assert (spent(home), home.rows(t.LedgerRow), len(home.events())) == before


@promise("P6.1")
def test_a_refused_charge_leaves_nothing_even_if_its_transaction_goes_on(home: Home) -> None:
    grant = home.grant()
    before = spent(home)
    with home.sessions.begin() as session:
        with pytest.raises(Denied):
            ledger.charge(
                session, home.clock, actor=home.engineer, query_id="qry_1", step="main", grant=grant.id,
                keys=keys(home, grant.id), cost=Cost(eps_p=2 * UNIT), details={},
            )  # fmt: skip
        log.append(session, home.clock, "access.deny", actor=home.engineer, subject="qry_1", details={})
    assert spent(home) == before
    assert home.rows(t.LedgerRow) == []
    assert len(home.events("access.deny")) == 1


@promise("P6.1")
def test_sixteen_threads_on_a_cap_for_150_get_exactly_150(home: Home) -> None:
    with home.sessions.begin() as session:
        cap = small_cap(epsilon=150)
        for scope, subject in (("grant", "grt_1"), ("population", "pop_1"), ("dataset", "ds_1")):
            ledger.open_cap(
                session, home.clock, home.steward, scope=scope, subject=subject, tenant=home.bureau,  # type: ignore[arg-type]
                cap=cap if scope == "population" else small_cap(), spent=Cost(),
            )  # fmt: skip
    passing = ledger.keys_of(grant="grt_1", datasets=["ds_1"], population="pop_1")
    granted: list[str] = []
    refused: list[str] = []
    start = threading.Barrier(16)

    def ask(thread: int) -> None:
        start.wait()
        for number in range(12):
            query = f"qry_{thread}_{number}"
            try:
                charge(home, "grt_1", query, passing[:: -1 if thread % 2 else 1], Cost(eps_p=1))
                granted.append(query)
            except Denied:
                refused.append(query)

    threads = [threading.Thread(target=ask, args=(thread,)) for thread in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (len(granted), len(refused)) == (150, 16 * 12 - 150)
    assert {spent(home)[f"{scope}/{subject}"][0] for scope, subject in passing} == {150}
    assert len(home.rows(t.LedgerRow)) == 3 * 150
    assert sorted(row.subject for row in home.events("query.charge")) == sorted(granted)


def test_the_records_in_the_events_follow_the_order_of_the_charges(home: Home) -> None:
    """Events are numbered by id: the last one numbered must hold the digest of the cap as it stands."""
    grant = home.grant()
    start = threading.Barrier(8)

    def ask(thread: int) -> None:
        start.wait()
        charge(home, grant.id, f"qry_{thread}", keys(home, grant.id), Cost(eps_p=1 + thread))

    threads = [threading.Thread(target=ask, args=(thread,)) for thread in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    last = json.loads(home.events("query.charge")[-1].body)["details"]["records"]
    with home.sessions.reading() as session:
        row = session.get_one(t.CapRow, ("grant", grant.id))
        path, values = log.record_of(row)
    from sandbox.audit.records import record_digest

    assert last[path] == record_digest(values)


def test_the_event_tells_the_charge_in_exact_texts(home: Home) -> None:
    grant = home.grant()
    charge(home, grant.id, "qry_1", keys(home, grant.id), Cost(eps_p=UNIT // 4, rho=3, delta=5))
    (event,) = home.events("query.charge")
    details = json.loads(event.body)["details"]
    records = details.pop("records")
    assert details == {
        "query": "qry_1",
        "grant": grant.id,
        "step": "main",
        "cost": {"eps_p": "250000000000", "rho": "3", "delta": "5"},
        "caps": [[scope, subject] for scope, subject in keys(home, grant.id)],
        "plan": "ab" * 32,
        "rung_ms": 250,
    }
    assert len(records) == 6
    assert (event.tenant, event.subject) == (home.company, "qry_1")


def test_a_step_is_charged_once(home: Home) -> None:
    grant = home.grant()
    charge(home, grant.id, "qry_1", keys(home, grant.id))
    before = spent(home)
    for passing in (keys(home, grant.id), keys(home, grant.id, "health.survey")):
        with pytest.raises(Conflict) as caught:
            charge(home, grant.id, "qry_1", passing)
        assert caught.value.code == "step_already_charged"
    assert spent(home) == before
    charge(home, grant.id, "qry_1", keys(home, grant.id), step="main-1")
    with home.sessions.reading() as session:
        assert [ledger.is_charged(session, "qry_1", step) for step in ("main", "main-1", "main-2")] == [True, True, False]
        assert not ledger.is_charged(session, "qry_2", "main")


@pytest.mark.parametrize("cost", [Cost(), Cost(eps_p=-1), Cost(eps_p=1, rho=-1), Cost(delta=-1)])
def test_a_cost_that_is_not_positive_is_refused(home: Home, cost: Cost) -> None:
    grant = home.grant()
    with pytest.raises(IntegrityFailed) as caught:
        charge(home, grant.id, "qry_1", keys(home, grant.id), cost)
    assert caught.value.code == "charge_refused"


def test_a_charge_needs_caps_that_exist_and_that_of_its_grant(home: Home) -> None:
    grant = home.grant()
    for passing, code in [
        ([], "charge_refused"),
        ([("population", home.population)], "charge_refused"),
        ([*keys(home, grant.id), ("dataset", "ds_none")], "cap_missing"),
    ]:
        with pytest.raises(IntegrityFailed) as caught:
            charge(home, grant.id, "qry_1", passing)
        assert caught.value.code == code
    assert home.rows(t.LedgerRow) == []


def test_a_cap_opens_once_and_only_with_room(home: Home) -> None:
    cap = small_cap(delta=1000)
    with home.sessions.begin() as session:
        ledger.open_cap(
            session, home.clock, home.steward, scope="dataset", subject="ds_1", tenant=home.bureau, cap=cap,
            spent=Cost(delta=500),
        )  # fmt: skip
    for subject, delta, code in (("ds_1", 0, "cap_exists"), ("ds_2", 501, "cap_delta_too_small")):
        with pytest.raises((Conflict, RequestError)) as caught, home.sessions.begin() as session:
            ledger.open_cap(
                session, home.clock, home.steward, scope="dataset", subject=subject, tenant=home.bureau, cap=cap,
                spent=Cost(delta=delta),
            )  # fmt: skip
        assert caught.value.code == code


def test_caps_are_read_as_they_were_opened_in_sorted_order(home: Home) -> None:
    grant = home.grant()
    charge(home, grant.id, "qry_1", keys(home, grant.id))
    with home.sessions.reading() as session:
        read = ledger.read_caps(session, reversed(keys(home, grant.id)))
    assert [key for key, _, _ in read] == keys(home, grant.id)
    key, cap, cost = read[-1]
    assert (key, cap) == (("population", home.population), small_cap())
    assert cost == COST + Cost(delta=accounting.delta_0(N_IDS))
