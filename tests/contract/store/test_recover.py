"""A backup at any moment of any work, restored and brought up to the log: nothing that was spent or ended is forgotten."""

from __future__ import annotations

import json
import random
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from sqlalchemy.orm import Session

from sandbox.audit.event import Event, decode
from sandbox.audit.records import record_digest
from sandbox.committee import applications
from sandbox.errors import IntegrityFailed, SandboxError
from sandbox.policy.terms import Application, Grant
from sandbox.store import committee, dump, ledger, log, migrations, numbering, principals, queries, recover, removals
from sandbox.store import tables as t
from sandbox.store.sessions import Sessions
from tests.promises import promise
from tests.servers.postgres import Server
from tests.unit.store.home import COST, Home, ask

Dump = dict[str, list[bytes]]


@pytest.fixture
def fresh(kind: str, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Callable[[], Sessions]]:
    """Makes migrated, empty databases of the same kind."""
    made: list[Sessions] = []
    server: Server | None = None if kind == "sqlite" else request.getfixturevalue("postgres")
    names: list[str] = []

    def new() -> Sessions:
        if server is None:
            path = tmp_path / f"fresh{len(made)}.db"
            migrations.upgrade(path)
            made.append(Sessions(path))
        else:
            names.append(server.migrated())
            made.append(Sessions(server.url(names[-1]), password_file=server.password_file, pool=2))
        return made[-1]

    yield new
    for sessions in made:
        sessions.close()
    for name in names:
        assert server is not None
        server.drop_database(name)


def dumped(sessions: Sessions) -> Dump:
    with sessions.reading() as session:
        return {name: list(dump.lines(session, name)) for name in dump.tables()}


def loaded(sessions: Sessions, tables: Dump) -> None:
    with sessions.begin() as session:
        dump.check_empty(session)
        for name, rows in tables.items():
            assert dump.load(session, name, rows) == len(rows)
        dump.go_on(session)


def numbered(sessions: Sessions) -> list[bytes]:
    """Every event, numbered."""
    with sessions.begin() as session:
        numbering.number(session)
    with sessions.reading() as session:
        return log.bodies(session, 0, log.size(session))


def recovered(home: Home, sessions: Sessions, bodies: list[bytes]) -> recover.Outcome:
    with sessions.begin() as session:
        recover.hold(session)
        size = log.size(session)
        recovery = recover.Recovery(session)
        for index, body in enumerate(bodies[size:], size):
            recovery.take(index, body)
        return recovery.close(home.clock, "log", from_size=size)


class Work:
    """Random work of a bureau: what it does next, the dice say."""

    def __init__(self, home: Home, seed: int) -> None:
        self.home = home
        self.dice = random.Random(seed)  # noqa: S311 - a mix, not a secret
        self.grants: list[Grant] = [home.grant(epsilon=2)]
        self.open: list[Application] = []
        self.charged: list[queries.QueryRecord] = []
        self.keys: list[str] = []
        self.count = 0

    def step(self) -> None:
        self.count += 1
        self.home.minutes(self.dice.random())
        do = self.dice.choice([self.ask, self.ask, self.ask, self.end, self.end, self.grant, self.submit, self.vote,
                               self.revoke, self.newcomer, self.revoke_key, self.number])  # fmt: skip
        with suppress(SandboxError, IndexError, ValueError):  # refused, or nothing to do it to: that is work as well
            do()

    def ask(self) -> None:
        key = (f"key-{self.count}/a", "d" * 64) if self.dice.random() < 0.5 else None
        self.charged.append(ask(self.home, self.dice.choice(self.grants), key=key, cost=COST))

    def end(self) -> None:
        query = self.charged.pop(self.dice.randrange(len(self.charged)))
        with self.home.sessions.begin() as session:
            how = self.dice.choice(["settle", "fail", "lose", "overrun"])
            if how == "settle":
                queries.settle(
                    session, self.home.clock, query.id, 1, answer_object=f"v1/answers/{query.id}", answer_sha256="e" * 64
                )
            elif how == "overrun":
                queries.overrun(session, self.home.clock, query.id, 1)
            else:
                {"fail": queries.fail, "lose": queries.lose}[how](session, self.home.clock, query.id, 1, "query_no_answer")

    def grant(self) -> None:
        self.grants.append(self.home.grant(epsilon=self.dice.choice([1, 2])))

    def submit(self) -> None:
        self.open.append(self.home.submit("health.births"))

    def vote(self) -> None:
        application = self.dice.choice(self.open)
        with self.home.sessions.begin() as session:
            applications.consent(
                session, self.home.clock, self.home.steward, application.id, dataset="health.births",
                approve=self.dice.random() < 0.7, reason=self.dice.choice(["", "because"]),
            )  # fmt: skip

    def revoke(self) -> None:
        grant = self.dice.choice(self.grants)
        with self.home.sessions.begin() as session:
            committee.move_grant(
                session, self.home.clock, actor=self.home.members[0], grant=grant.id, action="revoke", details={}
            )

    def newcomer(self) -> None:
        with self.home.sessions.begin() as session:
            tenant = principals.create_tenant(
                session, self.home.clock, actor=log.SYSTEM, name=f"Company {self.count}", kind="company"
            )
            person = principals.create_principal(
                session, self.home.clock, actor=log.SYSTEM, tenant=tenant.id, name="New", roles=["engineer"]
            )
            sha256 = f"{self.count:064x}"
            self.keys.append(
                principals.create_key(session, self.home.clock, actor=log.SYSTEM, principal=person.id, sha256=sha256)
            )

    def revoke_key(self) -> None:
        with self.home.sessions.begin() as session:
            principals.revoke_key(session, self.home.clock, actor=log.SYSTEM, key=self.dice.choice(self.keys))

    def number(self) -> None:
        with self.home.sessions.begin() as session:
            numbering.number(session, self.dice.randrange(1, 30))


@promise("P6.2", "P6.3")
@pytest.mark.parametrize("seed", range(4))
def test_whatever_was_done_since_is_charged_and_ended_again(home: Home, fresh: Callable[[], Sessions], seed: int) -> None:
    work = Work(home, seed)
    dumps = [dumped(home.sessions)]
    for _ in range(60):
        work.step()
        if work.dice.random() < 0.05:
            dumps.append(dumped(home.sessions))
    bodies = numbered(home.sessions)
    with home.sessions.reading() as session:
        truth = {name: list(dump.lines(session, name)) for name in ("caps", "ledger")}
    for backup in [dumps[0], work.dice.choice(dumps[1:] or dumps), dumped(home.sessions)]:
        sessions = fresh()
        loaded(sessions, backup)
        outcome = recovered(home, sessions, bodies)
        with sessions.reading() as session:
            for name, rows in truth.items():
                assert list(dump.lines(session, name)) == rows, f"{name} of seed {seed}"
            assert log.bodies(session, 0, log.size(session)) == bodies
            _check_records(session, bodies, outcome)
            _check_sums(session, bodies)
            _check_keys(session, bodies, outcome)


def _check_records(session: Session, bodies: list[bytes], outcome: recover.Outcome) -> None:
    """Every record is what the last event says of it, or is named as lost; and little is lost that need not be."""
    last = {path: digest for event in map(decode, bodies) for path, digest in event.details.get("records", {}).items()}
    here = {}
    for name in log.AUDITED:
        here |= {path: record_digest(values) for path, values in log.records(session, name, "", 10_000)}
    for path, digest in last.items():
        assert here.get(path) == digest or path in outcome.lost, path
        if path.startswith(("caps/", "ledger/", "tenants/", "principals/")):
            assert path not in outcome.lost
    for path in outcome.lost:
        assert here.get(path) != last[path], f"{path} is not lost"


def _check_sums(session: Session, bodies: list[bytes]) -> None:
    """The events' charges add up to what each cap has spent."""
    spent: dict[tuple[str, str], int] = defaultdict(int)
    for event in map(decode, bodies):
        if event.type == "query.charge":
            for scope, subject in event.details["caps"]:
                spent[scope, subject] += int(event.details["cost"]["eps_p"])
    for (scope, subject), amount in spent.items():
        ((_, _, cost),) = ledger.read_caps(session, [(scope, subject)])
        assert cost.eps_p == amount


def _check_keys(session: Session, bodies: list[bytes], outcome: recover.Outcome) -> None:
    """Every idempotency key that was ever used is used, and every grant and key that ended has ended."""
    for event in map(decode, bodies):
        for path in event.details.get("records", {}):
            if path.startswith("idempotency/"):
                _, principal, key = path.split("/", 2)
                used = queries.idempotent(session, principal, key)
                assert used is not None
                assert (used[0] == "") == (path in outcome.lost)
        if event.type == "grant.revoke":
            grant = session.get(t.GrantRow, event.details["grant"])
            assert grant is None or grant.state == "revoked"
        if event.type == "key.revoke":
            row = session.get(t.ApiKey, event.details["key"])
            assert row is None or row.state == "revoked"


@pytest.mark.parametrize("proposed_before", [True, False])
def test_what_was_destroyed_stays_destroyed(home: Home, fresh: Callable[[], Sessions], proposed_before: bool) -> None:
    """A backup from before has the wrapped key: reconciling takes it away again, and the destruction is at its end."""
    dataset = home.datasets["health.visits"]
    with home.sessions.begin() as session:
        row = t.VersionRow(
            id="ver_1", dataset=dataset, tenant=home.bureau, number=1, suite="intl", wrapped_key=b"a key",
            manifest_object="v1/ver_1/manifest", manifest_sha256="f" * 64, created_at=home.clock.text(),
        )  # fmt: skip
        session.add(row)
        log.append(session, home.clock, "ingest.commit", actor=log.SYSTEM, subject="x", details={}, records=[row])
    backup = dumped(home.sessions)
    with home.sessions.begin() as session:
        removal = removals.propose(session, home.clock, home.steward, dataset=dataset, reason="no longer needed").id
    if proposed_before:
        backup = dumped(home.sessions)
    with home.sessions.begin() as session:
        removals.confirm(session, home.clock, home.members[0], removal)
    with home.sessions.begin() as session:
        removals.finish(session, home.clock, removal, certificate="signed", sha256="c" * 64, objects=3)
    bodies = numbered(home.sessions)
    sessions = fresh()
    loaded(sessions, backup)
    outcome = recovered(home, sessions, bodies)
    with sessions.reading() as session:
        version, removed = session.get_one(t.VersionRow, "ver_1"), session.get_one(t.RemovalRow, removal)
        assert (version.state, version.wrapped_key) == ("destroyed", b"")
        assert session.get_one(t.DatasetRow, dataset).state == "destroyed"
        assert (removed.state, removed.confirmed_by) == ("destroyed", home.members[0].id)
        assert outcome.lost == (f"removals/{removal}",), "its certificate"
        waiting = [log.find(session, event) for event in numbering.waiting_ids(session)]
        ((_, _, told),) = [found for found in waiting if found is not None]
        ((_, values),) = log.records(session, "removals", "", 10)
    assert json.loads(told)["details"]["records"] == {f"removals/{removal}": record_digest(values)}


def test_an_update_since_leaves_the_dataset_as_it_was(home: Home, fresh: Callable[[], Sessions]) -> None:
    """The newer manifest is lost; what the row says now is said in the log anew, and a retirement counts all the same."""
    dataset = home.datasets["health.visits"]
    backup = dumped(home.sessions)
    with home.sessions.begin() as session:
        row = session.get_one(t.DatasetRow, dataset)
        row.spec = {"consent": True}
        log.append(session, home.clock, "ingest.commit", actor=log.SYSTEM, subject="x", details={}, records=[row])
        removals.retire(session, home.clock, home.steward, dataset=dataset, reason="old")
    bodies = numbered(home.sessions)
    sessions = fresh()
    loaded(sessions, backup)
    outcome = recovered(home, sessions, bodies)
    with sessions.reading() as session:
        row = session.get_one(t.DatasetRow, dataset)
        assert (row.spec, row.state) == ({"consent": False}, "retired")
    assert {path.partition("/")[0] for path in outcome.lost} == {"datasets", "removals"}


def test_another_log_is_refused(home: Home, fresh: Callable[[], Sessions]) -> None:
    backup = dumped(home.sessions)
    ask(home, home.grant(epsilon=1))
    bodies = numbered(home.sessions)
    sessions = fresh()
    loaded(sessions, backup)
    numbered(sessions)  # as a gateway would that knew no better
    with sessions.begin() as session:
        log.append(session, home.clock, "log.read", actor=log.SYSTEM, subject="x", details={})
    with sessions.begin() as session:
        numbering.number(session)
    with pytest.raises(IntegrityFailed, match="reconcile_forked"), sessions.begin() as session:
        recover.Recovery(session).take(log.size(session) - 1, bodies[log.size(session) - 1])


def test_a_cap_that_was_charged_since_is_refused(home: Home, fresh: Callable[[], Sessions]) -> None:
    """Somebody spent under the older state before anybody looked: the sums would not be the log's."""
    grant = home.grant(epsilon=1)
    backup = dumped(home.sessions)
    ask(home, grant)
    bodies = numbered(home.sessions)
    sessions = fresh()
    loaded(sessions, backup)
    real, home.sessions = home.sessions, sessions
    ask(home, grant)
    home.sessions = real
    with pytest.raises(IntegrityFailed, match="reconcile_disagrees"):
        recovered(home, sessions, bodies)
    with sessions.reading() as session:
        assert log.size(session) == 0, "nothing was changed"


def test_many_lost_records_are_named_in_several_events(home: Home, fresh: Callable[[], Sessions]) -> None:
    grant = home.grant(epsilon=2)
    backup = dumped(home.sessions)
    cost = type(COST)(eps_p=10**6)
    for number in range(110):
        ask(home, grant, key=(f"{'k' * 180}{number}", "d" * 64), cost=cost)
    bodies = numbered(home.sessions)
    sessions = fresh()
    loaded(sessions, backup)
    outcome = recovered(home, sessions, bodies)
    with sessions.reading() as session:
        waiting = [log.find(session, event) for event in numbering.waiting_ids(session)]
    told = [json.loads(found[2])["details"] for found in waiting if found is not None]
    assert len(told) > 1
    assert [one["part"] for one in told] == list(range(1, len(told) + 1))
    assert sorted(path for one in told for path in one["lost"]) == sorted(outcome.lost)
    assert len(outcome.lost) == 220


def test_an_event_of_a_later_release_is_refused(home: Home) -> None:
    event = Event(
        id="evt_x", type="log.read", at=home.clock.text(), actor="a", tenant="t", subject="s", policy=0,
        details={"records": {"novelties/x": "0" * 64}},
    )  # fmt: skip
    from sandbox.audit.event import encode

    with pytest.raises(IntegrityFailed, match="reconcile_unknown_record"), home.sessions.begin() as session:
        recover.Recovery(session).take(10**6, encode(event))
