"""Small audits, one for each way to break the house that the wide ones take too long to show; the museum breaks them."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from sandbox.errors import IntegrityFailed, RequestError
from sandbox.executors.claims import Claims
from sandbox.flow import Exact
from sandbox.privacy import keys
from sandbox.privacy.accounting import DELTA_UNIT
from sandbox.query.kernel.merge import merged
from sandbox.query.kernel.ranks import Ranks, first_rows
from sandbox.query.kernel.task import Part, task_of
from sandbox.query.planning.plan import Known
from sandbox.query.planning.price import price
from sandbox.query.planning.rung import CostModel
from sandbox.query.release.noise import noise
from tests.privacy import audits
from tests.privacy.pipeline import Pipeline
from tests.privacy.shapes import compare, computed
from tests.privacy.test_release import charged_of
from tests.privacy.town import both, heavy, settle, town
from tests.promises import promise
from tests.unit.ingest.test_ingest import COLUMNS, csv_of
from tests.unit.query.test_price import PURSE
from tests.workshop import make_workshop, manifest

FAN = "FROM city.trips t LEFT JOIN city.stops s ON t.line = s.line"
TAIL = "SELECT line, count(*), sum(fare) FROM city.trips WHERE hour >= 2 GROUP BY line"


@pytest.fixture(scope="module")
def pipeline(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pipeline]:
    made = Pipeline(tmp_path_factory.mktemp("caught"))
    yield made
    made.close()


@pytest.fixture(scope="module")
def neighbours(pipeline: Pipeline) -> tuple[Known, Known]:
    rows = both(town(12), heavy(30))
    return settle(pipeline, rows), settle(pipeline, rows.without("HEAVY"))


def claims_hold(pipeline: Pipeline, neighbours: tuple[Known, Known], sql: str, **asked: object) -> None:
    full, less = (pipeline.plans(known, sql, **asked) for known in neighbours)  # type: ignore[arg-type]
    for one, other in zip(full, less, strict=True):
        for moved in compare(one, computed(pipeline, one, None), computed(pipeline, other, None)):
            assert moved.part <= 1 + 1e-12, str(moved)


@promise("P4.2")
def test_rows_of_a_join_are_bounded_after_it(pipeline: Pipeline, neighbours: tuple[Known, Known]) -> None:
    for rows in (1, 3):
        claims_hold(pipeline, neighbours, f"SELECT count(*), count(s.stop) {FAN}", rows=rows)


@promise("P4.2")
def test_rows_of_later_tiers_count_on_from_those_before(pipeline: Pipeline, neighbours: tuple[Known, Known]) -> None:
    for rows in (1, 3):
        claims_hold(pipeline, neighbours, TAIL, rows=rows)


@promise("P4.2", "P4.3")
def test_a_tail_out_of_order_is_refused_or_cut_all_the_same() -> None:
    """As a join would give it: a unit's rows apart from each other."""
    unit = np.array([0, 1, 0, 1, 0, 1, 0], np.uint32)
    kept = first_rows(unit, [np.arange(7)], 2)
    with contextlib.suppress(IntegrityFailed):
        kept = Ranks(2, 2).keep(unit, 1)
    most = int(np.bincount(unit[kept]).max())
    assert most == 2, f"figure: a unit of 2 rows kept {most}"


@promise("P2.4")
def test_ordinals_go_on_after_an_append(tmp_path: Path) -> None:
    workshop = make_workshop(tmp_path / "w")
    for number in range(4):
        workshop.source(csv_of([["a", number, "walk", "", 1]]))
        assert (workshop.update(manifest(COLUMNS)) if number else workshop.run(manifest(COLUMNS))).state == "committed"
    found = [row["ordinal"] for row in workshop.rows()]
    first = sum(ordinal == 0 for ordinal in found)
    assert found == [0, 1, 2, 3], f"figure: after three appends one unit had {first} first rows"


@promise("P5.1")
def test_each_bin_of_a_histogram_has_noise_of_its_own() -> None:
    """Groups are as many draws: what they prove of one row in the first bin is no more than its price."""
    charged = charged_of("SELECT line, hour, histogram(fare, 0, 200, 8) FROM city.trips GROUP BY line, hour", rows=1)
    plan = charged.priced.plan
    states = []
    for moved in (1, 0):
        values = np.full((plan.groups, plan.measures[0].width), 50, np.int64)
        values[:, 0] += moved
        exact = Exact(charged=charged, stage="values", values=(values,))
        states.append(np.concatenate([noise(exact).values[0] for _ in range(60)]).astype(np.float64))
    paid, bound = audits.charged_loss(charged.priced)
    found = audits.proven(states[0], states[1], bound=bound)
    assert found <= paid, f"figure: a loss of {found:.2f} was proven where {paid:.2f} was paid"


def rare_enough(mechanism: keys.Mechanism, scale: float, above: int, draws: int) -> None:
    at = keys.VOTE + above
    paid = keys.price(mechanism, scale=scale, most=1, threshold=at).delta / DELTA_UNIT
    shown, _ = keys.release(mechanism, scale=scale, threshold=at, sums=np.full(draws, keys.VOTE, np.int64))
    found = audits.least(int(shown.sum()), len(shown))
    assert found <= paid, f"figure: a key of one unit was shown {found:.4f} of the time where delta {paid:.4f} was paid"


SMALL: list[tuple[keys.Mechanism, float, int]] = [("laplace", 1.0, 3), ("gaussian", 2.0, 3)]
"""Noise so small that one step of the threshold shows."""


@promise("P5.3")
@pytest.mark.parametrize(("mechanism", "scale", "above"), SMALL)
def test_a_key_of_one_unit_is_shown_no_more_often_than_delta(mechanism: keys.Mechanism, scale: float, above: int) -> None:
    rare_enough(mechanism, scale, above, 20_000)


@pytest.mark.slow
@promise("P5.3")
@pytest.mark.parametrize(
    ("mechanism", "scale", "above"), [*SMALL, ("laplace", 30_000.0, 200_000), ("gaussian", 50_000.0, 130_000)]
)
def test_of_200_000_keys_of_one_unit_no_more_are_shown_than_delta(
    mechanism: keys.Mechanism, scale: float, above: int
) -> None:
    rare_enough(mechanism, scale, above, 200_000)


@promise("P2.3")
def test_a_second_answer_for_a_bucket_is_dropped() -> None:
    """A bucket that was asked for again, and both times answered, is merged once."""
    claims: Claims[Part] = Claims("r", range(2))
    for bucket in range(2):
        claims.ask(bucket, "first")
        claims.take("r", bucket, Part(arrays=(np.full((1, 1), 100 + bucket, np.int64),)))
        claims.ask(bucket, "second")
        claims.take("r", bucket, Part(arrays=(np.full((1, 1), 100 + bucket, np.int64),)))
    task = task_of(charged_of("SELECT count(*) FROM city.trips").priced, "values", labels=None, norms=())
    (total,), _ = merged(task, claims.answers())
    assert int(total[0, 0]) == 201, f"figure: 201 rows were counted as {int(total[0, 0])}"


ASKED = [TAIL, f"SELECT count(*) {FAN}", "SELECT note, count(*) FROM city.trips GROUP BY note", "SELECT median(delay) FROM city.trips"]
SLOW = [CostModel(row_column=2 ** (i / 8), row_node=1e-3, number=1e-6, fixed=0.02, threads=1) for i in range(8)]
"""Machines so slow that on one of them a tenth more rows would be another rung."""


@promise("P2.5", "P6.5", "P7.1", "P1.3")
def test_refusal_price_and_rung_follow_from_declared_facts(pipeline: Pipeline, neighbours: tuple[Known, Known]) -> None:
    for sql in ASKED:
        looks = []
        for known in neighbours:
            try:
                made = pipeline.plans(known, sql)
                priced = price(made, PURSE, SLOW[0])
            except RequestError as error:
                looks.append((error.code, "", ""))
                continue
            looks.append(("priced", f"{priced.cost} {priced.releases} {priced.plan.bound}", ", ".join(f"{slow.rung(priced.plan):g}" for slow in SLOW)))
        (status, paid, rung), (other, paid_other, rung_other) = looks
        assert status == other == "priced", f"figure: with the unit {status}, without it {other}"
        assert rung == rung_other, f"figure: with the unit the rungs were {rung} s, without it {rung_other} s"
        assert paid == paid_other
