"""Meaning: where no bound bites and noise is off, an answer is what plain SQL gives over the same rows (P3.5)."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pytest

from sandbox.flow import Cost, Ints, Plan, Priced, Release, Released
from sandbox.plans import Measure
from sandbox.privacy import selection
from sandbox.query.planning.plan import Known
from sandbox.query.planning.sizes import is_row_by_row, most_rows
from sandbox.query.release.table import table
from tests.privacy.pipeline import Pipeline
from tests.privacy.queries import FEW, ONE, SAME, TWO, T
from tests.privacy.shapes import labels_of
from tests.privacy.town import LINE_ROWS, STOP_ROWS, Town, settle, town
from tests.promises import promise


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """The same rows twice: as a planner knows them, and in plain DuckDB."""

    pipeline: Pipeline
    known: Known
    plain: duckdb.DuckDBPyConnection


def plain(rows: Town) -> duckdb.DuckDBPyConnection:
    """The town's tables as anybody would load them."""
    connection = duckdb.connect(":memory:", config={"threads": 1})
    connection.execute(
        "CREATE SCHEMA city; CREATE TABLE city.trips (rider VARCHAR, line VARCHAR, hour BIGINT, delay BIGINT, fare DECIMAL(18,2),"
        ' paid BOOLEAN, day DATE, "at" TIMESTAMP, note VARCHAR); CREATE TABLE city.stays (rider VARCHAR, line VARCHAR, nights BIGINT);'
        "CREATE TABLE city.lines (code VARCHAR, zone VARCHAR, length BIGINT); "
        "CREATE TABLE city.stops (line VARCHAR, stop VARCHAR, place BIGINT)"
    )
    for name, found in (("trips", rows.trips), ("stays", rows.stays), ("lines", LINE_ROWS), ("stops", STOP_ROWS)):
        if found:
            connection.executemany(f"INSERT INTO city.{name} VALUES ({', '.join('?' * len(found[0]))})", found)
    return connection


@pytest.fixture(scope="module", params=[(1, None), (4, 2)], ids=["one bucket", "four buckets"])
def worlds(request: pytest.FixtureRequest) -> Iterator[dict[str, World]]:
    threads, bits = request.param
    towns = {"many": town(), "few": town(40, 3, stays=2), "one": town(60, 1)}
    with tempfile.TemporaryDirectory() as folder:
        pipeline = Pipeline(Path(folder), threads=threads)
        yield {
            name: World(pipeline=pipeline, known=settle(pipeline, rows, bits=bits), plain=plain(rows))
            for name, rows in towns.items()
        }
        pipeline.close()


def noiseless(plan: Plan) -> Priced:
    """As if noise cost nothing and were none."""
    names = {"quantile": "exponential", "top": "exponential"}
    return Priced(
        plan=plan, cost=Cost(), rung=0.25,
        releases=tuple(
            Release(mechanism=names.get(m.kind, "laplace"), scale=1e-9, sensitivity=1.0, loss=1)  # type: ignore[arg-type]
            for m in plan.measures
        ),
    )  # fmt: skip


def chosen(measure: Measure, values: Ints) -> Ints:
    """What a selection without noise takes: the first of the best."""
    if measure.kind == "top":
        return np.argsort(-values, axis=1, kind="stable")[:, : measure.most]
    p, q = measure.rank
    return np.argmax(selection.scores(values, p=p, q=q), axis=1).reshape(-1, 1)


def answer(world: World, sql: str) -> tuple[Plan, list[list[Any]]]:
    """The rows of an answer without noise."""
    plan = world.pipeline.plans(world.known, sql, rows=None)[0]
    most = 10 if is_row_by_row(plan.relation) else most_rows(plan.relation, plan.tables)
    plan = world.pipeline.plans(world.known, sql, rows=most)[0]
    labels = labels_of(world.pipeline, plan)
    if labels is not None:
        labels = tuple(label for label in labels if "nobody" not in label)
    exact, _ = world.pipeline.stage(plan, labels=labels)
    values = [
        chosen(m, v) if m.kind in {"top", "quantile"} else v for m, v in zip(plan.measures, exact, strict=True)
    ]
    return plan, table(noiseless(plan), Released(values=tuple(values), labels=labels))["rows"]


def told(value: Any) -> Any:
    """A value of DuckDB as an answer shows it."""
    if isinstance(value, list):
        return [told(x) for x in value]
    if isinstance(value, datetime):
        return value.isoformat() + "Z"
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, Decimal):
        return int(value) if value == int(value) else float(value)
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return value


def check(world: World, sql: str, theirs: str) -> None:
    """Row by row: every group that SQL has, with its numbers; a group that it has not is an empty declared one."""
    plan, ours = answer(world, sql)
    found = world.plain.execute(theirs).fetchall()
    keys = [i for i, o in enumerate(plan.outputs) if o.key is not None]
    expected = {tuple(told(row[i]) for i in keys): [told(v) for v in row] for row in found}
    assert len(expected) == len(found)
    shown = {tuple(row[i] for i in keys): row for row in ours}
    assert len(shown) == len(ours)
    assert expected.keys() <= shown.keys(), (sql, expected.keys() - shown.keys())
    if plan.private:
        assert shown.keys() == expected.keys()
    for key, row in shown.items():
        for i, output in enumerate(plan.outputs):
            if output.key is not None:
                continue
            where = (sql, key, output.label, row, expected.get(key))
            true = expected[key][i] if key in expected else None
            if true is not None:
                number = isinstance(true, int | float)
                assert row[i] == (pytest.approx(true, rel=1e-9, abs=1e-9) if number else true), where
            elif output.kind in {"count", "sum"}:
                assert row[i] == 0, where


@promise("P3.5")
@pytest.mark.parametrize("sql", SAME, ids=range(len(SAME)))
def test_an_answer_is_plain_sql(worlds: dict[str, World], sql: str) -> None:
    check(worlds["many"], sql, sql)


@promise("P3.5")
@pytest.mark.parametrize("sql", TWO, ids=range(len(TWO)))
def test_an_answer_is_plain_sql_in_other_words(worlds: dict[str, World], sql: str) -> None:
    check(worlds["many"], sql, TWO[sql])


@promise("P3.5")
@pytest.mark.parametrize("sql", FEW, ids=range(len(FEW)))
def test_an_answer_over_units_of_few_rows_is_plain_sql(worlds: dict[str, World], sql: str) -> None:
    check(worlds["few"], sql, sql)


@promise("P3.5")
@pytest.mark.parametrize("sql", ONE, ids=range(len(ONE)))
def test_an_answer_over_units_of_one_row_is_plain_sql(worlds: dict[str, World], sql: str) -> None:
    check(worlds["one"], sql, sql)


def test_order_and_limit_are_plain_sql(worlds: dict[str, World]) -> None:
    for sql in (
        f"SELECT hour, count(*) AS n, sum(fare) AS f {T} GROUP BY hour HAVING count(*) > 2 ORDER BY n DESC, f LIMIT 5",
        f"SELECT line, hour, sum(delay) AS d {T} WHERE delay IS NOT NULL GROUP BY 1, 2 HAVING count(*) > 0 ORDER BY d, hour DESC, line LIMIT 9",
        f"SELECT note, count(*) {T} GROUP BY note ORDER BY note DESC NULLS LAST LIMIT 4",
    ):
        _, ours = answer(worlds["many"], sql)
        theirs = [[told(v) for v in row] for row in worlds["many"].plain.execute(sql).fetchall()]
        assert ours == theirs, sql
