"""What a house knows of itself: processes, its state, what machines measured, its schema, and its duties' holders."""

from __future__ import annotations

import pytest

from sandbox.audit.event import decode
from sandbox.errors import Conflict, DependencyFailed, IntegrityFailed, RequestError
from sandbox.flow import Cost
from sandbox.store import (
    calibration,
    dump,
    duties,
    home_state,
    ledger,
    log,
    migrations,
    numbering,
    principals,
    processes,
    queries,
    rebuild,
)
from sandbox.store import tables as t
from sandbox.store.processes import Process
from tests.unit.store.home import LEASE, Home, ask


def test_processes_live_and_die(home: Home) -> None:
    at = home.clock.text()
    gateway = Process(id="wrk_1", role="gateway", host="机", release="0.2.0", settings="ab" * 32, started_at=at)
    worker = Process(id="wrk_2", role="worker", host="b", release="0.2.0", settings="cd" * 32, started_at=home.clock.text(plus_seconds=6))
    with home.sessions.begin() as session:
        processes.start(session, home.clock, gateway)
        home.minutes(0.1)
        processes.start(session, home.clock, worker)
        assert [p.id for p in processes.all_processes(session)] == ["wrk_1", "wrk_2"]
    assert decode(home.events("process.start")[0].body).details["role"] == "gateway"
    home.minutes(2)
    with home.sessions.begin() as session:
        processes.seen(session, home.clock, worker)
        assert [p.id for p in processes.living(session, home.clock)] == ["wrk_2"]
        home.minutes(120)
        processes.seen(session, home.clock, worker)
        assert [p.id for p in processes.all_processes(session)] == ["wrk_2"]
        processes.seen(session, home.clock, gateway)
        processes.stop(session, home.clock, worker)
        assert [(p.id, p.host) for p in processes.all_processes(session)] == [("wrk_1", "机")]


def test_the_homes_state(home: Home) -> None:
    with home.sessions.begin() as session:
        assert home_state.read(session).mode == home_state.OPEN
        home_state.close(session, home.clock, "home_rolled_back")
        home_state.close(session, home.clock, "home_restored bk_1")
        assert (home_state.read(session).mode, home_state.read(session).backup) == (home_state.READ_ONLY, "bk_1")
        home_state.open_again(session, home.clock)
        assert home_state.read(session) == home_state.HomeState(mode=home_state.OPEN)


def test_what_machines_measured(home: Home) -> None:
    with home.sessions.begin() as session:
        assert (calibration.read_all(session), calibration.newest_at(session)) == ({}, None)
        calibration.save(session, home.clock, "threads 2", {"fixed": 0.1})
        calibration.save(session, home.clock, "threads 2", {"fixed": 1e-300})
        assert calibration.read_all(session) == {"threads 2": {"fixed": 1e-300}}
        assert calibration.newest_at(session) == home.clock.text()


def test_the_schema_of_an_open_database(home: Home) -> None:
    with home.sessions.reading() as session:
        assert migrations.revision(session) == migrations.head()
    assert [migrations.known(revision) for revision in ("0001", migrations.head(), "9999")] == [True, True, False]
    assert [migrations.is_older(found) for found in ("0001", migrations.head(), "9999", None)] == [True, False, False, False]


def test_a_duty_and_its_holder(home: Home) -> None:
    with home.sessions.begin() as session:
        fence = duties.take(session, home.clock, "publish", "w1", 60)
        assert fence == 1
        assert duties.take(session, home.clock, "publish", "w2", 60) is None
        assert not duties.free(session, home.clock, "publish", "w2")
        duties.renew(session, home.clock, "publish", "w1", fence=fence, seconds=60)
        duties.fence(session, "publish", "w1", fence)
        duties.release(session, "publish", "w1", fence)
        assert duties.free(session, home.clock, "publish", "w2")
        assert duties.take(session, home.clock, "publish", "w2", 60) == 2
        with pytest.raises(Conflict):
            duties.fence(session, "publish", "w1", fence)
        duties.report(session, home.clock, "publish", worker="w2", error="object_store_failed")
        assert not duties.is_late(session, home.clock, "publish", 30), "it has never succeeded: there is nothing to be late"
        duties.report(session, home.clock, "publish", worker="w2", error=None)
        assert not duties.is_late(session, home.clock, "publish", 30)
        duties.require_published(session, home.clock)
        home.minutes(1)
        assert duties.is_late(session, home.clock, "publish", 30)
        with pytest.raises(DependencyFailed) as caught:
            duties.require_published(session, home.clock)
        assert caught.value.code == "log_not_published"
        duties.report(session, home.clock, "publish", worker="w2", error="object_store_failed")
        (duty,) = duties.all_duties(session)
        assert (duty.name, duty.error, duty.holder, duty.fence) == ("publish", "object_store_failed", "w2", 2)


def test_an_older_lease_of_the_same_worker_is_lost_too(home: Home) -> None:
    with home.sessions.begin() as session:
        older = duties.take(session, home.clock, "publish", "w1", 60)
        newer = duties.take(session, home.clock, "publish", "w1", 60)
        assert (older, newer) == (1, 2)
        with pytest.raises(Conflict):
            duties.renew(session, home.clock, "publish", "w1", fence=1, seconds=60)
        with pytest.raises(Conflict):
            duties.fence(session, "publish", "w1", 1)
        duties.release(session, "publish", "w1", 1)
        assert not duties.free(session, home.clock, "publish", "w2")
        duties.renew(session, home.clock, "publish", "w1", fence=2, seconds=60)


def test_roles_belong_to_kinds(home: Home) -> None:
    principals.check_roles("company", ["engineer"])
    with pytest.raises(RequestError) as caught:
        principals.check_roles("company", ["auditor"])
    assert caught.value.code == "role_not_of_kind"
    with home.sessions.reading() as session:
        assert {p.principal for p in principals.list_principals(session)} >= {home.engineer, home.steward}


def test_caps_are_locked_and_a_taken_query_is_held(home: Home) -> None:
    grant = home.grant()
    record = ask(home, grant, cost=Cost(eps_p=1))
    with home.sessions.begin() as session:
        ledger.lock(session, [("grant", grant.id), ("population", home.population)])
        with pytest.raises(IntegrityFailed):
            ledger.lock(session, [("grant", "grt_none")])
        home.minutes(10)
        assert queries.abandoned(session, home.clock)
        queries.hold(session, record, home.clock.text(plus_seconds=LEASE))
        assert not queries.abandoned(session, home.clock)
        assert queries.take_over(session, home.clock, "wrk_2", LEASE) is None
        assert queries.without_answer(session, [record.id, "qry_other"]) == set()
        queries.fail(session, home.clock, record.id, 1, "query_no_answer")
        assert queries.without_answer(session, [record.id, "qry_other"]) == {record.id}


def test_rows_are_made_again_from_the_log(home: Home) -> None:
    """Every row that an event brought into being, and each change, agrees with the digest that the event has of it."""
    grant = home.grant()
    record = ask(home, grant, key=("k", "d"))
    with home.sessions.begin() as session:
        queries.settle(session, home.clock, record.id, 1, answer_object=f"v1/answers/{record.id}", answer_sha256="ab" * 32)
    with home.sessions.begin() as session:
        numbering.number(session)
        (row,) = session.query(t.QueryRow)
        values = rebuild.values_of(row)
        settled = decode(home.events("query.settle")[0].body)
        before = {**values, "state": "charged", "answer_object": None, "answer_sha256": None}
        wanted = settled.details["records"][f"queries/{record.id}"]
        assert rebuild.digest("queries", values) == wanted
        assert wanted in [rebuild.digest("queries", after) for after in rebuild.changed("queries", settled, before)]
        assert rebuild.forced("queries", settled) == {}
        charged = decode(home.events("query.charge")[0].body)
        for path, digest in charged.details["records"].items():
            name, keys = rebuild.keys_of(path)
            if name == "idempotency":
                found = rebuild.stand_in(name, keys, charged)
                assert isinstance(found, t.IdempotencyRow)
                assert (found.key, found.resource) == ("k", record.id)
            if name == "ledger":
                assert rebuild.digest(name, rebuild.made(session, name, keys, charged, digest) or {}) == digest


def test_a_dump_has_every_row_of_an_instant(home: Home) -> None:
    ask(home, home.grant(), key=("k", "d"))
    with home.sessions.begin() as session:
        numbering.number(session)
        with pytest.raises(Conflict):
            dump.check_empty(session)
        dump.go_on(session)
        log.append(session, home.clock, "log.read", actor=home.engineer, subject="x", details={})
        assert dump.load(session, "idempotency", []) == 0
    with home.sessions.reading() as session:
        dump.take_time(session)
        counted = {name: len(list(dump.lines(session, name))) for name in dump.tables()}
        assert counted["events"] == len(home.events())
        assert (counted["idempotency"], counted["queries"], counted["ledger"]) == (1, 1, 3)
        assert list(dump.stored_versions(session)) == list(dump.stored_answers(session)) == []
        leaves: list[bytes] = []
        dump.check_log(session, log.size(session), leaves.append)
        assert leaves == log.leaves(session)
