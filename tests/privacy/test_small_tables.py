"""Tables of almost nothing: no row, one unit, one unit that owns every row, a column of zero width; right answers all."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

from sandbox.errors import RequestError
from sandbox.ingest.manifest import parse_manifest
from sandbox.plans import Stage
from tests.privacy import town as towns
from tests.privacy.pipeline import Pipeline
from tests.privacy.shapes import compare, computed
from tests.privacy.test_meaning import World, answer, check, plain
from tests.privacy.town import Row, Town, both, heavy, settle, text_of, town
from tests.promises import promise

T = "FROM city.trips"
ONLY: Row = ("R0", "A", 3, 7, "1.50", 1, "2013-02-03", "2013-02-03T04:05:07Z", "x")
OWNED: list[Row] = [
    ("R0", "ABC"[i % 3], i, 7 * i - 60, f"{i}.25", i % 2, f"2013-0{1 + i % 9}-03", None, ("x", "y", None)[i % 3]) for i in range(10)
]
TABLES = {
    "no row": Town(trips=[], stays=[]),
    "one unit": Town(trips=[ONLY], stays=[("R0", "A", 2)]),
    "one unit owns all": Town(trips=OWNED, stays=[("R0", "A", n) for n in range(4)]),
    "all NULL": Town(trips=[(f"R{i}", None, 3, *[None] * 6) for i in range(5)], stays=[]),
    "zero width": Town(trips=[(f"R{i}", *ONLY[1:]) for i in range(4)], stays=[]),
}  # fmt: skip
FLAT = {
    "bounds: [-60, 1300]": "bounds: [7, 7]", 'bounds: ["-5", "200"]': 'bounds: ["1.5", "1.5"]',
    'bounds: ["2013-01-01", "2013-12-31"]': 'bounds: ["2013-02-03", "2013-02-03"]', "domain: [A, B, C]": "domain: [A]",
}  # fmt: skip

ADDED = [
    "count(*)", "count(delay)", "count(DISTINCT rider)", "sum(delay)", "sum(fare)", "avg(delay)", "avg(fare)",
    "variance(delay)", "var_pop(delay)", "stddev(fare)", "stddev_pop(fare)", "count(*) FILTER (WHERE paid)",
    "avg(delay) FILTER (WHERE hour > 2)",
]  # fmt: skip
CHOSEN = {
    "median(delay)": "quantile_disc(delay, 0.5)", "min(delay)": "quantile_disc(delay, 0.01)", "max(day)": "quantile_disc(day, 0.99)",
    "percentile_cont(ARRAY[0.25, 0.5, 0.9]) WITHIN GROUP (ORDER BY delay)": "quantile_disc(delay, [0.25, 0.5, 0.9])",
    "histogram(delay, -60, 1300, 2)":
        "[count(*) FILTER (WHERE delay < 620), count(*) FILTER (WHERE delay >= 620)]",
}  # fmt: skip
KEYS = ["", "line", "note", "paid, line", "delay / 100"]


@pytest.fixture(scope="module", params=TABLES)
def world(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    rows, manifest = TABLES[request.param], towns.TRIPS
    with pytest.MonkeyPatch.context() as patch:
        if request.param == "zero width":
            for wide, flat in FLAT.items():
                assert wide in manifest
                manifest = manifest.replace(wide, flat)
            patch.setattr(towns, "TRIPS", manifest)
        pipeline = Pipeline(tmp_path_factory.mktemp("small"))
        yield World(pipeline=pipeline, known=settle(pipeline, rows, bits=1), plain=plain(rows))
        pipeline.close()


@promise("P3.5")
@pytest.mark.parametrize("keys", KEYS)
def test_every_aggregate_is_right_over_almost_nothing(world: World, keys: str) -> None:
    shown, group = (f"{keys}, ", f" GROUP BY {keys}") if keys else ("", "")
    theirs = keys.replace("/", "//")
    for sums in (ADDED[:6], ADDED[6:]):
        ours = f"SELECT {shown}{', '.join(sums)} {T}{group}"
        check(world, ours, ours.replace(keys, theirs) if keys else ours)
    for ours, said in CHOSEN.items():
        check(world, f"SELECT {shown}{ours} {T}{group}", f"SELECT {shown}{said} {T}{group}".replace(keys or "\0", theirs or "\0"))


def test_a_unit_is_counted_for_one_value_of_a_small_domain(world: World) -> None:
    """However many it has: the declared bound of COUNT(DISTINCT x), which bites where one unit owns every row."""
    _, rows = answer(world, f"SELECT count(DISTINCT line), count(DISTINCT note) {T}")
    units = world.plain.execute(f"SELECT count(DISTINCT rider) FILTER (WHERE line IS NOT NULL) {T}").fetchall()[0][0]
    plainly = world.plain.execute(f"SELECT count(DISTINCT line), count(DISTINCT note) {T}").fetchall()[0]
    assert rows[0] == [min(plainly[0], units), plainly[1]]


def test_the_largest_counts_are_values_of_the_domain(world: World) -> None:
    _, rows = answer(world, f"SELECT approx_top_k(line, 1) {T}")
    plainly = world.plain.execute(f"SELECT line, count(DISTINCT rider) {T} WHERE line IS NOT NULL GROUP BY line").fetchall()
    most = max((n for _, n in plainly), default=0)
    assert rows[0][0][0] in ({line for line, n in plainly if n == most} or {"A", "B", "C"})


@pytest.mark.parametrize("bounding", ["rows", "groups", "clip"])
@pytest.mark.parametrize("keys", ["line", "note"])
def test_every_bound_gives_integers_over_almost_nothing(world: World, bounding: str, keys: str) -> None:
    """Each stage, with and without labels to show: none raises, and where there is no row each sum is 0."""
    sums = "count(*), count(delay), sum(delay), avg(fare)"
    more = {"rows": 3} if bounding == "rows" else {"bounding": bounding}
    made = world.pipeline.plans(world.known, f"SELECT {keys}, {sums} {T} GROUP BY {keys}", **more)[0]  # type: ignore[arg-type]
    assert made.bound.form in {bounding, "ingest"}
    empty = not world.plain.execute(f"SELECT * {T}").fetchall()
    for labels in (((("nobody",),), ()) if made.private else (None,)):
        for stage in made.stages:
            given: dict[Stage, object] = {"keys": None, "norms": labels, "values": labels}
            found, _ = world.pipeline.stage(
                made, stage, labels=given[stage], norms=(1000,) * len(made.measures), votes=(5,) * 4  # type: ignore[arg-type]
            )
            assert all(array.dtype == np.int64 for array in found)
            if empty:
                assert not any(array.any() for array in found)


@pytest.mark.parametrize(
    ("sql", "code"),
    [
        (f"SELECT histogram(delay, 7, 7, 1) {T}", "histogram_form"),
        (f"SELECT width_bucket(delay, 7, 7, 1) AS b, count(*) {T} GROUP BY b", "expression_width_bucket"),
        (f"SELECT sum(delay / (hour - hour)) {T}", "expression_divisor"),
    ],
)
def test_ranges_without_width_are_refused_with_their_place(world: World, sql: str, code: str) -> None:
    with pytest.raises(RequestError) as caught:
        world.pipeline.plans(world.known, sql)
    assert caught.value.code == code
    assert caught.value.position is not None


@promise("P4.1", "P4.2")
def test_a_unit_whose_rows_sit_in_every_group_moves_no_more_than_any_other(tmp_path_factory: pytest.TempPathFactory) -> None:
    """A hundred rows in a hundred groups and more, bounded in each way, beside a table that the unit owns alone."""
    pipeline = Pipeline(tmp_path_factory.mktemp("heavy"))
    sql = f"SELECT line, hour, count(*), sum(delay), count(DISTINCT rider) {T} GROUP BY line, hour"
    for others in (town(8), Town(trips=[], stays=[])):
        full, less = settle(pipeline, both(others, heavy(100))), settle(pipeline, others)
        for more in ({"rows": 3}, {"bounding": "rows", "rows": 10}, {"bounding": "groups", "groups": 2}):
            for one, other in zip(
                pipeline.plans(full, sql, **more), pipeline.plans(less, sql, **more), strict=True  # type: ignore[arg-type]
            ):
                for moved in compare(one, computed(pipeline, one, None), computed(pipeline, other, None)):
                    assert moved.part <= 1 + 1e-12, str(moved)
    pipeline.close()


def test_a_join_with_itself_is_bounded_where_one_unit_owns_all(world: World) -> None:
    """Of each table the default rows of a unit are joined: three with three."""
    sql = f"SELECT count(*) {T} a JOIN city.trips b ON a.rider = b.rider"
    (plainly,) = world.plain.execute(sql).fetchall()
    assert answer(world, sql)[1] == [[min(plainly[0], 9)]]


def test_a_millionfold_fan_out_is_refused_before_anything_is_read(tmp_path_factory: pytest.TempPathFactory) -> None:
    """A thousand rows of a unit, and a public table that says the same key a thousand times: told from declared facts."""
    pipeline = Pipeline(tmp_path_factory.mktemp("fan"))
    wide = towns.TRIPS.replace("rows_per_unit: 10", "rows_per_unit: 1000").replace("tiers: [1, 3, 10]", "tiers: [1, 3, 1000]")
    wide = wide.replace("default_rows: 3", "default_rows: 1000")
    stops = towns.STOPS.replace("rows: 100", "rows: 2000")
    stored = {
        "city.trips": pipeline.stored(parse_manifest(wide, "m.yaml"), text_of(towns.TRIP_HEADER, [ONLY]))[0],
        "city.stops": pipeline.stored(
            parse_manifest(stops, "m.yaml"), text_of("line,stop,place", [("A", f"s{i}", 1 + i % 9) for i in range(1_000)])
        )[0],
    }
    known = pipeline.known(stored)
    fans = "JOIN city.stops s ON t.line = s.line"
    for sql in (f"SELECT count(*) {T} t {fans}", f"SELECT count(*) {T} t JOIN city.trips u ON t.rider = u.rider"):
        with pytest.raises(RequestError) as caught:
            pipeline.plans(known, sql, rows=3)
        assert caught.value.code == "join_fans_out"
        assert caught.value.position is not None
    pipeline.close()
