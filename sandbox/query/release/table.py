"""The release: noise on exact integers, and the table of an answer made from noisy ones alone."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from typing import Any, Final, TypeAlias

import numpy as np

from sandbox.catalog import ColumnType, DatasetSpec
from sandbox.flow import Call, Exact, Ints, Key, Lit, Noisy, Output, Plan, Priced, Scalar
from sandbox.privacy import intervals, mechanisms
from sandbox.query.expressions.bind import EPOCH
from sandbox.query.release import post
from sandbox.query.release.post import Series

LEVEL: Final = 0.95
Cell: TypeAlias = int | float | str | bool | None


def noise(exact: Exact) -> Noisy:
    """Fresh discrete noise on every measure of every group.

    Privacy: the release of the plan, at the price its charge has paid: each measure's whole row of groups is one
    draw of its mechanism at the measure's sensitivity (P5.1).
    """
    releases = exact.charged.priced.releases
    noisy = np.stack(
        [
            mechanisms.add_noise(r.mechanism, scale=r.scale, values=row)
            for r, row in zip(releases, exact.values, strict=True)
        ]
    )
    return Noisy(charged=exact.charged, values=noisy)


def table(priced: Priced, values: Ints) -> dict[str, Any]:
    """Columns, rows, and the interval beside each number; HAVING, ORDER BY and LIMIT applied."""
    plan = priced.plan
    columns: list[tuple[list[Cell], list[Cell], list[Cell]]] = []
    series: list[Series | None] = []
    for output in plan.outputs:
        if output.formula is None:
            series.append(None)
            continue
        # An expression over m aggregates holds when all m intervals do: each gets a 1/m part of the 5 %.
        parts = len(post.atoms_of(output.formula))
        level = 1 - (1 - LEVEL) / max(parts, 1)
        series.append(post.evaluate(output.formula, _atoms(priced, values, level), plan.groups))
    chosen = _chosen(priced, values, series)
    flags = _flags(priced, values)
    for output, numbers in zip(plan.outputs, series, strict=True):
        columns.append(_column(plan, output, numbers, chosen))
    visible = len(plan.outputs) - plan.hidden
    shown = columns[:visible]
    return {
        "columns": [_header(priced, o) for o in plan.outputs[:visible]],
        "rows": [list(row) for row in zip(*(c[0] for c in shown), strict=True)],
        "low": [list(row) for row in zip(*(c[1] for c in shown), strict=True)],
        "high": [list(row) for row in zip(*(c[2] for c in shown), strict=True)],
        "flags": [["few"] if flags[g] else [] for g in chosen],
    }


# --- values ---------------------------------------------------------------------------------------------------------


def _atoms(priced: Priced, values: Ints, level: float) -> Callable[[Call], Series]:
    def atom(call: Call) -> Series:
        indexes = [int(a.value) for a in call.args if isinstance(a, Lit) and isinstance(a.value, int)]
        if call.name == "measure avg":
            return _average(priced, values, indexes[0], indexes[1], level)
        release, measure = priced.releases[indexes[0]], priced.plan.measures[indexes[0]]
        unit = float(Fraction(*measure.scale))
        centre = values[indexes[0]].astype(np.float64)
        half = intervals.half_width(release.mechanism, release.scale, level)
        return Series(value=centre * unit, low=(centre - half) * unit, high=(centre + half) * unit)

    return atom


def _ratio(priced: Priced, values: Ints, total: int, count: int, level: float) -> intervals.Ratio:
    measure = priced.plan.measures[total]
    return intervals.ratio_interval(
        mechanism=priced.releases[total].mechanism,
        total=values[total],
        total_scale=priced.releases[total].scale,
        count=values[count],
        count_scale=priced.releases[count].scale,
        center=measure.center,
        lower=measure.lower,
        upper=measure.upper,
        level=level,
    )


def _average(priced: Priced, values: Ints, total: int, count: int, level: float) -> Series:
    ratio = _ratio(priced, values, total, count, level)
    unit = float(Fraction(*priced.plan.measures[total].scale))
    return Series(value=ratio.estimate * unit, low=ratio.low * unit, high=ratio.high * unit)


def _flags(priced: Priced, values: Ints) -> np.ndarray[Any, np.dtype[np.bool_]]:
    """Groups with an average whose count is under its noise: its estimate is the centre of the declared bounds."""
    flags = np.zeros(priced.plan.groups, dtype=np.bool_)
    for output in priced.plan.outputs:
        for atom in post.atoms_of(output.formula) if output.formula is not None else ():
            if atom.name == "measure avg":
                total, count = (int(a.value) for a in atom.args if isinstance(a, Lit) and isinstance(a.value, int))
                flags |= _ratio(priced, values, total, count, LEVEL).flagged
    return flags


def _chosen(priced: Priced, values: Ints, series: Sequence[Series | None]) -> list[int]:
    """Group numbers in the answer's order: by label after the noise (P5.3), then ORDER BY, within HAVING and LIMIT."""
    plan = priced.plan
    order = list(range(plan.groups))
    if plan.having is not None:
        test = post.evaluate(plan.having, _atoms(priced, values, LEVEL), plan.groups)
        order = [g for g in order if test.value[g] == 1.0]
    for index, descending, nulls_first in reversed(plan.order):
        output, numbers = plan.outputs[index], series[index]
        if numbers is not None:
            order.sort(key=_by_number(numbers, descending=descending, nulls_first=nulls_first))
        else:
            order = _by_key(plan, output, order, descending=descending, nulls_first=nulls_first)
    return order if plan.limit is None else order[: plan.limit]


def _by_number(series: Series, *, descending: bool, nulls_first: bool) -> Callable[[int], tuple[int, float]]:
    sign = -1.0 if descending else 1.0

    def key(group: int) -> tuple[int, float]:
        value = series.value[group]
        missing = bool(np.isnan(value))
        return (0 if missing == nulls_first else 1, 0.0 if missing else sign * float(value))

    return key


def _by_key(plan: Plan, output: Output, order: list[int], *, descending: bool, nulls_first: bool) -> list[int]:
    key, place = plan.keys[output.key or 0], _place(plan, output.key or 0)
    known = [g for g in order if key.domain[place(g)] is not None]
    nulls = [g for g in order if key.domain[place(g)] is None]
    known.sort(key=lambda g: _sortable(key.domain[place(g)]), reverse=descending)
    return nulls + known if nulls_first else known + nulls


def _sortable(value: Scalar) -> Any:
    return value


def _place(plan: Plan, index: int) -> Callable[[int], int]:
    """From a group number to the position of one key's value in its domain."""
    after = 1
    for key in plan.keys[index + 1 :]:
        after *= len(key.domain)
    size = len(plan.keys[index].domain)
    return lambda group: group // after % size


def _column(
    plan: Plan, output: Output, series: Series | None, chosen: Sequence[int]
) -> tuple[list[Cell], list[Cell], list[Cell]]:
    if series is None:
        key, place = plan.keys[output.key or 0], _place(plan, output.key or 0)
        cells = [shown(key, key.domain[place(g)], plan.spec) for g in chosen]
        return cells, [None] * len(cells), [None] * len(cells)
    whole = _is_whole(plan, output)
    return tuple([_number(x[g], whole=whole) for g in chosen] for x in (series.value, series.low, series.high))  # type: ignore[return-value]  # three lists


def _is_whole(plan: Plan, output: Output) -> bool:
    if output.kind == "count":
        return True
    if output.kind != "sum" or not isinstance(output.formula, Call):
        return False
    first = output.formula.args[0]
    return isinstance(first, Lit) and plan.measures[int(first.value or 0)].scale[1] == 1


def _number(value: float, *, whole: bool) -> Cell:
    if not np.isfinite(value):
        return None
    return round(float(value)) if whole else float(value)


def shown(key: Key, value: Scalar, spec: DatasetSpec) -> Cell:
    """A key's stored value as people read it."""
    if value is None or isinstance(value, str):
        return value
    if key.type is ColumnType.BOOLEAN:
        return bool(value)
    if key.type is ColumnType.DATE:
        return (EPOCH + timedelta(days=int(value))).isoformat()
    column = spec.column(key.column)
    grid = column.grid if column is not None else Decimal(1)
    scaled = int(value) * grid
    if key.type is ColumnType.TIMESTAMP:
        moment = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=float(scaled))
        return moment.isoformat().replace("+00:00", "Z")
    return int(scaled) if scaled == int(scaled) else float(scaled)


def _header(priced: Priced, output: Output) -> dict[str, Any]:
    header: dict[str, Any] = {"label": output.label, "kind": output.kind}
    if output.key is not None:
        kind = priced.plan.keys[output.key].type.value
        return header | {"type": kind, "mechanism": None, "scale": None, "level": None}
    whole = _is_whole(priced.plan, output)
    used = [int(a.value or 0) for atom in _sorted_atoms(output) for a in atom.args if isinstance(a, Lit)]
    first = priced.releases[used[0]] if used else None
    unit = float(Fraction(*priced.plan.measures[used[0]].scale)) if used else 1.0
    return header | {
        "type": "integer" if whole else "decimal",
        "mechanism": first.mechanism if first else None,
        "scale": first.scale * unit if first else None,
        "level": LEVEL,
    }


def _sorted_atoms(output: Output) -> list[Call]:
    atoms: frozenset[Call] = post.atoms_of(output.formula) if output.formula is not None else frozenset()
    return sorted(atoms, key=lambda a: (a.name, [str(x) for x in a.args]))


def expected(priced: Priced) -> list[dict[str, Any]]:
    """For a preview: each output with its mechanism and the half-width its interval will have, where known before."""
    rows = []
    for output in priced.plan.outputs[: len(priced.plan.outputs) - priced.plan.hidden]:
        header = _header(priced, output)
        width = None
        if output.kind in {"count", "sum"} and isinstance(output.formula, Call):
            first = output.formula.args[0]
            index = int(first.value or 0) if isinstance(first, Lit) else 0
            release, measure = priced.releases[index], priced.plan.measures[index]
            unit = float(Fraction(*measure.scale))
            width = intervals.half_width(release.mechanism, release.scale, LEVEL) * unit
        rows.append({**header, "expected_interval": width, "expected_by_rows": _by_rows(priced, output)})
    return rows


def _by_rows(priced: Priced, output: Output) -> dict[str, float] | None:
    """For an average, whose interval depends on how many rows its group has: its half-width at some."""
    if output.kind != "avg" or not isinstance(output.formula, Call):
        return None
    total, count = (int(a.value) for a in output.formula.args if isinstance(a, Lit) and isinstance(a.value, int))
    widths = {}
    for rows in (100, 1_000, 10_000, 100_000):
        values = np.zeros((len(priced.plan.measures), 1), np.int64)
        values[count, 0] = rows
        ratio = _average(priced, values, total, count, LEVEL)
        widths[str(rows)] = float(ratio.high[0] - ratio.low[0]) / 2
    return widths
