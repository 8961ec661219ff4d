"""Exact sensitivity (9.2): with noise off by looking at the kernel, one unit moves no stage by more than is claimed."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TypeAlias

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sandbox.query.planning.plan import Known
from tests.privacy.pipeline import Pipeline
from tests.privacy.shapes import SHAPES, Moved, compare, computed, labels_of, others, plans
from tests.privacy.town import Town, both, heavy, settle, town
from tests.promises import promise
from tests.trips import MANIFEST, Row, some_rows

BUCKETS = {1: None, 4: 2, 16: 3}
"""More threads than one have buckets of their own to work on."""
SOME = {1: SHAPES[:3], 4: SHAPES[::5], 16: SHAPES[1::9]}
"""All shapes on all numbers of threads are checked by the slow tests."""
Towns: TypeAlias = tuple[Known, Known, Known]


@pytest.fixture(params=BUCKETS, scope="module")
def pipeline(request: pytest.FixtureRequest) -> Iterator[Pipeline]:
    with tempfile.TemporaryDirectory() as folder:
        made = Pipeline(Path(folder), threads=request.param)
        yield made
        made.close()


def neighbours(pipeline: Pipeline, rows: Town, unit: str, *, bits: int | None) -> Towns:
    """The town, the town without one unit, and that unit alone."""
    return tuple(settle(pipeline, t, bits=bits) for t in (rows, rows.without(unit), rows.alone(unit)))  # type: ignore[return-value]


def check(pipeline: Pipeline, towns: Towns, shapes: list[str]) -> list[Moved]:
    """All shapes under all bounds that fit, every stage; gives how far each was moved."""
    found = []
    for sql in shapes:
        for triple in zip(*(plans(pipeline, known, sql) for known in towns), strict=True):
            plan = triple[0]
            labels = labels_of(pipeline, plan)
            full, less, alone = (computed(pipeline, p, labels) for p in triple)
            for moved in compare(plan, full, less):
                assert moved.part <= 1 + 1e-12, f"{moved}: {sql}"
                found.append(moved)
            changed = list(others(plan, full, less, alone))
            assert not changed, f"figure: without one unit, others gave something else: {changed} ({plan.bound}): {sql}"
    return found


@pytest.fixture(scope="module")
def single() -> Iterator[Pipeline]:
    with tempfile.TemporaryDirectory() as folder:
        made = Pipeline(Path(folder))
        yield made
        made.close()


@pytest.fixture(scope="module")
def towns(single: Pipeline) -> Towns:
    return neighbours(single, both(town(), heavy()), "HEAVY", bits=None)


@promise("P1.1", "P4.1", "P4.2", "P4.3", "P3.2")
@pytest.mark.parametrize("sql", SHAPES, ids=range(len(SHAPES)))
def test_one_unit_moves_no_stage_by_more_than_its_claim(single: Pipeline, towns: Towns, sql: str) -> None:
    assert check(single, towns, [sql])


@promise("P1.1", "P4.1", "P4.2")
def test_claims_are_reached(single: Pipeline, towns: Towns) -> None:
    """A unit that gives all it can moves a total by all that is claimed: noise is not bought for nothing."""
    moved = check(single, towns, [f"SELECT line, count(*), sum(fare) FROM city.trips{w} GROUP BY line" for w in ("", " WHERE hour >= 0")])
    # Which of its groups a unit keeps is for the key to say, and not all of them are full.
    assert {m.plan.bound.form for m in moved if m.part > (0.5 if m.plan.bound.form == "groups" else 0.99)} == {
        "ingest", "rows", "groups", "clip",
    }  # fmt: skip


@promise("P1.1", "P4.1", "P4.2", "P3.2")
def test_claims_hold_on_any_number_of_threads(pipeline: Pipeline) -> None:
    rows, bits = both(town(), heavy()), BUCKETS[pipeline.threads]
    assert check(pipeline, neighbours(pipeline, rows, "HEAVY", bits=bits), SOME[pipeline.threads])


@pytest.mark.slow
@promise("P1.1", "P4.1", "P4.2", "P4.3", "P3.2")
@pytest.mark.parametrize("unit", ["HEAVY", "R7", "R9", "R16"])
def test_no_unit_moves_any_stage_by_more_than_its_claim(pipeline: Pipeline, unit: str) -> None:
    towns = neighbours(pipeline, both(town(40), heavy(400)), unit, bits=BUCKETS[pipeline.threads])
    assert check(pipeline, towns, SHAPES)


CELLS = st.tuples(
    st.sampled_from(["U", "A", "B"]),
    st.sampled_from(["A", "B", "Z", None]),
    st.integers(-3, 30),
    st.one_of(st.none(), st.integers(-2000, 2000)),
    st.sampled_from(["0", "1.005", "-5", "200", "1e3", "nan", None]),
    st.sampled_from([0, 1, None]),
    st.sampled_from(["2013-01-01", "2013-12-31", "2013-02-30", None]),
    st.sampled_from(["2013-01-01T00:00:00Z", "2014-01-01T00:00:00Z", "x", None]),
    st.sampled_from(["", "x", "\u00e9", "e\u0301", "Z" * 300, None]),
)
STAYS = st.tuples(st.sampled_from(["U", "A", "B"]), st.sampled_from(["A", "C", None]), st.integers(-1, 12))


TRIPS_OF = st.lists(CELLS, max_size=30)
STAYS_OF = st.lists(STAYS, max_size=8)
ODD = {"deadline": None, "suppress_health_check": [HealthCheck.function_scoped_fixture, HealthCheck.too_slow]}


@promise("P1.1", "P3.2")
@settings(max_examples=4, **ODD)  # type: ignore[arg-type]
@given(trips=TRIPS_OF, stays=STAYS_OF, shapes=st.sets(st.sampled_from(SHAPES), min_size=3, max_size=3))
def test_on_any_small_table(single: Pipeline, trips: list[Row], stays: list[Row], shapes: set[str]) -> None:
    check(single, neighbours(single, Town(trips=trips, stays=stays), "U", bits=None), sorted(shapes))


@pytest.mark.slow
@promise("P1.1", "P3.2")
@settings(max_examples=40, **ODD)  # type: ignore[arg-type]
@given(trips=TRIPS_OF, stays=STAYS_OF, shapes=st.sets(st.sampled_from(SHAPES), min_size=3, max_size=3))
def test_on_any_small_table_and_threads(pipeline: Pipeline, trips: list[Row], stays: list[Row], shapes: set[str]) -> None:
    towns = neighbours(pipeline, Town(trips=trips, stays=stays), "U", bits=BUCKETS[pipeline.threads])
    check(pipeline, towns, sorted(shapes))


@promise("P2.3")
def test_buckets_and_threads_change_no_integer(pipeline: Pipeline) -> None:
    """Also where two tables have different numbers of buckets: of the wider, several go into one of the narrower."""
    rows = both(town(20), heavy(20))
    versions = [settle(pipeline, rows, bits=bits) for bits in (None, 1, 3)]
    for sql in SHAPES[pipeline.threads % 7 :: 7]:
        for made in zip(*(plans(pipeline, known, sql) for known in versions), strict=True):
            labels = labels_of(pipeline, made[0])
            # Clipping rounds in a fixed point that follows from how many rows there may be.
            first, *rest = [computed(pipeline, p, labels) for p in made if made[0].bound.form != "clip"] or [None]
            for other in rest:
                assert first is not None
                assert other.votes == first.votes, sql
                for a, b in zip(first.values[()], other.values[()], strict=True):
                    assert (a == b).all(), sql


@promise("P4.2")
def test_slots_change_no_integer(single: Pipeline) -> None:
    """What ingest numbered for each unit is a shortcut: without it every stage under every bound is the same."""
    rows = both(town(20), heavy(20))
    with_, without = (settle(single, rows, slots=slots) for slots in (True, False))
    assert with_.tables["city.trips"].version.slots
    assert not without.tables["city.trips"].version.slots
    for sql in SHAPES:
        for one, other in zip(plans(single, with_, sql), plans(single, without, sql), strict=True):
            labels = labels_of(single, one)
            a, b = computed(single, one, labels), computed(single, other, labels)
            assert a.votes == b.votes, sql
            assert all((x == y).all() for x, y in zip(a.norms, b.norms, strict=True)), sql
            for cut in a.values:
                for m, x, y in zip(one.measures, a.values[cut], b.values[cut], strict=True):
                    assert (x == y).all(), (sql, one.bound, m.kind)


@promise("P4.1")
def test_unfiltered_rows_are_those_that_ingest_chose(pipeline: Pipeline) -> None:
    """Bounded by what is read, and bounded row by row after reading all: the same integers where nothing is filtered."""
    known = settle(pipeline, both(town(20), heavy(20)), bits=BUCKETS[pipeline.threads])
    compared = 0
    for sql in SHAPES if pipeline.threads == 1 else SHAPES[::3]:
        if " JOIN " in sql or "WHERE" in sql or "FROM (" in sql or "WITH" in sql:
            continue
        for k in (1, 3, 10):
            read, sorted_ = (pipeline.plans(known, sql, rows=k, bounding=form)[0] for form in ("ingest", "rows"))
            if (read.bound.form, sorted_.bound.form) != ("ingest", "rows"):
                continue
            labels = labels_of(pipeline, read)
            a, b = (pipeline.stage(p, labels=labels)[0] for p in (read, sorted_))
            compared += 1
            for x, y in zip(a, b, strict=True):
                assert (x == y).all(), sql
    assert compared > 10


BIG = MANIFEST.replace("bounds: [-60, 1300]", "bounds: [0, 900000000000001]")


@promise("P3.5")
def test_sums_are_exact_integers_at_any_size(tmp_path: Path) -> None:
    pipeline = Pipeline(tmp_path, manifest=BIG)
    values = [900_000_000_000_001 - i % 2 for i in range(4_001)]
    rows: list[Row] = [(f"u{i}", "A", 1, v, "0", 1, "2013-01-01") for i, v in enumerate(values)]
    known, _ = pipeline.ingest(rows)
    _, exact = pipeline.exact(known, "SELECT sum(delay) FROM city.trips")
    got, expected = int(exact[0][0, 0]), sum(values)
    pipeline.close()
    assert got == expected, f"figure: the sum was off by {abs(got - expected)}, and off differently without one unit"


@promise("P2.1", "P2.2")
def test_distinct_identifiers_stay_distinct_units(tmp_path: Path) -> None:
    pipeline = Pipeline(tmp_path)
    rows: list[Row] = [(f"person-{i}", "A", 1, 5, "1", 1, "2013-01-01") for i in range(2_000)]
    known, report = pipeline.ingest(rows)
    _, exact = pipeline.exact(known, "SELECT count(DISTINCT rider) FROM city.trips")
    pipeline.close()
    assert int(exact[0][0, 0]) == 2_000, f"figure: 2,000 people became {int(exact[0][0, 0])} units"
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
    exact = [np.hstack(pipeline.exact(pipeline.ingest(r)[0], sql, rows=3)[1]) for r in (rows, shuffled, without, alone)]
    pipeline.close()
    first, other, less, one = exact
    rest = int(np.abs(first - less - one).sum())
    assert rest == 0, f"figure: removing one unit moved the others' totals by {rest}"
    changed = int(np.abs(first - other).sum())
    assert changed == 0, f"figure: the order of the source moved the totals by {changed}"
