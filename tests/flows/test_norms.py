"""Norms that are reused over HTTP: released and paid for once, by the same grant, for the same vectors alone."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Iterator
from typing import Any
from unittest import mock

import pytest

from sandbox.audit.export import verify_bundle
from sandbox.flow import Charged, Principal, Request
from sandbox.privacy import mechanisms
from sandbox.query import answer, ends, paid, repeats
from sandbox.query.parts import Parts, Pending
from sandbox.store import queries
from tests.flows.test_versions import update
from tests.house import City, bundle_of, city
from tests.promises import promise
from tests.trips import Row

COUNTED = "SELECT line, count(*) AS n FROM city.trips GROUP BY line"
SUMMED = "SELECT line, sum(delay) AS late, count(*) AS trips FROM city.trips GROUP BY line ORDER BY line LIMIT 2"


def rows() -> list[Row]:
    """Five hundred riders, each with two rows of one line: norm 2."""
    return [(f"R{i}", "ABC"[i % 3], 8 + j, 7, "2.50", 1, "2013-02-02") for i in range(500) for j in range(2)]


@pytest.fixture(scope="module")
def town(tmp_path_factory: pytest.TempPathFactory) -> Iterator[City]:
    # By chance an earlier norm may be so small that its answer errs no more than what is asked, and is then given free.
    with mock.patch.object(repeats, "roll_up", return_value=None), city(tmp_path_factory.mktemp("norms")) as it:
        it.load(rows())
        it.grant(epsilon="10")
        yield it


def asked(town: City, sql: str, key: str, **more: Any) -> dict[str, Any]:
    got = town.ask(sql, f"norms-{key}", **{"epsilon": "1", "bounding": "clip", "grant": town.grants[0], **more})
    assert got.status_code == 200, got.text
    return dict(got.json())


def explained(town: City, sql: str, **more: Any) -> dict[str, Any]:
    body = {"sql": sql, "epsilon": "1", "bounding": "clip", "grant": town.grants[0], "explain": True, **more}
    return dict(town.ok("POST", "/v1/queries", body))


def lenders(body: dict[str, Any]) -> list[str | None]:
    return [norm["query"] for norm in body["bounds"]["norms"]]


@pytest.fixture(scope="module")
def first(town: City) -> dict[str, Any]:
    """The question that pays for the norm of the counts."""
    return asked(town, COUNTED, "first")


@promise("P5.3", "P6.5", "P6.6")
def test_a_norm_is_paid_for_once_and_then_all_rho_goes_to_the_sums(town: City, first: dict[str, Any]) -> None:
    assert lenders(first) == [None]
    (norm,) = (n["norm"] for n in first["bounds"]["norms"])
    assert 2 <= norm <= 6
    told = explained(town, COUNTED, epsilon="1.5")
    assert (told["plan"]["stages"], lenders(told)) == (["values"], [first["id"]])
    assert f"n is reused: {first['id']}" in told["bounds"]["text"]["en"]
    body = asked(town, COUNTED, "second", epsilon="1.5")
    assert (body["price"], body["epsilon"], body["source"]) == (told["price"], told["epsilon"], None)
    assert lenders(body) == [first["id"]]
    assert first["id"] in body["bounds"]["text"]["zh"]
    sigma = mechanisms.scale("gaussian", sensitivity=1, loss=int(body["price"]["rho"]))
    assert body["columns"][1]["scale"] == pytest.approx(sigma * body["bounds"]["norms"][0]["norm"], rel=1e-6)
    half = (body["high"][0][1] - body["low"][0][1]) / 2
    assert half == pytest.approx(told["outputs"][1]["expected_interval"], abs=1), "an error that is known before"
    assert town.ok("GET", f"/v1/answers/{body['id']}") == body


@promise("P5.3")
def test_a_measure_lends_its_norm_among_other_aggregates_and_the_others_buy_theirs(
    town: City, first: dict[str, Any]
) -> None:
    told = explained(town, SUMMED)
    assert (told["plan"]["stages"], lenders(told)) == (["norms", "values"], [None, first["id"]])
    body = asked(town, SUMMED, "third")
    assert lenders(body) == [None, first["id"]]
    assert 2 <= body["bounds"]["norms"][1]["norm"] <= 6
    again = explained(town, SUMMED, epsilon="1.2")
    assert (again["plan"]["stages"], lenders(again)) == (["values"], [body["id"], first["id"]])


@promise("P5.3")
@pytest.mark.parametrize("sql", [
    COUNTED.replace("GROUP", "WHERE hour < 20 GROUP"), COUNTED.replace("line", "line, paid"),
    COUNTED.replace("count(*)", "count(fare)"),
])  # fmt: skip
def test_other_rows_groups_or_measures_are_other_vectors(town: City, first: dict[str, Any], sql: str) -> None:
    assert first["id"] not in lenders(explained(town, sql))


@promise("P5.3")
def test_another_grant_pays_anew(town: City, first: dict[str, Any]) -> None:
    other = town.grant(epsilon="5")
    assert lenders(explained(town, COUNTED, grant=other, epsilon="1.5")) == [None]
    own = asked(town, COUNTED, "other-grant", grant=other)
    assert lenders(explained(town, COUNTED, grant=other, epsilon="1.5")) == [own["id"]]
    assert lenders(explained(town, COUNTED, epsilon="1.5")) == [first["id"]]


def submitted(town: City, sql: str, key: str, epsilon: int) -> tuple[Parts, Pending, Charged]:
    me = town.ok("GET", "/v1/me")
    request = Request(
        principal=Principal(id=me["id"], tenant=me["tenant"], roles=frozenset({"engineer"})), grant=town.grants[0],
        purpose=None, sql=sql, epsilon=epsilon, within=None, rows=None, bounding="clip", idempotency_key=key, digest="d",
    )  # fmt: skip
    parts = dataclasses.replace(town.house.parts(), model=town.house.model)
    pending = answer.submit(parts, request)
    assert pending.charged is not None
    return parts, pending, pending.charged


@promise("P5.3", "P6.2")
def test_an_answer_that_has_not_left_lends_nothing_and_a_record_keeps_its_norm(
    town: City, first: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    sql = COUNTED.replace("GROUP", "WHERE hour < 21 GROUP")
    parts, pending, _ = submitted(town, sql, "norms-held", 10**12)
    answer.finish(parts, pending)
    assert lenders(explained(town, sql, epsilon="1.5")) == [None]
    time.sleep(pending.leaves_in())
    ends.end(parts, pending)
    with monkeypatch.context() as late:
        late.setattr(ends, "leaves_of", lambda _record: "9999-01-01T00:00:00.000Z")
        assert lenders(explained(town, sql, epsilon="1.5")) == [None], "settled, but not out"
    assert lenders(explained(town, sql, epsilon="1.5")) == [pending.query_id]
    parts, later, charged = submitted(town, sql, "norms-later", 3 * 10**12 // 2)
    with parts.sessions.reading() as session:
        record = queries.get(session, later.query_id)
    assert record is not None
    kept = paid.priced_again(parts, record)
    assert (kept.reused, kept.norms, kept.cost, kept.releases) == (
        charged.priced.reused, (), charged.priced.cost, charged.priced.releases,
    )  # fmt: skip
    assert kept.reused[0] is not None
    drawn = answer._computed(parts, paid.charged_of(kept, record), later.leaves_at)
    later.outcome.stored = drawn
    time.sleep(later.leaves_in())
    ends.end(parts, later)
    body = town.ok("GET", f"/v1/answers/{later.query_id}")
    assert body["bounds"]["norms"][0] == {"columns": ["n"], "norm": kept.reused[0].norm, "query": pending.query_id}


@promise("P5.3")
def test_another_version_pays_anew_and_the_auditor_finds_nothing_wrong(town: City, first: dict[str, Any]) -> None:
    update(town, "replace", 300)
    assert lenders(explained(town, COUNTED, epsilon="1.5")) == [None]
    assert lenders(explained(town, COUNTED, epsilon="1.5", version=1)) == [first["id"]]
    town.sequence()
    bundle, vkey = bundle_of(town)
    assert verify_bundle(bundle, vkey) == []
