"""Free repeats and roll-ups over HTTP: what was paid for once is given again, by the same grant and version alone."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from sandbox.audit.export import verify_bundle
from tests.flows.test_versions import update
from tests.house import City, bundle_of, city
from tests.promises import promise
from tests.trips import some_rows

FINE = "SELECT line, hour, count(*) AS n, avg(delay) AS late FROM city.trips GROUP BY line, hour"
COARSE = "SELECT line, count(*) AS trips, avg(delay) AS late FROM city.trips GROUP BY line ORDER BY line"
ZERO = {"eps_p": "0", "rho": "0", "delta": "0"}


@pytest.fixture(scope="module")
def town(tmp_path_factory: pytest.TempPathFactory) -> Iterator[City]:
    with city(tmp_path_factory.mktemp("repeats")) as it:
        it.load(some_rows())
        it.grant(epsilon="6")
        yield it


def asked(town: City, sql: str, key: str, **more: Any) -> dict[str, Any]:
    got = town.ask(sql, f"question-{key}", **{"epsilon": "0.2", "grant": town.grants[0], **more})
    assert got.status_code == 200, got.text
    return dict(got.json())


def explained(town: City, sql: str, **more: Any) -> dict[str, Any]:
    body = {"sql": sql, "epsilon": "0.2", "grant": town.grants[0], "explain": True, **more}
    return dict(town.ok("POST", "/v1/queries", body))


def left(town: City, grant: int = 0) -> Any:
    return town.ok("GET", f"/v1/grants/{town.grants[grant]}")


NUMBERS = ("columns", "rows", "low", "high", "flags", "bounds", "id", "event", "facts")


@promise("P6.4")
def test_the_same_question_is_free_and_says_where_it_comes_from(town: City) -> None:
    sql = "SELECT line, count(*) FROM city.trips GROUP BY line"
    paid = asked(town, sql, "repeat-paid")
    before = left(town)
    assert explained(town, sql)["source"]["query"] == paid["id"]
    again = asked(town, "select line, COUNT(*) from city.trips group by 1", "repeat-free")
    assert {n: again[n] for n in NUMBERS} == {n: paid[n] for n in NUMBERS}
    assert (again["price"], again["epsilon"], again["rung"]) == (ZERO, "0", 0.0)
    assert (again["source"]["query"], again["source"]["kind"]) == (paid["id"], "repeat")
    assert paid["source"] is None
    assert left(town) == before


@promise("P6.3", "P6.4")
def test_the_key_of_a_repeat_stands_for_it_and_for_no_other_question(town: City) -> None:
    sql = "SELECT count(*) FROM city.trips WHERE hour < 12"
    paid = asked(town, sql, "keyed-paid")
    free = asked(town, sql, "keyed-free")
    assert asked(town, sql, "keyed-free") == free
    assert asked(town, sql, "keyed-paid") == paid
    refused = town.ask("SELECT count(*) FROM city.trips", "question-keyed-free", epsilon="0.2", grant=town.grants[0])
    assert (refused.status_code, refused.json()["code"]) == (409, "idempotency_key_reused")


@promise("P6.4")
def test_another_accuracy_bound_or_column_is_another_question(town: City) -> None:
    sql = "SELECT count(*) AS n FROM city.trips WHERE hour > 20"
    first = asked(town, sql, "other-0")
    for number, (other, more) in enumerate([
        (sql, {"epsilon": "0.3"}), (sql, {"rows": 10}), (sql.replace("20", "21"), {}), (sql.replace("AS n", "AS m"), {}),
    ]):  # fmt: skip
        assert explained(town, other, **more)["source"] is None
        found = asked(town, other, f"other-{number + 1}", **more)
        assert (found["source"], found["id"] == first["id"]) == (None, False)


@promise("P6.4")
def test_a_coarser_grouping_is_added_up_where_it_errs_no_more(town: City) -> None:
    fine = asked(town, FINE, "fine-1", epsilon="1.5")
    before = left(town)
    told = explained(town, COARSE, epsilon="0.25")
    assert (told["source"]["query"], told["source"]["cells"], told["price"]) == (fine["id"], 24, ZERO)
    coarse = asked(town, COARSE, "coarse-1", epsilon="0.25")
    assert (coarse["source"]["kind"], coarse["source"]["query"], coarse["price"]) == ("roll-up", fine["id"], ZERO)
    assert left(town) == before
    counts: dict[Any, int] = {}
    for line, _, n, _ in fine["rows"]:
        counts[line] = counts.get(line, 0) + n
    assert [(line, n) for line, n, _ in coarse["rows"]] == [(k, counts[k]) for k in ("A", "B", "C", None)]
    assert all(low < n < high for (_, n, _), (_, low, _), (_, high, _) in zip(
        coarse["rows"], coarse["low"], coarse["high"], strict=True
    ))  # fmt: skip
    assert town.ok("GET", f"/v1/answers/{coarse['id']}") == coarse
    again = asked(town, COARSE, "coarse-2", epsilon="0.25")
    assert (again["id"], again["source"], again["rows"]) == (coarse["id"], coarse["source"], coarse["rows"])
    dear = asked(town, COARSE, "coarse-3", epsilon="0.4")
    assert dear["source"] is None, "its budget buys less error than the sum of 24 numbers has"


@promise("P6.4")
def test_never_across_grants_and_only_while_the_grant_lasts(town: City) -> None:
    sql = "SELECT count(*) FROM city.trips WHERE paid"
    other = town.grant(epsilon="1")
    paid = asked(town, sql, "grants-1", grant=other)
    assert asked(town, sql, "grants-2")["source"] is None
    assert asked(town, sql, "grants-3", grant=other)["source"]["query"] == paid["id"]
    town.ok("POST", f"/v1/grants/{other}/revoke", {"reason": "a test"}, part="committee1")
    refused = town.ask(sql, "question-grants-4", epsilon="0.2", grant=other)
    assert refused.status_code == 403


@promise("P6.4")
def test_a_free_answer_is_there_when_nothing_is_left_to_spend(town: City) -> None:
    grant = town.grant(epsilon="0.2")
    sql = "SELECT count(*) FROM city.trips WHERE hour = 3"
    asked(town, sql, "poor-1", grant=grant)
    assert town.ask("SELECT count(*) FROM city.trips", "question-poor-2", epsilon="0.2", grant=grant).status_code == 403
    assert asked(town, sql, "poor-3", grant=grant)["price"] == ZERO


@promise("P6.4")
def test_never_across_versions(town: City) -> None:
    sql = "SELECT count(*) FROM city.trips WHERE hour = 4"
    paid = asked(town, sql, "versions-1")
    update(town, "replace", 300)
    assert explained(town, sql)["source"] is None
    assert asked(town, sql, "versions-2")["source"] is None
    assert asked(town, sql, "versions-3", version=1)["source"]["query"] == paid["id"]


def test_the_auditor_finds_nothing_wrong_with_what_was_free(town: City) -> None:
    town.sequence()
    bundle, vkey = bundle_of(town)
    assert verify_bundle(bundle, vkey) == []
