"""The log over HTTP: a company sees its own events, the auditor everything, and what is fetched proves itself."""

from __future__ import annotations

import base64
import json
import sqlite3
import threading
from pathlib import Path
from typing import Any

import pytest

from sandbox.audit.export import verify_bundle
from tests.unit.gateway.living import Living, living, working


def get(alive: Living, who: str, path: str, **query: Any) -> Any:
    return alive.client.get(path, params=query, headers=alive.who(who))


def bundle(alive: Living) -> dict[str, Any]:
    return get(alive, "auditor", "/v1/log/bundle").json()  # type: ignore[no-any-return]


def vkey(alive: Living) -> str:
    return str(get(alive, "engineer", "/v1/log/key").json()["vkey"])


def test_the_bundle_proves_itself(full: Living) -> None:
    found = bundle(full)
    assert verify_bundle(found, vkey(full)) == []
    assert {path.partition("/")[0] for path in found["records"]} >= {"caps", "grants", "principals", "datasets"}


def test_the_key_over_http_is_the_key_in_the_home(full: Living) -> None:
    assert vkey(full) == (full.house.home / "log.vkey").read_text("utf-8").strip()


def test_the_bundle_proves_itself_while_the_gateway_writes(full: Living) -> None:
    stop = threading.Event()

    def write() -> None:
        number = 0
        while not stop.is_set():
            number += 1
            body = {"name": f"busy {number}", "kind": "company"}
            full.client.post("/v1/tenants", json=body, headers=full.who("operator"))

    writer = threading.Thread(target=write)
    writer.start()
    try:
        for _ in range(3):
            assert verify_bundle(bundle(full), vkey(full)) == []
    finally:
        stop.set()
        writer.join()


def test_reading_the_log_is_logged(full: Living) -> None:
    before = len(full.events("log.read"))
    bundle(full)
    get(full, "auditor", "/v1/log/entries")
    get(full, "auditor", "/v1/log/records", table="caps")
    assert [e["what"] for e in full.events("log.read")[before:]] == ["bundle", "entries", "records"]


def test_entries_and_records_come_in_pages(full: Living) -> None:
    whole = bundle(full)
    entries: list[dict[str, Any]] = []
    while len(entries) < len(whole["entries"]):
        entries += get(full, "auditor", "/v1/log/entries", start=len(entries), limit=7).json()["entries"]
    assert entries[: len(whole["entries"])] == whole["entries"]
    assert json.loads(base64.b64decode(entries[0]["body"]))["v"] == 1
    found, after = {}, None
    while True:
        page = get(full, "auditor", "/v1/log/records", table="api_keys", limit=2, **({"after": after} if after else {}))
        found.update(page.json()["records"])
        after = page.json()["next"]
        if after is None:
            break
    assert found == {path: r for path, r in whole["records"].items() if path.startswith("api_keys/")}


def test_only_the_auditor_reads_the_log(full: Living) -> None:
    for path in ("/v1/log/bundle", "/v1/log/entries", "/v1/log/checkpoint", "/v1/log/records"):
        for name in ("operator", "steward", "member1", "engineer"):
            response = get(full, name, path, table="caps")
            assert (response.status_code, response.json()["code"]) == (403, "not_your_role")


def test_a_company_reads_its_own_events_and_no_others(full: Living) -> None:
    own = full.people["engineer"].tenant
    items = get(full, "engineer", "/v1/events", limit=1000).json()["items"]
    assert {"application.submit", "grant.create"} <= {e["event"]["type"] for e in items}
    assert {e["event"]["tenant"] for e in items} == {own}
    rivals = get(full, "rival", "/v1/events", limit=1000).json()["items"]
    assert not {e["id"] for e in items} & {e["id"] for e in rivals}


@pytest.mark.parametrize(
    "query", [{"start": -1}, {"start": 2**60}, {"limit": 0}, {"limit": 10**9}, {"start": "x"}]
)
def test_a_wrong_range_is_refused(full: Living, query: dict[str, Any]) -> None:
    response = get(full, "auditor", "/v1/log/entries", **query)
    assert (response.status_code, response.json()["code"]) == (400, "request_invalid")


def test_an_unknown_table_is_refused_with_those_there_are(full: Living) -> None:
    response = get(full, "auditor", "/v1/log/records", table="nothing")
    assert response.json()["code"] == "table_unknown"
    assert "ledger" in response.json()["params"]["tables"]


def test_a_changed_byte_is_named(tmp_path: Path) -> None:
    with living(tmp_path) as alive, working(alive):
        assert verify_bundle(bundle(alive), vkey(alive)) == []
        rival = alive.people["rival"].id
        connection = sqlite3.connect(alive.house.home / "sandbox.db")
        with connection:
            connection.execute("UPDATE principals SET roles = '[\"auditor\"]' WHERE id = ?", (rival,))
        connection.close()
        findings = verify_bundle(bundle(alive), vkey(alive))
    assert any(f"principals/{rival}" in finding for finding in findings)
