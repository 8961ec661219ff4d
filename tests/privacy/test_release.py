"""The release step: fresh noise for every number, from the price that was paid; post-processing sees nothing else."""

from __future__ import annotations

import dataclasses
import pickle

import numpy as np
import pytest

from sandbox.flow import Charged, Exact
from sandbox.query.planning.price import price
from sandbox.query.release.table import noise, table
from tests.promises import promise
from tests.unit.query.plans import plan_of
from tests.unit.query.test_price import MODEL, PURSE

SQL = "SELECT line, hour, count(*), sum(delay), avg(fare) FROM city.trips GROUP BY line, hour"


def charged_of(sql: str, **asked: object) -> Charged:
    priced = price(plan_of(sql, **asked), PURSE, MODEL)  # type: ignore[arg-type]
    return Charged(priced=priced, query_id="qry_1", attempt=1, charged_at="", event_id="", receipt={})


@promise("P5.1")
def test_noise_is_drawn_afresh_for_every_number() -> None:
    """Between any two numbers the difference is noise: what cancels would be known exactly."""
    charged = charged_of(SQL)
    plan = charged.priced.plan
    exact = Exact(charged=charged, values=np.full((len(plan.measures), plan.groups), 10**6, np.int64))
    values = noise(exact).values - 10**6
    for i, row in enumerate(values):
        distinct = len(set(row.tolist()))
        scale = charged.priced.releases[i].scale
        enough = min(len(row), int(scale)) * 0.4
        assert distinct >= enough, f"figure: {len(row)} groups had {distinct} different draws: differences are exact"
    again = noise(exact).values - 10**6
    assert (values != again).any()


@promise("P5.2")
def test_noise_is_64_bit_and_saturates_instead_of_wrapping() -> None:
    charged = charged_of("SELECT count(*) FROM city.trips")
    high = Exact(charged=charged, values=np.array([[2**62]], np.int64))
    assert abs(int(noise(high).values[0, 0]) - 2**62) < 10_000


def test_exact_integers_do_not_travel() -> None:
    exact = Exact(charged=charged_of(SQL), values=np.zeros((1, 1), np.int64))
    with pytest.raises(TypeError):
        pickle.dumps(exact)
    assert "values" not in repr(exact)


@promise("P5.4")
def test_an_average_under_its_noise_is_the_centre_and_flagged() -> None:
    charged = charged_of("SELECT line, avg(delay) FROM city.trips GROUP BY line")
    shown = table(charged.priced, np.array([[50, 9000, -3, 0], [0, 100_000, -5, 3]], np.int64))
    assert [r[0] for r in shown["rows"]] == ["A", "B", "C", None]
    assert shown["flags"] == [["few"], [], ["few"], ["few"]]
    assert shown["rows"][0][1] == 620
    assert (shown["low"][0][1], shown["high"][0][1]) == (-60, 1300)
    assert shown["rows"][1][1] == pytest.approx(620.09)
    assert shown["low"][1][1] < 620.09 < shown["high"][1][1]


def test_having_order_and_limit_run_on_noisy_values() -> None:
    charged = charged_of(
        "SELECT line, count(*) AS n FROM city.trips GROUP BY line HAVING count(*) > 5 ORDER BY n DESC LIMIT 2"
    )
    shown = table(charged.priced, np.array([[7, 3, 9, 8]], np.int64))
    assert shown["rows"] == [["C", 9], [None, 8]]


@promise("P7.2")
def test_the_stored_answer_has_one_size_whatever_the_numbers() -> None:
    charged = charged_of(SQL)
    plan = charged.priced.plan
    sizes = {
        noise(Exact(charged=charged, values=np.full((len(plan.measures), plan.groups), v, np.int64))).values.nbytes
        for v in (0, 10**9)
    }
    assert sizes == {8 * len(plan.measures) * plan.groups}


def test_order_by_key_descending_puts_null_first_as_postgresql_does() -> None:
    charged = charged_of("SELECT line, count(*) FROM city.trips GROUP BY line ORDER BY line DESC")
    shown = table(charged.priced, np.array([[1, 2, 3, 4]], np.int64))
    assert [r[0] for r in shown["rows"]] == [None, "C", "B", "A"]


def test_expression_intervals_hold_jointly() -> None:
    charged = charged_of("SELECT sum(delay) / count(*) AS mean FROM city.trips")
    shown = table(charged.priced, np.array([[100_000], [1_000]], np.int64))
    single = dataclasses.replace(charged.priced)
    assert single.plan.outputs[0].kind == "expression"
    assert shown["low"][0][0] < 100 < shown["high"][0][0]
