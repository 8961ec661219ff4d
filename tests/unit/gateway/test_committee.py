"""Applications and grants over HTTP: who sees which, and the committee's no in both languages."""

from __future__ import annotations

from typing import Any

import pytest

from tests.unit.gateway.living import Living, grant

ASK: dict[str, Any] = {
    "scenario": "triage", "purpose": "research", "datasets": ["health.visits"], "actions": ["query"],
    "preset": "standard", "expires_at": "2099-01-01",
}  # fmt: skip


def post(alive: Living, who: str, path: str, body: Any = None) -> Any:
    return alive.client.post(path, json={} if body is None else body, headers=alive.who(who))


def get(alive: Living, who: str, path: str) -> Any:
    return alive.client.get(path, headers=alive.who(who))


def submit(alive: Living) -> str:
    made = post(alive, "engineer", "/v1/applications", ASK)
    assert made.status_code == 201, made.text
    return f"/v1/applications/{made.json()['id']}"


def test_an_application_is_told_with_its_terms(full: Living) -> None:
    found = get(full, "engineer", submit(full)).json()
    assert found["state"] == "consent_pending"
    assert found["terms"]["epsilon"] == "1"
    assert found["terms"]["expires_at"] == "2099-01-01T00:00:00.000Z"
    assert (found["votes"], found["grant"]) == ([], None)


def test_those_who_decide_see_it_and_another_company_does_not(full: Living) -> None:
    path = submit(full)
    for name in ("member1", "steward", "auditor", "operator"):
        assert get(full, name, path).status_code == 200
    response = get(full, "rival", path)
    assert (response.status_code, response.json()["code"]) == (404, "application_unknown")
    response = post(full, "rival", f"{path}/withdraw")
    assert (response.status_code, response.json()["code"]) == (404, "application_unknown")
    assert get(full, "rival", "/v1/applications").json()["items"] == []
    assert len(get(full, "member1", "/v1/applications?limit=1000").json()["items"]) > 1


def test_one_member_is_not_enough_and_two_are(full: Living) -> None:
    path = submit(full)
    assert post(full, "member1", f"{path}/vote", {"approve": True}).status_code == 409
    post(full, "steward", f"{path}/consent", {"dataset": "health.visits", "approve": True})
    assert post(full, "member1", f"{path}/vote", {"approve": True}).json()["grant"] is None
    twice = post(full, "member1", f"{path}/vote", {"approve": True})
    assert (twice.status_code, twice.json()["code"]) == (409, "vote_already_given")
    assert post(full, "engineer", f"{path}/vote", {"approve": True}).status_code == 403
    voted = post(full, "member2", f"{path}/vote", {"approve": True, "reason": "清楚"}).json()
    assert voted["state"] == "approved"
    assert voted["grant"].startswith("grt_")
    assert [v["reason"] for v in voted["votes"]] == ["", "", "清楚"]
    post(full, "member1", f"/v1/grants/{voted['grant']}/revoke")


def test_an_applicant_withdraws(full: Living) -> None:
    path = submit(full)
    assert post(full, "engineer", f"{path}/withdraw").json()["state"] == "withdrawn"
    again = post(full, "engineer", f"{path}/withdraw")
    assert (again.status_code, again.json()["code"]) == (409, "transition_refused")


def test_a_grant_is_told_with_what_is_left_to_its_company_and_those_who_watch(full: Living) -> None:
    granted = grant(full, "strict")
    path = f"/v1/grants/{granted}"
    found = get(full, "engineer", path).json()
    assert (found["state"], found["budget"]["epsilon"], found["budget"]["left_pure"]) == ("active", "0.3", "0.3")
    assert float(found["budget"]["spent_delta"]) > 0
    for name in ("member1", "steward", "auditor", "operator"):
        assert get(full, name, path).json() == found
    response = get(full, "rival", path)
    assert (response.status_code, response.json()["code"]) == (404, "grant_unknown")
    assert get(full, "rival", "/v1/grants").json()["items"] == []
    assert get(full, "engineer", "/v1/grants/grt_none").status_code == 404
    assert post(full, "engineer", f"{path}/revoke").status_code == 403
    assert post(full, "member1", f"{path}/revoke").json()["state"] == "revoked"


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"datasets": ["health.visit"]}, "terms_dataset_unknown"),
        ({"datasets": []}, "terms_list"),
        ({"datasets": ["transport.airports"]}, "terms_dataset_public"),
        ({"actions": ["export"]}, "terms_action_unknown"),
        ({"preset": "generous"}, "terms_preset_unknown"),
        ({"epsilon": 1}, "terms_budget"),
        ({"preset": None}, "terms_budget"),
        ({"preset": None, "epsilon": 99}, "grant_epsilon_range"),
        ({"preset": None, "epsilon": "NaN"}, "request_invalid"),
        ({"expires_at": "2020-01-01"}, None),
        ({"expires_at": "31.12.2099"}, "terms_date_unreadable"),
        ({"scenario": ""}, "terms_text"),
        ({"purpose": "x" * 200}, "terms_text"),
        ({"purpose": "\ud800"}, None),
        ({"wishes": 3}, "request_invalid"),
    ],
)
def test_wrong_terms_are_one_clear_400(full: Living, change: dict[str, Any], code: str | None) -> None:
    import json

    headers = {**full.who("engineer"), "Content-Type": "application/json"}
    response = full.client.post("/v1/applications", content=json.dumps({**ASK, **change}), headers=headers)
    assert response.status_code == 400, response.text
    assert code in {None, response.json()["code"]}
    assert response.json()["text"]["zh"]
