"""The canonical JSON form of what was paid for: a resume reads it back, and its digest stands in the log."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from enum import Enum
from typing import Any, Final

from sandbox.audit.records import record_digest
from sandbox.catalog import ColumnType, DatasetSpec, Population, Provenance, Version
from sandbox.errors import IntegrityFailed
from sandbox.flow import (
    Bound,
    Call,
    Col,
    Cost,
    Fact,
    Key,
    Lit,
    Measure,
    Output,
    Permitted,
    Plan,
    Priced,
    Release,
)  # fmt: skip
from sandbox.query.planning.plan import PLAN_V

_TYPES: Final = {
    c.__name__: c for c in (Bound, Call, Col, Cost, Fact, Key, Lit, Measure, Output, Provenance, Release)
}
CONTENT: Final = ("where", "keys", "measures", "outputs", "having", "order", "hidden", "limit", "bound", "facts")


def plain(value: Any) -> Any:
    """A value of the plan as JSON: dataclasses carry their type's name, floats their exact hexadecimal form."""
    if isinstance(value, Enum):
        return {"t": "ColumnType", "v": value.value}
    if is_dataclass(value):
        return {"t": type(value).__name__, **{f.name: plain(getattr(value, f.name)) for f in fields(value)}}
    if isinstance(value, tuple | list):
        return [plain(v) for v in value]
    if isinstance(value, float):
        return {"t": "float", "v": value.hex()}
    return value


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
    """Everything of a priced plan that its compute, noise and answer depend on, beside the version it names."""
    plan = priced.plan
    return {
        "plan_v": plan.plan_v,
        "dataset": plan.dataset_id,
        "version": plan.version.id,
        "population": plan.population_id,
        "content": {name: plain(getattr(plan, name)) for name in CONTENT},
        "releases": plain(priced.releases),
        "cost": plain(priced.cost),
        "rung": plain(priced.rung),
    }


def digest(form: Mapping[str, Any]) -> str:
    """SHA-256 of the form, in hex."""
    return record_digest(form)


def priced_from(
    form: Mapping[str, Any],
    *,
    permitted: Permitted,
    spec: DatasetSpec,
    version: Version,
    population: Population,
    population_key: bytes,
) -> Priced:
    """Read a stored form back.

    Raises:
        IntegrityFailed: `plan_version_unknown`, or the parts given are not those it names.
    """
    if form["plan_v"] != PLAN_V:
        raise IntegrityFailed("plan_version_unknown", version=int(form["plan_v"]))
    if form["version"] != version.id:
        raise IntegrityFailed("version_incomplete")
    plan = Plan(
        permitted=permitted,
        plan_v=PLAN_V,
        spec=spec,
        dataset_id=form["dataset"],
        version=version,
        population=population,
        population_id=form["population"],
        population_key=population_key,
        **{name: value(form["content"][name]) for name in CONTENT},
    )
    return Priced(plan=plan, releases=value(form["releases"]), cost=value(form["cost"]), rung=value(form["rung"]))
