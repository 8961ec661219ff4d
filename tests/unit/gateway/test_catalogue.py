"""The catalogue: what is declared is told to all, what was found in rows to the owner's steward, rows to nobody."""

from __future__ import annotations

import io

import pyarrow.parquet as pq
import pytest

from sandbox.catalog import Column, ColumnType, Text
from sandbox.gateway.shapes import delta_text, value_text
from tests.unit.gateway.living import POPULATION, VISITS, Living, load


def test_a_population_is_told_with_its_cap(full: Living) -> None:
    (found,) = full.client.get("/v1/populations", headers=full.who("rival")).json()["items"]
    assert (found["name"], found["unit"], found["epsilon"], found["pure"]) == ("residents", "resident", "10", "6")
    assert float(found["delta"]) == pytest.approx(1 / 84_200_000, rel=1e-6)


def test_only_a_steward_registers(full: Living) -> None:
    for path in ("/v1/populations", "/v1/datasets"):
        for name in ("engineer", "operator", "member1", "auditor"):
            response = full.client.post(path, json={"file": "x", "text": POPULATION}, headers=full.who(name))
            assert (response.status_code, response.json()["code"]) == (403, "not_your_role")


def test_a_population_is_registered_once(full: Living) -> None:
    body = {"file": "p.yaml", "text": POPULATION}
    response = full.client.post("/v1/populations", json=body, headers=full.who("steward"))
    assert (response.status_code, response.json()["code"]) == (409, "population_exists")


def test_an_error_in_a_manifest_has_its_place(full: Living) -> None:
    body = {"file": "visits.yaml", "text": VISITS.replace("bounds: [0, 60]", "bounds: [60, 0]")}
    response = full.client.post("/v1/datasets", json=body, headers=full.who("steward"))
    assert response.status_code == 400
    position = response.json()["position"]
    assert position["file"] == "visits.yaml"
    line = body["text"].splitlines()[position["line"] - 1]
    assert "bounds: [60, 0]" in line
    assert position["column"] > line.index("bounds")


def test_datasets_are_told_to_anyone_with_a_key(full: Living) -> None:
    items = full.client.get("/v1/datasets", headers=full.who("rival")).json()["items"]
    assert [(d["name"], d["public"], d["version"]) for d in items] == [
        ("health.visits", False, 1), ("transport.airports", True, 1),
    ]  # fmt: skip


def test_a_dataset_is_told_as_declared_and_never_as_counted(full: Living) -> None:
    response = full.client.get("/v1/datasets/health.visits", headers=full.who("rival"))
    found = response.json()
    assert (found["n_max"], found["r_max"], found["tiers"], found["unit"]) == (20000, 10, [1, 5, 10], "id")
    columns = {c["name"]: c for c in found["columns"]}
    assert columns["year"]["domain"] == ["1984", "1985", "1986", "1987", "1988"]
    assert (columns["docvis"]["lower"], columns["docvis"]["upper"]) == ("0", "60")
    assert columns["docvis"]["provenance"]["bounds"] == {"kind": "steward", "source": "looked at the maximum"}
    assert "2500" not in response.text


def test_a_dataset_that_is_not_there(full: Living) -> None:
    for path in ("/v1/datasets/health.none", "/v1/datasets/health.none/content"):
        response = full.client.get(path, headers=full.who("engineer"))
        assert (response.status_code, response.json()["code"]) == (404, "dataset_unknown")


def test_a_public_table_is_given_whole_in_its_own_values(full: Living) -> None:
    response = full.client.get("/v1/datasets/transport.airports/content", headers=full.who("rival"))
    assert response.headers["content-type"] == "application/vnd.apache.parquet"
    assert int(response.headers["content-length"]) == len(response.content)
    rows = pq.read_table(io.BytesIO(response.content)).to_pylist()
    assert {r["faa"]: r["lat"] for r in rows} == {"EWR": 40.6925, "JFK": 40.6398, "=CMD": 1.5}


@pytest.mark.parametrize("name", ["engineer", "steward", "operator", "auditor"])
def test_rows_of_a_protected_table_are_given_to_nobody(full: Living, name: str) -> None:
    response = full.client.get("/v1/datasets/health.visits/content", headers=full.who(name))
    assert (response.status_code, response.json()["code"]) == (403, "dataset_protected")


def test_an_ingest_is_the_owners_alone_and_reading_its_report_is_logged(full: Living) -> None:
    steward = full.who("steward")
    (first, *_) = full.client.get("/v1/ingests", headers=steward).json()["items"]
    assert first["report"] is None
    before = len(full.events("report.read"))
    found = full.client.get(f"/v1/ingests/{first['id']}", headers=steward).json()
    assert found["report"]["rows_stored"] == 2500
    assert found["report"]["units"] == 1000
    assert len(full.events("report.read")) == before + 1
    for name in ("engineer", "operator", "auditor", "member1"):
        response = full.client.get(f"/v1/ingests/{first['id']}", headers=full.who(name))
        assert response.status_code in {403, 404}
        assert "2500" not in response.text
    full.admit("other steward", "steward", "school bureau", "owner")
    response = full.client.get(f"/v1/ingests/{first['id']}", headers=full.who("other steward"))
    assert (response.status_code, response.json()["code"]) == (404, "ingest_unknown")
    assert full.client.get("/v1/ingests", headers=full.who("other steward")).json()["items"] == []


def test_a_failed_ingest_says_why_and_leaves_no_dataset(full: Living) -> None:
    broken = VISITS.replace("health.visits", "health.broken").replace("visits.csv", "none.csv")
    ended = load(full, broken)
    assert ended["state"] == "failed"
    assert ended["error"]["code"].startswith("source_")  # type: ignore[index]
    assert full.client.get("/v1/datasets/health.broken", headers=full.who("steward")).status_code == 404


def column(kind: ColumnType, grid: str = "1") -> Column:
    from decimal import Decimal

    return Column(
        name="x", type=kind, meaning=Text(en="x", zh="x"), level="general-1", grid=Decimal(grid), provenance={}
    )


@pytest.mark.parametrize(
    ("kind", "grid", "value", "text"),
    [
        (ColumnType.INTEGER, "1", -5, "-5"), (ColumnType.INTEGER, "1", 0, "0"), (ColumnType.INTEGER, "100", 3, "300"),
        (ColumnType.DECIMAL, "0.01", 125, "1.25"), (ColumnType.DECIMAL, "0.01", 100, "1"),
        (ColumnType.BOOLEAN, "1", 1, "true"), (ColumnType.BOOLEAN, "1", 0, "false"),
        (ColumnType.DATE, "1", 0, "1970-01-01"), (ColumnType.DATE, "1", -1, "1969-12-31"),
        (ColumnType.TIMESTAMP, "60", 1, "1970-01-01T00:01:00Z"), (ColumnType.TEXT, "1", "甲", "甲"),
    ],
)  # fmt: skip
def test_stored_values_are_shown_as_people_write_them(kind: ColumnType, grid: str, value: int | str, text: str) -> None:
    assert value_text(column(kind, grid), value) == text


def test_a_delta_is_shown_in_scientific_form() -> None:
    assert [delta_text(units) for units in (0, 1, 11_904_761_904)] == ["0", "1E-18", "1.1904761904E-8"]
