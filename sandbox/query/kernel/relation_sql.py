"""From a relation to a SELECT over a bucket's files, written from the plan alone, never from a user (P3.1).

Beside a relation's own columns it can give what says whose a row is: `#u` its pseudonym, `#d` its unit's dense index,
`#s` its slot, `#t` its tier, `#o0…` its place in the unit's keyed order. No declared name begins with `#`, and none has
one twice.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

from sandbox.objects.sidecars import slot_column
from sandbox.plans import Expr, Filter, Lookup, Meet, PerUnit, Project, Relation, Scan, Stack
from sandbox.query.expressions.sql import quote, render
from sandbox.query.expressions.typed import columns_of

PSEUDONYM = "pseudonym"
ORDINAL = "ordinal"
DENSE = "ui"


@dataclass(frozen=True, slots=True, kw_only=True)
class Own:
    """What of a row's unit is wanted. The dense index, a slot and the tier are of one stored table alone."""

    unit: bool = False
    dense: bool = False
    slot: str | None = None
    tier: bool = False
    order: bool = False

    def names(self, relation: Relation) -> list[str]:
        """The columns that carry it."""
        order = [f'"#o{i}"' for i in range(order_width(relation) if self.order else 0)]
        slot, tier = ['"#s"'] * (self.slot is not None), ['"#t"'] * self.tier
        return ['"#u"'] * self.unit + ['"#d"'] * self.dense + slot + tier + order


def mark(kind: str, number: int) -> str:
    """What stands where a table's paths go; no name and no text can hold it."""
    return f"\x00{kind}{number}\x00"


def columns_in(exprs: Iterable[Expr | None]) -> frozenset[str]:
    """The columns that any of these reads."""
    return frozenset().union(*(columns_of(e) for e in exprs))


def order_width(relation: Relation) -> int:
    """How many columns say the order of a unit's rows."""
    match relation:
        case Filter() | Project():
            return order_width(relation.of)
        case Stack():
            return 1 + max(map(order_width, relation.parts))
        case Lookup():
            return order_width(relation.of) + (relation.most > 1)
        case Meet():
            return order_width(relation.left) + order_width(relation.right)
        case _:
            return 1


def select(relation: Relation, needed: frozenset[str], own: Own) -> str:
    """A SELECT of the needed columns, and of what is wanted of the unit."""
    match relation:
        case Scan():
            return _scan(relation, needed, own)
        case Filter():
            inner = select(relation.of, needed | columns_of(relation.where), own)
            return f"SELECT {_listed(relation, needed, own)} FROM ({inner}) WHERE {render(relation.where)}"
        case Project():
            return _project(relation, needed, own)
        case Stack():
            return " UNION ALL ".join(_stacked(relation, n, needed, own) for n in range(len(relation.parts)))
        case Lookup():
            return _lookup(relation, needed, own)
        case Meet() | PerUnit():
            return (_meet if isinstance(relation, Meet) else _per_unit)(relation, needed, own)  # type: ignore[arg-type]  # told apart just before


def _listed(relation: Relation, needed: frozenset[str], own: Own) -> str:
    return _joined([*own.names(relation), *map(quote, sorted(needed))])


def _joined(names: list[str]) -> str:
    return ", ".join(names) or '1 AS "#one"'


def _scan(scan: Scan, needed: frozenset[str], own: Own) -> str:
    written = [f'{PSEUDONYM} AS "#u"'] * own.unit + [f'{DENSE} AS "#d"'] * own.dense
    if own.slot is not None:
        written.append(f'{quote(slot_column(own.slot))} AS "#s"')
    written += ['file_index::UTINYINT AS "#t"'] * own.tier  # files are named in order of their tiers
    written += [f'{ORDINAL}::BIGINT AS "#o0"'] * own.order
    written += [f"{quote(n.removeprefix(scan.prefix))} AS {quote(n)}" for n in sorted(needed)]
    cut = "" if scan.rows is None else f" WHERE {ORDINAL} < {scan.rows}"
    return f"SELECT {_joined(written)} FROM read_parquet([{mark('t', scan.table)}]){cut}"


def _project(project: Project, needed: frozenset[str], own: Own) -> str:
    chosen = [(n, e) for n, e in project.columns if n in needed]
    inner = select(project.of, columns_in([e for _, e in chosen]), own)
    written = [f"{render(e)} AS {quote(n)}" for n, e in chosen]
    return f"SELECT {_joined([*own.names(project), *written])} FROM ({inner})"


def _stacked(stack: Stack, number: int, needed: frozenset[str], own: Own) -> str:
    part = stack.parts[number]
    written = replace(own, order=False).names(part)
    if own.order:
        width, theirs = order_width(stack), order_width(part)
        written.append(f'{number}::BIGINT AS "#o0"')
        written += [
            f'{chr(34)}#o{i}{chr(34)} AS "#o{i + 1}"' if i < theirs else f'0::BIGINT AS "#o{i + 1}"'
            for i in range(width - 1)
        ]
    return f"SELECT {_joined([*written, *map(quote, sorted(needed))])} FROM ({select(part, needed, own)})"


def _lookup(lookup: Lookup, needed: frozenset[str], own: Own) -> str:
    taken = dict(lookup.columns)
    ours = (needed - taken.keys()) | columns_in([a for a, _ in lookup.on])
    theirs = sorted((needed & taken.keys()) | columns_in([b for _, b in lookup.on]))
    public = [f"{quote(taken[n])} AS {quote(n)}" for n in theirs]
    written = own.names(lookup.of)
    if own.order and lookup.most > 1:  # rows that are alike in all that is taken may change places
        by = ", ".join(quote(taken[n]) for n in theirs)
        public.append(f'row_number() OVER (ORDER BY {by}) AS "#matched"')
        written.append(f'COALESCE("#matched", 0) AS "#o{order_width(lookup) - 1}"')
    source = f"SELECT {', '.join(public)} FROM read_parquet([{mark('p', lookup.table)}])"
    on = " AND ".join(f"{render(a)} = {render(b)}" for a, b in lookup.on)
    join = "LEFT JOIN" if lookup.outer else "JOIN"
    names = _joined([*written, *map(quote, sorted(needed))])
    return f"SELECT {names} FROM ({select(lookup.of, ours, own)}) {join} ({source}) ON {on}"


def _meet(meet: Meet, needed: frozenset[str], own: Own) -> str:
    of_left, of_right = columns_made(meet.left), columns_made(meet.right)
    on_left, on_right = columns_in([a for a, _ in meet.on]), columns_in([b for _, b in meet.on])
    theirs = Own(unit=True, order=own.order)
    left = select(meet.left, frozenset(n for n in needed if of_left(n)) | on_left, theirs)
    right = select(meet.right, frozenset(n for n in needed if of_right(n)) | on_right, theirs)
    on = " AND ".join(['a."#u" = b."#u"', *(f"{render(x)} = {render(y)}" for x, y in meet.on)])
    first, written = order_width(meet.left), ['a."#u" AS "#u"'] * own.unit
    if own.order:
        written += [f'a."#o{i}" AS "#o{i}"' for i in range(first)]
        written += [f'COALESCE(b."#o{i}", -1) AS "#o{first + i}"' for i in range(order_width(meet.right))]
    join = "LEFT JOIN" if meet.outer else "JOIN"
    names = _joined([*written, *map(quote, sorted(needed))])
    return f"SELECT {names} FROM ({left}) a {join} ({right}) b ON {on}"


def _per_unit(per: PerUnit, needed: frozenset[str], own: Own) -> str:
    columns = [(n, kind, e) for n, kind, e in per.columns if n in needed]
    inner = select(
        per.of, columns_in([*(e for _, e in per.keys), *(e for _, _, e in columns)]), Own(unit=True)
    )
    by = ", ".join(render(e) for _, e in per.keys)
    written = ['"#u"'] * own.unit
    if own.order:
        written.append(
            f'row_number() OVER (PARTITION BY "#u" ORDER BY {by}) AS "#o0"' if by else '0::BIGINT AS "#o0"'
        )
    written += [f"{render(e)} AS {quote(n)}" for n, e in per.keys]
    written += [f"{_inside(kind, e)} AS {quote(n)}" for n, kind, e in columns]
    group = f'"#u", {by}' if by else '"#u"'
    return f"SELECT {_joined(written)} FROM ({inner}) GROUP BY {group}"


def _inside(kind: str, expr: Expr | None) -> str:
    if expr is None:
        return "count(*)"
    function = "count" if kind in {"rows", "present"} else kind
    return f"{function}({render(expr)})"


# --- what is read -----------------------------------------------------------------------------------------------------


def columns_made(relation: Relation) -> Callable[[str], bool]:
    """A test of whether a column is one of this relation's: names are unique in a plan."""
    match relation:
        case Scan():
            # The first table's columns have no prefix, and no stored name has a dot.
            return lambda n: n.startswith(relation.prefix) if relation.prefix else "." not in n
        case Project():
            return frozenset(n for n, _ in relation.columns).__contains__
        case PerUnit():
            return frozenset([*(n for n, _ in relation.keys), *(n for n, _, _ in relation.columns)]).__contains__
        case Lookup():
            inner, taken = columns_made(relation.of), frozenset(n for n, _ in relation.columns)
            return lambda n: n in taken or inner(n)
        case Meet():
            left, right = columns_made(relation.left), columns_made(relation.right)
            return lambda n: left(n) or right(n)
        case _:
            return columns_made(relation.of if isinstance(relation, Filter) else relation.parts[0])


def columns_read(relation: Relation, needed: frozenset[str], table: int) -> frozenset[str]:
    """The stored columns of a protected table that a SELECT of the needed columns reads."""
    match relation:
        case Scan():
            mine = needed if relation.table == table else ()
            return frozenset(n.removeprefix(relation.prefix) for n in mine)
        case Stack():
            return frozenset().union(*(columns_read(p, needed, table) for p in relation.parts))
        case Meet():
            sides = ((relation.left, [a for a, _ in relation.on]), (relation.right, [b for _, b in relation.on]))
            return frozenset().union(*(_side_read(side, exprs, needed, table) for side, exprs in sides))
        case _:
            return columns_read(relation.of, _below(relation, needed), table)


def _side_read(side: Relation, on: Iterable[Expr], needed: frozenset[str], table: int) -> frozenset[str]:
    made = columns_made(side)
    return columns_read(side, frozenset(n for n in needed if made(n)) | columns_in(on), table)


def _below(relation: Filter | Project | Lookup | PerUnit, needed: frozenset[str]) -> frozenset[str]:
    match relation:
        case Filter():
            return needed | columns_of(relation.where)
        case Project():
            return columns_in([e for n, e in relation.columns if n in needed])
        case Lookup():
            return (needed - {n for n, _ in relation.columns}) | columns_in([a for a, _ in relation.on])
        case PerUnit():
            return columns_in([*(e for _, e in relation.keys), *(e for n, _, e in relation.columns if n in needed)])
