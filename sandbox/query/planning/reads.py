"""What a plan reads: every row expression in it, and the columns of each table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from sandbox.flow import Plan
from sandbox.plans import Call, Col, Expr, Filter, PerUnit, Project, Relation


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


def written_out(plan: Plan) -> int:
    """Parts of all expressions with those of subqueries put in their place, as the engine may write them."""
    below = _sizes(plan.relation)
    found = [k.expr for k in plan.keys] + [m.expr for m in plan.measures if m.expr is not None]
    return sum(_size(e, below) for e in found) + sum(_size(e, {}) for e in _inside(plan.relation)) + sum(below.values())


def _sizes(relation: Relation) -> dict[str, int]:
    """How large each computed column of a relation is, written out."""
    parts = [getattr(relation, name) for name in ("of", "left", "right") if hasattr(relation, name)]
    below: dict[str, int] = {}
    for part in (*parts, *getattr(relation, "parts", ())):
        for name, size in _sizes(part).items():
            below[name] = max(below.get(name, 0), size)
    if isinstance(relation, Project):
        return {name: _size(e, below) for name, e in relation.columns}
    if isinstance(relation, PerUnit):
        keys = {name: _size(e, below) for name, e in relation.keys}
        return keys | {name: _size(e, below) if e is not None else 1 for name, _, e in relation.columns}
    return below


def _size(expr: Expr, below: Mapping[str, int]) -> int:
    known: dict[int, int] = {}

    def count(part: Expr) -> int:
        if isinstance(part, Col):
            return below.get(part.name, 1)
        if id(part) not in known:
            known[id(part)] = 1 + sum(map(count, part.args)) if isinstance(part, Call) else 1
        return known[id(part)]

    return count(expr)
