"""The query route: pays once a key, holds without a thread, answers in JSON or Arrow, and logs its refusals."""

from __future__ import annotations

import io
import uuid
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pyarrow as pa
import pyarrow.ipc
import pytest

from sandbox import schemas
from sandbox.gateway.routes.queries import ARROW
from tests.unit.gateway.living import Living

SQL = "SELECT year, count(*), avg(docvis) FROM health.visits GROUP BY year"
OTHER = [SQL.replace("GROUP", f"WHERE docvis > {n} GROUP") for n in (1, 2)]
"""Questions that nobody asked before: what a dearer answer of the same groups tells is free."""


def ask(alive: Living, who: str = "engineer", *, key: str | None = None, accept: str = "*/*", **body: Any) -> Any:
    headers = {**alive.who(who), "Idempotency-Key": key or uuid.uuid4().hex, "Accept": accept}
    return alive.client.post("/v1/queries", json={"sql": SQL, **body}, headers=headers)


def spent(alive: Living) -> tuple[str, str]:
    budgets = [g["budget"] for g in alive.client.get("/v1/grants", headers=alive.who("engineer")).json()["items"]]
    return budgets[0]["spent_pure"], budgets[0]["spent_rho"]


def test_an_answer_has_the_shape_that_is_written_down(full: Living) -> None:
    response = ask(full, epsilon="0.11")
    assert response.status_code == 200, response.text
    body = schemas.Answer.model_validate(response.json())
    assert [c.label for c in body.columns] == ["year", "count", "avg"]
    assert len(body.rows) == len(body.low) == len(body.high) == len(body.flags) == 5
    assert body.epsilon == "0.11"
    assert body.event.startswith("evt_")
    assert response.headers["cache-control"] == "no-store"


def test_numbers_and_texts_of_a_budget_are_the_same_question(full: Living) -> None:
    key = uuid.uuid4().hex
    answers = [ask(full, key=key, epsilon=e).json()["id"] for e in ("0.1", 0.1, "0.10", "1e-1")]
    assert len(set(answers)) == 1


def test_the_same_key_pays_once_and_gives_the_same_answer(full: Living) -> None:
    key, before = uuid.uuid4().hex, spent(full)
    first = ask(full, key=key, epsilon="0.05", sql=OTHER[0])
    after = spent(full)
    assert after != before
    again = ask(full, key=key, epsilon="0.05", sql=OTHER[0])
    assert again.json() == first.json()
    assert spent(full) == after


def test_the_same_key_sent_at_once_pays_once(full: Living) -> None:
    key = uuid.uuid4().hex
    with ThreadPoolExecutor(8) as pool:
        got = list(pool.map(lambda _: ask(full, key=key, epsilon="0.05", sql=OTHER[1]), range(8)))
    assert {r.status_code for r in got} == {200}
    assert len({r.json()["id"] for r in got}) == 1
    charges = [e for e in full.events("query.charge") if e["query"] == got[0].json()["id"]]
    assert len(charges) == 1


def test_a_key_used_for_another_question_is_a_conflict(full: Living) -> None:
    key = uuid.uuid4().hex
    assert ask(full, key=key, epsilon="0.05").status_code == 200
    other = ask(full, key=key, epsilon="0.06")
    assert (other.status_code, other.json()["code"]) == (409, "idempotency_key_reused")


def test_a_preset_is_a_budget(full: Living) -> None:
    explained = ask(full, preset="strict", explain=True).json()
    assert explained["epsilon"] == "0.3"


def test_an_explanation_is_free_and_needs_no_key(full: Living) -> None:
    before = spent(full)
    body = {"sql": SQL, "epsilon": 1, "explain": True}
    response = full.client.post("/v1/queries", json=body, headers=full.who("engineer"))
    assert response.status_code == 200, response.text
    assert {"plan", "outputs", "price", "epsilon", "rung", "facts", "bounds", "text"} <= set(response.json())
    assert spent(full) == before


def test_arrow_holds_the_same_answer(full: Living) -> None:
    key = uuid.uuid4().hex
    body = ask(full, key=key, epsilon="0.053").json()
    response = ask(full, key=key, epsilon="0.053", accept=ARROW)
    assert response.headers["content-type"] == ARROW
    table = pa.ipc.open_stream(io.BytesIO(response.content)).read_all()
    assert table.column_names[:4] == ["year", "count", "count_low", "count_high"]
    assert table.column("count").to_pylist() == [row[1] for row in body["rows"]]
    read = full.client.get(f"/v1/answers/{body['id']}", headers={**full.who("engineer"), "Accept": ARROW})
    assert read.content == response.content


def test_an_answer_is_read_again_by_its_company_alone(full: Living) -> None:
    body = ask(full, epsilon="0.054").json()
    path = f"/v1/answers/{body['id']}"
    assert full.client.get(path, headers=full.who("engineer")).json() == body
    response = full.client.get(path, headers=full.who("rival"))
    assert (response.status_code, response.json()["code"]) == (404, "answer_unknown")
    for name in ("operator", "steward", "auditor", "member1"):
        assert full.client.get(path, headers=full.who(name)).status_code == 403
    listed = full.client.get("/v1/queries", params={"limit": 1000}, headers=full.who("engineer")).json()["items"]
    assert body["id"] in [q["id"] for q in listed]
    assert full.client.get("/v1/queries", headers=full.who("rival")).json()["items"] == []


@pytest.mark.parametrize(
    ("who", "body", "status", "code"),
    [
        ("rival", {"epsilon": 1}, 403, "no_grant"),
        ("steward", {"epsilon": 1}, 403, "not_your_role"),
        ("engineer", {"epsilon": 1, "purpose": "ads"}, 403, "wrong_purpose"),
        ("engineer", {"epsilon": 1, "grant": "grt_none"}, 403, "no_grant"),
        ("engineer", {"epsilon": 100}, 403, "budget_exhausted"),
        ("engineer", {}, 400, "budget_missing"),
        ("engineer", {"epsilon": 1, "sql": "SELECT * FROM health.visits"}, 400, None),
        ("engineer", {"epsilon": 1, "sql": "DROP TABLE health.visits"}, 400, None),
        ("engineer", {"epsilon": 1, "sql": "(" * 10_000}, 413, None),
        ("engineer", {"epsilon": 1, "sql": "SELECT count(*) FROM health.visits -- " + "x" * 10_000_000}, 413, None),
    ],
)
def test_refusals_cost_nothing(full: Living, who: str, body: dict[str, Any], status: int, code: str | None) -> None:
    before = spent(full)
    response = ask(full, who, **body)
    assert response.status_code == status, response.text
    assert code in {None, response.json()["code"]}
    assert all(response.json()["text"][language] for language in ("en", "zh"))
    assert spent(full) == before


def test_a_refusal_by_the_flow_is_logged_as_one_by_the_gateway_is(full: Living) -> None:
    ask(full, "rival", epsilon=1)
    last = full.events("access.deny")
    assert {"actor": full.people["rival"].id, "noun": "query", "verb": "ask", "reason": "no_grant"} in last


def test_many_at_once_all_get_theirs(full: Living) -> None:
    """More than there are slots: the hold takes none."""
    with ThreadPoolExecutor(12) as pool:
        got = list(pool.map(lambda n: ask(full, epsilon=f"0.0000010{n:02d}"), range(12)))
    assert {r.status_code for r in got} == {200}
    assert len({r.json()["id"] for r in got}) == 12
