"""What was paid for reads back as it was: the resume and the answer rest on it."""

from __future__ import annotations

import json

import pytest

from sandbox.errors import IntegrityFailed
from sandbox.flow import Cost
from sandbox.query import canonical
from sandbox.query.planning.price import price
from tests.unit.query.plans import plan_of
from tests.unit.query.test_price import MODEL, PURSE

SQL = (
    "SELECT line, count(*), avg(fare) / 2.5 AS half FROM city.trips WHERE day > '2013-01-01' AND (paid OR note LIKE 'a%') "
    "GROUP BY line HAVING count(*) > 10.5 ORDER BY 3 DESC LIMIT 7"
)


def test_a_priced_plan_survives_json() -> None:
    priced = price(plan_of(SQL), PURSE, MODEL)
    form = json.loads(json.dumps(canonical.priced_form(priced)))
    plan = priced.plan
    again = canonical.priced_from(
        form, permitted=plan.permitted, spec=plan.spec, version=plan.version, population=plan.population,
        population_key=plan.population_key,
    )  # fmt: skip
    assert again == priced


def test_the_digest_changes_with_what_is_released() -> None:
    one = canonical.priced_form(price(plan_of(SQL), PURSE, MODEL))
    other = canonical.priced_form(price(plan_of(SQL.replace("10.5", "10.25")), PURSE, MODEL))
    assert canonical.digest(one) == canonical.digest(json.loads(json.dumps(one)))
    assert canonical.digest(one) != canonical.digest(other)


def test_a_plan_of_another_release_is_not_guessed_at() -> None:
    priced = price(plan_of(SQL), PURSE, MODEL)
    form = canonical.priced_form(priced) | {"plan_v": 99}
    with pytest.raises(IntegrityFailed) as caught:
        canonical.priced_from(
            form, permitted=priced.plan.permitted, spec=priced.plan.spec, version=priced.plan.version,
            population=priced.plan.population, population_key=b"",
        )  # fmt: skip
    assert caught.value.code == "plan_version_unknown"


def test_costs_add_up() -> None:
    assert Cost(eps_p=1, rho=2, delta=3) + Cost(rho=5) == Cost(eps_p=1, rho=7, delta=3)
