"""Plans for the query tests, made by the real parser and planner over a declared dataset."""

from __future__ import annotations

from typing import Any

from sandbox.catalog import DatasetSpec, Population, Version
from sandbox.flow import GrantTerms, Permitted, Plan, Principal, Request
from sandbox.plans import Table
from sandbox.query.language.parse import parse
from sandbox.query.planning.plan import Known, plan
from sandbox.query.planning.relations import Public
from tests.unit.query.specs import POPULATION, SPEC

COMPANY = Principal(id="prn_1", tenant="ten_1", roles=frozenset({"engineer"}))


def version_of(spec: DatasetSpec, bits: int = 0) -> Version:
    return Version(
        id="ver_1", dataset_id="ds_1", number=1, suite="intl", format=1, bits=bits, tiers=spec.tiers, wrapped_key=b"",
        files=(),
    )  # fmt: skip


def request_of(
    sql: str, *, epsilon: int | None = None, within: float | None = None, rows: int | None = None, **more: Any
) -> Request:
    return Request(
        principal=COMPANY, sql=sql, grant=None, purpose=None, epsilon=epsilon, within=within, rows=rows,
        idempotency_key=None, digest="", **more,
    )  # fmt: skip


def permitted(request: Request) -> Permitted:
    parsed = parse(request)
    grant = GrantTerms(
        id="grt_1", tenant="ten_1", purpose="p", datasets=parsed.datasets, expires_at="2099-01-01T00:00:00.000Z"
    )
    return Permitted(parsed=parsed, grant=grant, rule="")


NO_PUBLIC = Public(most=lambda _table, _columns: 1, values=lambda _table, _column: None)


def known_of(
    *specs: DatasetSpec, population: Population = POPULATION, version: Version | None = None, public: Public = NO_PUBLIC
) -> Known:
    tables = {
        s.name: Table(spec=s, dataset_id=f"ds_{i}", version=version or version_of(s)) for i, s in enumerate(specs, 1)
    }
    return Known(tables=tables, population=population, population_id="pop_1", population_key=b"", public=public)


def plans_of(
    sql: str,
    *,
    epsilon: int | None = 10**12,
    within: float | None = None,
    rows: int | None = None,
    spec: DatasetSpec = SPEC,
    population: Population = POPULATION,
    version: Version | None = None,
    **more: Any,
) -> tuple[Plan, ...]:
    request = request_of(sql, epsilon=epsilon if within is None else None, within=within, rows=rows, **more)
    return plan(permitted(request), known_of(spec, population=population, version=version))


def plan_of(sql: str, **more: Any) -> Plan:
    """The plan that is likeliest."""
    return plans_of(sql, **more)[0]
