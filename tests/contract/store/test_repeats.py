"""Free answers are found by what was asked, of one grant and version, and are written down in one transaction."""

from __future__ import annotations

import json
import threading
from typing import Any

import pytest
from sqlalchemy import update

from sandbox.errors import Conflict, Denied, SandboxError
from sandbox.ids import new_id
from sandbox.policy.terms import Grant
from sandbox.store import committee, ledger, log, queries, rebuild, repeats
from sandbox.store import tables as t
from sandbox.store.queries import NewQuery, QueryRecord
from tests.promises import promise
from tests.unit.store.home import Home, ask

ASKED, BASIS = "aa" * 32, "bb" * 32


def settled(home: Home, grant: Grant, *, question: str = ASKED, basis: str | None = BASIS, version: str = "ver_1") -> str:
    """A paid query that was answered."""
    record = ask(home, grant)
    with home.sessions.begin() as session:
        session.execute(
            update(t.QueryRow).where(t.QueryRow.id == record.id).values(question=question, basis=basis, version=version)
        )
        queries.settle(session, home.clock, record.id, 1, answer_object="a/1", answer_sha256="cd" * 32)
    home.minutes(1)
    return record.id


def of(home: Home, query_id: str) -> QueryRecord:
    with home.sessions.reading() as session:
        found = queries.get(session, query_id)
    assert found is not None
    return found


def rolled(source: QueryRecord) -> NewQuery:
    return NewQuery(
        id=new_id("qry"), grant=source.grant, population=source.population, request={"sql": "SELECT 2"},
        priced={"cells": 3}, plan="ef" * 32, version=source.version, rung_ms=0, question="cc" * 32,
    )  # fmt: skip


def give(
    home: Home, source: QueryRecord, made: NewQuery | None = None, key: tuple[str, str] | None = None
) -> QueryRecord:
    keys = ledger.keys_of(grant=source.grant, datasets=[home.datasets["health.visits"]], population=home.population)
    with home.sessions.begin() as session:
        return repeats.give(
            session, home.clock, actor=home.engineer, source=source, made=made, keys=keys, idempotency=key
        )


@promise("P6.4")
def test_the_newest_settled_query_of_the_same_grant_version_and_question_is_found(home: Home) -> None:
    grant, other = home.grant(), home.grant()
    settled(home, grant)
    newest = settled(home, grant)
    settled(home, grant, question="dd" * 32)
    settled(home, grant, version="ver_2")
    settled(home, other)
    waiting = ask(home, grant)
    with home.sessions.begin() as session:
        session.execute(update(t.QueryRow).where(t.QueryRow.id == waiting.id).values(question=ASKED))
    with home.sessions.reading() as session:
        found = repeats.same_question(session, grant.id, "ver_1", ASKED)
        assert found is not None
        assert found.id == newest
        assert repeats.same_question(session, grant.id, "ver_3", ASKED) is None
        assert repeats.same_question(session, grant.id, "ver_1", "ee" * 32) is None


@promise("P6.4")
def test_additive_answers_are_paid_settled_and_of_the_basis(home: Home) -> None:
    grant = home.grant()
    first, second = settled(home, grant), settled(home, grant)
    settled(home, grant, basis=None)
    settled(home, grant, version="ver_2")
    settled(home, home.grant())
    free = give(home, of(home, second), rolled(of(home, second)))
    with home.sessions.begin() as session:
        session.execute(update(t.QueryRow).where(t.QueryRow.id == free.id).values(basis=BASIS))
    with home.sessions.reading() as session:
        found = repeats.additive_answers(session, grant.id, "ver_1", [BASIS, "ff" * 32])
        assert [r.id for r in found] == [second, first]
        assert repeats.additive_answers(session, grant.id, "ver_1", ["ff" * 32]) == []


@promise("P5.3")
def test_norms_are_lent_by_settled_queries_of_the_same_grant_version_and_vectors(home: Home) -> None:
    grant, vectors = home.grant(), "ab" * 32
    found = {}
    for name, version in (("first", "ver_1"), ("second", "ver_1"), ("other version", "ver_2"), ("other vectors", "ver_1")):
        found[name] = settled(home, grant, version=version)
    found["other grant"], waiting = settled(home, home.grant()), ask(home, grant)
    with home.sessions.begin() as session:
        for query in (*(found[n] for n in found if n != "other vectors"), waiting.id):
            session.execute(update(t.QueryRow).where(t.QueryRow.id == query).values(clipping=vectors))
    with home.sessions.reading() as session:
        lenders = repeats.norm_answers(session, grant.id, "ver_1", vectors)
        assert [r.id for r in lenders] == [found["second"], found["first"]]
        assert dict(log.records(session, "queries", "", 10))[f"queries/{waiting.id}"]["clipping"] == vectors


@promise("P6.3", "P6.4")
def test_a_repeat_costs_nothing_and_its_key_stands_for_the_first_query(home: Home) -> None:
    source = of(home, settled(home, home.grant()))
    caps, rows = home.rows(t.CapRow), home.rows(t.QueryRow)
    assert give(home, source, key=("k1", "d1")) == source
    assert (home.rows(t.CapRow), home.rows(t.QueryRow)) == (caps, rows)
    (event,) = home.events("query.repeat")
    details = json.loads(event.body)["details"]
    assert (event.subject, details["query"], details["source"], details["kind"]) == (source.id,) * 3 + ("repeat",)
    assert [path.partition("/")[0] for path in details["records"]] == ["idempotency"]
    with home.sessions.reading() as session:
        assert queries.idempotent(session, home.engineer.id, "k1") == ("d1", source.id)
        assert repeats.is_free(session, home.engineer.id, "k1")
        assert not repeats.is_free(session, home.engineer.id, "k2")
    for digest, code in (("d1", "idempotency_in_flight"), ("d2", "idempotency_key_reused")):
        with pytest.raises(Conflict) as caught:
            give(home, source, key=("k1", digest))
        assert caught.value.code == code
    assert len(home.events("query.repeat")) == 1


def test_the_key_that_was_charged_is_not_free(home: Home) -> None:
    ask(home, home.grant(), key=("k1", "d1"))
    with home.sessions.reading() as session:
        assert not repeats.is_free(session, home.engineer.id, "k1")


@promise("P6.4")
def test_a_roll_up_is_a_query_of_its_own_that_the_log_tells_of(home: Home) -> None:
    source = of(home, settled(home, home.grant()))
    made = rolled(source)
    record = give(home, source, made, key=("k1", "d1"))
    assert (record.id, record.state, record.source, record.answer_object) == (made.id, "settled", source.id, None)
    (event,) = home.events("query.repeat")
    details = json.loads(event.body)["details"]
    assert record.event == event.id
    (row,) = [row for row in home.rows(t.QueryRow) if row["id"] == made.id]
    assert details["records"][f"queries/{made.id}"] == rebuild.digest("queries", row)
    with home.sessions.reading() as session:
        known = dict(log.records(session, "queries", "", 10))
    assert known[f"queries/{made.id}"]["source"] == source.id
    assert "question" in known[f"queries/{source.id}"]
    assert "source" not in known[f"queries/{source.id}"]


def test_queries_of_earlier_releases_have_the_digest_they_had(home: Home) -> None:
    record = ask(home, home.grant())
    with home.sessions.reading() as session:
        ((_, values),) = log.records(session, "queries", "", 10)
    assert values["id"] == record.id
    assert not {"question", "basis", "source", "clipping"} & values.keys()


@pytest.mark.parametrize("ending", ["revoke", "stop", "expire"])
def test_nothing_is_free_under_a_grant_that_ended_after_the_decision(home: Home, ending: str) -> None:
    grant = home.grant()
    source = of(home, settled(home, grant))
    with home.sessions.begin() as session:
        committee.move_grant(session, home.clock, actor=log.SYSTEM, grant=grant.id, action=ending, details={})
        with pytest.raises(Denied):
            queries.require_grant(session, home.clock, grant.id)
    with pytest.raises(Denied) as caught:
        give(home, source, rolled(source), key=("k1", "d1"))
    assert caught.value.code == "grant_not_active"
    assert home.events("query.repeat") == home.rows(t.IdempotencyRow) == []


def test_of_eight_that_use_one_key_at_once_one_is_given(home: Home) -> None:
    source = of(home, settled(home, home.grant()))
    outcomes: list[Any] = []
    start = threading.Barrier(8)

    def one() -> None:
        start.wait()
        try:
            outcomes.append(give(home, source, rolled(source), key=("k1", "d1")).source)
        except SandboxError as error:
            outcomes.append(error.code)

    threads = [threading.Thread(target=one) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(outcomes) == sorted([source.id] + ["idempotency_in_flight"] * 7)
    assert len(home.events("query.repeat")) == len(home.rows(t.QueryRow)) - 1 == 1


def test_a_row_that_is_read_and_a_key_that_is_claimed(home: Home) -> None:
    record = ask(home, home.grant())
    with home.sessions.begin() as session:
        row = session.get(t.QueryRow, record.id)
        assert row is not None
        assert queries.record_of(row) == record
        key = {"principal": home.engineer.id, "key": "k9", "digest": "d", "resource": record.id, "at": home.clock.text()}
        queries.claim(session, t.IdempotencyRow(**key))
        with pytest.raises(Conflict, match="idempotency_in_flight"):
            queries.claim(session, t.IdempotencyRow(**key))
