"""What a stage asks of a bucket's rows: sums by group where the engine can give them, else the rows themselves."""

from __future__ import annotations

from sandbox.plans import ADDITIVE, Expr, Measure
from sandbox.query.expressions.sql import render
from sandbox.query.kernel.relation_sql import Own, columns_in, columns_read, order_width, select
from sandbox.query.kernel.task import Task
from sandbox.query.planning.sizes import is_filtered, keeps_order

COUNTED = frozenset({"quantile", "histogram"})
"""Measures that only need to know how often each value occurs."""


def needs_rows(task: Task) -> bool:
    """Whether rows leave the engine one by one: to be bounded, or matched with their units or with released keys."""
    if task.stage != "values" or task.bound.form != "ingest" or task.labels is not None:
        return True
    alone = not task.keys and not is_filtered(task.relation)
    easy = ADDITIVE | COUNTED
    return not all(m.kind in easy or (m.kind == "units" and m.expr is None and alone) for m in task.measures)


def additive(task: Task) -> str:
    """Sums and counts by group, where what is read bounds a unit: #k0…, and #m0… for each additive measure."""
    sums = [f'{_aggregate(m)} AS "#m{i}"' for i, m in enumerate(task.measures) if m.kind not in COUNTED]
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
    """Every passing row: what is wanted of its unit, #k0…, and #m0… of what measures read."""
    source = select(task.relation, needed(task, keyed=keyed), own)
    measured = task.measures if task.stage != "keys" else ()
    values = [f'{_value(m)} AS "#m{i}"' for i, m in enumerate(measured) if m.expr is not None]
    keys = _keys(task) if keyed else []
    return f"SELECT {', '.join([*own.names(task.relation), *keys, *values])} FROM ({source})"


def places(task: Task, own: Own) -> str:
    """What is wanted of the units of passing rows, and nothing else."""
    return f"SELECT {', '.join(own.names(task.relation))} FROM ({select(task.relation, frozenset(), own)})"


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
    kinds = ["VARCHAR" if k.type.value == "text" else "BIGINT" for k in task.keys]
    return [f'{render(k.expr)}::{kind} AS "#k{i}"' for i, (k, kind) in enumerate(zip(task.keys, kinds, strict=True))]


def _value(measure: Measure) -> str:
    if measure.expr is None:
        raise TypeError("nothing is read of a row")
    if measure.kind in {"present", "units"}:
        return f"({render(measure.expr)} IS NOT NULL)"
    text = measure.kind in {"distinct", "top"} and measure.type.value == "text"
    return f"{render(measure.expr)}::{'VARCHAR' if text else 'BIGINT'}"


def _aggregate(measure: Measure) -> str:
    expr = "" if measure.expr is None else render(measure.expr)
    match measure.kind:
        case "rows":
            return "count(*)"
        case "present":
            return f"count({expr})"
        case "units":
            return 'count(*) FILTER (WHERE "#o0" = 0)'
        case "sum":
            total = f"COALESCE(sum({expr}), 0)::HUGEINT"
            if measure.center:
                total = f"({total} - ({measure.center})::HUGEINT * count({expr}))"
            return f"{total}::BIGINT"
        case "square":
            off = f"({expr}::HUGEINT - ({measure.center})::HUGEINT)"
            return f"COALESCE(sum({off} * {off}), 0)::BIGINT"
        case kind:
            raise TypeError(f"{kind} does not add up over rows")
