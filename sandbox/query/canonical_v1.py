"""The frozen past: the canonical form of plans of release 0.1 and 0.2, told in today's words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

from sandbox.catalog import ColumnType, DatasetSpec
from sandbox.plans import Col, Key

ONE: Final = [1, 1]


def upgraded(form: Mapping[str, Any]) -> Mapping[str, Any]:
    """A form of version 1 (one table, public key columns, bounded at ingest) as version 2; a newer one as it is."""
    if form["plan_v"] != 1:
        return form
    content = form["content"]
    scan: dict[str, Any] = {"t": "Scan", "table": 0, "prefix": "", "rows": None}
    where = content["where"]
    return {
        "plan_v": 2,
        "tables": [{"dataset": form["dataset"], "version": form["version"]}],
        "public": [],
        "population": form["population"],
        "content": {
            **content,
            "relation": scan if where is None else {"t": "Filter", "of": scan, "where": where},
            "keys": [_key(k) for k in content["keys"]],
            "bound": {"t": "Bound", "form": "ingest", "rows": content["bound"]["rows"]},
            "stages": ["values"],
        },
        "releases": [
            {**r, "sensitivity": {"t": "float", "v": float(r["sensitivity"]).hex()}} for r in form["releases"]
        ],
        "keys": None,
        "norms": [],
        "cost": form["cost"],
        "rung": form["rung"],
    }


def _key(key: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "t": "Key", "label": key["label"], "type": key["type"], "domain": key["domain"], "scale": ONE,
        "expr": {"t": "Col", "name": key["column"], "type": key["type"]},
    }  # fmt: skip


def with_grids(keys: Sequence[Key], spec: DatasetSpec) -> tuple[Key, ...]:
    """Keys of a plan of version 1, whose columns' grids say what a stored value is worth."""
    found = []
    for key in keys:
        column = spec.column(key.expr.name) if isinstance(key.expr, Col) else None
        whole = column is None or column.type in {ColumnType.TEXT, ColumnType.DATE, ColumnType.BOOLEAN}
        found.append(key if whole or column is None else replace(key, scale=column.grid.as_integer_ratio()))
    return tuple(found)
