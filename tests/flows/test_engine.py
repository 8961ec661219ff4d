"""The whole engine over HTTP: each kind of answer is charged, computed stage by stage, stored, and read back alike."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Iterator
from typing import Any

import pyarrow as pa
import pytest

from sandbox.flow import Principal, Released, Request
from sandbox.plans import Stage
from sandbox.query import answer, ends, paid
from sandbox.query.parts import Parts, Pending
from sandbox.store import queries
from tests.house import City, city
from tests.promises import promise
from tests.trips import MANIFEST, Row

RIDERS = 300


def rows() -> list[Row]:
    """Everybody rides twice: on one of two fares that most share, and once for a fare of their own."""
    shared = [(f"R{i}", "AB"[i % 2], 8, i % 50, "2.50" if i % 3 else "4.00", 1, "2013-02-02") for i in range(RIDERS)]
    return shared + [(f"R{i}", "C", 9, 10, f"{50 + i / 10:.2f}", 0, "2013-07-02") for i in range(RIDERS)]


@pytest.fixture(scope="module", params=["", "slots: [line]\n"], ids=["sorted", "slots"])
def town(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[City]:
    with city(tmp_path_factory.mktemp("engine")) as it:
        it.load(rows(), MANIFEST.replace("columns:\n", f"{request.param}columns:\n", 1))
        it.grant(epsilon="10")
        yield it


QUESTIONS: dict[str, tuple[str, dict[str, Any]]] = {
    "private key": ("SELECT fare, count(*) FROM city.trips GROUP BY fare", {}),
    "private composite": ("SELECT fare, line, count(*), avg(delay) FROM city.trips GROUP BY fare, line", {}),
    "private computed": ("SELECT fare * 100 AS f, day, count(*) FROM city.trips GROUP BY f, day", {}),
    "clip": ("SELECT line, count(*), sum(delay) FROM city.trips GROUP BY line", {"bounding": "clip"}),
    "groups": ("SELECT line, count(*), sum(delay) FROM city.trips GROUP BY line", {"bounding": "groups", "groups": 2}),
    "rows": ("SELECT line, count(*), avg(fare) FROM city.trips WHERE hour < 9 GROUP BY line", {}),
    "units": ("SELECT line, count(DISTINCT rider) FROM city.trips GROUP BY line", {}),
    "distinct": ("SELECT count(DISTINCT fare), count(DISTINCT line) FROM city.trips", {}),
    "spread": ("SELECT variance(delay), stddev_pop(fare) FROM city.trips", {}),
    "quantiles": ("SELECT line, median(delay), min(day), max(fare) FROM city.trips GROUP BY line", {}),
    "lists": ("SELECT histogram(delay, 0, 50, 5), approx_top_k(line, 2), approx_top_k(hour, 2) FROM city.trips", {}),
    "quantiles in a list": (
        "SELECT line, percentile_cont(ARRAY[0.25, 0.5, 0.75]) WITHIN GROUP (ORDER BY delay), max(day) FROM city.trips GROUP BY line",
        {},
    ),
    "within": (
        "WITH r AS (SELECT rider, count(*) AS n, max(fare) AS f FROM city.trips GROUP BY rider) SELECT n, count(*), avg(f) FROM r GROUP BY n",
        {},
    ),
    "union": ("SELECT sum(x) FROM (SELECT delay AS x FROM city.trips UNION ALL SELECT hour FROM city.trips) u", {}),
    "self join": ("SELECT count(*) FROM city.trips a JOIN city.trips b USING (rider) WHERE a.line <> b.line", {}),
}


@promise("P5.3", "P6.2", "P4.2")
@pytest.mark.parametrize("name", QUESTIONS)
def test_every_kind_of_answer_comes_and_reads_the_same_again(town: City, name: str) -> None:
    sql, more = QUESTIONS[name]
    got = town.ask(sql, f"engine-{name.replace(' ', '-')}", epsilon="0.1", **more)
    assert got.status_code == 200, got.text
    body = got.json()
    assert body["rows"] or name.startswith("private"), "at so small a price no private key may pass"
    assert town.ok("GET", f"/v1/answers/{body['id']}") == body
    stream = town.client.get(
        f"/v1/answers/{body['id']}",
        headers={"Authorization": f"Bearer {town.keys['company']}", "Accept": "application/vnd.apache.arrow.stream"},
    )
    assert pa.ipc.open_stream(stream.content).read_all().num_rows == len(body["rows"])
    assert not list(town.house.objects.list("v1/stages/")), "what stages released stands in the answer"


@promise("P4.2")
def test_a_list_of_quantiles_has_an_interval_for_each_and_costs_what_they_would_cost_apart(town: City) -> None:
    lists = "percentile_cont(ARRAY[0.1, 0.5, 0.9]) WITHIN GROUP (ORDER BY delay) AS d, approx_top_k(hour, 2) AS h"
    got = town.ask(f"SELECT {lists} FROM city.trips", "engine-listed", epsilon="1")
    assert got.status_code == 200, got.text
    body = got.json()
    column, (cell, hours) = body["columns"][0], body["rows"][0]
    assert (column["kind"], column["type"], column["elements"]) == ("quantiles", "list", "decimal")
    assert column["ranks"] == [[1, 10], [1, 2], [9, 10]]
    assert len(cell) == len(column["rank_half_widths"]) == len(column["scale"]) == 3
    assert all(width > 0 for width in column["rank_half_widths"])
    assert cell[0] <= cell[2], "hundreds of rows lie between them"
    stream = town.client.get(
        f"/v1/answers/{body['id']}",
        headers={"Authorization": f"Bearer {town.keys['company']}", "Accept": "application/vnd.apache.arrow.stream"},
    )
    read = pa.ipc.open_stream(stream.content).read_all()
    assert read.schema.field("d").type == read.schema.field("h").type == pa.list_(pa.float64())
    assert (read["d"].to_pylist(), read["h"].to_pylist()) == ([cell], [hours])
    apart = ", ".join(f"percentile_cont({q}) WITHIN GROUP (ORDER BY delay)" for q in (0.1, 0.5, 0.9))
    told = [
        town.ask(f"SELECT {columns}, approx_top_k(hour, 2) FROM city.trips", "engine-told", epsilon="1", explain=True).json()
        for columns in (lists.partition(", approx")[0], apart)
    ]
    assert told[0]["price"] == told[1]["price"]
    widths = [column["rank_half_width"] for column in told[1]["outputs"][:3]]
    assert told[0]["outputs"][0]["rank_half_widths"] == widths


@promise("P5.3")
def test_a_private_key_is_shown_if_many_have_it_and_never_if_one_has(town: City) -> None:
    got = town.ask("SELECT fare, count(*) AS n FROM city.trips GROUP BY fare", "engine-keys", epsilon="3")
    assert got.status_code == 200, got.text
    body = got.json()
    shown = {row[0] for row in body["rows"]}
    assert {2.5, 4} <= shown, "a hundred riders and more have each of these"
    assert shown <= {2.5, 4}, "the others have one rider each"
    assert body["price"]["delta"] != "0"


@promise("P6.2")
def test_a_resume_begins_at_the_first_stage_that_is_not_stored(town: City, monkeypatch: pytest.MonkeyPatch) -> None:
    me = town.ok("GET", "/v1/me")
    request = Request(
        principal=Principal(id=me["id"], tenant=me["tenant"], roles=frozenset({"engineer"})), grant=None, purpose=None,
        sql="SELECT line, count(*) FROM city.trips WHERE hour > 3 GROUP BY line", epsilon=10**12, within=None, rows=None,
        bounding="clip", idempotency_key="engine-resumed", digest="d",
    )  # fmt: skip
    parts = dataclasses.replace(town.house.parts(), model=town.house.model)
    pending = answer.submit(parts, request)
    assert pending.charged is not None
    assert pending.charged.priced.plan.stages == ("norms", "values")
    first = answer._staged(parts, pending.charged, "norms", [])
    drawn: list[Stage] = []
    compute = answer.compute

    def counted(charged: Any, bench: Any, stage: Stage, earlier: Any) -> Any:
        drawn.append(stage)
        return compute(charged, bench, stage, earlier)

    monkeypatch.setattr(answer, "compute", counted)
    again = dataclasses.replace(pending.charged, attempt=2)
    answer._computed(parts, again, pending.leaves_at)
    assert drawn == ["values"], "the norm was released once, and no second one is drawn"
    found = released(parts, pending)
    assert found.norms == first.norms
    assert [h.tolist() for h in found.histograms] == [h.tolist() for h in first.values]


def released(parts: Parts, pending: Pending) -> Released:
    """What the stored answer holds."""
    charged = pending.charged
    assert charged is not None
    stored = paid.stored_before(parts, charged)
    assert stored is not None
    pending.outcome.stored = stored
    time.sleep(pending.leaves_in())
    ends.end(parts, pending)
    with parts.sessions.reading() as session:
        record = queries.get(session, pending.query_id)
    assert record is not None
    return paid.stored_values(parts, charged.priced.plan, record)
