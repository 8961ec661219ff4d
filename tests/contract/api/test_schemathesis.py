"""The gateway keeps to its OpenAPI file: as every role, no 5xx, and no answer that is not described.

Requests are made from the description by Schemathesis, valid ones and wrong ones, some with ids that exist. They go to
the real application over a real home with its duties at work. `-m slow` asks ten times as much.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import httpx2
import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from schemathesis import Case
from schemathesis.checks import CheckFunction
from schemathesis.core.failures import FailureGroup
from schemathesis.generation import GenerationMode
from schemathesis.openapi.checks import UndefinedStatusCode
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from sandbox.gateway.app import openapi
from sandbox.gateway.routes.queries import ARROW
from sandbox.store.log import AUDITED
from sandbox.work import duties
from tests.house import City, city
from tests.trips import MANIFEST, POPULATION, some_rows

SCHEMA = schemathesis.openapi.from_dict(openapi())
OPERATIONS = {f"{found.ok().method.upper()} {found.ok().path}": found.ok() for found in SCHEMA.get_all_operations()}
ROLES = ("nobody", "operator", "steward", "committee1", "company", "rival", "auditor")
CHECKS: list[CheckFunction] = [
    status_code_conformance, content_type_conformance, response_headers_conformance, response_schema_conformance,
]  # fmt: skip

SQL = "SELECT count(*) FROM city.trips"
QUESTIONS = (SQL, "SELECT line, count(*), avg(delay) FROM city.trips GROUP BY line", "SELECT * FROM city.nothing", "SELECT")
WAYS = ({"epsilon": "0.000001"}, {"epsilon": 0.5, "explain": True}, {"preset": "strict", "explain": True}, {"within": 50})
TERMS = {
    "scenario": "a test", "purpose": "planning", "datasets": ["city.trips"], "actions": ["query"], "preset": "strict",
    "expires_at": "2099-01-01",
}  # fmt: skip
BODIES: dict[str, list[dict[str, Any]]] = {
    "POST /v1/queries": [{"sql": sql, "purpose": "planning", **way} for sql in QUESTIONS for way in WAYS],
    "POST /v1/applications": [TERMS, {**TERMS, "datasets": ["city.nothing"]}, {**TERMS, "expires_at": "2001-01-01"}],
    "POST /v1/applications/{application_id}/vote": [{"approve": True}, {"approve": False, "reason": "no"}],
    "POST /v1/applications/{application_id}/consent": [{"dataset": "city.trips", "approve": True}],
    "POST /v1/tenants": [{"name": f"tenant {n}", "kind": "company"} for n in range(9)],
    "POST /v1/principals": [{"name": "somebody", "tenant": "rival", "roles": [r]} for r in ("engineer", "auditor", "x")],
    "POST /v1/populations": [{"file": "p.yaml", "text": POPULATION}, {"file": "p.yaml", "text": "a: [1"}],
    "POST /v1/datasets": [{"file": "m.yaml", "text": MANIFEST}, {"file": "m.yaml", "text": MANIFEST.replace("A, B", "A")}],
}
"""Bodies that mean something: what is made from the shapes alone seldom gets past the first check."""


@dataclass(slots=True)
class Place:
    """A town whose duties run, and ids that exist in it, by the name of the path's part."""

    town: City
    ids: dict[str, list[str]]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    with city(tmp_path_factory.mktemp("described")) as town:
        ingest = town.load(some_rows(8))
        town.grant()
        spare = town.grant(epsilon="1", purpose="something else")
        answer = town.ask(SQL, "a-question", epsilon="0.1", purpose="planning")
        assert answer.status_code == 200, answer.text
        waiting = town.ok("GET", "/v1/applications", part="auditor")["items"]
        body = {"name": "passing by", "tenant": "rival", "roles": ["engineer"]}
        key = town.ok("POST", "/v1/principals", body, part="operator")["key_id"]
        ids = {
            "query_id": [answer.json()["id"]], "name": ["city.trips"], "ingest_id": [ingest["id"]], "grant_id": [spare],
            "application_id": [a["id"] for a in waiting], "key_id": [key],
        }  # fmt: skip
        worker = duties.start(town.house)
        try:
            while town.client.get("/health/ready").status_code != 200:
                time.sleep(0.05)
            yield Place(town, ids)
        finally:
            worker.stop()


def send(place: Place, part: str, case: Case) -> httpx2.Response:
    """The request of a case, byte for byte, to the application."""
    if part != "nobody":
        case.headers["Authorization"] = f"Bearer {place.town.keys[part]}"
    made = requests.Request(**case.as_transport_kwargs(base_url="http://testserver")).prepare()
    return place.town.client.request(
        made.method or "", made.url or "", content=made.body, headers=dict(made.headers), follow_redirects=False
    )


def real(place: Place, data: st.DataObject, case: Case) -> None:
    """Mostly ask for what exists: of ids that nobody gave out, every route says the same."""
    if case.path_parameters and data.draw(st.booleans()):
        for name in case.path_parameters:
            if name in place.ids:
                case.path_parameters = {**case.path_parameters, name: data.draw(st.sampled_from(place.ids[name]))}
    if case.query and "table" in case.query and data.draw(st.booleans()):
        case.query = {"table": data.draw(st.sampled_from(sorted(AUDITED)))}
    bodies = BODIES.get(case.operation.label)
    if bodies is not None and data.draw(st.integers(0, 3)):
        case.body = data.draw(st.sampled_from(bodies))
        if case.operation.path == "/v1/queries":
            case.headers["Idempotency-Key"] = f"question-{data.draw(st.integers(0, 99))}"
    if data.draw(st.booleans()):
        case.headers["Accept"] = data.draw(st.sampled_from([ARROW, "application/json", "text/html", "*/*"]))


def ask(place: Place, part: str, name: str, *, examples: int) -> None:
    operation = OPERATIONS[name]
    strategy = st.one_of(
        operation.as_strategy(GenerationMode.POSITIVE),
        *([operation.as_strategy(GenerationMode.NEGATIVE)] if operation.body or operation.query else []),
    )

    @settings(
        max_examples=examples, derandomize=True, database=None, deadline=None, phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )  # fmt: skip
    @given(data=st.data())
    def exchange(data: st.DataObject) -> None:
        case = data.draw(strategy)
        real(place, data, case)
        response = send(place, part, case)
        assert response.status_code < 500, (name, part, response.text)
        case.validate_response(response, checks=CHECKS)

    exchange()


@pytest.mark.parametrize("part", ROLES)
@pytest.mark.parametrize("name", OPERATIONS)
def test_no_answer_is_undescribed(place: Place, name: str, part: str) -> None:
    ask(place, part, name, examples=3 if name.startswith("GET") else 5)


@pytest.mark.slow
@pytest.mark.parametrize("part", ROLES)
@pytest.mark.parametrize("name", OPERATIONS)
def test_no_answer_is_undescribed_however_often_one_asks(place: Place, name: str, part: str) -> None:
    ask(place, part, name, examples=30)


def test_an_undescribed_answer_would_be_found(place: Place) -> None:
    """The checks can fail: the same answer, described without the status it has."""
    described = openapi()
    del described["paths"]["/v1/grants/{grant_id}"]["get"]["responses"]["404"]
    operation = schemathesis.openapi.from_dict(described)["/v1/grants/{grant_id}"]["GET"]
    case = operation.Case(path_parameters={"grant_id": "grt_none"})
    response = send(place, "auditor", case)
    assert response.status_code == 404
    with pytest.raises(FailureGroup) as caught:
        case.validate_response(response, checks=CHECKS)
    assert isinstance(caught.value.exceptions[0], UndefinedStatusCode)
