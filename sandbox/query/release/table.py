"""The table of an answer, made from noisy integers alone: HAVING, ORDER BY, LIMIT, an interval beside each number."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from typing import Any, Final, TypeAlias

import numpy as np

from sandbox.catalog import ColumnType
from sandbox.flow import Ints, Labels, Plan, Priced, Released
from sandbox.plans import Call, Output, Scalar, all_norms
from sandbox.privacy import intervals
from sandbox.query.expressions.logic import EPOCH
from sandbox.query.release import post
from sandbox.query.release.free import Summed
from sandbox.query.release.post import Series
from sandbox.query.release.values import LEVEL, Values, average, indexes, rank_half_width

Cell: TypeAlias = int | float | str | bool | list[Any] | None
Cells: TypeAlias = tuple[list[Cell], list[Cell], list[Cell]]
LISTS: Final = frozenset({"quantiles", "histogram", "top"})
RANKED: Final = frozenset({"quantile", "min", "max"})


def table(priced: Priced, released: Released) -> dict[str, Any]:
    """Columns, rows, and the interval beside each number; HAVING, ORDER BY and LIMIT applied."""
    plan, values = priced.plan, Values.of(priced, released)
    labels = groups_of(plan, released)
    series = [_series(values, output) for output in plan.outputs]
    chosen = _chosen(values, labels, series)
    few, rank = (np.zeros(values.groups, dtype=np.bool_) for _ in range(2))
    for output in plan.outputs:
        few |= values.few(output)
        rank |= values.adrift(output)
    wide = np.any([np.zeros(values.groups, np.bool_), *values.wide()], axis=0)
    visible = plan.outputs[: len(plan.outputs) - plan.hidden]
    columns = [_cells(values, labels, o, numbers, chosen) for o, numbers in zip(visible, series, strict=False)]
    return {
        "columns": [header(priced, o, values) for o in visible],
        "rows": [list(row) for row in zip(*(c[0] for c in columns), strict=True)],
        "low": [list(row) for row in zip(*(c[1] for c in columns), strict=True)],
        "high": [list(row) for row in zip(*(c[2] for c in columns), strict=True)],
        "flags": [[n for n, which in (("few", few), ("rank", rank), ("wide", wide)) if which[g]] for g in chosen],
    }


def groups_of(plan: Plan, released: Released) -> Labels:
    """The groups by their keys' values: the declared ones, or those that were released."""
    if released.labels is not None:
        return released.labels
    return tuple(itertools.product(*(k.domain or () for k in plan.keys)))


def _series(values: Values, output: Output) -> Series | None:
    if output.formula is None or output.kind in LISTS:
        return None
    # An expression over m aggregates holds when all m intervals do: each gets a 1/m part of the 5 %.
    level = 1 - (1 - LEVEL) / max(len(post.atoms_of(output.formula)), 1)
    return post.evaluate(output.formula, values.atoms(level), values.groups)


# --- order ------------------------------------------------------------------------------------------------------------


def _chosen(values: Values, labels: Labels, series: Sequence[Series | None]) -> list[int]:
    """Group numbers in the answer's order: by label after the noise (P5.3), then ORDER BY, within HAVING and LIMIT."""
    plan = values.priced.plan
    order = list(range(values.groups))
    if plan.having is not None:
        test = post.evaluate(plan.having, values.atoms(LEVEL), values.groups)
        order = [g for g in order if test.value[g] == 1.0]
    for index, descending, nulls_first in reversed(plan.order):
        output, numbers = plan.outputs[index], series[index]
        if numbers is not None:
            order.sort(key=_by_number(numbers, descending=descending, nulls_first=nulls_first))
        elif output.key is not None:
            order = _by_key(labels, output.key, order, descending=descending, nulls_first=nulls_first)
    return order if plan.limit is None else order[: plan.limit]


def _by_number(series: Series, *, descending: bool, nulls_first: bool) -> Callable[[int], tuple[int, float]]:
    sign = -1.0 if descending else 1.0

    def key(group: int) -> tuple[int, float]:
        value = series.value[group]
        missing = bool(np.isnan(value))
        return (0 if missing == nulls_first else 1, 0.0 if missing else sign * float(value))

    return key


def _by_key(labels: Labels, key: int, order: list[int], *, descending: bool, nulls_first: bool) -> list[int]:
    known = [g for g in order if labels[g][key] is not None]
    nulls = [g for g in order if labels[g][key] is None]
    known.sort(key=lambda g: _sortable(labels[g][key]), reverse=descending)
    return nulls + known if nulls_first else known + nulls


def _sortable(value: Scalar) -> Any:
    return value


# --- cells ------------------------------------------------------------------------------------------------------------


def _cells(values: Values, labels: Labels, output: Output, series: Series | None, chosen: Sequence[int]) -> Cells:
    plan = values.priced.plan
    if output.key is not None:
        key = plan.keys[output.key]
        cells: list[Cell] = [shown(key.type, key.scale, labels[g][output.key]) for g in chosen]
        return cells, [None] * len(cells), [None] * len(cells)
    if series is None:
        return _lists(values, output, chosen)
    if output.kind in RANKED and isinstance(output.formula, Call):
        return _ranked(values, output.formula, chosen)
    whole = _is_whole(plan, output)
    ends = [[_number(x[g], whole=whole) for g in chosen] for x in (series.value, series.low, series.high)]
    return ends[0], ends[1], ends[2]


def _ranked(values: Values, formula: Call, chosen: Sequence[int]) -> Cells:
    """A quantile as its column is shown, a date as a date."""
    index = indexes(formula)[0]
    measure, places = values.measure(index), values.numbers(index)
    cells: list[Cell] = [shown(measure.type, measure.scale, measure.marks[int(places[g])]) for g in chosen]
    return cells, [None] * len(cells), [None] * len(cells)


def _lists(values: Values, output: Output, chosen: Sequence[int]) -> Cells:
    if output.kind == "quantiles" and isinstance(output.formula, Call):
        each = [_ranked(values, Call("measure quantile", (place,)), chosen)[0] for place in output.formula.args]
        lists: list[Cell] = [list(row) for row in zip(*each, strict=True)]
        return lists, [None] * len(lists), [None] * len(lists)
    index = indexes(output.formula)[0] if isinstance(output.formula, Call) else 0
    measure, released = values.measure(index), values.released.values[index]
    if output.kind == "top":
        found: list[Cell] = [
            [shown(measure.type, measure.scale, measure.marks[int(p)]) for p in released[g]] for g in chosen
        ]
        return found, [None] * len(found), [None] * len(found)
    half = intervals.half_width(values.noise(index), values.scales[index], LEVEL)
    rows: list[list[Cell]] = [[], [], []]
    for g in chosen:
        counts = released[g]
        for target, ends in zip(rows, (counts, counts - half, counts + half), strict=True):
            target.append([round(float(x)) for x in ends])
    return rows[0], rows[1], rows[2]


def _is_whole(plan: Plan, output: Output) -> bool:
    if not isinstance(output.formula, Call) or (plan.bound.form == "clip" and output.kind == "sum"):
        return False
    if output.kind == "count":
        return True
    return output.kind == "sum" and plan.measures[indexes(output.formula)[0]].scale[1] == 1


def _number(value: float, *, whole: bool) -> Cell:
    if not np.isfinite(value):
        return None
    return round(float(value)) if whole else float(value)


def shown(kind: ColumnType, scale: tuple[int, int], value: Scalar) -> Cell:
    """A stored value as people read it."""
    if value is None or isinstance(value, str):
        return value
    if kind is ColumnType.BOOLEAN:
        return bool(value)
    if kind is ColumnType.DATE:
        return (EPOCH + timedelta(days=int(value))).isoformat()
    scaled = int(value) * Fraction(*scale)
    if kind is ColumnType.TIMESTAMP:
        moment = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=round(scaled * 10**6))
        return moment.isoformat().replace("+00:00", "Z")
    return int(scaled) if scaled.denominator == 1 else float(scaled)


# --- headers ----------------------------------------------------------------------------------------------------------


def header(priced: Priced, output: Output, values: Values | None = None) -> dict[str, Any]:
    """What a column is: its label, its type, and the noise on it; `values` tells it where a stage had to fix it."""
    plan = priced.plan
    made: dict[str, Any] = {"label": output.label, "kind": output.kind}
    if output.key is not None:
        return made | {"type": plan.keys[output.key].type.value, "mechanism": None, "scale": None, "level": None}
    atoms = sorted(post.atoms_of(output.formula), key=_spelled) if output.formula is not None else []
    index = indexes(atoms[0])[0] if atoms else None
    made |= {"type": _type(plan, output, index), "mechanism": None, "scale": None, "level": LEVEL}
    if index is None:
        return made
    release, measure = priced.releases[index], plan.measures[index]
    made["mechanism"] = release.mechanism
    if output.kind in RANKED | {"quantiles", "top"}:
        return made | _chosen_header(priced, output, indexes(atoms[0]))
    if values is not None:
        made["scale"] = values.scales[index] * values.unit(index)
    elif release.scale and priced.steps is None:
        made["scale"] = release.scale * float(Fraction(*measure.scale) if measure.kind == "sum" else 1)
    if output.kind == "histogram":
        made["bins"] = [shown(measure.type, measure.scale, m) for m in measure.marks]
    return made


def _chosen_header(priced: Priced, output: Output, at: Sequence[int]) -> dict[str, Any]:
    """What a column of chosen values says: each quantile's rank, and how many rows it may lie from there."""
    scales = [priced.releases[i].scale for i in at]
    ranks = [list(priced.plan.measures[i].rank) for i in at]
    kind = priced.plan.measures[at[0]].type.value
    if output.kind == "top":
        return {"scale": scales[0], "level": None, "elements": kind}
    widths = [rank_half_width(priced, i) for i in at]
    if output.kind in RANKED:
        return {"scale": scales[0], "level": LEVEL, "rank": ranks[0], "rank_half_width": widths[0]}
    return {"scale": scales, "level": LEVEL, "elements": kind, "ranks": ranks, "rank_half_widths": widths}


def measured_by(plan: Plan, index: int) -> list[str]:
    """Labels of the columns that a measure goes into."""
    atoms = ((o.label, post.atoms_of(o.formula)) for o in plan.outputs if o.formula is not None)
    return [label for label, found in atoms if any(index in indexes(a) for a in found)]


def _type(plan: Plan, output: Output, index: int | None) -> str:
    if output.kind in LISTS:
        return "list"
    if output.kind in RANKED and index is not None:
        return plan.measures[index].type.value
    return "integer" if _is_whole(plan, output) else "decimal"


def _spelled(atom: Call) -> tuple[str, list[str]]:
    return atom.name, [str(x) for x in atom.args]


# --- before anything is computed --------------------------------------------------------------------------------------


def expected(priced: Priced, cells: int = 1) -> list[dict[str, Any]]:
    """For a preview: each output with its mechanism and the half-width its interval will have, where known before.

    `cells`: of how many stored numbers each would be the sum.
    """
    plan, rows = priced.plan, []
    for output in plan.outputs[: len(plan.outputs) - plan.hidden]:
        width = None
        if output.kind in {"count", "sum", "histogram"} and isinstance(output.formula, Call):
            index = indexes(output.formula)[0]
            release, known = priced.releases[index], _known(priced, cells)
            if known is not None and release.mechanism in {"laplace", "gaussian"}:
                width = known.half(index, LEVEL) * known.unit(index)
        made = header(priced, output)
        rows.append({**made, "expected_interval": width, "expected_by_rows": _by_rows(priced, output, cells)})
    return rows


def _known(priced: Priced, cells: int) -> Values | None:
    """The noise as it will be; None where a stage has to fix it first, or where it ends as numbers say."""
    if priced.steps is not None:
        return None
    if priced.plan.bound.form != "clip":
        return Values.of(priced, _alike(priced, (), cells))
    if priced.clipped_anew or cells > 1:
        return None
    return Values.of(priced, Released(values=(), norms=all_norms(priced.reused, ())))


def _alike(priced: Priced, values: tuple[Ints, ...], cells: int) -> Summed:
    return Summed(values=values, cells=cells, scales=tuple(r.scale for r in priced.releases))


def _by_rows(priced: Priced, output: Output, cells: int) -> dict[str, float] | None:
    """For an average, whose interval depends on how many rows its group has: its half-width at some."""
    if output.kind != "avg" or not isinstance(output.formula, Call) or priced.plan.bound.form == "clip":
        return None
    total, count = indexes(output.formula)
    widths = {}
    for rows in (100, 1_000, 10_000, 100_000):
        zeros = tuple(np.zeros((1, m.out_width), np.int64) for m in priced.plan.measures)
        released = _alike(priced, zeros, cells)
        released.values[count][0, 0] = rows
        ratio = average(Values.of(priced, released), [total, count], LEVEL)
        unit = float(Fraction(*priced.plan.measures[total].scale))
        widths[str(rows)] = float(ratio.high[0] - ratio.low[0]) / 2 * unit
    return widths
