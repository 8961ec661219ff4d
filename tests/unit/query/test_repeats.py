"""Free answers: which questions are the same, and which numbers add up to a coarser answer, with what error."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandbox.flow import Plan, Priced, Released
from sandbox.privacy import mechanisms
from sandbox.query import canonical, rollup
from sandbox.query.planning.price import price
from sandbox.query.release.free import Source
from sandbox.query.release.table import groups_of, table
from tests.promises import promise
from tests.unit.query.plans import plan_of, plans_of
from tests.unit.query.test_price import MODEL, PURSE

UNIT = 10**12
FINE = "SELECT line, hour, paid, count(*), sum(fare), avg(delay) FROM city.trips GROUP BY line, hour, paid"


def priced_of(sql: str, **more: Any) -> Priced:
    return price(plans_of(sql, **more), PURSE, MODEL)


def released_of(priced: Priced, seed: int = 0) -> Released:
    """Numbers that a stage "values" may have released."""
    rng = np.random.default_rng(seed)
    shape = (priced.plan.groups, 1)
    return Released(values=tuple(rng.integers(-(10**6), 10**6, shape) for _ in priced.plan.measures))


# --- questions --------------------------------------------------------------------------------------------------------

SQL = "SELECT line, avg(fare) FROM city.trips WHERE hour > 7 GROUP BY line HAVING count(*) > 10"


@promise("P6.4")
def test_a_question_is_the_same_however_it_is_spelled_or_bounded_or_priced() -> None:
    wanted = canonical.question(plan_of(SQL))
    for spelled in (SQL.lower(), SQL.replace("line,", "trips.line,").replace("trips WHERE", "trips AS trips WHERE")):
        assert canonical.question(plan_of(spelled)) == wanted
    made = plans_of(FINE, rows=10)
    assert len(made) > 1, "two bounds fit"
    assert len({canonical.question(p) for p in made}) == 1


@promise("P6.4")
@pytest.mark.parametrize("changed", [
    {"sql": SQL.replace("7", "8")}, {"sql": SQL.replace("avg(fare)", "avg(fare) AS x")}, {"sql": SQL + " LIMIT 3"},
    {"epsilon": 2 * UNIT}, {"within": 50.0}, {"rows": 10}, {"bounding": "rows"}, {"bounding": "groups", "groups": 1},
])  # fmt: skip
def test_what_was_asked_for_is_part_of_the_question(changed: dict[str, Any]) -> None:
    sql = changed.pop("sql", SQL)
    counted = sql.replace("avg(fare)", "sum(fare)") if "within" in changed else sql
    assert canonical.question(plan_of(counted, **changed)) != canonical.question(plan_of(SQL))


@promise("P6.4")
def test_grant_versions_and_code_are_part_of_the_question(monkeypatch: pytest.MonkeyPatch) -> None:
    plan = plan_of(SQL)
    wanted = canonical.question(plan)
    terms = replace(plan.permitted, grant=replace(plan.permitted.grant, id="grt_2"))
    table_ = replace(plan.tables[0], version=replace(plan.tables[0].version, id="ver_2"))
    others = [replace(plan, permitted=terms), replace(plan, tables=(table_,)), replace(plan, public=(table_,))]
    assert wanted not in {canonical.question(p) for p in others}
    assert canonical.basis(plan, plan.relation) not in {canonical.basis(p, p.relation) for p in others[1:]}
    monkeypatch.setattr(canonical, "__version__", "9.9")
    assert canonical.question(plan) != wanted


# --- numbers ----------------------------------------------------------------------------------------------------------


def expected(plan: Plan, source: Plan, released: Released, passes: Any, places: Sequence[int]) -> dict[Any, list[int]]:
    """The sums group by group, by labels alone."""
    keys = [next(i for i, k in enumerate(source.keys) if k.expr == wanted.expr) for wanted in plan.keys]
    sums = {label: [0] * len(places) for label in itertools.product(*(k.domain or () for k in plan.keys))}
    for g, label in enumerate(groups_of(source, released)):
        if passes(label):
            into = sums[tuple(label[k] for k in keys)]
            for i, place in enumerate(places):
                into[i] += int(released.values[place][g, 0])
    return sums


@promise("P6.4")
@given(
    keys=st.permutations(["line", "hour", "paid"]).flatmap(lambda p: st.integers(0, 3).map(lambda n: p[:n])),
    kept=st.sets(st.integers(0, 23), min_size=1, max_size=5),
    filtered=st.booleans(),
    seed=st.integers(0, 99),
)
def test_a_roll_up_is_the_sum_of_its_groups(keys: list[str], kept: set[int], filtered: bool, seed: int) -> None:
    source = priced_of(FINE, rows=10, bounding="ingest")
    released = released_of(source, seed)
    filtered &= "hour" not in keys
    where = f" WHERE hour IN ({', '.join(map(str, sorted(kept)))}) AND line = 'B'" if filtered else ""
    keys = [k for k in keys if k != "line" or not filtered]
    select = ", ".join([*keys, "avg(delay)", "count(*)"])
    by = f" GROUP BY {', '.join(keys)}" if keys else ""
    plan = plan_of(f"SELECT {select} FROM city.trips{where}{by}", rows=10, bounding="ingest")
    way = rollup.way(plan, source.plan)
    assert way is not None
    assert canonical.basis(source.plan, source.plan.relation) in {canonical.basis(plan, r) for r in rollup.bases(plan)}
    found = rollup.summed(way, source, released)
    passes = (lambda label: label[0] == "B" and label[1] in kept) if filtered else (lambda _label: True)
    wanted = expected(plan, source.plan, released, passes, way.measures)
    assert [list(row) for row in zip(*(v[:, 0] for v in found.values), strict=True)] == list(wanted.values())
    lines, hours, paids = (len(k.domain or ()) for k in source.plan.keys)
    sizes = {"line": 1 if filtered else lines, "hour": len(kept) if filtered else hours, "paid": paids}
    assert found.cells == np.prod([n for k, n in sizes.items() if k not in keys], dtype=int)


@promise("P6.4")
@pytest.mark.parametrize(("source", "question", "why"), [
    (FINE, "SELECT line, count(*) FROM city.trips WHERE day > '2013-01-01' GROUP BY line", "other rows"),
    (FINE, "SELECT line, count(*) FROM city.trips WHERE hour > 3 GROUP BY line", "no list of values"),
    (FINE, "SELECT hour, count(*) FROM city.trips WHERE hour = 3 GROUP BY hour", "filtered and shown"),
    (FINE, "SELECT line, count(delay + 1) FROM city.trips GROUP BY line", "another count"),
    (FINE, "SELECT line, sum(delay) FROM city.trips GROUP BY line", "another centre"),
    (FINE, "SELECT line, count(DISTINCT hour) FROM city.trips GROUP BY line", "not additive"),
    (FINE, "SELECT line, count(DISTINCT rider) FROM city.trips GROUP BY line", "not additive"),
    (FINE, "SELECT line, median(delay) FROM city.trips GROUP BY line", "not additive"),
    (FINE, "SELECT line, hour, day, count(*) FROM city.trips GROUP BY line, hour, day", "finer"),
    ("SELECT count(*) FROM city.trips", "SELECT line, count(*) FROM city.trips GROUP BY line", "finer"),
    ("SELECT note, count(*) FROM city.trips GROUP BY note", "SELECT count(*) FROM city.trips", "private keys"),
])  # fmt: skip
def test_what_does_not_add_up_is_not_added_up(source: str, question: str, why: str) -> None:
    lender = plan_of(source, bounding="ingest")
    for plan in plans_of(question, bounding="ingest"):
        assert rollup.way(plan, lender) is None or canonical.basis(lender, lender.relation) not in {
            canonical.basis(plan, r) for r in rollup.bases(plan)
        }, why


@promise("P6.4")
def test_bounds_must_be_the_same_and_a_filter_must_not_move_behind_one_that_it_decides() -> None:
    by_line = "SELECT line, count(*) FROM city.trips GROUP BY line"
    assert rollup.way(plan_of(by_line, rows=3), plan_of(FINE, rows=3)) is not None
    assert rollup.way(plan_of(by_line, rows=3), plan_of(FINE, rows=10)) is None
    assert rollup.way(plan_of(by_line, bounding="rows"), plan_of(FINE, bounding="ingest")) is None
    grouped = {"bounding": "groups", "groups": 2}
    assert rollup.way(plan_of(by_line, **grouped), plan_of(FINE, **grouped)) is None, "groups that are kept differ"
    at_noon = "SELECT line, count(*) FROM city.trips WHERE hour = 12 GROUP BY line"
    assert rollup.way(plan_of(at_noon, bounding="ingest"), plan_of(FINE, bounding="ingest")) is not None
    assert rollup.way(plan_of(at_noon, bounding="rows"), plan_of(FINE, bounding="rows")) is None
    every = {"bounding": "rows", "rows": 10}
    assert rollup.way(plan_of(at_noon, **every), plan_of(FINE, **every)) is not None, "ten rows are all of them"


def test_sums_are_exact_and_saturate() -> None:
    source = priced_of("SELECT line, hour, count(*) FROM city.trips GROUP BY line, hour", bounding="ingest")
    way = rollup.way(plan_of("SELECT count(*) FROM city.trips", bounding="ingest"), source.plan)
    assert way is not None
    shape = (source.plan.groups, 1)
    for value, wanted in ((2**62, 2**63 - 1), (-(2**62), -(2**63)), (2**40 + 7, (2**40 + 7) * shape[0]), (-3, -3 * shape[0])):
        released = Released(values=(np.full(shape, value, np.int64),))
        assert rollup.summed(way, source, released).values[0].tolist() == [[wanted]]


# --- errors -----------------------------------------------------------------------------------------------------------

BY_LINE = "SELECT line, count(*), sum(fare), avg(delay) FROM city.trips GROUP BY line"
HOURLY = "SELECT line, hour, count(*), sum(fare), avg(delay) FROM city.trips GROUP BY line, hour"


def is_free(asked: Priced, source: Priced) -> bool:
    way = rollup.way(asked.plan, source.plan)
    if way is None:
        return False
    summed = rollup.summed(way, source, released_of(source))
    return rollup.is_good_enough(summed, rollup.priced_as(asked.plan, way, source), asked)


@promise("P6.4")
def test_a_roll_up_is_free_exactly_while_it_errs_no_more_than_what_is_asked_for() -> None:
    source = priced_of(HOURLY, epsilon=10 * UNIT)
    answers = [is_free(priced_of(BY_LINE, epsilon=e * UNIT // 100), source) for e in (5, 50, 150, 250, 500, 1000, 2000)]
    assert answers == sorted(answers, reverse=True)
    assert answers[0] is True
    assert answers[-1] is False
    counts = HOURLY.replace(", sum(fare), avg(delay)", ""), BY_LINE.replace(", sum(fare), avg(delay)", "")
    source, asked = priced_of(counts[0], epsilon=UNIT), priced_of(counts[1], epsilon=UNIT)
    (ours,) = rollup.expected_errors(source)
    (theirs,) = rollup.expected_errors(asked)
    assert ours * np.sqrt(24) > theirs
    assert not is_free(asked, source), "24 numbers have more noise than one at the same price"


@promise("P6.4")
def test_an_accuracy_that_is_asked_for_is_kept_by_the_interval() -> None:
    counts = HOURLY.replace(", sum(fare), avg(delay)", ""), BY_LINE.replace(", sum(fare), avg(delay)", "")
    source = priced_of(counts[0], epsilon=UNIT)
    for within in (5.0, 20.0, 50.0, 90.0, 200.0, 500.0):
        asked = priced_of(counts[1], within=within)
        way = rollup.way(asked.plan, source.plan)
        assert way is not None
        summed = rollup.summed(way, source, released_of(source))
        answered = rollup.priced_as(asked.plan, way, source)
        low, high = (table(answered, summed)[end][0][1] for end in ("low", "high"))
        if rollup.is_good_enough(summed, answered, asked):
            assert high - low <= 2 * within
        else:
            assert within < 200


@promise("P5.4", "P6.4")
@pytest.mark.parametrize("epsilon", [UNIT // 2, 5 * UNIT])
def test_intervals_of_a_roll_up_cover(epsilon: int) -> None:
    source = priced_of(HOURLY, epsilon=epsilon)
    plan = plan_of(BY_LINE)
    way = rollup.way(plan, source.plan)
    assert way is not None
    answered, true = rollup.priced_as(plan, way, source), 40
    covered = np.zeros(3)
    for _ in range(50):
        exact = np.full((source.plan.groups, 1), true, np.int64)
        noisy = tuple(
            mechanisms.add_noise("laplace" if r.mechanism == "laplace" else "gaussian", scale=r.scale, values=exact)
            for r in source.releases
        )
        made = table(answered, rollup.summed(way, source, Released(values=noisy)))
        total, centre = true * 24, answered.plan.measures[2].center
        wanted = (total, total / 100, centre + 1)
        for low, high in zip(made["low"], made["high"], strict=True):
            covered += [a <= w <= b for a, w, b in zip(low[1:], wanted, high[1:], strict=True)]
    assert (covered / (50 * 4) > 0.91).all(), covered


@promise("P6.4")
def test_clipped_numbers_add_up_at_the_norm_that_their_source_released() -> None:
    sql = "SELECT line, count(*), sum(delay) FROM city.trips GROUP BY line"
    clipped = {"bounding": "clip", "rows": 10}
    source = priced_of(sql.replace("line", "line, hour"), epsilon=10 * UNIT, **clipped)
    asked = priced_of(sql, epsilon=UNIT // 10, **clipped)
    way = rollup.way(asked.plan, source.plan)
    assert way is not None
    values = tuple(np.full((source.plan.groups, 1), v, np.int64) for v in (100_000, 50_000))
    released = Released(values=values, norms=(4, 900))
    own, summed = table(source, released), rollup.summed(way, source, released)
    answered = rollup.priced_as(asked.plan, way, source)
    assert rollup.is_good_enough(summed, answered, asked)
    made = table(answered, summed)
    for column in (1, 2):
        assert made["rows"][0][column] == pytest.approx(24 * own["rows"][0][column + 1], abs=13)
        ours, theirs = (t["high"][0][c] - t["low"][0][c] for t, c in ((made, column), (own, column + 1)))
        assert ours == pytest.approx(theirs * 24**0.5, rel=0.01, abs=2)
    alone = rollup.way(plan_of(sql.replace(", sum(delay)", ""), **clipped), source.plan)
    assert alone is not None
    assert rollup.summed(alone, source, released).scales == summed.scales[:1], "its steps are those of its source"


def test_a_source_says_where_an_answer_comes_from() -> None:
    told = Source(query="qry_1", kind="roll-up", cells=24).told()
    assert (told["query"], told["kind"], told["cells"]) == ("qry_1", "roll-up", 24)
    assert "24" in told["text"]["en"]
    assert "24" in told["text"]["zh"]
    assert "cells" not in Source(query="qry_1", kind="repeat").told()
