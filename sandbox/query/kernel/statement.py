"""What a stage asks of a bucket's rows: sums by group where the engine can give them, else the rows themselves."""

from __future__ import annotations

from typing import Final

from sandbox.plans import ADDITIVE, Col, Expr, Filter, Key, Measure, Relation, Scan
from sandbox.query.expressions.sql import literal, render
from sandbox.query.kernel.relation_sql import Own, columns_in, columns_read, order_width, select
from sandbox.query.kernel.task import Task
from sandbox.query.planning.sizes import is_filtered, keeps_order

COUNTED = frozenset({"quantile", "histogram"})
"""Measures that only need to know how often each value occurs."""

CODED: Final = 256
"""A declared text of no more values leaves the engine as its place in the domain: it is looked up once a dictionary."""
_INTEGERS: Final = (("TINYINT", 7), ("SMALLINT", 15), ("INTEGER", 31))


def needs_rows(task: Task) -> bool:
    """Whether rows leave the engine one by one: to be bounded, or matched with their units or with released keys."""
    if task.stage != "values" or task.bound.form != "ingest" or task.labels is not None:
        return True
    alone = not task.keys and not is_filtered(task.relation)
    easy = ADDITIVE | COUNTED
    return not all(m.kind in easy or (m.kind == "units" and m.expr is None and alone) for m in task.measures)


def additive(task: Task, complete: frozenset[str] = frozenset()) -> str:
    """Sums and counts by group, where what is read bounds a unit: #k0…, and #m0… for each additive measure.

    Args:
        task: the task.
        complete: stored columns of its only table that hold no NULL: counting them is counting rows.
    """
    complete = complete if _as_stored(task.relation) else frozenset()
    sums = [f'{_aggregate(m, complete)} AS "#m{i}"' for i, m in enumerate(task.measures) if m.kind not in COUNTED]
    source = select(task.relation, needed(task), Own(order=any(m.kind == "units" for m in task.measures)))
    group = ", ".join(f'"#k{i}"' for i in range(len(task.keys)))
    written = ", ".join([*_keys(task), *sums]) or '1 AS "#one"'
    return f"SELECT {written} FROM ({source}){f' GROUP BY {group}' if group else ''}"


def counted(task: Task, number: int) -> str:
    """How often each value of a measure occurs in each group: #k0…, #x, #n."""
    expr = task.measures[number].expr
    value = f'{render(expr)}::BIGINT AS "#x"' if expr is not None else 'NULL AS "#x"'
    inner = f"SELECT {', '.join([*_keys(task), value])} FROM ({select(task.relation, needed(task), Own())})"
    names = [*(f'"#k{i}"' for i in range(len(task.keys))), '"#x"']
    return f'SELECT {", ".join(names)}, count(*) AS "#n" FROM ({inner}) WHERE "#x" IS NOT NULL GROUP BY ALL'


def rows(task: Task, own: Own, *, keyed: bool = True) -> str:
    """Every passing row: what is wanted of its unit, #k0… or #c0…, and #m0… of what measures read.

    #c0 is a key's place in its declared domain, from 1; NULL for a value outside.
    """
    source = select(task.relation, needed(task, keyed=keyed), own)
    measured = task.measures if task.stage != "keys" else ()
    values = [f'{_value(m)} AS "#m{i}"' for i, m in enumerate(measured) if m.expr is not None]
    keys = [_code(k, i) if _coded(task, k) else _key(k, i) for i, k in enumerate(task.keys)] if keyed else []
    return f"SELECT {', '.join([*own.names(task.relation), *keys, *values])} FROM ({source})"


def is_ranked_in_part(task: Task) -> bool:
    """Whether rows are cut by their order over one stored table, and only added up: most need not leave the engine."""
    plain = task.stage == "values" and task.labels is None and keeps_order(task.relation)
    return plain and task.bound.form == "rows" and all(m.kind in ADDITIVE | COUNTED for m in task.measures)


def order_columns(task: Task) -> int:
    """How many columns #o0… say the order of a unit's rows."""
    return order_width(task.relation)


def stored_columns(task: Task, table: int, *, keyed: bool = True) -> frozenset[str]:
    """The declared columns of a protected table that the task's statements read."""
    return columns_read(task.relation, needed(task, keyed=keyed), table)


def needed(task: Task, *, keyed: bool = True) -> frozenset[str]:
    """The relation's columns that keys and measures read."""
    exprs: list[Expr | None] = [k.expr for k in task.keys] if keyed else []
    exprs += [m.expr for m in task.measures] if task.stage != "keys" else []
    return columns_in(exprs)


def _keys(task: Task) -> list[str]:
    return [_key(k, i) for i, k in enumerate(task.keys)]


def _key(key: Key, number: int) -> str:
    return f'{render(key.expr)}::{"VARCHAR" if key.type.value == "text" else "BIGINT"} AS "#k{number}"'


def _coded(task: Task, key: Key) -> bool:
    plain = task.labels is None and task.stage != "keys"
    return plain and key.domain is not None and key.type.value == "text" and len(key.domain) <= CODED


def _code(key: Key, number: int) -> str:
    domain = ", ".join(literal(v) for v in key.domain or ())
    return f'list_position([{domain}]::VARCHAR[], {render(key.expr)}) AS "#c{number}"'


def _value(measure: Measure) -> str:
    if measure.expr is None:
        raise TypeError("nothing is read of a row")
    if measure.kind in {"present", "units"}:
        return f"({render(measure.expr)} IS NOT NULL)"
    if measure.kind in {"distinct", "top"}:
        return f"{render(measure.expr)}::{'VARCHAR' if measure.type.value == 'text' else 'BIGINT'}"
    return f"{render(measure.expr)}::{_integer(measure.lower, measure.upper)}"


def _integer(lower: int, upper: int) -> str:
    """The narrowest type that holds all of the range: what leaves the engine is paid for by its bytes."""
    bits = max((-lower - 1 if lower < 0 else lower).bit_length(), (-upper - 1 if upper < 0 else upper).bit_length())
    return next((name for name, most in _INTEGERS if bits <= most), "BIGINT")


def _as_stored(relation: Relation) -> bool:
    """Whether its columns are those of a stored table, under their own names."""
    return isinstance(relation, Scan) or (isinstance(relation, Filter) and _as_stored(relation.of))


def _aggregate(measure: Measure, complete: frozenset[str]) -> str:
    expr = "" if measure.expr is None else render(measure.expr)
    count = "count(*)" if isinstance(measure.expr, Col) and measure.expr.name in complete else f"count({expr})"
    match measure.kind:
        case "rows":
            return "count(*)"
        case "present":
            return count
        case "units":
            return 'count(*) FILTER (WHERE "#o0" = 0)'
        case "sum":
            total = f"COALESCE(sum({expr}), 0)::HUGEINT"
            if measure.center:
                total = f"({total} - ({measure.center})::HUGEINT * {count})"
            return f"{total}::BIGINT"
        case "square":
            off = f"({expr}::HUGEINT - ({measure.center})::HUGEINT)"
            return f"COALESCE(sum({off} * {off}), 0)::BIGINT"
        case kind:
            raise TypeError(f"{kind} does not add up over rows")
