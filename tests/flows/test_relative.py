"""Asking by relative accuracy over HTTP: releases are repeated until each number is close enough, each charged first."""

from __future__ import annotations

import dataclasses
import json
import time
from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy import select

from sandbox.audit.export import verify_bundle
from sandbox.clock import parse_rfc3339
from sandbox.errors import Denied
from sandbox.flow import Charged, Exact, Principal, Request
from sandbox.query import answer, ends, paid, steps
from sandbox.query.parts import Parts, Pending
from sandbox.store import ledger, queries
from sandbox.store import tables as t
from tests.house import PATIENT, City, bundle_of, city
from tests.promises import promise
from tests.trips import Row

RIDERS = 900
COUNTED = "SELECT line, count(*) AS n FROM city.trips GROUP BY line ORDER BY line"


def rows() -> list[Row]:
    """Nine hundred riders, once each, on three lines."""
    return [(f"R{i}", "ABC"[i % 3], 8, 100 + i % 7, "2.50", 1, "2013-02-02") for i in range(RIDERS)]


@pytest.fixture(scope="module")
def town(tmp_path_factory: pytest.TempPathFactory) -> Iterator[City]:
    with city(tmp_path_factory.mktemp("relative"), model=dataclasses.replace(PATIENT, fixed=0.1)) as it:
        it.load(rows())
        it.grant(epsilon="10")
        yield it


def asked(town: City, sql: str, key: str, **more: Any) -> dict[str, Any]:
    got = town.ask(sql, f"relative-{key}", **{"epsilon": "4", "grant": town.grants[0], **more})
    assert got.status_code == 200, got.text
    return dict(got.json())


def charges(town: City, query: str) -> list[dict[str, Any]]:
    """The events of a query's charges, in their order."""
    with town.house.sessions.reading() as session:
        mine = select(t.EventRow).where(t.EventRow.subject == query, t.EventRow.type == "query.charge")
        return [json.loads(row.body) for row in session.scalars(mine.order_by(t.EventRow.id))]


@promise("P5.5", "P6.2", "P7.1")
def test_each_number_is_as_accurate_as_asked_and_costs_less_than_the_cap(town: City) -> None:
    body = asked(town, COUNTED, "counts", within="20%")
    accuracy = body["accuracy"]
    assert (accuracy["within"], accuracy["reached"]) == ("20%", False), "NULL has no rows, and nothing is within 20 % of 0"
    assert (accuracy["wide"], body["flags"]) == (1, [[], [], [], ["wide"]])
    for (_, n), (_, low), (_, high) in zip(body["rows"][:3], body["low"], body["high"], strict=False):
        assert (high - low) / 2 <= 0.2 * n
        assert abs(n - RIDERS / 3) < 60
    told = charges(town, body["id"])
    assert len(told) == accuracy["releases"] > 1
    assert [c["details"]["step"] for c in told] == ["main", *(f"main-{i}" for i in range(1, len(told)))]
    assert sum(int(c["details"]["cost"]["rho"]) for c in told) == int(body["price"]["rho"])
    assert float(body["epsilon"]) < 4
    # The moments of the charges follow from the price, and the answer's from the largest number of releases.
    moments = [parse_rfc3339(c["at"]).timestamp() for c in told]
    tick = explained(town, within="21%")["steps"]["seconds_between"]
    with town.house.sessions.reading() as session:
        record = queries.get(session, body["id"])
    assert record is not None
    leaves = parse_rfc3339(record.charged_at).timestamp() + body["rung"]
    for number, moment in enumerate(moments[1:], 1):
        assert moment >= leaves - (8 - number) * tick - 0.002
    assert town.ok("GET", f"/v1/answers/{body['id']}") == body
    again = asked(town, COUNTED, "counts-again", within="20%")
    assert (again["source"]["query"], again["rows"], again["epsilon"]) == (body["id"], body["rows"], "0")
    assert again["accuracy"] == accuracy
    assert not list(town.house.objects.list("v1/stages/")), "no release is kept by itself"


def explained(town: City, sql: str = COUNTED, **more: Any) -> dict[str, Any]:
    body = {"sql": sql, "epsilon": "4", "grant": town.grants[0], "explain": True, **more}
    return dict(town.ok("POST", "/v1/queries", body))


@promise("P6.5")
def test_a_preview_tells_the_most_that_it_may_cost(town: City) -> None:
    told = explained(town, within="5%")
    assert told["steps"]["within"] == "5%"
    assert told["price"] == told["steps"]["at_most"]
    assert 3.9 < float(told["epsilon"]) <= 4
    assert int(told["steps"]["first"]["rho"]) * 5000 < int(told["price"]["rho"])
    assert [o["expected_interval"] for o in told["outputs"]] == [None, None]
    assert explained(town, within="50%")["rung"] == told["rung"]


@pytest.mark.parametrize(("sql", "more", "code"), [
    (COUNTED, {"epsilon": None}, "within_without_cap"),
    ("SELECT avg(delay) FROM city.trips", {}, "within_share_totals"),
    ("SELECT count(*) FROM city.trips HAVING avg(delay) > 3", {}, "within_share_totals"),
    ("SELECT fare, count(*) FROM city.trips GROUP BY fare", {}, "within_share_keys"),
    (COUNTED, {"within": "0.00001%"}, "request_invalid"),
    (COUNTED, {"within": "100%"}, "request_invalid"),
    (COUNTED, {"within": "0%"}, "within_range"),
    (COUNTED, {"bounding": "clip"}, "bounding_unfit"),
])  # fmt: skip
def test_what_cannot_be_asked_so_is_refused(town: City, sql: str, more: dict[str, Any], code: str) -> None:
    asked = {k: v for k, v in {"epsilon": "4", "within": "5%", **more}.items() if v is not None}
    got = town.ask(sql, "relative-refused", grant=town.grants[0], **asked)
    assert (got.status_code, got.json()["code"]) == (400, code), got.text
    assert "within.function" not in got.text


@promise("P5.5")
def test_an_empty_group_does_not_use_up_the_cap_and_a_cap_that_is_too_small_ends_it(town: City) -> None:
    body = asked(town, "SELECT count(*) AS n, sum(delay) AS s FROM city.trips WHERE hour > 20", "empty", within="5%")
    assert float(body["epsilon"]) < 1
    assert body["flags"] == [["wide"]]
    poor = town.grant(epsilon="0.05")
    body = asked(town, COUNTED, "poor", grant=poor, within="1%", epsilon="0.2")
    assert not body["accuracy"]["reached"]
    assert "flagged" in body["accuracy"]["text"]["en"]


# --- steps that end, and processes that die ---------------------------------------------------------------------------


def submitted(town: City, key: str, relative: int = 200_000) -> tuple[Parts, Pending, Charged]:
    me = town.ok("GET", "/v1/me")
    request = Request(
        principal=Principal(id=me["id"], tenant=me["tenant"], roles=frozenset({"engineer"})), grant=town.grants[0],
        purpose=None, sql=COUNTED, epsilon=4 * 10**12, within=None, relative=relative, rows=None, idempotency_key=key,
        digest="d",
    )  # fmt: skip
    parts = dataclasses.replace(town.house.parts(), model=town.house.model)
    pending = answer.submit(parts, request)
    assert pending.charged is not None
    return parts, pending, pending.charged


def ended(town: City, parts: Parts, pending: Pending) -> dict[str, Any]:
    time.sleep(pending.leaves_in())
    ends.end(parts, pending)
    return dict(town.ok("GET", f"/v1/answers/{pending.query_id}"))


@promise("P5.5", "P6.2")
def test_a_charge_that_is_refused_ends_the_releases_and_what_was_reached_is_answered(
    town: City, monkeypatch: pytest.MonkeyPatch
) -> None:
    parts, pending, charged = submitted(town, "relative-refused-later", 210_000)
    real = steps.charge_again

    def once(parts: Parts, first: Charged, priced: Any, step: str) -> Charged:
        if step != "main-1":
            raise Denied("grant_not_active", grant="", state="revoked")
        return real(parts, first, priced, step)

    monkeypatch.setattr(steps, "charge_again", once)
    answer.finish(parts, pending)
    body = ended(town, parts, pending)
    assert body["accuracy"]["releases"] == len(charges(town, charged.query_id)) == 2


class Died(BaseException):
    """The process ends here."""


@promise("P5.5", "P6.2")
@pytest.mark.parametrize("where", ["charged", pytest.param("drawn", marks=pytest.mark.slow)])
def test_a_resume_draws_no_second_noise_and_pays_for_no_release_twice(
    town: City, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    parts, pending, charged = submitted(town, f"relative-resumed-{where}", 230_000 if where == "drawn" else 220_000)
    seen: list[tuple[int, list[int]]] = []

    def noted(parts: Parts, noisy: Any, number: int) -> None:
        if where == "charged" and number == 1:
            raise Died
        paid.store_stage(parts, noisy, number)
        seen.append((number, noisy.values[0][:, 0].tolist()))
        if where == "drawn" and number == 1:
            raise Died

    with monkeypatch.context() as dying:
        dying.setattr(steps, "store_stage", noted)
        with pytest.raises(Died):
            answer._computed(parts, charged, pending.leaves_at)
    spent = charges(town, charged.query_id)
    assert len(spent) == 2
    with parts.sessions.reading() as session:
        record = queries.get(session, charged.query_id)
    assert record is not None
    again = dataclasses.replace(paid.charged_of(paid.priced_again(parts, record), record), attempt=2)
    drawn: list[Exact] = []
    noise = steps.noise
    monkeypatch.setattr(steps, "noise", lambda exact, charge: drawn.append(exact) or noise(exact, charge))
    later = dataclasses.replace(pending, leaves_at=parts.clock.text(plus_seconds=pending.charged.priced.rung))  # type: ignore[union-attr]
    stored = answer._computed(parts, again, later.leaves_at)
    later.outcome.stored = dataclasses.replace(stored, charged=dataclasses.replace(stored.charged, attempt=1))
    body = ended(town, parts, later)
    told = charges(town, charged.query_id)
    assert told[:2] == spent
    assert len(told) == body["accuracy"]["releases"] == len(drawn) + len(seen)
    assert sum(int(c["details"]["cost"]["rho"]) for c in told) == int(body["price"]["rho"])


@promise("P5.5")
def test_the_auditor_finds_nothing_wrong_with_further_charges(town: City) -> None:
    town.sequence()
    bundle, vkey = bundle_of(town)
    assert verify_bundle(bundle, vkey) == []
    with town.house.sessions.reading() as session:
        further = session.scalars(select(t.LedgerRow.request).where(t.LedgerRow.step == "main-1")).all()
        assert further
        assert all(ledger.is_charged(session, query, "main") for query in further)
