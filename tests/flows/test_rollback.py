"""A restored older state cannot forget: it is found out, takes no change, and gets back what was published."""

from __future__ import annotations

import shutil
import sqlite3
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from sandbox.cli.doctor import examine
from sandbox.cli.witnessing import Server, Witness, make
from sandbox.errors import Conflict, DependencyFailed, IntegrityFailed
from sandbox.settings import FILE
from sandbox.store import home_state, log, principals
from sandbox.work import duties
from sandbox.work.witnesses import Witness as Named
from sandbox.work.witnesses import Witnessing
from tests.house import city, opened
from tests.promises import promise
from tests.restoring import SQL, UNIT, back_up, findings, home_from, publish, reconciled, spent
from tests.trips import some_rows


@dataclass(frozen=True, slots=True)
class Past:
    """A home that went on after its backup: `early` was taken before, `late` at the end; what was true at the end."""

    home: Path
    early: Path
    late: Path
    keys: dict[str, str]
    grants: tuple[str, ...]
    spent: int
    checkpoint: str
    answer: str
    first: dict[str, object]

    def restored(self, folder: Path, *, late: bool = False) -> Path:
        """A home of a backup, over a copy of the objects as they are now."""
        old = folder / "old"
        shutil.copytree(self.home, old)
        home_from(self.late if late else self.early, folder / "new", old)
        return folder / "new"


@pytest.fixture(scope="module")
def past(tmp_path_factory: pytest.TempPathFactory) -> Past:
    folder = tmp_path_factory.mktemp("past")
    with city(folder) as town:
        town.load(some_rows(8))
        kept, stopped = town.grant(), town.grant(epsilon="1", purpose="research")
        first = town.ask(SQL, "before-it", epsilon="0.1", grant=kept).json()
        publish(town)
        back_up(folder / "home", folder / "early")
        answer = town.ask(SQL, "after-it-1", epsilon="0.2", grant=kept).json()["id"]
        assert town.ask(SQL, "after-it-2", epsilon="0.2", grant=kept).status_code == 200
        new = town.grant(epsilon="1", purpose="teaching")
        assert town.ask(SQL, "under-the-new-one", epsilon="0.3", grant=new).status_code == 200
        town.ok("POST", f"/v1/grants/{stopped}/revoke", {"reason": "enough"}, part="committee1")
        with town.house.sessions.reading() as session:
            (key,) = principals.keys_of(session, town.ok("GET", "/v1/me", part="rival")["id"])
        town.ok("POST", f"/v1/keys/{key}/revoke", part="operator")
        town.ok("POST", "/v1/tenants", {"name": "newcomer", "kind": "company"}, part="operator")
        body = {"name": "late", "tenant": "newcomer", "roles": ["engineer"]}
        town.keys["late"] = town.ok("POST", "/v1/principals", body, part="operator")["key"]
        publish(town)
        back_up(folder / "home", folder / "late")
        publish(town)
        with town.house.sessions.reading() as session:
            checkpoint = log.checkpoint(session)
        assert checkpoint is not None
        past = Past(
            home=folder / "home", early=folder / "early", late=folder / "late", keys=dict(town.keys),
            grants=(kept, stopped, new), spent=spent(town, kept), checkpoint=checkpoint[1], answer=answer, first=first,
        )  # fmt: skip
        assert past.spent == 5 * UNIT // 10
    return past


@promise("P6.2")
def test_an_older_state_is_found_out_and_takes_no_change(past: Past, tmp_path: Path) -> None:
    home = past.restored(tmp_path)
    with opened(home, past.keys) as town:
        assert town.house.sessions.frozen == home_state.ROLLED_BACK
        assert spent(town, past.grants[0]) == UNIT // 10, "the older state has forgotten two charges"
        refused = town.ask(SQL, "once-more", epsilon="0.1", grant=past.grants[0])
        assert (refused.status_code, refused.json()["code"]) == (503, "home_read_only")
        for method, path, body, part in (
            ("POST", "/v1/tenants", {"name": "x", "kind": "company"}, "operator"),
            ("POST", f"/v1/grants/{past.grants[0]}/revoke", {"reason": "x"}, "committee1"),
        ):
            refused = town.call(method, path, body, part=part)
            assert (refused.status_code, refused.json()["code"]) == (503, "home_read_only")
        assert town.ok("GET", f"/v1/answers/{past.first['id']}")["rows"] == past.first["rows"], "what is there is read"
        ready = town.client.get("/health/ready")
        assert ready.status_code == 503
    with opened(home, past.keys) as town:  # a start later it is still so
        assert town.house.sessions.frozen == home_state.ROLLED_BACK
    wrong = {f.check: f for f in examine(home) if f.what is not None}
    assert {"published", "mode"} <= wrong.keys()
    assert "reconcile" in wrong["published"].mend["en"]


@promise("P6.2")
def test_reconciling_brings_back_every_charge(past: Past, tmp_path: Path) -> None:
    home = past.restored(tmp_path)
    done = reconciled(home)
    assert done.opened
    assert done.recovered > 10
    tables = {path.partition("/")[0] for path in done.lost}
    assert tables == {"applications", "grants", "votes", "queries", "idempotency", "api_keys"} - (
        {"votes"} if not any(path.startswith("votes/") for path in done.lost) else set()
    )
    with opened(home, past.keys) as town:
        assert town.house.sessions.frozen is None
        assert spent(town, past.grants[0]) == past.spent
        assert spent(town, past.grants[2]) == 3 * UNIT // 10, "charged under a grant whose row is lost"
        assert findings(town, past.checkpoint) == []
        _nothing_is_granted_twice(past, town)
        town.keys["company"] = past.keys["company"]
        assert town.ask(SQL, "afterwards", epsilon="0.1", grant=past.grants[0]).status_code == 200
        assert findings(town, past.checkpoint) == []
    assert reconciled(home).opened is False, "a second time there is nothing to do"


def _nothing_is_granted_twice(past: Past, town) -> None:  # type: ignore[no-untyped-def]
    assert town.call("GET", "/v1/me", part="rival").status_code == 401, "a revoked key stays revoked"
    assert town.call("GET", "/v1/me", part="late").status_code == 401, "a key that is lost opens nothing"
    assert town.ok("GET", f"/v1/grants/{past.grants[1]}")["state"] == "revoked"
    again = town.ask(SQL, "after-it-1", epsilon="0.2", grant=past.grants[0])
    assert (again.status_code, again.json()["code"]) == (409, "idempotency_key_lost")
    assert town.call("GET", f"/v1/answers/{past.answer}").status_code == 404
    repeated = town.ask(SQL, "before-it", epsilon="0.1", grant=past.grants[0])
    assert repeated.json()["rows"] == past.first["rows"]
    assert spent(town, past.grants[0]) == past.spent


def test_the_newest_backup_opens_by_itself(past: Past, tmp_path: Path) -> None:
    """Its own event was published after it: so it is behind by one event, which reconciling brings."""
    home = past.restored(tmp_path, late=True)
    with opened(home, past.keys) as town:
        assert town.house.sessions.frozen == home_state.ROLLED_BACK
    done = reconciled(home)
    assert (done.recovered, done.lost) == (1, ())
    with opened(home, past.keys) as town:
        assert spent(town, past.grants[0]) == past.spent
        assert findings(town, past.checkpoint) == []


def test_a_backup_that_nothing_followed_opens_by_itself(tmp_path: Path) -> None:
    with city(tmp_path) as town:
        publish(town)
        back_up(tmp_path / "home", tmp_path / "backup")
    home_from(tmp_path / "backup", tmp_path / "new", tmp_path / "home")
    with opened(tmp_path / "new", town.keys) as again:
        assert again.house.sessions.frozen is None
        with again.house.sessions.reading() as session:
            waiting = [log.find(session, event) for event in _ids(session)]
        assert b"home.restore" in b"".join(found[2] for found in waiting if found is not None)
        assert findings(again) == []


def _ids(session) -> list[str]:  # type: ignore[no-untyped-def]
    from sandbox.store.numbering import waiting_ids

    return waiting_ids(session)


def test_a_database_file_put_back_is_found_out(past: Past, tmp_path: Path) -> None:
    """No backup of ours: somebody copied an older sandbox.db over the newer one."""
    older = past.restored(tmp_path)
    home = tmp_path / "home"
    shutil.copytree(past.home, home)
    database = sqlite3.connect(older / "sandbox.db")
    database.execute("DELETE FROM home_state")
    database.commit()
    database.close()
    for file in home.glob("sandbox.db*"):
        file.unlink()
    shutil.copy(older / "sandbox.db", home / "sandbox.db")
    with opened(home, past.keys) as town:
        assert town.house.sessions.frozen == home_state.ROLLED_BACK
    assert reconciled(home).recovered > 10
    with opened(home, past.keys) as town:
        assert spent(town, past.grants[0]) == past.spent


def test_a_database_set_back_under_a_running_gateway_is_found_out(past: Past, tmp_path: Path) -> None:
    home = tmp_path / "home"
    shutil.copytree(past.home, home)
    older = past.restored(tmp_path)
    with opened(home, past.keys) as town:
        assert town.house.sessions.frozen is None
        town.house.guard.run()
        with sqlite3.connect(older / "sandbox.db") as source, sqlite3.connect(home / "sandbox.db") as target:
            source.backup(target)
        with pytest.raises(DependencyFailed, match="home_read_only"):
            town.house.guard.run()
        assert town.ask(SQL, "too-late", epsilon="0.1", grant=past.grants[0]).json()["code"] == "home_read_only"
        town.house.guard.run()
        assert town.house.sessions.frozen == home_state.ROLLED_BACK


@promise("P6.3")
def test_what_was_set_back_before_it_was_published_is_not_forgiven(tmp_path: Path) -> None:
    with city(tmp_path) as town:
        town.load(some_rows(8))
        town.grant()
        publish(town)
        database = town.house.home / "sandbox.db"
        with sqlite3.connect(database) as source, sqlite3.connect(tmp_path / "older.db") as older:
            source.backup(older)
        assert town.ask(SQL, "the-same-key", epsilon="0.1").status_code == 200
        town.sequence()  # numbered, and nothing of it is outside yet
        town.house.guard.run()
        with sqlite3.connect(tmp_path / "older.db") as older, sqlite3.connect(database) as live:
            older.backup(live)
        with pytest.raises(DependencyFailed, match="home_read_only"):
            town.house.guard.run()
        for _ in range(3):
            town.house.guard.run()
            assert town.house.sessions.frozen == home_state.ROLLED_BACK
            assert town.ask(SQL, "the-same-key", epsilon="0.1").json()["code"] == "home_read_only", "no second noise"
        with town.house.sessions.reading() as session:
            assert home_state.read(session).code == home_state.ROLLED_BACK, "other processes stop as well"


def test_a_fork_is_found_out_and_cannot_be_reconciled(past: Past, tmp_path: Path) -> None:
    """A gateway without a guard wrote to the older state, and numbered what it wrote."""
    home = past.restored(tmp_path)
    with opened(home, past.keys) as town:
        town.house.sessions.freeze(None)
        for name in ("one", "two"):
            town.ok("POST", "/v1/tenants", {"name": name, "kind": "company"}, part="operator")
        town.sequence()
    with opened(home, past.keys) as town:
        assert town.house.sessions.frozen is not None
    with pytest.raises(IntegrityFailed, match="reconcile_forked"):
        reconciled(home)


def test_a_running_home_is_not_reconciled(past: Past, tmp_path: Path) -> None:
    home = past.restored(tmp_path)
    with opened(home, past.keys) as town:
        town.house.sessions.freeze(None)
        with town.house.sessions.begin() as session:
            home_state.open_again(session, town.house.clock)
        with pytest.raises(Conflict, match="reconcile_running"):
            reconciled(home)


def test_one_that_runs_read_only_is_reconciled_beside_it_and_opens(past: Past, tmp_path: Path) -> None:
    home = past.restored(tmp_path)
    with opened(home, past.keys) as town:
        assert town.house.sessions.frozen == home_state.ROLLED_BACK
        objects = list(town.house.objects.list("v1/"))
        worker = duties.start(town.house)
        try:
            time.sleep(1)
            assert list(town.house.objects.list("v1/")) == objects, "no duty sweeps what an older state does not know"
            assert reconciled(home).opened
            until = time.monotonic() + 60
            while town.house.sessions.frozen is not None and time.monotonic() < until:
                time.sleep(0.1)
            assert town.house.sessions.frozen is None
            assert town.ask(SQL, "open-again", epsilon="0.1", grant=past.grants[0]).status_code == 200
        finally:
            worker.stop()


def test_a_read_only_home_is_backed_up_untold(past: Past, tmp_path: Path) -> None:
    home = past.restored(tmp_path)
    assert back_up(home, tmp_path / "again").logged is False
    assert reconciled(home).recovered > 10


# --- what is known, and where -----------------------------------------------------------------------------------------


def test_without_any_checkpoint_outside_a_restored_home_stays_closed(past: Past, tmp_path: Path) -> None:
    home = past.restored(tmp_path)
    shutil.rmtree(tmp_path / "old" / "objects" / "log")
    with opened(home, past.keys) as town:
        assert town.house.sessions.frozen == home_state.RESTORED
    with pytest.raises(IntegrityFailed, match="reconcile_unseen"):
        reconciled(home)
    done = reconciled(home, unseen=True)
    assert (done.recovered, done.opened) == (0, True)
    with opened(home, past.keys) as town:
        assert town.house.sessions.frozen is None
        assert findings(town) == []
        assert findings(town, past.checkpoint) != [], "who kept a checkpoint sees that events are gone"


def test_a_flipped_bit_in_what_was_published_brings_nothing_back(past: Past, tmp_path: Path) -> None:
    home = past.restored(tmp_path)
    latest = tmp_path / "old" / "objects" / "log" / "latest"
    content = bytearray(latest.read_bytes())
    content[content.index(b'"tail":"') + 100] ^= 1
    latest.write_bytes(bytes(content))
    with pytest.raises(IntegrityFailed):
        reconciled(home)
    with opened(home, past.keys) as town:
        assert town.house.sessions.frozen is not None
        assert spent(town, past.grants[0]) == UNIT // 10, "not one event was taken"


@pytest.fixture
def witness(past: Past, tmp_path: Path) -> Iterator[Server]:
    make(tmp_path / "witness", "witness.example/w1")
    kept = Witness(tmp_path / "witness", [(past.home / "log.vkey").read_text().strip()])
    with Server(kept, "127.0.0.1", 0) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()
    kept.close()


def _named(home: Path, witness: Path, url: str, *lines: str) -> str:
    named = f"{(witness / 'witness.vkey').read_text().strip()} {url}"
    text = (home / FILE).read_text()
    (home / FILE).write_text("\n".join([text, f'witnesses = ["{named}"]', *lines, ""]))
    return named


def test_a_witness_knows_what_database_and_store_have_both_forgotten(
    past: Past, tmp_path: Path, witness: Server
) -> None:
    """A machine was set back as a whole: only somebody elsewhere can tell, and nothing can bring the events back."""
    shutil.copytree(past.home, tmp_path / "newest")
    named = Named.parse(_named(tmp_path / "newest", tmp_path / "witness", witness.url))
    with opened(tmp_path / "newest", past.keys) as town:
        witnessing = Witnessing(town.house.sessions, town.house.clock, town.house.objects, named)
        witnessing.run()
        witnessing._http.close()  # a gateway has it for as long as it lives
    home = past.restored(tmp_path)
    shutil.rmtree(tmp_path / "old" / "objects" / "log")
    _named(home, tmp_path / "witness", witness.url)
    with opened(home, past.keys) as town:
        assert town.house.sessions.frozen == home_state.ROLLED_BACK
    for unseen in (False, True):
        with pytest.raises(IntegrityFailed, match="reconcile_incomplete") as raised:
            reconciled(home, unseen=unseen)
        assert raised.value.params["source"] == "witness.example/w1"


def test_no_witness_answers(past: Past, tmp_path: Path) -> None:
    """Before the first write one of them must have spoken, unless the operator says otherwise."""
    make(tmp_path / "witness", "witness.example/w1")
    home = tmp_path / "home"
    shutil.copytree(past.home, home)
    _named(home, tmp_path / "witness", "http://127.0.0.1:9")
    with opened(home, past.keys) as town:
        assert town.house.sessions.frozen == home_state.UNCHECKED
        refused = town.ask(SQL, "unwitnessed", epsilon="0.1", grant=past.grants[0])
        assert (refused.status_code, refused.json()["code"]) == (503, "home_read_only")
        with town.house.sessions.reading() as session:
            assert home_state.read(session).mode == home_state.OPEN, "other processes may have had an answer"
    with (home / FILE).open("a") as file:
        file.write("start_without_witnesses = true\n")
    with opened(home, past.keys) as town:
        assert town.house.sessions.frozen is None


def test_a_witness_that_comes_back_opens_the_home(past: Past, tmp_path: Path, witness: Server) -> None:
    home = tmp_path / "home"
    shutil.copytree(past.home, home)
    _named(home, tmp_path / "witness", witness.url)
    with opened(home, past.keys) as town:
        assert town.house.sessions.frozen is None
        town.house.sessions.freeze(home_state.UNCHECKED)  # as if it had been silent at the start
        town.house.guard.run()
        assert town.house.sessions.frozen is None


def test_the_object_store_is_away_at_the_start(past: Past, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from sandbox.objects.local import LocalObjects

    home = tmp_path / "home"
    shutil.copytree(past.home, home)
    size = LocalObjects.size

    def away(self: LocalObjects, key: str) -> int | None:
        raise DependencyFailed("object_store_failed", reason="EIO")

    monkeypatch.setattr(LocalObjects, "size", away)
    with opened(home, past.keys) as town:
        assert town.house.sessions.frozen == home_state.UNCHECKED
        monkeypatch.setattr(LocalObjects, "size", size)
        town.house.guard.run()
        assert town.house.sessions.frozen is None
