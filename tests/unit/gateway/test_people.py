"""Organisations, principals, keys: only the operator admits, and a key is told once."""

from __future__ import annotations

import pytest

from sandbox.gateway.keys import digest_of, new_key, well_formed
from tests.unit.gateway.living import Living


def test_a_key_is_random_long_and_well_formed() -> None:
    keys = {new_key() for _ in range(100)}
    assert len(keys) == 100
    assert all(well_formed(key) and len(key) == 47 for key in keys)
    assert not well_formed("sbx_" + "A" * 44)
    assert not well_formed("sbx_" + "A" * 43 + "\n")
    assert len({digest_of(key) for key in keys}) == 100


def test_the_operator_admits_an_organisation_and_its_people(alive: Living) -> None:
    operator = alive.who("operator")
    tenant = alive.client.post("/v1/tenants", json={"name": "新公司", "kind": "company"}, headers=operator)
    assert tenant.status_code == 201
    asked = {"name": "李工", "tenant": "新公司", "roles": ["engineer"]}
    made = alive.client.post("/v1/principals", json=asked, headers=operator).json()
    assert made["tenant"] == tenant.json()["id"]
    me = alive.client.get("/v1/me", headers={"Authorization": f"Bearer {made['key']}"}).json()
    assert (me["id"], me["name"], me["tenant_name"]) == (made["id"], "李工", "新公司")
    listed = alive.client.get("/v1/principals", params={"limit": 1000}, headers=operator).json()["items"]
    (found,) = [p for p in listed if p["id"] == made["id"]]
    assert found["keys"] == [made["key_id"]]
    assert made["key"] not in str(listed)


def test_a_key_and_a_name_stay_out_of_the_database_and_the_log(alive: Living) -> None:
    asked = {"name": "Very Private Name", "tenant": "acme", "roles": ["engineer"]}
    made = alive.client.post("/v1/principals", json=asked, headers=alive.who("operator")).json()
    events = str(alive.events("principal.create")) + str(alive.events("key.create"))
    assert made["id"] in events
    assert "Very Private Name" not in events
    folder = alive.house.home
    stored = b"".join(file.read_bytes() for file in folder.glob("sandbox.db*"))
    assert made["key"].encode() not in stored


@pytest.mark.parametrize("name", ["steward", "member1", "engineer", "auditor"])
@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("POST", "/v1/tenants", {"name": "t", "kind": "company"}),
        ("GET", "/v1/tenants", None),
        ("POST", "/v1/principals", {"name": "p", "tenant": "acme", "roles": ["operator"]}),
        ("GET", "/v1/principals", None),
        ("POST", "/v1/keys/key_1/revoke", None),
    ],
)
def test_nobody_else_does(alive: Living, name: str, method: str, path: str, body: object) -> None:
    response = alive.client.request(method, path, json=body, headers=alive.who(name))
    assert (response.status_code, response.json()["code"]) == (403, "not_your_role")


@pytest.mark.parametrize(
    ("path", "body", "status", "code"),
    [
        ("/v1/tenants", {"name": "acme", "kind": "company"}, 409, "tenant_exists"),
        ("/v1/tenants", {"name": "x", "kind": "guild"}, 400, "tenant_kind_unknown"),
        ("/v1/tenants", {"name": "a\nb", "kind": "company"}, 400, "request_invalid"),
        ("/v1/tenants", {"name": "", "kind": "company"}, 400, "request_invalid"),
        ("/v1/tenants", {"name": "x" * 121, "kind": "company"}, 400, "request_invalid"),
        ("/v1/principals", {"name": "p", "tenant": "nowhere", "roles": ["engineer"]}, 404, "tenant_unknown"),
        ("/v1/principals", {"name": "p", "tenant": "acme", "roles": ["enginer"]}, 400, "role_unknown"),
        ("/v1/principals", {"name": "p", "tenant": "acme", "roles": []}, 400, "request_invalid"),
        ("/v1/keys/key_none/revoke", None, 404, "key_unknown"),
    ],
)
def test_wrong_asks_are_one_clear_error(alive: Living, path: str, body: object, status: int, code: str) -> None:
    response = alive.client.post(path, json=body, headers=alive.who("operator"))
    assert (response.status_code, response.json()["code"]) == (status, code)


def test_pages_follow_one_another_without_gap_or_repeat(alive: Living) -> None:
    operator, seen, after = alive.who("operator"), [], None
    whole = alive.client.get("/v1/tenants", params={"limit": 1000}, headers=operator).json()
    assert whole["next"] is None
    while True:
        query = {"limit": 2, **({"after": after} if after else {})}
        got = alive.client.get("/v1/tenants", params=query, headers=operator).json()
        seen += [t["id"] for t in got["items"]]
        after = got["next"]
        if after is None:
            break
    assert seen == [t["id"] for t in whole["items"]]


@pytest.mark.parametrize("query", [{"limit": 0}, {"limit": 1001}, {"limit": "x"}, {"after": "x" * 201}])
def test_a_wrong_page_is_refused(alive: Living, query: dict[str, object]) -> None:
    response = alive.client.get("/v1/tenants", params=query, headers=alive.who("operator"))  # type: ignore[arg-type]
    assert (response.status_code, response.json()["code"]) == (400, "request_invalid")
