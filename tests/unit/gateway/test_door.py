"""The door: who gets in, what no body may be, and that nothing inside ever shows outside."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.unit.gateway.living import Living, living

BAD = {"Authorization": "Bearer sbx_" + "A" * 43}


def code(response: object) -> str:
    assert response.headers["content-type"] == "application/problem+json", response.text  # type: ignore[attr-defined]
    return str(response.json()["code"])  # type: ignore[attr-defined]


# --- who gets in ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("header", "wanted"),
    [
        ({}, "key_missing"),
        ({"Authorization": "Bearer "}, "key_missing"),
        ({"Authorization": "Bearer sbx_short"}, "key_refused"),
        ({"Authorization": "Basic sbx_" + "A" * 43}, "key_refused"),
        (BAD, "key_refused"),
        ({"Authorization": "Bearer sbx_" + "A" * 42 + "'"}, "key_refused"),
    ],
)
def test_no_key_or_a_bad_one_is_401_everywhere(alive: Living, header: dict[str, str], wanted: str) -> None:
    for path in ("/v1/me", "/v1/queries", "/v1/nothing", "/v1/log/bundle"):
        response = alive.client.get(path, headers=header)
        assert response.status_code in {401, 429}
        assert code(response) in {wanted, "too_many_bad_keys"}


def test_a_bad_key_says_how_to_authenticate(alive: Living) -> None:
    response = alive.client.get("/v1/me", headers=BAD)
    if response.status_code == 401:
        assert response.headers["www-authenticate"] == "Bearer"


def test_a_good_key_stands_for_its_principal(alive: Living) -> None:
    told = alive.client.get("/v1/me", headers=alive.who("engineer")).json()
    assert told["id"] == alive.people["engineer"].id
    assert told["roles"] == ["engineer"]
    assert told["tenant_name"] == "acme"


def test_a_revoked_key_is_a_bad_key(alive: Living) -> None:
    asked = {"name": "gone", "tenant": "acme", "roles": ["engineer"]}
    made = alive.client.post("/v1/principals", json=asked, headers=alive.who("operator")).json()
    header = {"Authorization": f"Bearer {made['key']}"}
    assert alive.client.get("/v1/me", headers=header).status_code == 200
    revoked = alive.client.post(f"/v1/keys/{made['key_id']}/revoke", headers=alive.who("operator"))
    assert revoked.json() == {"id": made["key_id"], "state": "revoked"}
    assert alive.client.get("/v1/me", headers=header).status_code in {401, 429}


def test_health_asks_for_no_key(alive: Living) -> None:
    assert alive.client.get("/health/live").json()["status"] == "ok"


@pytest.fixture
def strict(tmp_path: Path) -> Iterator[Living]:
    with living(tmp_path, bad_keys_per_minute=3, denials_per_minute=2) as found:
        yield found


def test_a_flood_of_bad_keys_leaves_few_events_and_good_keys_work(strict: Living) -> None:
    statuses = [strict.client.get("/v1/me", headers=BAD).status_code for _ in range(20)]
    assert statuses == [401] * 3 + [429] * 17
    assert len(strict.events("access.deny")) == 3
    assert strict.client.get("/v1/me", headers=strict.who("engineer")).status_code == 200


def test_denials_are_logged_with_their_reason_and_within_a_rate(strict: Living) -> None:
    for _ in range(5):
        response = strict.client.post("/v1/tenants", json={"name": "x", "kind": "company"}, headers=strict.who("rival"))
        assert response.status_code == 403
        assert code(response) == "not_your_role"
    found = strict.events("access.deny")
    assert found == [
        {"actor": strict.people["rival"].id, "noun": "principal", "verb": "add", "reason": "not_your_role"}
    ] * 2


# --- bodies -----------------------------------------------------------------------------------------------------------


def post(alive: Living, content: bytes, kind: str = "application/json") -> object:
    headers = {**alive.who("engineer"), "Content-Type": kind, "Idempotency-Key": "k" * 10}
    return alive.client.post("/v1/queries", content=content, headers=headers)


@pytest.mark.parametrize(
    "content",
    [
        b"", b"{", b"null", b"[]", b'"x"', b"1", b"\xff\xfe", b'{"sql": "\xff"}', b"[" * 100_000, b'{"a":' * 100_000,
        b'{"sql": "SELECT 1", "rows": ' + b"9" * 5000 + b"}", b"\x00",
    ],
)  # fmt: skip
def test_what_is_no_json_object_is_one_clear_400(alive: Living, content: bytes) -> None:
    response = post(alive, content)
    assert response.status_code == 400, response.text  # type: ignore[attr-defined]
    assert code(response) in {"request_not_json", "request_invalid"}


def test_a_body_of_another_kind_is_refused(alive: Living) -> None:
    response = post(alive, b'{"sql": "SELECT 1"}', "text/plain")
    assert (response.status_code, code(response)) == (400, "request_not_json")  # type: ignore[attr-defined]


def test_a_declared_length_over_the_limit_is_refused_before_the_key(alive: Living) -> None:
    response = alive.client.post("/v1/queries", content=b"x" * 12_000_001)
    assert (response.status_code, code(response)) == (413, "body_too_large")
    assert response.json()["params"] == {"limit": 12_000_000}


def test_a_stream_over_the_limit_is_cut_while_it_arrives(alive: Living) -> None:
    sent = [0]

    def endless() -> Iterator[bytes]:
        for _ in range(40):
            sent[0] += 1
            yield b" " * 1_000_000

    headers = {**alive.who("engineer"), "Content-Type": "application/json", "Idempotency-Key": "k" * 10}
    response = alive.client.post("/v1/queries", content=endless(), headers=headers)
    assert (response.status_code, code(response)) == (413, "body_too_large")


@pytest.mark.parametrize(
    ("field", "value", "rule"),
    [
        ("epsilon", 0, "range"), ("epsilon", -1, "range"), ("epsilon", "0", "range"), ("epsilon", "-0.5", "range"),
        ("epsilon", 1e300, "range"), ("epsilon", "1e300", "range"), ("epsilon", "1e-300", "range"),
        ("epsilon", "NaN", "finite"), ("epsilon", "Infinity", "finite"), ("epsilon", "-inf", "finite"),
        ("epsilon", "x", "type"), ("epsilon", True, "type"), ("epsilon", [], "type"), ("epsilon", {}, "type"),
        ("epsilon", "1" * 1000, "type"), ("epsilon", "0.1234567890123", "form"), ("epsilon", 101, "range"),
        ("within", 0, "range"), ("within", -1, "range"), ("within", 1e300, "range"), ("within", "x", "type"),
        ("within", True, "type"), ("within", "5%%", "form"), ("within", "1e1%", "form"),
        ("rows", 0, "range"), ("rows", -1, "range"), ("rows", 2**40, "range"), ("rows", 1.5, "type"),
        ("rows", "x", "type"),
        ("sql", None, "type"), ("sql", 7, "type"), ("sql", "", "length"), ("sql", ["SELECT"], "type"),
        ("grant", "", "length"), ("grant", "x" * 1000, "length"), ("purpose", 1, "type"),
        ("preset", "generous", "choice"), ("explain", "perhaps", "type"), ("epslion", 1, "unknown"),
    ],
)  # fmt: skip
def test_a_wrong_field_is_named_with_its_rule_and_never_its_value(
    alive: Living, field: str, value: object, rule: str
) -> None:
    response = post(alive, json.dumps({"sql": "SELECT 1", field: value}).encode())
    assert response.status_code == 400, response.text  # type: ignore[attr-defined]
    problem = response.json()  # type: ignore[attr-defined]
    assert problem["code"] == "request_invalid"
    assert (problem["params"]["field"], problem["params"]["rule"]) == (field, rule)
    assert field in problem["text"]["en"]
    assert field in problem["text"]["zh"]
    assert "generous" not in response.text  # type: ignore[attr-defined]


def test_a_bare_nan_is_out_of_range(alive: Living) -> None:
    for field in ("epsilon", "within"):
        for word in (b"NaN", b"Infinity", b"-Infinity"):
            response = post(alive, b'{"sql": "SELECT 1", "%s": %s}' % (field.encode(), word))
            assert (response.status_code, response.json()["params"]["field"]) == (400, field)  # type: ignore[attr-defined]


def test_a_limit_is_told_as_people_write_it(alive: Living) -> None:
    response = post(alive, b'{"sql": "SELECT 1", "epsilon": -1}')
    assert response.json()["detail"] == "Field epsilon is out of range: it must be a number ≥ 0.000001."  # type: ignore[attr-defined]


def test_two_budgets_are_one_too_many(alive: Living) -> None:
    response = post(alive, b'{"sql": "SELECT 1", "epsilon": 1, "preset": "strict"}')
    assert response.json()["params"]["rule"] == "one_of"  # type: ignore[attr-defined]
    assert "epsilon, preset, within" in response.json()["detail"]  # type: ignore[attr-defined]


@pytest.mark.parametrize("key", ["", "short", "x" * 201, "tab\tkey-key", "umlaut-ä-key"])
def test_a_strange_idempotency_key_is_refused(alive: Living, key: str) -> None:
    headers = {**alive.who("engineer"), "Idempotency-Key": key.encode("utf-8")}
    response = alive.client.post("/v1/queries", json={"sql": "SELECT 1", "epsilon": 1}, headers=headers)
    assert response.status_code == 400
    assert code(response) in {"request_invalid", "idempotency_key_required"}


def test_spending_needs_an_idempotency_key(alive: Living) -> None:
    response = alive.client.post("/v1/queries", json={"sql": "SELECT 1", "epsilon": 1}, headers=alive.who("engineer"))
    assert (response.status_code, code(response)) == (400, "idempotency_key_required")


# --- what leaves ------------------------------------------------------------------------------------------------------


def test_an_unknown_address_and_a_wrong_method_are_problems_too(alive: Living) -> None:
    response = alive.client.get("/v1/nothing", headers=alive.who("engineer"))
    assert (response.status_code, code(response)) == (404, "route_unknown")
    response = alive.client.delete("/v1/me", headers=alive.who("engineer"))
    assert (response.status_code, code(response)) == (405, "method_unknown")


def test_the_text_comes_in_the_callers_language_and_in_both(alive: Living) -> None:
    for accept, language in (("zh-CN", "zh"), ("en", "en"), ("", "en")):
        headers = {**alive.who("engineer"), "Accept-Language": accept}
        problem = alive.client.get("/v1/nothing", headers=headers).json()
        assert problem["detail"] == problem["text"][language]
        assert problem["text"]["zh"] != problem["text"]["en"]


def test_every_answer_has_an_id_and_is_not_kept_by_anybody(alive: Living) -> None:
    for response in (
        alive.client.get("/v1/me", headers=alive.who("engineer")),
        alive.client.get("/v1/nothing", headers=alive.who("engineer")),
    ):
        assert response.headers["x-request-id"].startswith("urn:uuid:")
        assert response.headers["cache-control"] == "no-store"
        assert response.headers["x-content-type-options"] == "nosniff"
    assert response.json()["instance"] == response.headers["x-request-id"]


def test_what_nobody_foresaw_is_a_503_without_a_story(alive: Living, caplog: pytest.LogCaptureFixture) -> None:
    def broken() -> None:
        raise ValueError("Could not convert string 'cell of data' to INT32")

    alive.client.app.get("/health/broken")(broken)  # type: ignore[attr-defined]
    with caplog.at_level(logging.ERROR):
        response = alive.client.get("/health/broken")
    assert (response.status_code, code(response)) == (503, "internal_failure")
    assert "cell of data" not in response.text
    assert "cell of data" not in caplog.text
    assert response.json()["instance"] in caplog.text
    assert "ValueError" in caplog.text


def test_the_database_being_gone_is_a_503(tmp_path: Path) -> None:
    with living(tmp_path) as found:
        found.house.sessions.reader.dispose()
        database = found.house.home / "sandbox.db"
        database.rename(database.with_suffix(".gone"))
        database.mkdir()
        response = found.client.get("/v1/me", headers=found.who("engineer"))
        assert (response.status_code, code(response)) == (503, "database_failed")
        database.rmdir()
        database.with_suffix(".gone").rename(database)
