"""Plans for the query tests, made by the real parser and planner over a declared dataset."""

from __future__ import annotations

from sandbox.catalog import DatasetSpec, Population, Version
from sandbox.flow import GrantTerms, Parsed, Permitted, Plan, Principal, Request
from sandbox.query.language.parse import parse_select
from sandbox.query.planning.plan import Known, plan
from tests.unit.query.specs import POPULATION, SPEC

COMPANY = Principal(id="prn_1", tenant="ten_1", roles=frozenset({"engineer"}))


def version_of(spec: DatasetSpec, bits: int = 0) -> Version:
    return Version(
        id="ver_1", dataset_id="ds_1", number=1, suite="intl", format=1, bits=bits, tiers=spec.tiers, wrapped_key=b"",
        files=(),
    )  # fmt: skip


def request_of(
    sql: str, *, epsilon: int | None = None, within: float | None = None, rows: int | None = None
) -> Request:
    return Request(
        principal=COMPANY, sql=sql, grant=None, purpose=None, epsilon=epsilon, within=within, rows=rows,
        idempotency_key=None, digest="",
    )  # fmt: skip


def permitted(request: Request) -> Permitted:
    tree = parse_select(request.sql)
    grant = GrantTerms(
        id="grt_1", tenant="ten_1", purpose="p", datasets=(tree.table,), expires_at="2099-01-01T00:00:00.000Z"
    )
    return Permitted(parsed=Parsed(request=request, dataset=tree.table, tree=tree), grant=grant, rule="")


def plan_of(
    sql: str,
    *,
    epsilon: int | None = 10**12,
    within: float | None = None,
    rows: int | None = None,
    spec: DatasetSpec = SPEC,
    population: Population = POPULATION,
    version: Version | None = None,
) -> Plan:
    request = request_of(sql, epsilon=epsilon if within is None else None, within=within, rows=rows)
    known = Known(
        spec=spec, dataset_id="ds_1", version=version or version_of(spec), population=population,
        population_id="pop_1", population_key=b"",
    )  # fmt: skip
    return plan(permitted(request), known)
