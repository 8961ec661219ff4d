"""The verifier finds, and names, whatever was changed; and it runs alone."""

from __future__ import annotations

import ast
import base64
import copy
import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import rfc8785
from hypothesis import given, settings
from hypothesis import strategies as st

from sandbox.audit import books, merkle, rows, verify
from sandbox.audit.checkpoint import sign_note, vkey
from sandbox.audit.export import verify_bundle, write_export
from sandbox.audit.merkle import leaf_hash
from sandbox.audit.records import record_digest
from sandbox.crypto.suite import INTL
from tests.unit.audit.story import CAPS, NAME, PRIVATE, TERMS, VKEY, Story, before_grant, granted, honest

SOURCES = [Path(part.__file__) for part in (verify, books, rows)]
STORY = honest()
BUNDLE = STORY.bundle()
ENTRIES = len(BUNDLE["entries"])


def found(bundle: dict[str, Any], key: str = VKEY, earlier: tuple[str, ...] = ()) -> str:
    return "\n".join(verify_bundle(bundle, key, earlier))


def exported(folder: Path, bundle: dict[str, Any]) -> None:
    """The same bundle as an export."""
    bodies = [base64.b64decode(entry["body"]) for entry in bundle["entries"]]
    write_export(folder, bundle["checkpoint"], bodies, bundle["records"].items())


def changed(change: Callable[[dict[str, Any]], object]) -> str:
    bundle = copy.deepcopy(BUNDLE)
    change(bundle)
    return found(bundle)


def set_body(entry: dict[str, Any], body: bytes) -> None:
    entry["body"] = base64.b64encode(body).decode()


def body_of(index: int) -> bytes:
    return base64.b64decode(BUNDLE["entries"][index]["body"])


# --- what is honest ---------------------------------------------------------------------------------------------------


def test_an_honest_history_is_proved() -> None:
    assert found(BUNDLE) == ""
    assert found(Story().bundle()) == ""
    assert found(granted().bundle()) == ""


def test_the_bundle_survives_its_journey_as_json() -> None:
    assert found(json.loads(json.dumps(BUNDLE))) == ""


def test_every_point_of_the_frontier_may_be_reached() -> None:
    for spent in ({"eps_p": 1000}, {"rho": 900}, {"eps_p": 500, "rho": 400}, {"eps_p": 1, "delta": 49}):
        story = granted()
        story.charge("qry_1", **spent)
        assert found(story.bundle()) == ""


# --- bytes ------------------------------------------------------------------------------------------------------------


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_a_flipped_bit_in_a_body_is_named(data: st.DataObject) -> None:
    index = data.draw(st.integers(0, ENTRIES - 1))
    body = bytearray(body_of(index))
    body[data.draw(st.integers(0, len(body) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    findings = changed(lambda bundle: set_body(bundle["entries"][index], bytes(body)))
    assert f"event {index} (" in findings
    assert "does not hash to its leaf" in findings
    assert "checkpoint" not in findings, "the stored leaves are still those that were signed"


def test_a_changed_event_is_named_by_its_id_and_type() -> None:
    index = next(i for i in range(ENTRIES) if b'"query.charge"' in body_of(i))
    body = body_of(index).replace(b'"eps_p":"500"', b'"eps_p":"400"')
    findings = changed(lambda bundle: set_body(bundle["entries"][index], body))
    assert f"event {index} (evt_{index:03d}, query.charge): its body does not hash to its leaf" in findings
    assert "record caps/grant/grt_1: does not follow from the events (spent_eps_p is 500, not 400)" in findings


@pytest.mark.parametrize("index", range(ENTRIES))
def test_a_changed_leaf_is_named(index: int) -> None:
    def flip(bundle: dict[str, Any]) -> None:
        entry = bundle["entries"][index]
        entry["leaf"] = entry["leaf"][:-1] + ("0" if entry["leaf"][-1] != "0" else "1")

    findings = changed(flip)
    assert f"event {index} (" in findings
    assert "does not sign these" in findings


def test_a_body_and_its_leaf_changed_together_are_found() -> None:
    def forge(bundle: dict[str, Any]) -> None:
        body = body_of(3).replace(b"2026", b"2027")
        set_body(bundle["entries"][3], body)
        bundle["entries"][3]["leaf"] = leaf_hash(body).hex()

    assert f"the checkpoint of {ENTRIES} events does not sign these" in changed(forge)


@pytest.mark.parametrize("path", sorted(BUNDLE["records"]))
def test_a_changed_record_is_named_whichever_value_it_is(path: str) -> None:
    for column, value in BUNDLE["records"][path].items():
        other = f"{value}x" if isinstance(value, str) else [value]
        findings = changed(lambda bundle, c=column, v=other: bundle["records"][path].update({c: v}))
        assert f"record {path}: is not what event" in findings


@settings(max_examples=200, deadline=None)
@given(st.integers(0, len(BUNDLE["checkpoint"]) - 1), st.characters(max_codepoint=126))
def test_a_changed_checkpoint_is_named(place: int, character: str) -> None:
    note = BUNDLE["checkpoint"]
    other = note[:place] + character + note[place + 1 :]
    if other != note:
        assert "the checkpoint is not signed" in changed(lambda bundle: bundle.update(checkpoint=other))


@pytest.mark.parametrize("note", ["", "\n\n", "a\nb\nc", BUNDLE["checkpoint"].split("\n\n")[0]])
def test_what_is_no_checkpoint_is_named(note: str) -> None:
    assert "the checkpoint is not signed" in changed(lambda bundle: bundle.update(checkpoint=note))


def test_another_key_is_not_taken() -> None:
    other = vkey(NAME, INTL.public_key(INTL.new_signing_key()))
    for key in (other, VKEY.replace(NAME, "other"), VKEY[:-4], "", "a+b"):
        assert "the checkpoint is not signed by this key" in found(BUNDLE, key)


def test_a_signature_has_one_spelling() -> None:
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
    note = BUNDLE["checkpoint"]
    respelled = note[:-3] + alphabet[alphabet.index(note[-3]) ^ 1] + note[-2:]
    assert "the checkpoint is not signed" in changed(lambda bundle: bundle.update(checkpoint=respelled))


def test_the_keys_word_for_another_log_is_not_taken() -> None:
    text = BUNDLE["checkpoint"].rpartition("\n\n")[0].replace(NAME, "another/log") + "\n"
    note = sign_note(text, NAME, PRIVATE)
    assert "the checkpoint is not signed" in changed(lambda bundle: bundle.update(checkpoint=note))


@pytest.mark.parametrize(
    "respell",
    [
        lambda body: body.replace(b'"policy":1', b'"policy": 1'),
        lambda body: body.replace(b'"policy":1', b'"policy":1.0'),
        lambda body: body.replace(b'"policy":1', b'"policy":1.5'),
        lambda body: body.replace(b'"policy":1', b'"policy":NaN'),
        lambda body: body.replace(b'"v":1', b'"v":2'),
        lambda body: body.replace(b'"policy":1', b'"policy":1,"policy":1'),
        lambda body: body.replace(b'{"actor":"a1",', b"{").replace(b'"at"', b'"actor":"a1","at"')[:-1] + b',"a":0}',
    ],
)
def test_an_event_that_was_signed_in_another_spelling_is_named(respell: Callable[[bytes], bytes]) -> None:
    story = honest()
    story.tell("log.read", "a1", {})
    body = respell(story.bodies[-1])
    assert body != story.bodies[-1]
    story.bodies[-1] = body
    assert found(story.bundle()) == (
        f"event {ENTRIES} (evt_{ENTRIES:03d}, log.read): its body is not the canonical form of a version 1 event"
    )


# --- whole events and records -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("index", range(ENTRIES))
def test_a_removed_event_is_found(index: int) -> None:
    def remove(bundle: dict[str, Any], renumber: bool) -> None:
        del bundle["entries"][index]
        if renumber:
            for place, entry in enumerate(bundle["entries"]):
                entry["index"] = place

    for renumber in (False, True):
        findings = changed(lambda bundle, r=renumber: remove(bundle, r))
        assert f"the checkpoint of {ENTRIES} events does not sign these" in findings


def test_an_added_event_is_found() -> None:
    story = honest()
    story.tell("log.read", "a1", {})
    bundle = story.bundle() | {"checkpoint": BUNDLE["checkpoint"]}
    assert f"the checkpoint of {ENTRIES} events does not sign these" in found(bundle)


def test_events_that_changed_places_are_found() -> None:
    def swap(bundle: dict[str, Any]) -> None:
        entries = bundle["entries"]
        entries[1], entries[2] = entries[2], entries[1]

    findings = changed(swap)
    assert "does not sign these" in findings
    assert "event 1: is not where its index 2 says" in findings


def test_an_event_told_twice_is_found() -> None:
    story = honest()
    story.bodies.append(story.bodies[-2])
    assert "comes twice" in found(story.bundle())


def test_a_missing_record_and_one_from_nowhere_are_named() -> None:
    findings = changed(lambda bundle: bundle["records"].pop("principals/m1"))
    assert "record principals/m1: is missing: event 1 (evt_001, principal.create) tells of it" in findings
    findings = changed(lambda bundle: bundle["records"].update({"principals/m9": {"id": "m9"}}))
    assert "record principals/m9: no event tells of it" in findings


def test_a_log_written_anew_and_signed_anew_is_found_by_an_earlier_checkpoint() -> None:
    """The one lie that the newest signature covers: its key's owner leaves an event out and signs again."""
    old = STORY.checkpoint(8)
    assert found(BUNDLE, earlier=(old, STORY.checkpoint(0), STORY.checkpoint())) == ""
    rewritten = honest()
    event = rewritten.bodies.index(next(b for b in rewritten.bodies if b"principals/m3" in b))
    del rewritten.bodies[event]
    del rewritten.rows["principals/m3"]
    assert found(rewritten.bundle()) == "", "alone, it looks proved"
    assert "the earlier checkpoint of 8 events does not sign a beginning of these" in found(
        rewritten.bundle(), earlier=(old,)
    )


def test_a_log_rolled_back_behind_an_earlier_checkpoint_is_found() -> None:
    assert "does not sign a beginning of these" in found(granted().bundle(), earlier=(STORY.checkpoint(),))


# --- the ledger: a gateway that breaks its own rules, and signs that it did -------------------------------------------


@pytest.mark.parametrize(
    "spent", [{"eps_p": 501, "rho": 400}, {"rho": 901}, {"eps_p": 1001}, {"eps_p": 1, "delta": 50}]
)
def test_a_charge_over_the_frontier_is_named(spent: dict[str, int]) -> None:
    story = granted()
    story.charge("qry_1", **spent)
    assert f"event {len(story.bodies) - 1} (" in found(story.bundle())
    assert "query.charge): takes caps/grant/grt_1 over its frontier" in found(story.bundle())


def test_charges_that_pass_the_frontier_only_together_are_named() -> None:
    story = granted()
    for query in ("qry_1", "qry_2"):
        story.charge(query, eps_p=600)
    assert f"event {len(story.bodies) - 1} (" in found(story.bundle())
    assert found(story.bundle()).count("over its frontier") == 3


def test_a_step_charged_twice_is_named() -> None:
    story = granted()
    story.charge("qry_1", eps_p=1)
    story.charge("qry_1", eps_p=1)
    assert "charges ledger/qry_1/main/grant/grt_1 again" in found(story.bundle())


def test_a_refund_is_named() -> None:
    story = granted()
    story.charge("qry_1", eps_p=10)
    story.charge("qry_2", eps_p=-10)
    assert "gives budget back" in found(story.bundle())


@pytest.mark.parametrize("left_out", range(3))
def test_a_charge_that_spares_a_cap_is_named(left_out: int) -> None:
    story = granted()
    story.charge("qry_1", eps_p=1, caps=[cap for n, cap in enumerate(CAPS) if n != left_out])
    assert "spares a cap" in found(story.bundle())


def test_a_charge_on_another_grants_cap_is_named() -> None:
    story = granted()
    story.open_cap("grant", "grt_2")
    story.charge("qry_1", eps_p=1, caps=[CAPS[0], ["grant", "grt_2"], CAPS[2]])
    assert "spares a cap" in found(story.bundle())


def test_a_cap_that_was_never_opened_or_opened_again_is_named() -> None:
    story = granted()
    story.rows["caps/dataset/ds_2"] = dict(story.rows["caps/dataset/ds_1"])
    story.charge("qry_1", eps_p=1, caps=[["dataset", "ds_2"], *CAPS[1:]])
    assert "query.charge): does not fit the rest: KeyError('caps/dataset/ds_2')" in found(story.bundle())
    story = granted()
    story.open_cap("grant", "grt_1", delta=1_000_000)
    assert "cap.open): opens caps/grant/grt_1 again" in found(story.bundle())


def test_a_cap_that_hides_what_was_spent_is_named() -> None:
    story = honest()
    cap = story.rows["caps/population/pop_1"] | {"spent_eps_p": 0}
    story.tell_rows("log.read", "a1", {}, {"caps/population/pop_1": cap})  # its digest is logged, so only the sum tells
    assert found(story.bundle()) == (
        "record caps/population/pop_1: does not follow from the events (spent_eps_p is 0, not 500)"
    )


def test_a_ledger_row_that_hides_its_cost_or_is_invented_is_named() -> None:
    story = honest()
    path = "ledger/qry_1/main/grant/grt_1"
    story.tell_rows("log.read", "a1", {}, {path: story.rows[path] | {"eps_p": 1}})
    assert f"record {path}: is not what event {ENTRIES} (" in found(story.bundle())
    story = honest()
    story.tell_rows("log.read", "a1", {}, {"ledger/qry_9/main/grant/grt_1": {"eps_p": 0}})
    assert "what begins at byte" in found(story.bundle()), "it is no line of the ledger at all"
    story = honest()
    row = story.rows[path] | {"request": "qry_9"}
    story.tell_rows("log.read", "a1", {}, {"ledger/qry_9/main/grant/grt_1": row})
    assert f"record ledger/qry_9/main/grant/grt_1: is not what event {ENTRIES} (" in found(story.bundle())


def test_a_charge_before_or_after_its_grants_life_is_named() -> None:
    story = before_grant()
    story.charge("qry_1", eps_p=1)
    assert "its grant grt_1 is not active" in found(story.bundle())
    story = honest()
    story.charge("qry_3", eps_p=1)
    assert "its grant grt_1 is not active" in found(story.bundle())


# --- the grants -------------------------------------------------------------------------------------------------------


def voted(*votes: tuple[str, str, str], **people: str) -> str:
    story = before_grant(**people)
    for type_, who, round_ in votes:
        story.voice(type_, who, round_)
    story.grant()
    return found(story.bundle())


VOTE = "application.vote"


@pytest.mark.parametrize(
    ("votes", "count"),
    [
        ([], 0),
        ([(VOTE, "m1", "review")], 1),
        ([(VOTE, "m1", "review"), (VOTE, "m1", "review")], 1),
        ([(VOTE, "m1", "review"), (VOTE, "m4", "review")], 1),  # m4 is of the applicant's side
        ([(VOTE, "m1", "review"), (VOTE, "e2", "review")], 1),  # e2 is no member
        ([(VOTE, "m1", "review"), (VOTE, "e1", "review")], 1),  # the applicant
        ([(VOTE, "m1", "review"), (VOTE, "m2", "consent:a.b")], 1),
        ([(VOTE, "m1", "review"), ("application.consent", "m2", "review")], 1),
    ],
)
def test_a_grant_without_two_members_votes_is_named(votes: list[tuple[str, str, str]], count: int) -> None:
    findings = voted(*votes, m4="company", e2="city")
    assert f"grant.create): only {count} committee members outside the applicant's side approved" in findings


def test_a_vote_against_is_no_vote_for() -> None:
    story = before_grant()
    story.voice(VOTE, "m1", "review")
    story.voice(VOTE, "m2", "review", approve=False)
    story.grant()
    assert "only 1 committee members" in found(story.bundle())


def test_a_grant_may_ask_for_more_votes_and_never_for_fewer() -> None:
    for needed, wrong in ((3, True), (2, False), (1, False)):
        story = before_grant()
        story.voice(VOTE, "m1", "review")
        story.voice(VOTE, "m2", "review")
        story.grant(votes_needed=needed)
        assert ("only 2 committee members" in found(story.bundle())) == wrong
    story = before_grant()
    story.voice(VOTE, "m1", "review")
    story.grant(votes_needed=1)
    assert "only 1 committee members" in found(story.bundle())


def test_a_vote_after_the_grant_does_not_count() -> None:
    story = before_grant()
    story.voice(VOTE, "m1", "review")
    story.grant()
    story.voice(VOTE, "m2", "review")
    assert "only 1 committee members" in found(story.bundle())


def test_a_missing_consent_is_named() -> None:
    story = before_grant()
    for member in ("m1", "m2"):
        story.voice(VOTE, member, "review")
    story.grant(consents_needed=["a.b", "c.d"])
    assert "grant.create): nobody consented for ['c.d']" in found(story.bundle())


def test_a_vote_is_not_a_consent() -> None:
    story = before_grant()
    for member, round_ in (("m1", "review"), ("m2", "review"), ("m3", "consent:c.d")):
        story.voice(VOTE, member, round_)
    story.grant(consents_needed=["c.d"])
    assert "nobody consented for ['c.d']" in found(story.bundle())


def test_terms_that_changed_on_the_way_are_named() -> None:
    other = TERMS | {"epsilon": "9000000000000"}
    story = before_grant()
    for member in ("m1", "m2"):
        story.voice(VOTE, member, "review")
    story.grant(terms=record_digest(other))
    assert "its terms are not those of application app_1" in found(story.bundle())
    story = granted()
    story.tell("log.read", "a1", {}, grants__grt_1=story.rows["grants/grt_1"] | {"terms": other})
    assert "its terms are not those of application app_1" in found(story.bundle())


@pytest.mark.parametrize("type_", ["application.reject", "application.withdraw"])
def test_a_closed_application_becomes_no_grant(type_: str) -> None:
    story = before_grant()
    for member in ("m1", "m2"):
        story.voice(VOTE, member, "review")
    story.tell(type_, "m1", {"application": "app_1"})
    story.grant()
    assert "grant.create): does not fit the rest: KeyError('app_1')" in found(story.bundle())


def test_one_application_becomes_one_grant() -> None:
    story = granted()
    story.grant()
    assert "grant.create): does not fit the rest" in found(story.bundle())


@pytest.mark.parametrize(
    ("type_", "state"), [("grant.stop", "stopped"), ("grant.revoke", "revoked"), ("grant.expire", "expired")]
)
def test_a_grants_state_is_what_its_last_event_left(type_: str, state: str) -> None:
    story = granted()
    story.end(type_, state)
    assert found(story.bundle()) == ""
    story.tell("log.read", "a1", {}, grants__grt_1=story.rows["grants/grt_1"] | {"state": "active"})
    assert f"record grants/grt_1: does not follow from the events (state is active, not {state})" in found(
        story.bundle()
    )
    story = granted()
    story.end(type_, state)
    story.end(type_, state)
    assert f"the grant was {state} before" in found(story.bundle())


def test_a_grant_from_nowhere_is_named() -> None:
    story = granted()
    story.tell("log.read", "a1", {}, grants__grt_2=story.rows["grants/grt_1"] | {"id": "grt_2"})
    assert "record grants/grt_2: does not follow from the events (nothing gives it)" in found(story.bundle())


# --- whatever else comes ----------------------------------------------------------------------------------------------

JUNK = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


@settings(max_examples=200, deadline=None)
@given(JUNK, st.sampled_from(["v", "checkpoint", "entries", "records"]))
def test_junk_is_a_finding_and_never_an_accident(junk: Any, part: str) -> None:
    bundle = {**BUNDLE, part: junk}
    if bundle != BUNDLE and not (part == "v" and junk == 1):
        assert found(bundle)


@settings(max_examples=200, deadline=None)
@given(JUNK, st.data())
def test_junk_inside_an_event_is_a_finding_and_never_an_accident(junk: Any, data: st.DataObject) -> None:
    index = data.draw(st.integers(0, ENTRIES - 1))
    value = json.loads(body_of(index))
    place = data.draw(st.sampled_from(sorted(value["details"]) or ["new"]))
    value["details"][place] = junk
    body = json.dumps(value).encode()
    if body != body_of(index):
        assert f"event {index} (" in changed(lambda bundle: set_body(bundle["entries"][index], body))


@pytest.mark.parametrize("junk", [None, [], 7, "", {}, {"v": 2}, {"v": 1}])
def test_a_bundle_that_is_none_is_a_finding(junk: Any) -> None:
    assert verify_bundle(junk, VKEY)


# --- it stands alone --------------------------------------------------------------------------------------------------


@given(st.lists(st.binary(min_size=32, max_size=32), max_size=70))
def test_its_root_is_the_logs_root(leaves: list[bytes]) -> None:
    assert verify.root(leaves) == merkle.root(leaves)


TEXT = st.text(st.characters(exclude_categories=("Cs",)), max_size=6)


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers(-(2**53) + 1, 2**53 - 1) | TEXT,
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=4),
    )
)
def test_its_canonical_form_is_that_of_rfc_8785(value: Any) -> None:
    assert books.encode(books.canonical(value)).encode() == rfc8785.dumps(value)


def test_its_keys_are_ordered_as_utf_16() -> None:
    value = {"\U00010000": 1, "\ue000": 2}  # by code point it would be the other way
    assert (
        books.encode(books.canonical(value)).encode() == rfc8785.dumps(value) == '{"\U00010000":1,"\ue000":2}'.encode()
    )


@pytest.mark.parametrize("source", SOURCES, ids=lambda source: source.name)
def test_it_is_short_and_imports_nothing_of_ours(source: Path) -> None:
    text = source.read_text("utf-8")
    assert len(text.splitlines()) < 260
    names = set()
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0
            names.add(node.module or "")
    tops = {name.split(".")[0] for name in names}
    # Of the package it takes its other parts, which it finds beside it when it runs alone.
    assert tops - {"cryptography", "books", "rows", "sandbox"} <= sys.stdlib_module_names
    for parts in ("books", "books, rows"):
        text = text.replace(f"from sandbox.audit import {parts}\n", "")
    assert "from sandbox" not in text


def run(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    for source in SOURCES:
        shutil.copy(source, folder / source.name)
    # -S -s -E would take `cryptography` away as well; a package of ours would show: `books` then comes from there.
    code = "import runpy, sys; sys.modules['sandbox'] = None; sys.path.insert(0, '.'); runpy.run_path('verify.py', run_name='__main__')"
    command = [sys.executable, "-c", code, *arguments]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)


def test_it_runs_alone_and_tells_by_its_exit_code(tmp_path: Path) -> None:
    exported(tmp_path / "export", BUNDLE)
    (tmp_path / "log.vkey").write_text(VKEY + "\n")
    (tmp_path / "old.note").write_text(STORY.checkpoint(5), "utf-8")
    done = run(tmp_path, "export", "--key", "@log.vkey", "--earlier", "old.note", "--grants", "--totals")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines() == [
        "verified 核验通过",
        *(
            f"caps/{scope}/{subject} epsilon=1000 delta=100 spent_eps_p=500 spent_rho=400 spent_delta=3"
            for scope, subject in CAPS
        ),
    ]
    broken = copy.deepcopy(BUNDLE)
    broken["records"]["caps/grant/grt_1"]["spent_eps_p"] = "499"
    exported(tmp_path / "broken", broken)
    done = run(tmp_path, "broken", "--key", VKEY)
    assert (done.returncode, done.stderr) == (1, "")
    assert "record caps/grant/grt_1: is not what event" in done.stdout
    assert "verified" not in done.stdout


@pytest.mark.parametrize(
    "arguments",
    [("nowhere", "--key", VKEY), ("export", "--key", "@nowhere"), ("export", "--key", VKEY, "--receipt", "nowhere")],
)
def test_what_cannot_be_read_is_named_and_has_an_exit_code_of_its_own(
    tmp_path: Path, arguments: tuple[str, ...]
) -> None:
    exported(tmp_path / "export", BUNDLE)
    done = run(tmp_path, *arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert "cannot be read 无法读取: nowhere" in done.stderr


def test_names_that_would_write_over_the_terminal_are_shown_without_their_teeth(tmp_path: Path) -> None:
    story = honest()
    story.tell_rows("log.read", "a1", {}, {"tenants/\x1b[2K": {"id": "t"}})
    del story.rows["tenants/\x1b[2K"]
    exported(tmp_path / "export", story.bundle())
    done = run(tmp_path, "export", "--key", VKEY)
    assert done.returncode == 1
    assert "record tenants/?[2K: is missing" in done.stdout
