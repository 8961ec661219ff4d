"""Forgeries by whoever holds the log's key: every event signed, every digest right, and the life they tell impossible."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import rfc8785

from sandbox.audit import rows as reading
from sandbox.audit.event import EVENT_TYPES
from sandbox.audit.export import verify_bundle
from sandbox.audit.records import record_digest
from tests.unit.audit.story import CAPS, TERMS, VKEY, Story, before_grant, granted, honest
from tests.unit.audit.test_export import write
from tests.unit.audit.test_verify import run


def found(story: Story) -> str:
    return "\n".join(verify_bundle(story.bundle(), VKEY))


def forged(story: Story, type_: str, details: dict[str, Any], at: str = "2026-01-01T00:00:00.000Z") -> None:
    """An event of any type and time, as no gateway writes it."""
    value = {
        "v": 1, "id": f"evt_{len(story.bodies):03d}", "type": type_, "at": at, "actor": "system", "tenant": "system",
        "subject": "s", "policy": 1, "details": details,
    }  # fmt: skip
    story.bodies.append(rfc8785.dumps(value))


def reconciled(story: Story, *lost: str, **changed: dict[str, Any]) -> None:
    rows = {path: story.rows[path] | changed for path in lost if changed}
    told = {"from_size": 1, "to_size": 2, "recovered": 1, "lost": list(lost)}
    story.tell_rows("home.reconcile", "system", told, rows)


def test_the_list_of_types_is_the_logs() -> None:
    assert sorted(reading.TYPES) == sorted(EVENT_TYPES)


# --- what is lost -----------------------------------------------------------------------------------------------------


def test_a_cap_or_a_line_of_the_ledger_is_never_lost() -> None:
    for path in ("caps/grant/grt_1", "ledger/qry_1/main/grant/grt_1"):
        story = honest()
        reconciled(story, path, spent_eps_p=0, eps_p=0)
        assert f"{path} cannot be lost" in found(story)
        assert f"record {path}: " in found(story)
        del story.rows[path]
        assert f"{path} cannot be lost" in found(story)
        assert f"record {path}: " in found(story)


def test_a_record_that_is_there_is_checked_whatever_was_said_to_be_lost() -> None:
    story = honest()
    reconciled(story, "grants/grt_1", state="active")
    assert found(story) == "record grants/grt_1: does not follow from the events (state is active, not expired)"


def test_what_a_restore_changed_is_named_as_lost() -> None:
    story = honest()
    told = {"from_size": 1, "to_size": 2, "recovered": 1, "lost": []}
    story.tell_rows("home.reconcile", "system", told, {"versions/ver_1": story.rows["versions/ver_1"] | {"number": 2}})
    assert "it changes records that it does not name as lost" in found(story)
    story = honest()
    reconciled(story, "principals/m1", roles=["committee", "engineer"])
    assert "it may not change principals" in found(story)


def test_a_lost_grant_still_binds_its_cap_to_the_terms_of_its_application() -> None:
    story = before_grant()
    for member in ("m1", "m2"):
        story.voice("application.vote", member, "review")
    story.grant()
    story.rows["applications/app_1"]["terms"] = TERMS | {"epsilon": "999"}
    del story.rows["grants/grt_1"]
    reconciled(story, "grants/grt_1")
    assert "its terms are not those" in found(story)
    story = Story()
    story.people(e1="company", m1="city", m2="city")
    story.add_dataset()
    story.submit()
    for member in ("m1", "m2"):
        story.voice("application.vote", member, "review")
    story.grant(consents_needed=[])
    story.open_cap("grant", "grt_1")
    assert found(story) == ""
    told = json.loads(story.bodies[-1])
    told["details"]["cap"]["epsilon"] = "3000"
    told["details"].pop("records")
    story.bodies[-1] = rfc8785.dumps(told)
    del story.rows["grants/grt_1"]
    reconciled(story, "grants/grt_1")
    assert "cap.open): its epsilon is not that of the grant's terms" in found(story)


@pytest.mark.parametrize("digest", ["lost", "", "0" * 63, "G" * 64, "0" * 65, None, 7, ["0" * 64]])
def test_a_digest_is_one(digest: object) -> None:
    story = honest()
    del story.rows["votes/app_1/review/m1"]
    forged(story, "log.read", {"records": {"votes/app_1/review/m1": digest}})
    assert f"event {len(story.bodies) - 1} (" in found(story)
    assert "record votes/app_1/review/m1: is missing" in found(story)


# --- events -----------------------------------------------------------------------------------------------------------


def test_an_event_of_an_unknown_type_is_named_and_pays_for_nothing() -> None:
    for type_ in ("free query.charge", "x", "query.charge ", ""):
        story = honest()
        row = story.rows["queries/qry_1"] | {"id": "qry_9"}
        story.rows["queries/qry_9"] = row
        forged(story, type_, {"records": {"queries/qry_9": record_digest(row)}})
        assert (
            f"event {len(story.bodies) - 1} (evt_{len(story.bodies) - 1:03d}, {type_}): there is no such type"
            in found(story)
        )
        assert "record queries/qry_9: no event tells of it" in found(story)


@pytest.mark.parametrize("at", ["", "x", "2026-13-01T00:00:00.000Z", "2026-01-01T00:00:00.000", "2026-01-01", None, 7])
def test_a_time_is_one(at: Any) -> None:
    story = honest()
    forged(story, "log.read", {}, at)
    assert f"event {len(story.bodies) - 1} (" in found(story)


def test_clocks_of_several_machines_may_step_back() -> None:
    story = honest()
    forged(story, "log.read", {}, "2025-12-31T23:59:59Z")
    assert found(story) == ""


# --- charges ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("column", "value"),
    [("grant", "grt_2"), ("tenant", "rival"), ("population", "pop_2"), ("version", "ver_2"), ("version", "ver_9"),
     ("event", "evt_000"), ("principal", "m1")],
)  # fmt: skip
def test_a_query_that_is_not_the_one_that_was_charged_is_named(column: str, value: str) -> None:
    story = granted()
    story.add_dataset("ds_2", "a.c")
    story.charge("qry_1", eps_p=1, asked={column: value})
    assert found(story).startswith("record queries/qry_1: is not the query that was charged")


def test_a_query_of_a_lost_version_is_spared_and_the_loss_listed() -> None:
    story = honest()
    del story.rows["versions/ver_1"]
    reconciled(story, "versions/ver_1")
    assert found(story) == ""


def test_a_charge_to_the_caps_of_another_dataset_or_population_is_named() -> None:
    story = granted()
    story.add_dataset("ds_2", "c.d")
    story.open_cap("dataset", "ds_2")
    story.charge("qry_1", eps_p=1, caps=[["dataset", "ds_2"], *CAPS[1:]])
    assert "record queries/qry_1: is not the query that was charged" in found(story)
    assert "query.charge): datasets/ds_2 is not in the grant's terms" in found(story)
    story = granted()
    story.open_cap("population", "pop_2")
    story.charge("qry_1", eps_p=1, caps=[*CAPS[:2], ["population", "pop_2"]], asked={"population": "pop_2"})
    assert "query.charge): datasets/ds_1 is of another population" in found(story)


def test_a_charge_pays_for_one_query_and_for_one_of_each_cap() -> None:
    story = granted()
    story.charge("qry_1", eps_p=1)
    told = json.loads(story.bodies[-1])
    story.rows["queries/qry_2"] = story.rows["queries/qry_1"] | {"id": "qry_2"}
    told["details"]["records"]["queries/qry_2"] = record_digest(story.rows["queries/qry_2"])
    story.bodies[-1] = rfc8785.dumps(told)
    assert "it is not of one query, its own" in found(story)
    story = granted()
    story.open_cap("dataset", "ds_2")
    story.charge("qry_1", eps_p=1, caps=[["dataset", "ds_2"], *CAPS])
    assert "spares a cap, or charges one of another" in found(story)


def test_a_query_is_written_by_its_own_events_alone() -> None:
    for path in ("queries/qry_1", "versions/ver_1", "datasets/ds_1", "principals/m1"):
        story = honest()
        story.tell_rows("log.read", "a1", {}, {path: story.rows[path] | {"state": "other"}})
        assert f"it may not change {path.split('/')[0]}" in found(story)


def test_a_charge_after_the_terms_have_ended_is_named() -> None:
    for until, wrong in (("2025-12-31T00:00:00.000Z", True), ("2026-01-02T00:00:00.000Z", False)):
        story, terms = before_grant(), TERMS | {"expires_at": until}
        story.rows["applications/app_1"]["terms"] = terms
        story.bodies.pop(next(n for n, body in enumerate(story.bodies) if b'"application.submit"' in body))
        digest, row = record_digest(terms), story.rows["applications/app_1"]
        story.tell_rows(
            "application.submit", "e1", {"application": "app_1", "terms": digest}, {"applications/app_1": row}
        )
        for member in ("m1", "m2"):
            story.voice("application.vote", member, "review")
        row = {"id": "grt_1", "tenant": "company", "application": "app_1", "terms": terms, "state": "active"}
        told = {"grant": "grt_1", "application": "app_1", "terms": digest, "votes_needed": 2, "consents_needed": []}
        story.tell_rows("grant.create", "m2", told, {"grants/grt_1": row})
        story.charge("qry_1", eps_p=1)
        assert (f"query.charge): its grant ended at {until}" in found(story)) == wrong


@pytest.mark.parametrize("type_", ["dataset.retire", "dataset.destroy_confirm", "dataset.destroy"])
def test_a_dataset_out_of_use_is_not_charged_and_stays_so(type_: str) -> None:
    story = granted()
    story.tell(type_, "s1", {"dataset": "ds_1"})
    assert "record datasets/ds_1: is in use again" in found(story)
    assert ("record versions/ver_1: is open, and its dataset destroyed" in found(story)) == (type_ != "dataset.retire")
    story.charge("qry_1", eps_p=1)
    assert "query.charge): dataset ds_1 was out of use" in found(story)


def test_a_destroyed_dataset_is_destroyed_with_its_versions() -> None:
    story = granted()
    gone = {path: story.rows[path] | {"state": "destroyed"} for path in ("datasets/ds_1", "versions/ver_1")}
    story.tell_rows("dataset.destroy_confirm", "m1", {"dataset": "ds_1"}, gone)
    assert found(story) == ""


# --- caps -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "wrong"),
    [
        ({"spent": {"eps_p": "-50", "rho": "0", "delta": "0"}}, "opens caps/population/pop_2 below zero"),
        ({"conversion": "-5"}, "opens caps/population/pop_2 below zero"),
        ({"frontier": [["1000", "900"]]}, "a point of its frontier takes more than its epsilon"),
        ({"frontier": [["1001", "0"]]}, "a point of its frontier takes more than its epsilon"),
        ({"frontier": [["1000", "-1"]]}, "a point of its frontier takes more than its epsilon"),
    ],
)
def test_a_cap_that_opens_beyond_its_bounds_is_named(change: dict[str, Any], wrong: str) -> None:
    story = granted()
    story.open_cap("population", "pop_2")
    told = json.loads(story.bodies.pop())["details"]["cap"] | change
    row = told | {f"spent_{counter}": amount for counter, amount in told["spent"].items()}
    row.pop("spent")
    story.tell_rows("cap.open", "system", {"cap": told}, {"caps/population/pop_2": row})
    assert f"cap.open): {wrong}" in found(story)


# --- grants -----------------------------------------------------------------------------------------------------------


def test_an_application_is_submitted_once_and_a_grant_is_given_once() -> None:
    story = before_grant()
    story.submit()
    assert "application.submit): submits app_1 again" in found(story)
    story = honest()
    story.submit()
    story.grant()
    assert "grant.create): gives grants/grt_1 again" in found(story)


def test_the_last_vote_of_a_member_counts() -> None:
    story = before_grant()
    for member, approve in (("m1", True), ("m2", True), ("m1", False)):
        story.voice("application.vote", member, "review", approve)
    story.grant()
    assert "only 1 committee members" in found(story)
    story = before_grant()
    story.voice("application.consent", "s1", "consent:a.b", approve=False)
    for member in ("m1", "m2"):
        story.voice("application.vote", member, "review")
    story.grant()
    assert "nobody consented for ['a.b']" in found(story)


def test_the_datasets_owner_consents_and_nobody_else() -> None:
    story = before_grant()
    story.add_dataset("ds_2", "c.d")
    story.voice("application.consent", "e1", "consent:c.d")
    for member in ("m1", "m2"):
        story.voice("application.vote", member, "review")
    story.grant(consents_needed=["c.d"])
    assert "nobody consented for ['c.d']" in found(story)


def test_a_member_that_was_made_one_after_its_vote_is_named() -> None:
    story = before_grant()
    story.voice("application.vote", "m8", "review")
    story.people(m8="city")
    assert "application.vote): its actor did not exist yet" in found(story)
    story = granted()
    story.people(e1="other")
    assert "principal.create): changes principals/e1" in found(story)


# --- folders ----------------------------------------------------------------------------------------------------------


def fifo(file: Path) -> None:
    file.unlink()
    os.mkfifo(file)


def ended(done: subprocess.CompletedProcess[str], code: int, name: str) -> None:
    assert done.returncode == code, done
    assert name in done.stdout + done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("name", "spoil", "code"),
    [
        ("checkpoint", fifo, 2),
        ("checkpoint", lambda file: os.truncate(file, 1 << 40), 1),
        ("records/votes.jsonl", fifo, 1),
        ("records/votes.jsonl", lambda file: os.truncate(file, 1 << 41), 1),
        ("tile/0/000.p/19", lambda file: os.truncate(file, 1 << 40), 1),
        ("tile/0/000.p/19", fifo, 1),
        ("tile/entries/000.p/19", lambda file: os.truncate(file, 1 << 40), 1),
    ],
)
def test_a_hostile_folder_ends_with_a_name(
    tmp_path: Path, name: str, spoil: Callable[[Path], object], code: int
) -> None:
    write(tmp_path / "export", honest())
    spoil(tmp_path / "export" / name)
    ended(run(tmp_path, "export", "--key", VKEY), code, name)


@pytest.mark.parametrize(
    "change",
    [
        lambda line: line.replace(b'{"path":', b"", 1),
        lambda line: line[:-2] + b"\n",
        lambda line: line[:-1] + b" \n",
        lambda line: b" " + line,
        lambda line: line.replace(b'"votes', b'"\\u0076otes', 1),
        lambda line: line.replace(b',"values":', b',"value":', 1),
        lambda line: line.replace(b',"values":', b', "values":', 1),
        lambda line: line[:-1],
    ],
)
def test_a_line_is_framed_in_one_way(tmp_path: Path, change: Callable[[bytes], bytes]) -> None:
    file = write(tmp_path / "export", honest()) / "records" / "votes.jsonl"
    lines = file.read_bytes().splitlines(keepends=True)
    file.write_bytes(b"".join([*lines[:-1], change(lines[-1])]))
    ended(run(tmp_path, "export", "--key", VKEY), 1, "votes")
