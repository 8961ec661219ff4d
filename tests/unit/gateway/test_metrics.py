"""Metrics and traces: by the steps, with names that are declared, and nothing that depends on a protected row."""

from __future__ import annotations

import json
import stat
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import httpx2
import pytest
from prometheus_client.parser import text_string_to_metric_families
from starlette.testclient import TestClient

from sandbox.errors import DependencyFailed
from sandbox.flow import STEPS
from sandbox.gateway.app import create_app
from sandbox.gateway.metrics import LIMITS, Metrics
from sandbox.gateway.trails import LATER
from sandbox.messages import texts
from sandbox.wiring import open_house
from tests.house import PATIENT, City, city
from tests.promises import promise
from tests.trips import Row, some_rows

SECRET = "SELECT count(*), avg(delay) FROM city.trips WHERE hour > 17"


@dataclass(slots=True)
class Told:
    """What a gateway told of a day: samples by name and labels, and spans as their JSON."""

    samples: dict[tuple[str, tuple[tuple[str, str], ...]], float]
    spans: list[dict[str, Any]]
    text: str
    answers: list[dict[str, Any]] = field(default_factory=list)


def a_day(folder: Path, rows: list[Row]) -> Told:
    """The same questions, refusals and readings over some rows."""
    with city(folder) as town:
        town.load(rows)
        town.grant()
        home, keys = town.house.home, town.keys
    lines = (home / "settings.toml").read_text()
    (home / "settings.toml").write_text(f'traces = "traces.jsonl"\n{lines}')
    with open_house(home) as built, TestClient(create_app(replace(built, model=PATIENT))) as client:
        again = City(house=built, client=client, keys=keys)
        answers = [again.ask(SECRET, f"question-{n}", epsilon=f"0.2{n}").json() for n in range(2)]
        again.ask(SECRET, "question-0", epsilon="0.20")
        again.ask("SELECT nothing FROM city.trips", "question-3", epsilon="0.2")
        again.ask(SECRET, "question-4", epsilon="99")
        again.call("POST", "/v1/queries", {"sql": SECRET, "epsilon": "0.3", "explain": True})
        again.call("GET", f"/v1/answers/{answers[0]['id']}")
        again.call("GET", "/v1/answers/qry_none")
        client.get("/v1/me", headers={"Authorization": "Bearer sbx_bad"})
        client.get("/nothing/at/all")
        metrics: Metrics = client.app.state.gate.watch.metrics  # type: ignore[attr-defined]
        with metrics.exposed(0) as port, httpx2.Client(trust_env=False) as reader:
            text = reader.get(f"http://127.0.0.1:{port}/metrics").text
    samples = {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }
    assert stat.S_IMODE((home / "traces.jsonl").stat().st_mode) == 0o600
    written = (home / "traces.jsonl").read_text("utf-8")
    return Told(samples, [json.loads(line) for line in written.splitlines()], text + written, answers)


@pytest.fixture(scope="module")
def days(tmp_path_factory: pytest.TempPathFactory) -> tuple[Told, Told]:
    rows = some_rows(40)
    one = rows[0][0]
    neighbour = [row for row in rows if row[0] != one]
    assert len(neighbour) < len(rows)
    return a_day(tmp_path_factory.mktemp("one"), rows), a_day(tmp_path_factory.mktemp("two"), neighbour)


def span_shape(span: dict[str, Any]) -> tuple[str, tuple[tuple[str, str], ...]]:
    ids = {"request.id", "query", "principal", "tenant"}
    return span["name"], tuple(sorted((k, "an id" if k in ids else str(v)) for k, v in span["attributes"].items()))


@promise("P7.2")
def test_neighbours_look_the_same(days: tuple[Told, Told]) -> None:
    one, two = days
    assert one.answers[0]["rows"] != two.answers[0]["rows"]  # the day did depend on the rows
    assert one.samples.keys() == two.samples.keys()
    # Everything that counts is equal; what measures time before the charge, and the connection's ages, is not compared.
    timed = ("_seconds_sum", "_seconds_bucket", "_age_seconds")
    for key, value in one.samples.items():
        if not key[0].endswith(timed) or key[0] == "sandbox_rung_seconds_bucket":
            assert two.samples[key] == value, key
    assert Counter(map(span_shape, one.spans)) == Counter(map(span_shape, two.spans))


@promise("P7.2")
def test_no_duration_of_a_step_after_the_charge_is_anywhere(days: tuple[Told, Told]) -> None:
    told = days[0]
    measured = {dict(labels).get("step") for name, labels in told.samples if name.startswith("sandbox_step_seconds")}
    assert measured == set(STEPS) - LATER
    # Requests that were charged, held or read an answer are counted, and not measured: three were refused or explained.
    measured = {dict(k[1])["route"]: n for k, n in told.samples.items() if k[0] == "sandbox_request_seconds_count"}
    assert measured == {"-": 2, "/v1/queries": 3, "/v1/answers/{query_id}": 1}
    later = [s for s in told.spans if s["name"] in LATER]
    assert Counter(s["name"] for s in later) >= Counter(["compute", "noise", "settle", "hold", "answer"])
    requests = {s["context"]["span_id"]: s for s in told.spans if s["parent_id"] is None}
    for span in later:
        request = requests[span["parent_id"]]
        declared = request["attributes"].get("rung")
        if span["name"] in {"settle", "answer"} or declared is None:
            assert span["start_time"] == span["end_time"] == request["end_time"]
        else:
            charge = next(
                s for s in told.spans if s["name"] == "compute" and s["parent_id"] == span["parent_id"]
            )
            assert (span["start_time"], span["end_time"]) == (charge["start_time"], request["end_time"])
        # Nor by the request's own end: it is the rung's, or there is none.
        if declared is None:
            assert request["start_time"] == request["end_time"]
    assert "process_cpu" not in told.text
    assert "_created" not in told.text


def test_every_step_is_counted_and_every_request_has_its_spans(days: tuple[Told, Told]) -> None:
    told = days[0]
    steps = {
        (dict(labels)["step"], dict(labels)["outcome"]): value
        for (name, labels), value in told.samples.items()
        if name == "sandbox_steps_total"
    }
    assert {step for step, _ in steps} == set(STEPS)
    # Two questions and one repeated; a wrong one; one over its budget; an explanation; three readings, one of nothing.
    assert {s: steps[s, "ok"] for s in ("parse", "charge", "compute", "noise", "settle", "hold", "answer")} == {
        "parse": 5, "charge": 2, "compute": 2, "noise": 2, "settle": 2, "hold": 3, "answer": 4,
    }  # fmt: skip
    assert steps["authenticate", "refused"] == 1
    assert steps["plan", "refused"] == 1
    assert told.samples["sandbox_rung_seconds_count", ()] == 2
    spans = Counter(s["name"] for s in told.spans)
    assert spans["request"] == 10
    for step in ("parse", "charge", "compute", "hold", "answer"):
        assert spans[step] == sum(value for (name, _), value in steps.items() if name == step), step


def test_nothing_that_was_asked_and_nobodys_name_is_told(days: tuple[Told, Told]) -> None:
    for told in days:
        for word in ("count(*)", "hour", "city.trips", "delay", "sbx_", "company\"", "planning", "nothing", "0.2\""):
            assert word not in told.text, word


def test_labels_are_declared_words(days: tuple[Told, Told]) -> None:
    told = days[0]
    routes = {dict(labels)["route"] for name, labels in told.samples if name == "sandbox_requests_total"}
    assert routes == {"-", "/v1/queries", "/v1/answers/{query_id}"}
    codes = {dict(labels)["code"] for name, labels in told.samples if name == "sandbox_problems_total"}
    assert codes <= texts().keys()
    assert {"unknown_column", "budget_exhausted", "answer_unknown", "key_refused", "route_unknown"} <= codes


def test_every_limit_is_an_error_that_exists() -> None:
    assert texts().keys() >= LIMITS


def test_a_caller_cannot_make_labels(tmp_path: Path) -> None:
    with city(tmp_path) as town:
        for n in range(30):
            town.client.request(f"METHOD{n}", f"/v1/none/{n}")
            town.client.request("GET", f"/none/{n}")
        samples = list(town.client.app.state.gate.watch.metrics.registry.collect())  # type: ignore[attr-defined]
    family = next(f for f in samples if f.name == "sandbox_requests")
    assert {(s.labels["route"], s.labels["method"], s.labels["status"]) for s in family.samples} <= {
        (route, method, status)
        for route in ("-", "/v1/tenants", "/v1/principals", "/v1/populations")
        for method in ("other", "GET", "POST")
        for status in ("2xx", "4xx")
    }


# --- what stands ------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def town(tmp_path_factory: pytest.TempPathFactory) -> Iterator[City]:
    with city(tmp_path_factory.mktemp("standing")) as found:
        yield found


def standing(town: City) -> dict[str, float]:
    metrics: Metrics = town.client.app.state.gate.watch.metrics  # type: ignore[attr-defined]
    return {
        " ".join([sample.name, *sample.labels.values()]): sample.value
        for family in metrics.registry.collect()
        for sample in family.samples
    }


def test_log_database_queues_and_objects_are_looked_up(town: City) -> None:
    town.sequence()
    found = standing(town)
    assert found["sandbox_database_up"] == 1
    assert found["sandbox_log_size"] > 5
    assert found["sandbox_checkpoint_age_seconds"] >= 0
    assert found["sandbox_queue queries waiting"] == found["sandbox_queue reading held"] == 0
    assert found["sandbox_requests_in_flight"] == 0
    with pytest.raises(Exception, match="object_missing"):
        town.house.objects.read("v1/none", 0, 1)
    assert standing(town)["sandbox_object_store_failures_total object_missing"] == 1


def test_duties_tell_their_age_and_their_errors(town: City) -> None:
    from sandbox.store import duties

    with town.house.sessions.begin() as session:
        duties.report(session, town.house.clock, "sequence", worker="wrk_1", error=None)
        duties.report(session, town.house.clock, "ingest", worker="wrk_1", error="database_failed")
    found = standing(town)
    assert found["sandbox_duty_failing sequence"] == 0
    assert found["sandbox_duty_failing ingest"] == 1
    assert found["sandbox_duty_age_seconds sequence"] >= 0
    assert "sandbox_duty_age_seconds ingest" not in found


def test_a_database_that_is_gone_is_a_metric_and_no_failure(tmp_path: Path) -> None:
    with city(tmp_path) as town:
        town.house.sessions.reader.dispose()
        database = town.house.home / "sandbox.db"
        database.rename(database.with_suffix(".gone"))
        database.mkdir()
        found = standing(town)
        database.rmdir()
        database.with_suffix(".gone").rename(database)
    assert found["sandbox_database_up"] == 0
    assert "sandbox_log_size" not in found


def test_metrics_are_never_on_the_public_port(town: City) -> None:
    assert town.client.get("/metrics").status_code == 404


def test_a_port_that_is_taken_is_named() -> None:
    metrics = Metrics()
    with metrics.exposed(0) as port, pytest.raises(DependencyFailed) as caught, metrics.exposed(port):
        pass
    assert caught.value.code == "port_failed"
    with metrics.exposed(port):
        pass  # it was given back


def test_a_trace_file_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    from sandbox.gateway.traces import Traces

    with pytest.raises(DependencyFailed) as caught:
        Traces(tmp_path / "none" / "traces.jsonl")
    assert caught.value.code == "traces_failed"
