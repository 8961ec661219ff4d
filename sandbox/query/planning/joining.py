"""What a join's condition says: which expressions are equal, whether units are, and what is left for a filter."""

from __future__ import annotations

from collections.abc import Sequence

from sandbox.errors import Position, RequestError
from sandbox.plans import Expr
from sandbox.query.expressions import logic
from sandbox.query.expressions.bind import bind
from sandbox.query.expressions.scope import Scope
from sandbox.query.expressions.typed import Typed
from sandbox.query.language import syntax
from sandbox.query.language.syntax import Name, Node, Op


def conditions(
    left: Scope, right: Scope, join: syntax.Join, *, public: bool
) -> tuple[list[tuple[Expr, Expr]], bool, list[Node]]:
    """Equal pairs, whether units are equal, and what else ON says."""
    pairs: list[tuple[Expr, Expr]] = []
    units, rest = False, list[Node]()
    nodes = list(_conjuncts(join.on))
    for name in join.using:
        a, b = left.find(Name(name, join.at)), right.find(Name(name, join.at))
        if a.unit and b.unit:
            units = True
        else:
            pairs.append(_pair(join.at, left.resolve(Name(name, join.at)), right.resolve(Name(name, join.at))))
    for node in nodes:
        sides = _sides(node, left, right)
        if sides is None:
            rest.append(node)
            continue
        a_node, b_node = sides
        if _is_unit(a_node, left) and _is_unit(b_node, right):
            units = True
            continue
        if public and not isinstance(b_node, Name):
            # How often a key is there is known of columns: an expression may make one of many keys.
            raise RequestError("join_public_expression", position=node.at)
        pairs.append(_pair(node.at, bind(a_node, left), bind(b_node, right)))
    return pairs, units, rest


def _conjuncts(node: Node | None) -> Sequence[Node]:
    if node is None:
        return ()
    if isinstance(node, Op) and node.name == "and":
        return [c for a in node.args for c in _conjuncts(a)]
    return (node,)


def _sides(node: Node, left: Scope, right: Scope) -> tuple[Node, Node] | None:
    """The two sides of an equality, that of the left relation first; None if it is none between them."""
    if not (isinstance(node, Op) and node.name == "="):
        return None
    a, b = node.args
    for first, second in ((a, b), (b, a)):
        if _names(first) and _names(second) and _within(first, left, right) and _within(second, right, left):
            return first, second
    return None


def _names(node: Node) -> list[Name]:
    if isinstance(node, Name):
        return [node]
    return [n for a in getattr(node, "args", ()) for n in _names(a)]


def _within(node: Node, scope: Scope, other: Scope) -> bool:
    return all(_has(scope, n) and not (n.table is None and _has(other, n)) for n in _names(node))


def _has(scope: Scope, name: Name) -> bool:
    try:
        scope.find(name)
    except RequestError as error:
        return error.code == "column_ambiguous"
    return True


def _is_unit(node: Node, scope: Scope) -> bool:
    return isinstance(node, Name) and scope.find(node).unit


def _pair(at: Position, a: Typed, b: Typed) -> tuple[Expr, Expr]:
    x, y = logic.align(Op("=", (), at), (a, b))
    return x.expr, y.expr
