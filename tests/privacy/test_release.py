"""The release step: fresh noise for every number, from the price that was paid; post-processing sees nothing else."""

from __future__ import annotations

import pickle
from typing import Any

import numpy as np
import pytest

from sandbox.flow import Charged, Exact, Ints, Released
from sandbox.plans import Measure
from sandbox.privacy import keys
from sandbox.privacy.accounting import UNIT
from sandbox.privacy.relative import Combined
from sandbox.query.planning import sizes
from sandbox.query.planning.price import price
from sandbox.query.release.noise import noise
from sandbox.query.release.stored import pack, unpack
from sandbox.query.release.table import table
from sandbox.query.steps import next_releases
from tests.promises import promise
from tests.unit.query.plans import plans_of
from tests.unit.query.test_price import MODEL, PURSE

SQL = (
    "SELECT line, hour, count(*), sum(delay), avg(fare), histogram(fare, 0, 200, 4), median(delay), "
    "approx_top_k(line, 2), count(DISTINCT note), count(DISTINCT rider) FROM city.trips GROUP BY line, hour"
)


def charged_of(sql: str, **asked: Any) -> Charged:
    priced = price(plans_of(sql, **asked), PURSE, MODEL)
    return Charged(priced=priced, query_id="qry_1", attempt=1, charged_at="", event_id="", receipt={})


def values_of(measures: tuple[Measure, ...], groups: int, value: int) -> tuple[Ints, ...]:
    return tuple(np.full((groups, m.width), value, np.int64) for m in measures)


def released(*rows: list[int]) -> Released:
    return Released(values=tuple(np.array(row, np.int64).reshape(-1, 1) for row in rows))


@promise("P5.1")
def test_noise_is_drawn_afresh_for_every_number() -> None:
    """Between any two numbers the difference is noise: what cancels would be known exactly."""
    charged = charged_of(SQL)
    plan = charged.priced.plan
    exact = Exact(charged=charged, stage="values", values=values_of(plan.measures, plan.groups, 10**6))
    first, again = noise(exact).values, noise(exact).values
    for measure, release, drawn, other in zip(plan.measures, charged.priced.releases, first, again, strict=True):
        assert drawn.shape == (plan.groups, measure.out_width)
        if measure.kind in {"quantile", "top"}:
            continue
        numbers = (drawn - 10**6).reshape(-1)
        enough = min(len(numbers), int(release.scale)) * 0.4
        assert len(set(numbers.tolist())) >= enough, (
            f"figure: {len(numbers)} groups had {len(set(numbers.tolist()))} different draws: differences are exact"
        )
        assert (drawn != other).any()
    for i, m in enumerate(plan.measures):
        for j, n in enumerate(plan.measures):
            if i < j and m.width == n.width == 1:
                same = int((first[i] - 10**6 == first[j] - 10**6).sum())
                assert same < plan.groups / 2, f"figure: two measures had the same noise in {same} of {plan.groups} groups"


@promise("P5.1")
def test_a_selection_is_drawn_afresh_in_each_group() -> None:
    charged = charged_of("SELECT hour, median(delay), approx_top_k(line, 1) FROM city.trips GROUP BY hour")
    plan = charged.priced.plan
    chosen = noise(Exact(charged=charged, stage="values", values=values_of(plan.measures, plan.groups, 0))).values
    assert chosen[0].shape == chosen[1].shape == (24, 1)
    assert len(set(chosen[0][:, 0].tolist())) > 12, "over nothing, every candidate is as good"
    assert set(chosen[1][:, 0].tolist()) <= {0, 1, 2}


@promise("P5.2")
def test_noise_is_64_bit_and_saturates_instead_of_wrapping() -> None:
    charged = charged_of("SELECT count(*) FROM city.trips")
    high = Exact(charged=charged, stage="values", values=(np.array([[2**62]], np.int64),))
    assert abs(int(noise(high).values[0][0, 0]) - 2**62) < 10_000


def test_exact_integers_do_not_travel() -> None:
    exact = Exact(charged=charged_of(SQL), stage="values", values=(np.zeros((1, 1), np.int64),))
    with pytest.raises(TypeError):
        pickle.dumps(exact)
    assert "values" not in repr(exact)


@promise("P5.3")
def test_private_keys_are_shown_where_enough_units_vote_and_no_other_leaves() -> None:
    charged = charged_of("SELECT note, count(*) FROM city.trips GROUP BY note")
    enough = keys.certain("gaussian", scale=charged.priced.keys.scale, threshold=charged.priced.keys.threshold, miss=1e-9)  # type: ignore[union-attr]
    labels = (("few",), ("many",), (None,), ("",))
    votes = np.array([1, 2 * enough, 2 * enough, 1], dtype=np.int64).reshape(-1, 1) * keys.VOTE
    noisy = noise(Exact(charged=charged, stage="keys", values=(votes,), labels=labels))
    assert noisy.labels == (("many",), (None,)), "figure: a key of a single unit was shown"
    assert noisy.values[0].shape == (2, 1)
    assert (noisy.values[0] != votes[1:3]).all()


@promise("P5.3", "P7.1")
def test_of_more_private_keys_than_an_answer_holds_the_most_voted_stay(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither time nor memory after the keys may depend on how many there are."""
    monkeypatch.setattr(sizes, "SHOWN", 2)
    charged = charged_of("SELECT note, count(*) FROM city.trips GROUP BY note")
    votes = np.array([5, 9, 7, 8], dtype=np.int64).reshape(-1, 1) * 10**6 * keys.VOTE
    exact = Exact(charged=charged, stage="keys", values=(votes,), labels=(("a",), ("b",), ("c",), (None,)))
    noisy = noise(exact)
    assert noisy.labels == (("b",), (None,)), f"figure: {len(noisy.labels or ())} keys were shown where 2 may be"
    assert noisy.values[0].shape == (2, 1)
    medians = charged_of("SELECT note, median(delay) FROM city.trips GROUP BY note").priced.plan.measures
    assert sizes.most_shown(medians) * medians[0].width <= sizes.NUMBERS


@promise("P5.5")
@pytest.mark.parametrize(("left", "ends"), [(0, True), (5, True), (10**10, False)])
def test_what_is_left_of_a_cap_buys_no_release_that_would_change_nothing(left: int, ends: bool) -> None:
    """Rounding leaves a few units of rho: no noise is so wide, and the answer is what was reached."""
    priced = charged_of("SELECT sum(delay) FROM city.trips", relative=50_000, epsilon=UNIT).priced
    assert priced.steps is not None
    spent = Combined(values=np.array([[10**6]]), scale=25_000.0, loss=priced.steps.most - left)
    assert (next_releases(priced, [spent], 2) is None) is ends


@promise("P4.2")
def test_the_noise_of_a_clipped_vector_follows_the_norm_that_was_released() -> None:
    charged = charged_of("SELECT hour, count(*) FROM city.trips GROUP BY hour", bounding="clip")
    plan = charged.priced.plan
    assert plan.stages == ("norms", "values")
    spread = []
    for norm in (1, 8):
        exact = Exact(charged=charged, stage="values", values=values_of(plan.measures, 24, 0), norms=(norm,))
        spread.append(np.std(np.concatenate([noise(exact).values[0] for _ in range(20)])))
    assert 5 < spread[1] / spread[0] < 12


@promise("P5.4")
def test_an_average_under_its_noise_is_the_centre_and_flagged() -> None:
    charged = charged_of("SELECT line, avg(delay) FROM city.trips GROUP BY line")
    shown = table(charged.priced, released([50, 9000, -3, 0], [0, 100_000, -5, 3]))
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
    shown = table(charged.priced, released([7, 3, 9, 8]))
    assert shown["rows"] == [["C", 9], [None, 8]]


@promise("P7.2")
def test_the_stored_answer_has_one_size_whatever_the_numbers() -> None:
    charged = charged_of(SQL)
    plan = charged.priced.plan
    sizes = set()
    for v in (0, 10**9):
        noisy = noise(Exact(charged=charged, stage="values", values=values_of(plan.measures, plan.groups, v)))
        packed = pack(Released(values=noisy.values))
        assert all((a == b).all() for a, b in zip(unpack(packed).values, noisy.values, strict=True))
        sizes.add(len(packed))
    assert len(sizes) == 1


@promise("P7.2")
def test_the_size_of_private_keys_tells_their_number_roughly() -> None:
    def size(n: int) -> int:
        labels = tuple((f"key {i:03}",) for i in range(n))
        found = Released(values=(np.arange(n).reshape(-1, 1),), labels=labels)
        assert unpack(pack(found)).labels == labels
        return len(pack(found))

    assert size(50) == size(60), "figure: the stored size tells how many keys were shown"
    assert size(400) & (size(400) - 1) == 0


def test_order_by_key_descending_puts_null_first_as_postgresql_does() -> None:
    charged = charged_of("SELECT line, count(*) FROM city.trips GROUP BY line ORDER BY line DESC")
    shown = table(charged.priced, released([1, 2, 3, 4]))
    assert [r[0] for r in shown["rows"]] == [None, "C", "B", "A"]


def test_expression_intervals_hold_jointly() -> None:
    charged = charged_of("SELECT sum(delay) / count(*) AS mean FROM city.trips")
    shown = table(charged.priced, released([100_000], [1_000]))
    assert charged.priced.plan.outputs[0].kind == "expression"
    assert shown["low"][0][0] < 100 < shown["high"][0][0]


@pytest.mark.parametrize(
    ("sql", "places", "cells"),
    [
        ("SELECT median(fare) FROM city.trips", [[0]], [-5]),
        ("SELECT max(day) FROM city.trips", [[0]], ["0001-01-01"]),
        ("SELECT max(day) FROM city.trips", [[4095]], ["9999-12-31"]),
        ("SELECT min(at) FROM city.trips", [[0]], ["0001-01-01T00:00:00Z"]),
        ("SELECT approx_top_k(line, 2) FROM city.trips", [[2, 0]], [["C", "A"]]),
        ("SELECT approx_top_k(hour, 2) FROM city.trips", [[23, 0]], [[23, 0]]),
        ("SELECT approx_top_k(paid, 1) FROM city.trips", [[1]], [[True]]),
        ("SELECT histogram(fare, 0, 200, 2) FROM city.trips", [[3, 4]], [[3, 4]]),
    ],
)
def test_what_was_chosen_is_shown_as_its_column_is(sql: str, places: list[list[int]], cells: list[Any]) -> None:
    charged = charged_of(sql)
    shown = table(charged.priced, Released(values=(np.array(places, np.int64),)))
    assert shown["rows"] == [cells]
