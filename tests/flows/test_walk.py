"""The main job over HTTP: what each part does, and what each is refused."""

from __future__ import annotations

import dataclasses
import io
import json
import time

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from sandbox.ingest import duty as ingest
from sandbox.query import answer as answer_flow
from sandbox.query import ends
from sandbox.store import log
from tests.faults.one_query import request_of
from tests.house import City
from tests.promises import promise
from tests.trips import MANIFEST

SQL = "SELECT line, count(*), avg(delay) FROM city.trips GROUP BY line"
OTHER = [SQL.replace("GROUP", f"WHERE hour > {n} GROUP") for n in (1, 2)]
"""Questions that nobody asked before: what a dearer answer of the same groups tells is free."""


@pytest.fixture(scope="session")
def answer(town: City) -> dict[str, object]:
    got = town.ask(SQL, "the-answer", epsilon="0.5")
    assert got.status_code == 200, got.text
    body: dict[str, object] = got.json()
    return body


def test_an_answer_says_all_that_a_reader_needs(answer: dict[str, object]) -> None:
    assert [c["label"] for c in answer["columns"]] == ["line", "count", "avg"]  # type: ignore[attr-defined]
    assert [r[0] for r in answer["rows"]] == ["A", "B", "C", None]  # type: ignore[attr-defined]
    for row, low, high in zip(answer["rows"], answer["low"], answer["high"], strict=True):  # type: ignore[call-overload]
        for i in (1, 2):
            assert low[i] <= row[i] <= high[i]
    assert answer["epsilon"] == "0.5"
    assert answer["bounds"]["may_bite"] == ["rows_per_unit=3", "delay=-60..1300"]  # type: ignore[index]
    assert set(answer["left"]) == {"pure", "gaussian_rho", "gaussian_epsilon"}  # type: ignore[call-overload]
    assert str(answer["event"]).startswith("evt_")
    assert {f["provenance"]["kind"] for f in answer["facts"]} == {"documented"}  # type: ignore[attr-defined]
    assert "0 reviewed releases" in answer["promise"]["en"]  # type: ignore[index]


@promise("P6.3")
def test_the_same_key_and_body_is_free_and_the_same(town: City, answer: dict[str, object]) -> None:
    before = town.ok("GET", f"/v1/grants/{town.grants[0]}")["budget"]
    again = town.ask(SQL, "the-answer", epsilon="0.5")
    assert again.json() == answer
    assert town.ok("GET", f"/v1/grants/{town.grants[0]}")["budget"] == before
    other = town.ask(SQL, "the-answer", epsilon="0.25")
    assert (other.status_code, other.json()["code"]) == (409, "idempotency_key_reused")


def test_an_answer_stays_there_for_its_owner_alone(town: City, answer: dict[str, object]) -> None:
    path = f"/v1/answers/{answer['id']}"
    assert town.ok("GET", path) == answer
    assert town.call("GET", path, part="rival").status_code == 404
    assert town.call("GET", path, part="steward").status_code in {403, 404}


def test_an_answer_as_arrow(town: City, answer: dict[str, object]) -> None:
    got = town.call("GET", f"/v1/answers/{answer['id']}", Accept="application/vnd.apache.arrow.stream")
    table = pa.ipc.open_stream(io.BytesIO(got.content)).read_all()
    assert table.column_names == ["line", "count", "count_low", "count_high", "avg", "avg_low", "avg_high"]
    assert table.column("count").to_pylist() == [r[1] for r in answer["rows"]]  # type: ignore[attr-defined]
    assert json.loads(table.schema.metadata[b"sandbox"])["event"] == answer["event"]


@promise("P6.5")
def test_a_steward_speaks_for_the_own_bureau_and_reads_its_own_folder(town: City) -> None:
    """Another bureau's source can be neither registered in its name nor read under one's own."""
    if "steward2" not in town.keys:
        town.ok("POST", "/v1/tenants", {"name": "bureau2", "kind": "owner"}, part="operator")
        body = {"name": "steward2", "tenant": "bureau2", "roles": ["steward"]}
        town.keys["steward2"] = town.ok("POST", "/v1/principals", body, part="operator")["key"]
    stolen = MANIFEST.replace("city.trips", "stolen.trips")
    got = town.call("POST", "/v1/datasets", {"file": "m.yaml", "text": stolen}, part="steward2")
    assert (got.status_code, got.json()["code"]) == (403, "owner_not_yours")
    for path in ("trips.csv", "../bureau/trips.csv", "/etc/passwd"):
        text = stolen.replace("owner: bureau", "owner: bureau2").replace("path: trips.csv", f"path: {path}")
        got = town.call("POST", "/v1/datasets", {"file": "m.yaml", "text": text}, part="steward2")
        if got.status_code == 400:
            continue
        while ingest.run_next(town.ingest_parts()):
            pass
        found = town.ok("GET", f"/v1/ingests/{got.json()['ingest']}", part="steward2")
        assert (found["state"], found["error"]["code"]) == ("failed", "source_not_found")


@promise("P7.1")
def test_nothing_of_a_query_shows_before_its_rung(town: City) -> None:
    parts = town.house.parts()
    me = town.ok("GET", "/v1/me")
    pending = answer_flow.submit(parts, dataclasses.replace(request_of(me["id"], me["tenant"]), sql=OTHER[0]))
    answer_flow.finish(parts, pending)
    assert pending.leaves_in() > 0
    shown = next(q for q in town.ok("GET", "/v1/queries?limit=1000")["items"] if q["id"] == pending.query_id)
    assert shown["state"] == "charged"
    assert town.call("GET", f"/v1/answers/{pending.query_id}").json()["code"] == "answer_not_ready"
    events = town.ok("GET", "/v1/events?limit=1000")["items"]
    assert all(set(e) == {"id", "event"} for e in events), "gaps between places in the log would tell as well"
    types = [e["event"]["type"] for e in events]
    assert "query.charge" in types
    assert not {"query.settle", "query.fail", "query.overrun"} & set(types), "their times would tell of the rows"


@promise("P7.1")
def test_the_public_log_grows_at_the_charge_and_at_the_rung_and_at_no_other_moment(town: City) -> None:
    def size() -> int:
        town.sequence()
        with town.house.sessions.reading() as session:
            return log.size(session)

    parts = town.house.parts()
    me = town.ok("GET", "/v1/me")
    request = dataclasses.replace(request_of(me["id"], me["tenant"]), idempotency_key="the-log-grows", sql=OTHER[1])
    pending = answer_flow.submit(parts, request)
    charged = size()
    answer_flow.finish(parts, pending)
    assert pending.leaves_in() > 0
    assert pending.outcome.stored is not None
    assert size() == charged, "when computing ended would show in the size that anybody may see"
    time.sleep(pending.leaves_in())
    ends.end(parts, pending)
    assert size() == charged + 1


def test_an_explanation_is_free(town: City) -> None:
    before = town.ok("GET", f"/v1/grants/{town.grants[0]}")["budget"]
    found = town.ok("POST", "/v1/queries", {"sql": SQL, "epsilon": "1", "explain": True})
    assert found["epsilon"] == "1"
    assert found["rung"] == 0.5
    assert found["outputs"][1]["expected_interval"] > 0
    assert town.ok("GET", f"/v1/grants/{town.grants[0]}")["budget"] == before


def test_within_is_an_accuracy_instead_of_a_budget(town: City) -> None:
    got = town.ask("SELECT count(*) FROM city.trips", "within-1", within=60.0).json()
    assert got["high"][0][0] - got["rows"][0][0] <= 60


REFUSED = [
    ("no grant", {"sql": "SELECT count(*) FROM city.nothing", "epsilon": "0.1"}, 403, "no_grant"),
    ("wrong purpose", {"sql": SQL, "epsilon": "0.1", "purpose": "advertising"}, 403, "wrong_purpose"),
    ("over budget", {"sql": SQL, "epsilon": "2.99"}, 403, "budget_exhausted"),
    ("star", {"sql": "SELECT * FROM city.trips", "epsilon": "0.1"}, 400, "sql_star"),
    ("unknown column", {"sql": "SELECT avg(dleay) FROM city.trips", "epsilon": "0.1"}, 400, "unknown_column_near"),
    ("no budget", {"sql": SQL}, 400, None),
    ("epsilon zero", {"sql": SQL, "epsilon": "0"}, 400, None),
    ("epsilon negative", {"sql": SQL, "epsilon": "-1"}, 400, None),
    ("epsilon NaN", {"sql": SQL, "epsilon": "NaN"}, 400, None),
    ("epsilon huge", {"sql": SQL, "epsilon": 1e300}, 400, None),
    ("within NaN", {"sql": SQL, "within": "NaN"}, 400, None),
    ("unknown field", {"sql": SQL, "epsilon": "0.1", "seed": 7}, 400, None),
    ("ten megabytes", {"sql": "x" * 10_000_000, "epsilon": "0.1"}, 413, "query_too_long"),
    ("file function", {"sql": "SELECT count(*) FROM read_csv('/etc/passwd')", "epsilon": "0.1"}, 400, "sql_table_function"),
    ("stacked", {"sql": "SELECT count(*) FROM city.trips; DROP TABLE x", "epsilon": "0.1"}, 400, "sql_several_statements"),
]


@pytest.mark.parametrize(("name", "body", "status", "code"), REFUSED, ids=[r[0] for r in REFUSED])
def test_refusals_are_one_clear_problem_in_both_languages(
    town: City, name: str, body: dict[str, object], status: int, code: str | None
) -> None:
    before = town.ok("GET", f"/v1/grants/{town.grants[0]}")["budget"]
    got = town.call("POST", "/v1/queries", body, Idempotency_Key=f"refused-{name}".replace(" ", "-"))
    assert got.status_code == status, got.text
    problem = got.json()
    assert code is None or problem["code"] == code
    assert problem["text"]["en"]
    assert any("\u4e00" <= c <= "\u9fff" for c in problem["text"]["zh"])
    assert "Traceback" not in got.text
    assert town.ok("GET", f"/v1/grants/{town.grants[0]}")["budget"] == before


def test_a_public_table_is_downloaded_and_not_asked(town: City) -> None:
    manifest = """\
dataset: city.lines
title: {en: Lines, zh: 线路}
owner: bureau
public: true
source: {connector: csv, path: lines.csv}
limits: {rows: 10, provenance: {documented: test}}
columns:
  line: {type: text, meaning: {en: line, zh: 线路}, level: general-1, provenance: {others: {documented: test}}}
"""
    town.source("lines.csv", "line\nA\nB\n")
    accepted = town.ok("POST", "/v1/datasets", {"file": "m.yaml", "text": manifest}, part="steward")
    while ingest.run_next(town.ingest_parts()):
        pass
    assert town.ok("GET", f"/v1/ingests/{accepted['ingest']}", part="steward")["state"] == "committed"
    got = town.ask("SELECT count(*) FROM city.lines", "public-1", epsilon="0.1")
    assert (got.status_code, got.json()["code"]) == (400, "dataset_public")
    content = town.call("GET", "/v1/datasets/city.lines/content").content
    assert pq.read_table(io.BytesIO(content)).to_pydict() == {"line": ["A", "B"]}
    assert town.call("GET", "/v1/datasets/city.trips/content").status_code == 403


def test_bad_keys_are_refused(town: City) -> None:
    for key in ("sbx_" + "A" * 43, "nonsense", ""):
        got = town.client.get("/v1/me", headers={"Authorization": f"Bearer {key}"})
        assert got.status_code == 401
    assert town.client.get("/v1/me").status_code == 401


def test_nobody_does_another_parts_work(town: City) -> None:
    cases = [
        ("POST", "/v1/populations", {"file": "p", "text": "x"}, "company"),
        ("POST", "/v1/datasets", {"file": "m", "text": "x"}, "company"),
        ("POST", "/v1/principals", {"name": "x", "tenant": "company", "roles": ["operator"]}, "company"),
        ("GET", "/v1/log/entries", None, "company"),
        ("GET", "/v1/log/entries", None, "operator"),
        ("GET", "/v1/log/records?table=ledger", None, "steward"),
        ("POST", "/v1/applications", {"scenario": "x", "purpose": "y", "datasets": ["city.trips"], "actions": ["query"],
                                      "epsilon": "1", "expires_at": "2099-01-01"}, "committee1"),
    ]  # fmt: skip
    for method, path, body, part in cases:
        assert town.call(method, path, body, part=part).status_code == 403, (path, part)


def test_roles_exclude_each_other_by_the_kind_of_organisation(town: City) -> None:
    for tenant, roles in (("operator", ["committee"]), ("company", ["committee"]), ("bureau", ["steward", "auditor"])):
        body = {"name": "x", "tenant": tenant, "roles": roles}
        got = town.call("POST", "/v1/principals", body, part="operator")
        assert (got.status_code, got.json()["code"]) == (400, "role_not_of_kind")


def test_one_member_alone_cannot_approve_nor_twice_nor_the_applicants_side(town: City) -> None:
    terms = {"scenario": "again", "purpose": "p", "datasets": ["city.trips"], "actions": ["query"], "epsilon": "0.5",
             "expires_at": "2099-01-01"}  # fmt: skip
    application = town.ok("POST", "/v1/applications", terms)
    vote = f"/v1/applications/{application['id']}/vote"
    assert town.call("POST", vote, {"approve": True}).status_code == 403, "the applicant"
    assert town.ok("POST", vote, {"approve": True}, part="committee1")["state"] == "in_review"
    assert town.call("POST", vote, {"approve": True}, part="committee1").status_code == 409, "twice"
    assert town.call("POST", vote, {"approve": True}, part="steward").status_code == 403
    assert town.ok("POST", vote, {"approve": True}, part="committee2")["state"] == "approved"


def test_a_company_reads_its_own_events_only(town: City) -> None:
    mine = town.ok("GET", "/v1/events?limit=1000")["items"]
    theirs = town.ok("GET", "/v1/events?limit=1000", part="rival")["items"]
    assert mine
    assert {e["id"] for e in mine} & {e["id"] for e in theirs} == set()
    text = json.dumps(mine)
    assert "SELECT" not in text, "no SQL text in events"
    assert not any(f'"{name}"' in text for name in ("committee1", "operator")), "no names of people in events"
