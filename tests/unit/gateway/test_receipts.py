"""Receipts over HTTP: the payer's proof that its charge stands in the log, there within a second, and nobody else's."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import httpx2
import pytest

from sandbox.audit.cosign import cosign, witness_vkey
from sandbox.audit.event import decode
from sandbox.audit.receipt import check, read
from sandbox.crypto.suite import INTL
from sandbox.store import cosignatures, log
from sandbox.work.sequence import Sequencer
from tests.unit.gateway.living import Living, living


def ask(alive: Living, key: str) -> dict[str, Any]:
    response = alive.client.post(
        "/v1/queries", json={"sql": "SELECT count(*) FROM health.visits", "epsilon": "0.1"},
        headers={**alive.who("engineer"), "Idempotency-Key": key},
    )  # fmt: skip
    assert response.status_code == 200, response.text
    answer: dict[str, Any] = response.json()
    return answer


def receipt_of(alive: Living, path: str, who: str = "engineer") -> httpx2.Response:
    """The receipt; asked for again while it is not ready, as `sandbox receipt` does."""
    for _ in range(100):
        response = alive.client.get(f"/v1/{path}/receipt", headers=alive.who(who))
        if response.status_code != 409:
            break
        assert response.json()["code"] == "receipt_not_ready"
        assert response.headers["retry-after"] == "1"
        time.sleep(0.05)
    return response


def vkey(alive: Living) -> str:
    return (alive.house.home / "log.vkey").read_text("utf-8")


def test_a_paid_answer_has_a_receipt_that_its_owner_verifies_alone(full: Living) -> None:
    answer = ask(full, "receipt-one")
    response = receipt_of(full, f"answers/{answer['id']}")
    assert response.status_code == 200
    proved = check(read(json.dumps(response.json()).encode()), vkey(full))
    assert (proved.event.id, proved.event.type) == (answer["event"], "query.charge")
    assert proved.event.details["query"] == answer["id"]


def test_a_receipt_stays_good_while_the_log_grows(full: Living) -> None:
    answer = ask(full, "receipt-two")
    first = receipt_of(full, f"answers/{answer['id']}").json()
    ask(full, "receipt-three")
    later = receipt_of(full, f"answers/{answer['id']}").json()
    assert (first["index"], first["event"]) == (later["index"], later["event"])
    for one in (first, later):
        check(read(json.dumps(one).encode()), vkey(full))


def test_nobody_else_gets_it_but_the_auditor_whose_reading_is_logged(full: Living) -> None:
    answer = ask(full, "receipt-four")
    for who, status, code in (
        ("rival", 404, "answer_unknown"), ("steward", 403, "not_your_role"), ("operator", 403, "not_your_role"),
    ):  # fmt: skip
        response = receipt_of(full, f"answers/{answer['id']}", who)
        assert (response.status_code, response.json()["code"]) == (status, code)
    before = len(full.events("log.read"))
    assert receipt_of(full, f"answers/{answer['id']}", "auditor").status_code == 200
    assert full.events("log.read")[before:] == [
        {"actor": full.people["auditor"].id, "what": "receipt", "event": answer["event"]}
    ]


@pytest.mark.parametrize("path", ["answers/qry_nothing", "answers/x", "events/evt_nothing", "events/%2e%2e"])
def test_what_is_not_there_has_none(full: Living, path: str) -> None:
    for who in ("engineer", "auditor"):
        assert receipt_of(full, path, who).status_code == 404


def test_an_organisation_gets_receipts_of_its_own_events(full: Living) -> None:
    events = full.client.get("/v1/events", headers=full.who("engineer"), params={"limit": 1000}).json()["items"]
    chosen = next(e["id"] for e in events if e["event"]["type"] == "grant.create")
    response = receipt_of(full, f"events/{chosen}")
    assert check(read(json.dumps(response.json()).encode()), vkey(full)).event.id == chosen
    assert receipt_of(full, f"events/{chosen}", "rival").json()["code"] == "event_unknown"
    assert receipt_of(full, f"events/{chosen}", "auditor").status_code == 200


def test_how_a_query_ended_has_no_receipt_for_its_company(full: Living) -> None:
    """That event is the auditor's: the company's answer, or its absence, says as much at the rung (P7.1)."""
    answer = ask(full, "receipt-five")
    with full.house.sessions.reading() as session:
        ends = [decode(body) for _, _, body in log.of_tenant(session, log.SYSTEM.tenant, "", 100_000)]
    settled = next(e.id for e in ends if e.type == "query.settle" and e.details["query"] == answer["id"])
    assert receipt_of(full, f"events/{settled}").json()["code"] == "event_unknown"


def test_before_the_next_checkpoint_there_is_none(tmp_path: Path) -> None:
    with living(tmp_path) as alive:
        house = alive.house
        mine = alive.client.get("/v1/events", headers=alive.who("operator")).json()["items"][0]["id"]
        response = alive.client.get(f"/v1/events/{mine}/receipt", headers=alive.who("operator"))
        assert (response.status_code, response.json()["code"]) == (409, "receipt_not_ready")
        assert response.headers["retry-after"] == "1"
        Sequencer(house.sessions, house.clock, name=house.log_name, key=house.log_key).run()
        assert alive.client.get(f"/v1/events/{mine}/receipt", headers=alive.who("operator")).status_code == 200


def test_it_prefers_a_checkpoint_that_a_witness_cosigned(tmp_path: Path) -> None:
    private = INTL.new_signing_key()
    witness = witness_vkey("w.example", INTL.public_key(private))
    with living(tmp_path) as alive:
        house = alive.house
        sequencer = Sequencer(house.sessions, house.clock, name=house.log_name, key=house.log_key)
        mine = alive.client.get("/v1/events", headers=alive.who("operator")).json()["items"][0]["id"]
        sequencer.run()
        with house.sessions.begin() as session:
            size, note = cosignatures.note(session) or (0, "")
            line = cosign(note.partition("\n\n")[0] + "\n", "w.example", private, 1_800_000_000)
            cosignatures.save(session, size=size, witness="w.example", line=line, at=house.clock.text())
        alive.admit("another", "engineer", "acme")
        sequencer.run()
        got = alive.client.get(f"/v1/events/{mine}/receipt", headers=alive.who("operator")).json()
        proved = check(read(json.dumps(got).encode()), vkey(alive), [witness])
        assert (proved.size, proved.witnesses) == (size, {"w.example": 1_800_000_000})
        newest = alive.client.get("/v1/events", headers=alive.who("another")).json()["items"][-1]["id"]
        later = alive.client.get(f"/v1/events/{newest}/receipt", headers=alive.who("another")).json()
        assert check(read(json.dumps(later).encode()), vkey(alive)).size > size
