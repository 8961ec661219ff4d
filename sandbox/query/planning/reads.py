"""What a plan reads: every row expression in it, and the columns of each table."""

from __future__ import annotations

from collections.abc import Sequence

from sandbox.flow import Plan
from sandbox.plans import Expr, Filter, PerUnit, Project, Relation


def expressions_of(plan: Plan) -> tuple[Expr, ...]:
    """Every row expression of a plan."""
    found = [k.expr for k in plan.keys] + [m.expr for m in plan.measures if m.expr is not None]
    return (*found, *_inside(plan.relation))


def _inside(relation: Relation) -> Sequence[Expr]:
    below: list[Expr] = []
    for part in ("of", "left", "right"):
        inner = getattr(relation, part, None)
        below += () if inner is None else _inside(inner)
    for inner in getattr(relation, "parts", ()):
        below += _inside(inner)
    if isinstance(relation, Filter):
        below.append(relation.where)
    if isinstance(relation, Project):
        below += [e for _, e in relation.columns]
    for pair in getattr(relation, "on", ()):
        below += pair
    if isinstance(relation, PerUnit):
        below += [e for _, e in relation.keys]
        below += [c[2] for c in relation.columns if c[2] is not None]
    return below
