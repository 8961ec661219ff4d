"""What was paid for reads back as it was: the resume and the answer rest on it."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sandbox.errors import IntegrityFailed
from sandbox.flow import Cost, Plan, Priced
from sandbox.plans import Filter, Scan
from sandbox.query import canonical
from sandbox.query.planning.price import price
from sandbox.query.release.stored import unpack_v1
from sandbox.query.release.table import table
from tests.unit.query.plans import plan_of, plans_of
from tests.unit.query.test_price import MODEL, PURSE

SQL = (
    "SELECT line, count(*), avg(fare) / 2.5 AS half FROM city.trips WHERE day > '2013-01-01' AND (paid OR note LIKE 'a%') "
    "GROUP BY line HAVING count(*) > 10.5 ORDER BY 3 DESC LIMIT 7"
)
FORMS = [
    SQL,
    "SELECT date_trunc('month', day) AS m, median(fare), count(DISTINCT note) FROM city.trips GROUP BY 1",
    "SELECT note, count(DISTINCT rider) FROM city.trips GROUP BY note",
    "SELECT approx_top_k(line, 2), histogram(fare, 0, 200, 10), var_pop(delay), max(at) FROM city.trips",
    "WITH u AS (SELECT rider, sum(fare) AS s FROM city.trips GROUP BY rider) SELECT avg(s) FROM u",
    "SELECT sum(x.d) FROM (SELECT delay AS d FROM city.trips UNION ALL SELECT hour FROM city.trips) AS x",
    "SELECT count(*) FROM city.trips a JOIN city.trips b ON a.rider = b.rider AND a.line = b.line",
]


def again(form: dict[str, Any], plan: Plan) -> Priced:
    return canonical.priced_from(
        json.loads(json.dumps(form)), permitted=plan.permitted, tables={t.version.id: t for t in plan.tables},
        population=plan.population, population_key=plan.population_key,
    )  # fmt: skip


@pytest.mark.parametrize("sql", FORMS)
def test_a_priced_plan_survives_json(sql: str) -> None:
    for plan in plans_of(sql):
        priced = price((plan,), PURSE, MODEL)
        assert again(canonical.priced_form(priced), plan) == priced


def test_a_clipped_plan_survives_json() -> None:
    (plan,) = plans_of("SELECT line, count(*), sum(fare) FROM city.trips GROUP BY line", bounding="clip")
    priced = price((plan,), PURSE, MODEL)
    assert priced.norms
    assert again(canonical.priced_form(priced), plan) == priced


def test_the_digest_changes_with_what_is_released() -> None:
    one = canonical.priced_form(price(plans_of(SQL), PURSE, MODEL))
    other = canonical.priced_form(price(plans_of(SQL.replace("10.5", "10.25")), PURSE, MODEL))
    assert canonical.digest(one) == canonical.digest(json.loads(json.dumps(one)))
    assert canonical.digest(one) != canonical.digest(other)


@pytest.mark.parametrize(
    ("change", "code"),
    [({"plan_v": 99}, "plan_version_unknown"), ({"tables": [{"dataset": "ds_1", "version": "ver_9"}]}, "version_incomplete")],
)
def test_a_plan_of_another_release_or_version_is_not_guessed_at(change: dict[str, Any], code: str) -> None:
    priced = price(plans_of(SQL), PURSE, MODEL)
    with pytest.raises(IntegrityFailed) as caught:
        again(canonical.priced_form(priced) | change, priced.plan)
    assert caught.value.code == code


def test_a_form_of_version_1_reads_back_and_renders_as_it_did() -> None:
    """Written by release 0.2 for `SQL` over the same declared dataset, with the answer that it made of these integers."""
    frozen = json.loads((Path(__file__).parent / "plan_v1.json").read_text("utf-8"))
    today = plan_of(SQL)
    priced = again(frozen["form"], today)
    plan = priced.plan
    assert isinstance(plan.relation, Filter)
    assert plan.relation.of == Scan(table=0)
    assert (plan.bound.form, plan.bound.rows, plan.stages) == ("ingest", 3, ("values",))
    assert (plan.keys, plan.outputs) == (today.keys, today.outputs)
    assert plan.measures == tuple(dataclasses.replace(m, share=m.share // 3) for m in today.measures)
    assert [r.mechanism for r in priced.releases] == ["laplace"] * 3
    released = unpack_v1(np.array(frozen["noisy"], "<i8").tobytes(), len(plan.measures), plan.groups)
    shown = table(priced, released)
    assert {name: shown[name] for name in ("rows", "low", "high", "flags")} == {
        name: frozen["table"][name] for name in ("rows", "low", "high", "flags")
    }
    assert canonical.digest(frozen["form"]) == frozen["digest"], "the log names it by this"
    assert canonical.versions_of(frozen["form"]) == (("ver_1",), ())


def test_public_tables_are_named_and_needed() -> None:
    priced = price(plans_of(SQL), PURSE, MODEL)
    public = dataclasses.replace(
        priced.plan.tables[0], version=dataclasses.replace(priced.plan.version, id="ver_2"), dataset_id="ds_2"
    )
    joined = dataclasses.replace(priced, plan=dataclasses.replace(priced.plan, public=(public,)))
    form = canonical.priced_form(joined)
    assert canonical.versions_of(form) == (("ver_1",), ("ver_2",))
    with pytest.raises(IntegrityFailed):
        again(form, joined.plan)


def test_costs_add_up() -> None:
    assert Cost(eps_p=1, rho=2, delta=3) + Cost(rho=5) == Cost(eps_p=1, rho=7, delta=3)
