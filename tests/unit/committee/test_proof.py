"""What the committee, the ledger and the queries write down, the auditor's verifier proves, and finds when changed."""

from __future__ import annotations

import base64
import sqlite3

import pytest

from sandbox.audit import checkpoint, merkle
from sandbox.audit.export import verify_bundle
from sandbox.audit.records import plain
from sandbox.committee import applications
from sandbox.crypto.suite import INTL
from sandbox.flow import Cost
from sandbox.privacy.accounting import UNIT
from sandbox.store import log, numbering, queries
from sandbox.store import tables as t
from tests.unit.store.home import Home, ask

ORIGIN = "sandbox.test/log"
KEY = INTL.new_signing_key()
VKEY = checkpoint.vkey(ORIGIN, INTL.public_key(KEY))


def bundle(home: Home) -> dict[str, object]:
    with home.sessions.begin() as session:
        numbering.number(session)
        entries = [
            {"index": index, "body": base64.b64encode(body).decode(), "leaf": leaf}
            for index, body, leaf in log.entries(session, 0, 10_000)
        ]
        leaves = log.leaves(session)
        records = {
            path: plain(values) for table in log.AUDITED for path, values in log.records(session, table, "", 10_000)
        }
    text = checkpoint.checkpoint_text(ORIGIN, len(leaves), merkle.root(leaves))
    return {"v": 1, "checkpoint": checkpoint.sign_note(text, ORIGIN, KEY), "entries": entries, "records": records}


@pytest.fixture
def told(home: Home) -> Home:
    """A day in which everything happens that this part can do."""
    with home.sessions.begin() as session:
        version = t.VersionRow(
            id="ver_1", tenant=home.steward.tenant, dataset=home.datasets["health.visits"], number=1, suite="intl",
            wrapped_key=b"k", manifest_object="m", manifest_sha256="ab" * 32, created_at=home.clock.text(),
        )  # fmt: skip
        session.add(version)
        details = {"version": version.id}
        log.append(
            session, home.clock, "ingest.commit", actor=log.SYSTEM, subject="i", details=details, records=[version]
        )
    grant, rival = home.grant("health.visits"), home.grant(by=home.other_engineer)
    births = home.submit("health.births")
    with home.sessions.begin() as session:
        applications.consent(session, home.clock, home.steward, births.id, dataset="health.births", approve=True)
    for member in (1, 2):
        home.vote(births, member)
    for member in (0, 1):
        home.vote(home.submit(), member, approve=False)
    rejected = home.submit()
    for member in (0, 2):
        home.vote(rejected, member, approve=False)
    withdrawn = home.submit()
    with home.sessions.begin() as session:
        applications.withdraw(session, home.clock, home.engineer, withdrawn.id)
    settled = ask(home, grant, key=("k", "d"))
    with home.sessions.begin() as session:
        queries.settle(session, home.clock, settled.id, 1, answer_object="a", answer_sha256="b")
    for cost in (Cost(rho=UNIT // 1000), Cost(eps_p=UNIT // 100), Cost(eps_p=1, rho=1)):
        late = ask(home, grant, cost=cost)
        with home.sessions.begin() as session:
            queries.overrun(session, home.clock, late.id, 1)
    lost = ask(home, rival, by=home.other_engineer)
    for _ in range(2):
        home.minutes(2)
        with home.sessions.begin() as session:
            queries.take_over(session, home.clock, "wrk_2", 60)
    home.minutes(60 * 24 * 40)
    with home.sessions.begin() as session:
        assert queries.get(session, lost.id).state == "failed"  # type: ignore[union-attr]
        assert [g.id for g in applications.expire(session, home.clock)] == [rival.id]
    return home


def test_the_verifier_proves_it_all(told: Home) -> None:
    assert verify_bundle(bundle(told), VKEY) == []


@pytest.mark.parametrize(
    ("statement", "path"),
    [
        ("UPDATE grants SET state = 'active' WHERE state = 'expired'", "grants/"),
        ("UPDATE caps SET spent_rho = spent_rho + 1 WHERE scope = 'population'", "caps/population/"),
        ("UPDATE queries SET state = 'settled' WHERE state = 'failed'", "queries/"),
        ("UPDATE applications SET tenant = 'ten_x' WHERE state = 'approved'", "applications/"),
        ("UPDATE votes SET approve = 1 WHERE approve = 0", "votes/"),
        ("UPDATE principals SET roles = '[\"auditor\"]'", "principals/"),
        ("DELETE FROM grants", "grants/"),
    ],
)
def test_a_changed_record_is_named(told: Home, statement: str, path: str) -> None:
    told.sessions.close()
    connection = sqlite3.connect(told.path)
    connection.execute(statement)
    connection.commit()
    connection.close()
    assert any(path in finding for finding in verify_bundle(bundle(told), VKEY))
