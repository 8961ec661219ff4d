"""Group keys: columns and expressions, public where every value is declared, private otherwise."""

from __future__ import annotations

import math

from sandbox.catalog import ColumnType
from sandbox.errors import RequestError
from sandbox.plans import Call, Key
from sandbox.query.expressions.bind import bind
from sandbox.query.expressions.scope import COLUMN_TYPES, Scope
from sandbox.query.language.syntax import Literal, Name, Node, Select, Star
from sandbox.query.planning.aggregates import narrow
from sandbox.query.planning.domains import domain_of
from sandbox.query.planning.per_unit import has_aggregate

MAX_GROUPS = 100_000
MAX_KEYS = 16


def keys_of(select: Select, scope: Scope) -> tuple[tuple[Node, Key], ...]:
    """Each entry of GROUP BY once, as it is written and as a key.

    Raises:
        RequestError: `unit_in_answer`, `too_many_keys`, `too_many_groups`, `key_aggregate`, `position_unknown`.
    """
    found: list[tuple[Node, Key]] = []
    for written in select.group:
        node, label = meant(written, select)
        key = _key(node, label, scope)
        if all(key.expr != known.expr for _, known in found):
            found.append((node, key))
    if len(found) > MAX_KEYS:
        raise RequestError("too_many_keys", limit=MAX_KEYS, found=len(found), position=select.group[0].at)
    groups = math.prod(len(k.domain) for _, k in found if k.domain is not None)
    if all(k.domain is not None for _, k in found) and groups > MAX_GROUPS:
        raise RequestError("too_many_groups", groups=groups, limit=MAX_GROUPS, position=select.group[0].at)
    return tuple(found)


def meant(node: Node, select: Select) -> tuple[Node, str | None]:
    """What a position or an alias of the SELECT list stands for, and its label."""
    if isinstance(node, Literal) and isinstance(node.value, int) and not isinstance(node.value, bool):
        if not 1 <= node.value <= len(select.items):
            raise RequestError("position_unknown", clause="GROUP BY", items=len(select.items), position=node.at)
        item = select.items[node.value - 1]
        if isinstance(item.node, Star) or has_aggregate(item.node):
            raise RequestError("key_aggregate", position=node.at)
        return item.node, item.alias
    if isinstance(node, Name) and node.table is None:
        for item in select.items:
            if item.alias == node.name and not isinstance(item.node, Star) and not has_aggregate(item.node):
                return item.node, item.alias
    return node, None


def _key(node: Node, label: str | None, scope: Scope) -> Key:
    name = node.name if isinstance(node, Name) else label or "column"
    if isinstance(node, Name) and scope.find(node).unit:
        raise RequestError("unit_in_answer", column=node.name, position=node.at)
    typed = bind(node, scope)
    if typed.kind in {"null", "interval"}:
        raise RequestError("expression_type", function="GROUP BY", expected="value", found=typed.kind, position=node.at)
    narrow(typed, node)
    expr = Call("bit", (typed.expr,)) if typed.kind == "boolean" else typed.expr
    kind = COLUMN_TYPES.get(typed.kind, ColumnType.INTEGER if typed.scale == 1 else ColumnType.DECIMAL)
    field = scope.find(node) if isinstance(node, Name) else None
    domain = field.domain if field is not None else domain_of(typed, scope)
    if field is not None and domain is None:
        domain = domain_of(typed, scope)
    if field is not None and typed.kind == "boolean":
        expr = typed.expr.args[0] if isinstance(typed.expr, Call) else typed.expr
    scale = (typed.scale.numerator, typed.scale.denominator)
    return Key(label=label or name, expr=expr, type=kind, scale=scale, domain=domain)


