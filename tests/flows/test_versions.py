"""Versions over HTTP: a question names one, a dataset is retired, destroyed by two persons, and certified as gone."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from sandbox.audit.checkpoint import open_signed, read_checkpoint
from sandbox.audit.event import Event, decode
from sandbox.audit.records import record_digest
from sandbox.audit.verify import verify
from sandbox.cli import exports
from sandbox.committee import destroying
from sandbox.crypto.suite import INTL
from sandbox.errors import IntegrityFailed
from sandbox.ingest import duty
from sandbox.query import answer, ends
from sandbox.query.forget import forget_destroyed
from sandbox.store import log, queries
from sandbox.store import removals as store
from tests.faults.one_query import request_of
from tests.house import City, city
from tests.promises import promise
from tests.trips import MANIFEST, csv_of, some_rows

COUNT = "SELECT count(*) FROM city.trips"


@pytest.fixture
def town(tmp_path: Path) -> Iterator[City]:
    with city(tmp_path) as it:
        it.load(some_rows(30))
        it.grant(epsilon="8")
        yield it


def update(town: City, mode: str, rows: int, manifest: str = MANIFEST, **more: str) -> dict[str, Any]:
    town.source("trips.csv", csv_of(some_rows(rows)))
    body = {"file": "m.yaml", "text": manifest, "mode": mode, **more}
    accepted = town.ok("POST", "/v1/datasets/city.trips/versions", body, part="steward")
    while duty.run_next(town.ingest_parts()):
        pass
    found: dict[str, Any] = town.ok("GET", f"/v1/ingests/{accepted['ingest']}", part="steward")
    assert (found["state"], found["kind"]) == ("committed", mode), found
    return found


def destroyed(town: City) -> dict[str, Any]:
    """The dataset, destroyed by a steward and a member, and its duty done."""
    asked = town.ok("POST", "/v1/datasets/city.trips/destroy", {"reason": "contract over"}, part="steward")
    town.ok("POST", f"/v1/removals/{asked['id']}/confirm", part="committee1")
    assert work(town)
    found: dict[str, Any] = town.ok("GET", f"/v1/removals/{asked['id']}", part="auditor")
    return found


def work(town: City) -> bool:
    house = town.house
    return destroying.run_next(
        house.sessions, house.clock, house.objects, log_name=house.log_name, log_key=house.log_key
    )


def events(town: City) -> list[Event]:
    town.sequence()
    with town.house.sessions.reading() as session:
        return [decode(body) for _, body, _ in log.entries(session, 0, 100_000)]


def agree(town: City) -> None:
    """Every audited row is what the last event that tells of it says, and there is no other."""
    last = {path: digest for event in events(town) for path, digest in event.details.get("records", {}).items()}
    with town.house.sessions.reading() as session:
        found = {
            path: record_digest(values)
            for table in log.AUDITED
            for path, values in log.records(session, table, "", 100_000)
        }
    assert found == last


# --- questions --------------------------------------------------------------------------------------------------------


def test_a_question_names_a_version_or_gets_the_newest(town: City) -> None:
    update(town, "replace", 300)
    counted = {}
    for version in (None, 1, 2):
        asked = {"version": version} if version else {}
        explained = town.ok("POST", "/v1/queries", {"sql": COUNT, "epsilon": "1", "explain": True, **asked})
        got = town.ask(COUNT, f"version-{version}", epsilon="1", **asked).json()
        assert explained["version"] == got["version"] == (version or 2)
        counted[version] = got["rows"][0][0]
    assert counted[1] < 100 < counted[2]
    assert abs(counted[None] - counted[2]) < 60
    again = town.ask(COUNT, "version-1", epsilon="1", version=2)
    assert (again.status_code, again.json()["code"]) == (409, "idempotency_key_reused"), "it is another question"
    got = town.ok("GET", "/v1/datasets/city.trips/versions", part="rival")["items"]
    assert [(v["number"], v["kind"], v["state"]) for v in got] == [(1, "add", "open"), (2, "replace", "open")]
    assert town.ok("GET", "/v1/datasets/city.trips")["version"] == 2
    agree(town)


def test_a_version_that_cannot_be_asked_is_named(town: City) -> None:
    before = town.ask(COUNT, "before-it-was-withdrawn", epsilon="1").json()
    update(town, "correct", 40, reason="wrong file")
    for version, status, code in ((7, 404, "version_unknown"), (1, 409, "version_withdrawn")):
        refused = town.ask(COUNT, f"asks-for-{version}", epsilon="1", version=version)
        assert (refused.status_code, refused.json()["code"]) == (status, code)
        assert (refused.json()["params"]["version"], refused.json()["params"]["open"]) == (version, ["2"])
    assert town.ask(COUNT, "asks-for-newest", epsilon="1").json()["version"] == 2
    kept = town.ok("GET", f"/v1/answers/{before['id']}")
    assert (kept["version"], kept["rows"]) == (1, before["rows"]), "what was answered stays"
    zero = town.ask(COUNT, "asks-for-zero", epsilon="1", version=0)
    assert (zero.status_code, zero.json()["code"]) == (400, "request_invalid")
    agree(town)


def test_a_charge_for_a_version_that_was_just_withdrawn_is_not_made(town: City) -> None:
    parts, me = town.house.parts(), town.ok("GET", "/v1/me")
    priced = answer._priced(parts, answer._planned(parts, request_of(me["id"], me["tenant"])))
    update(town, "correct", 40, reason="wrong file")
    with pytest.raises(Exception, match="version_withdrawn"):
        answer.charge(parts, priced)
    assert "query.charge" not in [e.type for e in events(town)]


def test_a_typo_is_told_the_nearest_of_the_own_datasets_and_nothing_of_others(town: City) -> None:
    near = town.ask("SELECT count(*) FROM city.tripz", "a-typo-of-mine", epsilon="1").json()
    assert (near["code"], near["params"]) == ("no_grant", {"dataset": "city.tripz", "nearest": "city.trips"})
    assert "city.trips" in near["text"]["en"]
    for part in ("rival",):
        sent = {"sql": "SELECT count(*) FROM city.tripz", "epsilon": "1"}
        there = town.call("POST", "/v1/queries", sent, part=part, Idempotency_Key="a-typo-of-theirs").json()
        assert there["params"] == {"dataset": "city.tripz", "nearest": None}


# --- updates ----------------------------------------------------------------------------------------------------------


def test_a_dry_run_checks_the_manifest_and_queues_nothing(town: City) -> None:
    wider = MANIFEST.replace("rows: 5000", "rows: 6000").replace("[A, B, C]", "[A, B, C, D]")
    body = {"file": "m.yaml", "text": wider, "mode": "append"}
    checked = town.ok("POST", "/v1/datasets/city.trips/versions/check", body, part="steward")
    assert checked == {"dataset": "city.trips", "version": 2, "changed": ["limits.rows", "columns.line"]}
    bad = {**body, "text": wider.replace("bounds: [0, 23]", "bounds: [1, 23]")}
    refused = town.call("POST", "/v1/datasets/city.trips/versions/check", bad, part="steward").json()
    assert refused["code"] == "update_field_fixed"
    assert refused["position"]["line"] == bad["text"].splitlines().index("    bounds: [1, 23]") + 1
    fresh = {"file": "m.yaml", "text": MANIFEST.replace("city.trips", "city.new")}
    assert town.ok("POST", "/v1/datasets/check", fresh, part="steward")["version"] == 1
    taken = town.call("POST", "/v1/datasets/check", {"file": "m.yaml", "text": MANIFEST}, part="steward")
    assert (taken.status_code, taken.json()["code"]) == (409, "dataset_exists")
    assert len(town.ok("GET", "/v1/ingests", part="steward")["items"]) == 1
    for part in ("company", "committee1", "operator"):
        assert town.call("POST", "/v1/datasets/city.trips/versions/check", body, part=part).status_code == 403


def test_only_the_owners_steward_updates_retires_and_proposes(town: City) -> None:
    town.ok("POST", "/v1/tenants", {"name": "school", "kind": "owner"}, part="operator")
    body = {"name": "other", "tenant": "school", "roles": ["steward"]}
    town.keys["other"] = town.ok("POST", "/v1/principals", body, part="operator")["key"]
    calls = {
        "versions": {"file": "m", "text": MANIFEST, "mode": "append"}, "retire": {"reason": "r"},
        "destroy": {"reason": "r"},
    }  # fmt: skip
    for verb, sent in calls.items():
        for part, code in (("other", "not_yours"), ("company", "not_your_role"), ("committee1", "not_your_role")):
            refused = town.call("POST", f"/v1/datasets/city.trips/{verb}", sent, part=part)
            assert (refused.status_code, refused.json()["code"]) == (403, code), verb
    assert [e.type for e in events(town)].count("access.deny") == 9


# --- the end ----------------------------------------------------------------------------------------------------------


def test_a_retired_dataset_takes_no_question_application_or_update(town: City) -> None:
    before = town.ask(COUNT, "before-the-end", epsilon="1").json()
    removed = town.ok("POST", "/v1/datasets/city.trips/retire", {"reason": "moved elsewhere"}, part="steward")
    assert (removed["state"], removed["reason"]) == ("retired", "moved elsewhere")
    refused = town.ask(COUNT, "after-the-end", epsilon="1")
    assert (refused.status_code, refused.json()["code"]) == (403, "dataset_retired")
    explained = town.call("POST", "/v1/queries", {"sql": COUNT, "epsilon": "1", "explain": True})
    assert explained.json()["code"] == "dataset_retired"
    sent = {"sql": COUNT, "epsilon": "1"}
    rival = town.call("POST", "/v1/queries", sent, part="rival", Idempotency_Key="rivals-question").json()
    assert rival["code"] == "no_grant", "who has no grant is not told of it"
    terms = {
        "scenario": "s", "purpose": "p", "datasets": ["city.trips"], "actions": ["query"], "epsilon": "1",
        "expires_at": "2099-01-01",
    }  # fmt: skip
    assert town.call("POST", "/v1/applications", terms).json()["code"] == "terms_dataset_retired"
    body = {"file": "m", "text": MANIFEST, "mode": "append"}
    later = town.call("POST", "/v1/datasets/city.trips/versions", body, part="steward")
    assert (later.status_code, later.json()["code"]) == (403, "dataset_retired")
    assert town.call("POST", "/v1/datasets/city.trips/retire", {"reason": "r"}, part="steward").status_code == 409
    assert town.ok("GET", f"/v1/grants/{town.grants[0]}")["state"] == "active"
    assert town.ok("GET", f"/v1/answers/{before['id']}")["rows"] == before["rows"]
    assert town.ok("GET", "/v1/datasets/city.trips")["state"] == "retired"
    told = [e for e in events(town) if e.type == "dataset.retire"]
    assert "moved" not in str(told)
    agree(town)


def test_a_destruction_needs_a_second_person_of_another_organisation(town: City) -> None:
    asked = town.ok("POST", "/v1/datasets/city.trips/destroy", {"reason": "contract over"}, part="steward")
    twice = town.call("POST", "/v1/datasets/city.trips/destroy", {"reason": "again"}, part="steward")
    assert (twice.status_code, twice.json()["code"]) == (409, "removal_under_way")
    for part in ("steward", "operator", "company", "auditor"):
        assert town.call("POST", f"/v1/removals/{asked['id']}/confirm", part=part).status_code == 403
    assert town.ask(COUNT, "while-proposed", epsilon="1").status_code == 200, "nothing has happened yet"
    declined = town.ok("POST", f"/v1/removals/{asked['id']}/decline", part="committee1")
    assert declined["state"] == "declined"
    late = town.call("POST", f"/v1/removals/{asked['id']}/confirm", part="committee2")
    assert (late.status_code, late.json()["code"]) == (409, "transition_refused")
    assert not work(town)
    assert town.call("GET", "/v1/removals", part="company").status_code == 403
    assert [r["state"] for r in town.ok("GET", "/v1/removals?dataset=city.trips", part="steward")["items"]] == ["declined"]
    agree(town)


def test_a_destroyed_dataset_is_gone_and_its_answers_stay(town: City) -> None:
    update(town, "append", 20)
    before = {part: town.ask(COUNT, f"of-version-{part}", epsilon="1", version=part).json() for part in (1, 2)}
    house = town.house
    held = sorted(house.versions.held())
    assert len(held) == 2
    assert house.opened.held() == set(held)
    removal = destroyed(town)
    assert removal["state"] == "destroyed"
    assert [k for k in house.objects.list("v1/") if not k.startswith("v1/answers/")] == []
    with house.sessions.reading() as session:
        rows = [values for path, values in log.records(session, "versions", "", 100)]
        assert [(r["wrapped_key"], r["state"]) for r in rows] == [(b"", "destroyed")] * 2
        forget_destroyed(session, house.versions, house.opened)
    assert house.versions.held() == house.opened.held() == set(), "nothing readable is left in memory"
    refused = town.ask(COUNT, "after-the-end", epsilon="1", version=1)
    assert (refused.status_code, refused.json()["code"]) == (403, "dataset_destroyed")
    for part, first in before.items():
        kept = town.ok("GET", f"/v1/answers/{first['id']}")
        assert (kept["version"], kept["rows"], kept["low"]) == (part, first["rows"], first["low"])
    assert town.ask(COUNT, "of-version-1", epsilon="1", version=1).json()["rows"] == before[1]["rows"], "free repeat"
    shown = town.ok("GET", "/v1/datasets/city.trips")
    assert (shown["state"], shown["version"]) == ("destroyed", None)
    agree(town)


def test_the_certificate_is_signed_and_says_what_the_log_says(town: City) -> None:
    update(town, "append", 20)
    house = town.house
    keys = list(house.objects.list("v1/ver_"))
    removal = destroyed(town)
    note = removal["certificate"]
    text = open_signed(note, (house.home / "log.vkey").read_text().strip())
    with pytest.raises(IntegrityFailed):
        read_checkpoint(text)
    lines = text.splitlines()
    assert lines[0] == destroying.TITLE
    assert f"dataset {removal['dataset']} city.trips" in lines
    listed = INTL.digest("".join(f"{k}\n" for k in sorted(keys)).encode()).hex()
    assert f"objects {len(keys)} deleted, sha256 of their keys {listed}" in lines
    assert sum(line.startswith("version ") for line in lines) == 2
    assert any(removal["proposed_by"] in line for line in lines)
    assert f"confirmed-by {removal['decided_by']}" in lines
    (told,) = [e for e in events(town) if e.type == "dataset.destroy"]
    assert told.details["certificate"] == INTL.digest(note.encode()).hex()
    assert told.details["objects"] == len(keys)
    with pytest.raises(IntegrityFailed):
        open_signed(note.replace("city.trips", "city.other"), (house.home / "log.vkey").read_text().strip())


@promise("P7.1")
def test_what_was_charged_and_not_finished_fails_with_the_one_text(town: City) -> None:
    parts, me = town.house.parts(), town.ok("GET", "/v1/me")
    pending = answer.submit(parts, request_of(me["id"], me["tenant"]))
    destroyed(town)
    with town.house.sessions.reading() as session:
        forget_destroyed(session, parts.versions, parts.bench.opened)
    answer.finish(parts, pending)
    _ends_without(town, pending)


@promise("P7.1")
def test_what_a_dead_process_had_charged_fails_with_the_one_text(town: City) -> None:
    parts, me = town.house.parts(), town.ok("GET", "/v1/me")
    pending = answer.submit(parts, request_of(me["id"], me["tenant"]))
    destroyed(town)
    parts.clock.not_before(parts.clock.text(plus_seconds=60))  # the dead one's lease is over
    taken = ends.take_over(parts)
    assert taken is not None
    assert taken.query_id == pending.query_id
    answer.finish(parts, taken)
    parts.clock.not_before(taken.leaves_at)
    _ends_without(town, taken)


def _ends_without(town: City, pending: answer.Pending) -> None:
    time.sleep(pending.leaves_in())
    me = town.ok("GET", "/v1/me")
    ends.end(town.house.parts(), pending)
    with pytest.raises(Exception, match="query_no_answer"):
        answer.read(town.house.parts(), request_of(me["id"], me["tenant"]).principal, pending.query_id)
    with town.house.sessions.reading() as session:
        record = queries.get(session, pending.query_id)
    assert record is not None
    assert record.state == "lost"
    agree(town)


def test_the_auditor_proves_all_of_it(town: City, tmp_path: Path) -> None:
    update(town, "append", 20)
    update(town, "correct", 20, reason="wrong file")
    town.ask(COUNT, "of-the-newest", epsilon="1")
    town.ok("POST", "/v1/datasets/city.trips/retire", {"reason": "moved"}, part="steward")
    destroyed(town)
    stop = threading.Event()

    def sequence() -> None:
        while not stop.wait(0.02):
            town.sequence()

    thread = threading.Thread(target=sequence)
    thread.start()
    try:
        taken = town.call("GET", "/v1/log/export", part="auditor")
    finally:
        stop.set()
        thread.join()
    assert taken.status_code == 200
    exports.take([taken.content], tmp_path / "export")
    found, _ = verify(tmp_path / "export", (town.house.home / "log.vkey").read_text().strip())
    assert found == []
    rows = (tmp_path / "export" / "records" / "removals.jsonl").read_text("utf-8")
    assert destroying.TITLE in rows


def test_very_many_versions_are_destroyed_too(town: City, monkeypatch: pytest.MonkeyPatch) -> None:
    from sandbox.store import versions

    for _ in range(3):
        update(town, "append", 5)
    monkeypatch.setattr(versions, "PART", 2)
    assert destroyed(town)["state"] == "destroyed"
    told = [e for e in events(town) if e.type == "dataset.destroy_confirm"]
    assert [len(e.details["records"]) for e in told] == [2, 2, 2]
    agree(town)


def test_two_workers_make_one_certificate(town: City) -> None:
    asked = town.ok("POST", "/v1/datasets/city.trips/destroy", {"reason": "contract over"}, part="steward")
    town.ok("POST", f"/v1/removals/{asked['id']}/confirm", part="committee1")
    house = town.house

    def overtaken() -> bool:
        return work(town) or True  # the other one does it all before the first has deleted anything

    destroying.run_next(
        house.sessions, house.clock, house.objects, log_name=house.log_name, log_key=house.log_key, hold=overtaken
    )
    with house.sessions.reading() as session:
        assert store.get(session, asked["id"]).state == "destroyed"
    assert [e.type for e in events(town)].count("dataset.destroy") == 1
    agree(town)
