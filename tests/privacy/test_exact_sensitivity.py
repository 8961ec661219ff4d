"""Exact sensitivity (9.2): with noise off by looking at the kernel, one unit moves no measure by more than is claimed."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import duckdb
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sandbox.privacy.sensitivity import sensitivity
from tests.privacy.pipeline import Pipeline, moved
from tests.promises import promise
from tests.trips import MANIFEST, Row, csv_of, some_rows

SHAPES = [
    "SELECT count(*) FROM city.trips",
    "SELECT count(delay), sum(delay), avg(delay) FROM city.trips",
    "SELECT line, count(*), sum(fare), avg(fare) FROM city.trips GROUP BY line",
    "SELECT line, hour, count(*), avg(delay) FROM city.trips GROUP BY line, hour",
    "SELECT day, count(*) FROM city.trips GROUP BY day",
    "SELECT paid, sum(delay * 2 - hour) FROM city.trips WHERE delay > -5 AND line IN ('A', 'B') GROUP BY paid",
    "SELECT sum(CASE WHEN paid THEN fare ELSE -1 END), count(CASE WHEN paid THEN 1 END) FROM city.trips WHERE hour < 12",
    "SELECT hour, sum(abs(delay)) FROM city.trips GROUP BY hour HAVING count(*) > 2 ORDER BY sum(fare) LIMIT 3",
    "SELECT avg(hour + 100) FROM city.trips WHERE extract(month from day) <= 6",
    "SELECT count(DISTINCT rider) FROM city.trips",
    "SELECT count(*), count(DISTINCT rider), avg(fare) FROM city.trips",
]


@pytest.fixture(params=[1, 4, 16], scope="module")
def pipeline(request: pytest.FixtureRequest) -> Iterator[Pipeline]:
    folder = Path(tempfile.mkdtemp())
    made = Pipeline(folder, threads=request.param)
    yield made
    made.close()
    shutil.rmtree(folder)


def check(pipeline: Pipeline, rows: list[Row], unit: str, *, bits: int | None = None) -> None:
    """All shapes at all bounds, on the rows and on the rows without one unit."""
    full, _ = pipeline.ingest(rows, bits=bits)
    less, _ = pipeline.ingest([r for r in rows if str(r[0]).upper().strip() != unit], bits=bits)
    for sql in SHAPES:
        for k in (1, 3, 10):
            plan, exact = pipeline.exact(full, sql, rows=k)
            _, without = pipeline.exact(less, sql, rows=k)
            for measure, a, b in zip(plan.measures, exact, without, strict=True):
                claim = sensitivity(measure, plan.bound)
                l1, l2 = moved(a, b)
                assert max(l1, l2) <= claim, f"figure: one unit moved {measure.kind} by {l1} where {claim} was claimed"


HEAVY = [("heavy", "A", 5, 1300, "200", 1, "2013-02-03")] * 400 + some_rows(12)


@promise("P1.1", "P4.1")
def test_one_unit_moves_no_measure_by_more_than_its_claim(pipeline: Pipeline) -> None:
    check(pipeline, HEAVY, "HEAVY")
    check(pipeline, HEAVY, "R7", bits=2)


VALUES = st.tuples(
    st.sampled_from(["a", "A ", "b", "c", "d"]),
    st.sampled_from(["A", "B", "C", "", "Z"]),
    st.integers(-3, 30),
    st.one_of(st.none(), st.integers(-2000, 2000)),
    st.sampled_from(["0", "1.005", "-5", "200", "1e3", "nan", ""]),
    st.sampled_from([0, 1, ""]),
    st.sampled_from(["2013-01-01", "2013-12-31", "2013-02-30", ""]),
)


@promise("P1.1", "P3.2")
@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rows=st.lists(VALUES, min_size=1, max_size=60))
def test_on_any_small_table(pipeline: Pipeline, rows: list[Row]) -> None:
    check(pipeline, rows, "A")


@promise("P2.3")
def test_buckets_and_threads_change_no_integer(pipeline: Pipeline) -> None:
    rows = some_rows(60)
    versions = [pipeline.ingest(rows, bits=bits)[0] for bits in (0, 1, 3)]
    for sql in SHAPES:
        first, *others = [pipeline.exact(v, sql)[1].tolist() for v in versions]
        assert all(other == first for other in others), sql


@promise("P3.5")
def test_where_no_bound_bites_the_integers_are_plain_sql(pipeline: Pipeline) -> None:
    """Against DuckDB on the same rows, values already inside their bounds and at most ten rows a unit."""
    rows = [r for r in some_rows(40, most=9) if r[3] is None or -60 <= r[3] <= 1300]
    rows = [(*r[:4], f"{float(r[4]) % 195:.2f}", *r[5:]) for r in rows]
    known, report = pipeline.ingest(rows)
    assert report.rows_stored == len(rows)
    plain = duckdb.connect()
    source = pipeline.folder / "plain.csv"
    source.write_text(csv_of(rows))
    plain.execute(
        f"CREATE SCHEMA city; CREATE TABLE city.trips AS SELECT rider, line, hour, delay, fare::DECIMAL(18,2) AS fare,"
        f" paid::BOOLEAN AS paid, day FROM read_csv('{source}')"
    )
    for sql in SHAPES:
        if "HAVING" in sql:
            continue
        plan, exact = pipeline.exact(known, sql, rows=10)
        truth = {}
        for row in plain.execute(sql).fetchall():
            truth[row[: len(plan.keys)]] = row[len(plan.keys) :]
        _compare(plan, exact, truth)


def _compare(plan: object, exact: np.ndarray, truth: dict[tuple[object, ...], tuple[object, ...]]) -> None:
    from sandbox.flow import Call, Plan
    from sandbox.query.release.table import _place, shown

    assert isinstance(plan, Plan)
    for group in range(plan.groups):
        labels = tuple(shown(k, k.domain[_place(plan, i)(group)], plan.spec) for i, k in enumerate(plan.keys))
        row = next((v for k, v in truth.items() if tuple(str(x) for x in k) == tuple(str(x) for x in labels)), None)
        for position, output in enumerate(o for o in plan.outputs if o.key is None):
            assert isinstance(output.formula, Call)
            indexes = [a.value for a in output.formula.args]  # type: ignore[union-attr]
            measure, value = plan.measures[indexes[0]], exact[indexes[0], group]  # type: ignore[index]
            unit = measure.scale[0] / measure.scale[1]
            if output.kind == "avg":
                count = exact[indexes[1], group]  # type: ignore[index]
                if count:
                    assert row is not None
                    assert (measure.center + value / count) * unit == pytest.approx(float(row[position]))  # type: ignore[arg-type]
            else:
                expected = 0 if row is None or row[position] is None else row[position]
                assert value * unit == pytest.approx(float(expected))  # type: ignore[arg-type]


BIG = MANIFEST.replace("bounds: [-60, 1300]", "bounds: [0, 900000000000001]").replace("rows: 5000", "rows: 5000")


@promise("P3.5")
def test_sums_are_exact_integers_at_any_size(tmp_path: Path) -> None:
    pipeline = Pipeline(tmp_path, manifest=BIG)
    values = [900_000_000_000_001 - i % 2 for i in range(4_001)]
    rows: list[Row] = [(f"u{i}", "A", 1, v, "0", 1, "2013-01-01") for i, v in enumerate(values)]
    known, _ = pipeline.ingest(rows)
    _, exact = pipeline.exact(known, "SELECT sum(delay) FROM city.trips")
    got, expected = int(exact[0, 0]), sum(values)
    pipeline.close()
    assert got == expected, f"figure: the sum was off by {abs(got - expected)}, and off differently without one unit"


@promise("P2.1", "P2.2")
def test_distinct_identifiers_stay_distinct_units(tmp_path: Path) -> None:
    pipeline = Pipeline(tmp_path)
    rows: list[Row] = [(f"person-{i}", "A", 1, 5, "1", 1, "2013-01-01") for i in range(2_000)]
    known, report = pipeline.ingest(rows)
    _, exact = pipeline.exact(known, "SELECT count(DISTINCT rider) FROM city.trips")
    pipeline.close()
    assert int(exact[0, 0]) == 2_000, f"figure: 2,000 people became {int(exact[0, 0])} units"
    assert report.units == 2_000


@promise("P2.4")
def test_the_rows_of_other_units_do_not_move(tmp_path: Path) -> None:
    """Removing a unit, and shuffling the source, leaves every other unit's first rows what they were."""
    pipeline = Pipeline(tmp_path)
    rows = some_rows(60)
    sql = "SELECT line, hour, count(*), sum(fare) FROM city.trips GROUP BY line, hour"
    shuffled = sorted(rows, key=lambda r: hash(r[1:]))
    without = [r for r in rows if r[0] != "r13"]
    alone = [r for r in rows if r[0] == "r13"]
    exact = [pipeline.exact(pipeline.ingest(r)[0], sql, rows=3)[1] for r in (rows, shuffled, without, alone)]
    pipeline.close()
    first, other, less, one = exact
    rest = int(np.abs(first - less - one).sum())
    assert rest == 0, f"figure: removing one unit moved the others' totals by {rest}"
    changed = int(np.abs(first - other).sum())
    assert changed == 0, f"figure: the order of the source moved the totals by {changed}"
