"""The canonical JSON form of what was paid for: a resume reads it back, and its digest stands in the log."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, is_dataclass, replace
from enum import Enum
from functools import cache
from typing import Any, Final

from sandbox import __version__
from sandbox.audit.records import record_digest
from sandbox.catalog import ColumnType, Population, Provenance
from sandbox.errors import IntegrityFailed
from sandbox.flow import Cost, Permitted, Plan, Priced, Release
from sandbox.plans import (
    Bound,
    Call,
    Col,
    Fact,
    Filter,
    Key,
    Lit,
    Lookup,
    Measure,
    Meet,
    Norm,
    Output,
    PerUnit,
    Project,
    Relation,
    Scan,
    Stack,
    Steps,
    Table,
)
from sandbox.query.canonical_v1 import upgraded, with_grids
from sandbox.query.planning.plan import PLAN_V

_TYPES: Final = {
    c.__name__: c
    for c in (
        Bound, Call, Col, Cost, Fact, Filter, Key, Lit, Lookup, Measure, Meet, Norm, Output, PerUnit, Project,
        Provenance, Release, Scan, Stack, Steps,
    )
}  # fmt: skip
CONTENT: Final = (
    "relation", "keys", "measures", "outputs", "having", "order", "hidden", "limit", "bound", "stages", "facts",
)  # fmt: skip


_CHOSEN: Final = frozenset({"bound", "stages", "facts"})
_ASKED: Final = ("epsilon", "within", "rows", "bounding", "groups", "per_group")


def plain(value: Any) -> Any:
    """A value of the plan as JSON: dataclasses carry their type's name, floats their exact hexadecimal form."""
    if value is None or type(value) in {str, int, bool}:
        return value
    if isinstance(value, Enum):
        return {"t": "ColumnType", "v": value.value}
    if isinstance(value, tuple | list):
        return [plain(v) for v in value]
    if isinstance(value, float):
        return {"t": "float", "v": value.hex()}
    if is_dataclass(value):
        kind: Any = type(value)
        return {"t": kind.__name__, **{n: plain(getattr(value, n)) for n in _names(kind)}}
    return value


@cache
def _names(kind: Any) -> tuple[str, ...]:
    return tuple(f.name for f in fields(kind))


def value(form: Any) -> Any:
    """The inverse of `plain`; lists come back as tuples."""
    if isinstance(form, list):
        return tuple(value(v) for v in form)
    if not isinstance(form, dict):
        return form
    if form["t"] == "ColumnType":
        return ColumnType(form["v"])
    if form["t"] == "float":
        return float.fromhex(form["v"])
    return _TYPES[form["t"]](**{k: value(v) for k, v in form.items() if k != "t"})


def priced_form(priced: Priced) -> dict[str, Any]:
    """Everything of a priced plan that its compute, noise and answer depend on, beside the versions it names."""
    plan = priced.plan
    return {
        "plan_v": plan.plan_v,
        "tables": [_named(t) for t in plan.tables],
        "public": [_named(t) for t in plan.public],
        "population": plan.population_id,
        "content": {name: plain(getattr(plan, name)) for name in CONTENT},
        "releases": plain(priced.releases),
        "keys": plain(priced.keys),
        "norms": plain(priced.norms),
        "reused": plain(priced.reused),
        "steps": plain(priced.steps),
        "cost": plain(priced.cost),
        "rung": plain(priced.rung),
    }


def _named(table: Table) -> dict[str, str]:
    return {"dataset": table.dataset_id, "version": table.version.id}


def digest(form: Mapping[str, Any]) -> str:
    """SHA-256 of the form, in hex."""
    return record_digest(form)


def question(plan: Plan) -> str:
    """Digest of the question that a plan answers (P6.4): of all but what we chose for it, as bound and mechanism.

    The accuracy and the bounds that were asked for, the versions of all tables, the grant, and the code are part of it.
    """
    request = plan.permitted.parsed.request
    asked = {name: plain(getattr(request, name)) for name in _ASKED}
    asked |= {} if request.relative is None else {"relative": request.relative}
    content = {name: plain(getattr(plan, name)) for name in CONTENT if name not in _CHOSEN}
    return digest({**_sources(plan), "grant": plan.permitted.grant.id, "content": content, "asked": asked})


def basis(plan: Plan, relation: Relation) -> str:
    """Digest of the rows that a plan with this relation reads: what answers share that may be added up (P6.4)."""
    return digest({**_sources(plan), "relation": plain(relation)})


def clipping(plan: Plan) -> str:
    """Digest of the vectors that a plan clips: its rows and the groups of its keys, whatever is measured of them."""
    keys = sorted(digest(plain(replace(key, label=""))) for key in plan.keys)
    return digest({**_sources(plan), "relation": plain(plan.relation), "keys": keys, "rows": plan.bound.rows})


def _sources(plan: Plan) -> dict[str, Any]:
    return {
        "code": __version__,
        "plan_v": plan.plan_v,
        "tables": [_named(t) for t in plan.tables],
        "public": [_named(t) for t in plan.public],
        "population": plan.population_id,
    }


def versions_of(form: Mapping[str, Any]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The versions that a form names: of protected tables, and of public ones."""
    form = upgraded(form)
    return tuple(t["version"] for t in form["tables"]), tuple(t["version"] for t in form["public"])


def priced_from(
    form: Mapping[str, Any],
    *,
    permitted: Permitted,
    tables: Mapping[str, Table],
    population: Population,
    population_key: bytes,
) -> Priced:
    """Read a stored form back; `tables` by version.

    Raises:
        IntegrityFailed: `plan_version_unknown`, or the parts given are not those it names.
    """
    first, form = form["plan_v"] == 1, upgraded(form)
    if form["plan_v"] != PLAN_V:
        raise IntegrityFailed("plan_version_unknown", version=int(form["plan_v"]))
    protected, public = versions_of(form)
    if not {*protected, *public} <= tables.keys():
        raise IntegrityFailed("version_incomplete")
    plan = Plan(
        permitted=permitted,
        plan_v=PLAN_V,
        tables=tuple(tables[v] for v in protected),
        public=tuple(tables[v] for v in public),
        population=population,
        population_id=form["population"],
        population_key=population_key,
        **{name: value(form["content"][name]) for name in CONTENT},
    )
    if first:
        plan = replace(plan, keys=with_grids(plan.keys, plan.spec))
    return Priced(
        plan=plan, releases=value(form["releases"]), keys=value(form["keys"]), norms=value(form["norms"]),
        reused=value(form.get("reused", [])), cost=value(form["cost"]), rung=value(form["rung"]),
        steps=value(form.get("steps")),
    )  # fmt: skip
