"""The client against a gateway behind a real socket: Arrow tables, what they carry, and refusals as exceptions."""

from __future__ import annotations

import json
from collections.abc import Iterator
from decimal import Decimal

import pyarrow as pa
import pytest

from sandbox.client import Client, ProblemError
from tests.unit.gateway.living import Living, loaded, served

SQL = "SELECT year, count(*), avg(docvis) FROM health.visits GROUP BY year"


@pytest.fixture(scope="module")
def full(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Living]:
    with loaded(tmp_path_factory.mktemp("client")) as found:
        yield found


@pytest.fixture(scope="module")
def url(full: Living) -> Iterator[str]:
    with served(full.house) as address:
        yield address


@pytest.fixture
def client(full: Living, url: str) -> Iterator[Client]:
    with Client(url, full.keys["engineer"]) as found:
        yield found


def test_a_question_gives_a_table_with_all_that_stands_behind_it(client: Client) -> None:
    table = client.query(SQL, epsilon="0.2")
    assert isinstance(table, pa.Table)
    assert table.column_names == ["year", "count", "count_low", "count_high", "avg", "avg_low", "avg_high"]
    assert table.column("year").to_pylist() == [1984, 1985, 1986, 1987, 1988]
    behind = json.loads(table.schema.metadata[b"sandbox"])
    assert behind["epsilon"] == "0.2"
    assert {"price", "left", "event", "bounds", "facts", "promise"} <= set(behind)
    again = client.answer(behind["id"])
    assert again.equals(table)


@pytest.mark.parametrize("epsilon", ["0.01", 0.01, Decimal("0.01")])
def test_a_budget_may_be_a_text_or_a_number(client: Client, epsilon: str | float | Decimal) -> None:
    most = len(repr(epsilon))  # the same question would be free
    other = f"SELECT count(*) FROM health.visits WHERE docvis < {most}"
    behind = json.loads(client.query(other, epsilon=epsilon).schema.metadata[b"sandbox"])
    assert behind["epsilon"] == "0.01"


def test_an_own_idempotency_key_pays_once_over_two_programs(full: Living, url: str) -> None:
    ids = []
    for _ in range(2):
        with Client(url, full.keys["engineer"]) as one:
            table = one.query(SQL, epsilon="0.01", idempotency_key="a-key-of-mine")
            ids.append(json.loads(table.schema.metadata[b"sandbox"])["id"])
    assert ids[0] == ids[1]


def test_an_explanation_is_free(client: Client) -> None:
    explained = client.explain(SQL, within=100, rows=1)
    assert explained["bounds"]["rows_per_unit"] == 1


def test_a_version_may_be_named(client: Client) -> None:
    assert client.explain(SQL, epsilon="0.01", version=1)["version"] == 1
    behind = json.loads(client.query(SQL, epsilon="0.01", version=1).schema.metadata[b"sandbox"])
    assert behind["version"] == 1
    for call in (client.query, client.explain):
        with pytest.raises(ProblemError) as caught:
            call(SQL, epsilon="0.01", version=2)
        assert (caught.value.code, caught.value.status) == ("version_unknown", 404)


def test_a_refusal_is_an_exception_with_code_status_and_both_texts(client: Client) -> None:
    with pytest.raises(ProblemError) as caught:
        client.query("SELECT count(docvi) FROM health.visits", epsilon=1)
    error = caught.value
    assert (error.code, error.status) == ("unknown_column_near", 400)
    assert "docvis" in error.text["en"]
    assert "docvis" in error.text["zh"]
    assert error.position is not None
    assert error.instance is not None


def test_a_number_that_is_none_is_refused_by_the_gateway(client: Client) -> None:
    for wrong in ({"within": float("nan")}, {"within": float("inf")}, {"epsilon": float("nan")}, {"epsilon": -1}):
        with pytest.raises(ProblemError) as caught:
            client.query(SQL, **wrong)  # type: ignore[arg-type]
        assert caught.value.code == "request_invalid"


def test_a_bad_key(url: str) -> None:
    with Client(url, "sbx_" + "A" * 43) as stranger, pytest.raises(ProblemError) as caught:
        stranger.query(SQL, epsilon=1)
    assert (caught.value.code, caught.value.status) == ("key_refused", 401)
