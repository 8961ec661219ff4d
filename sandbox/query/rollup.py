"""Roll-ups: a coarser grouping of additive numbers that were released before is added up from them (P6.4)."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Final

import numpy as np

from sandbox.flow import Cost, Ints, Plan, Priced, Released
from sandbox.plans import Bound, Call, Expr, Filter, Key, Lit, Measure, Relation, Scalar
from sandbox.privacy import intervals
from sandbox.query.planning.offers import LEVEL, deviation_at, likely_norm
from sandbox.query.planning.sizes import most_rows
from sandbox.query.release.free import Summed
from sandbox.query.release.values import Values

ADDED: Final = frozenset({"rows", "present", "sum"})
"""Measures of a coarser group that are the sums of its finer groups' ones."""
FORMS: Final = frozenset({"ingest", "rows", "clip"})
"""Bounds that do not depend on one group: what a unit gives to a coarser group is what it gives to its finer ones."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Way:
    """How a plan's numbers are made from a source's: which of its measures, and which of its groups in each group."""

    measures: tuple[int, ...]
    axes: tuple[int, ...]
    """The source's key behind each key of the plan."""
    kept: Mapping[int, tuple[int, ...]]
    """Of a source's key that the plan filters by, the places of the values that pass."""
    cells: int
    """How many of the source's groups are added up in each."""


def can_lend(plan: Plan) -> bool:
    """Whether numbers of this plan may be added up to those of a coarser one."""
    public = bool(plan.keys) and not plan.private
    return public and plan.bound.form in FORMS and any(m.kind in ADDED for m in plan.measures)


def bases(plan: Plan) -> Iterator[Relation]:
    """Relations that a source of this plan may have: its own, or the one that it filters by keys."""
    if plan.private or any(m.kind not in ADDED for m in plan.measures):
        return
    yield plan.relation
    if isinstance(plan.relation, Filter) and _conditions(plan.relation.where) is not None:
        yield plan.relation.of


def way(plan: Plan, source: Plan) -> Way | None:
    """How to make the plan from the source, whose tables are the same; None if that cannot be done."""
    if not can_lend(source) or not same_bound(plan.bound, source.bound):
        return None
    kept = _kept(plan, source)
    places = [_place(m, source.measures) for m in plan.measures]
    axes = [_axis(k, source.keys) for k in plan.keys]
    if kept is None or None in places or None in axes or set(kept) & set(axes):
        return None
    left = [i for i in range(len(source.keys)) if i not in axes]
    cells = math.prod(len(kept[i]) if i in kept else len(source.keys[i].domain or ()) for i in left)
    if cells < 1:
        return None
    return Way(
        measures=tuple(p for p in places if p is not None), axes=tuple(a for a in axes if a is not None), kept=kept,
        cells=cells,
    )  # fmt: skip


def same_bound(one: Bound, other: Bound) -> bool:
    """Whether two bounds are the same, whatever the reason why."""
    return replace(one, why="") == replace(other, why="")


def _place(wanted: Measure, measures: Sequence[Measure]) -> int | None:
    alike = (i for i, m in enumerate(measures) if m.kind in ADDED and replace(m, share=wanted.share) == wanted)
    return next(alike, None)


def _axis(wanted: Key, keys: Sequence[Key]) -> int | None:
    return next((i for i, k in enumerate(keys) if replace(k, label=wanted.label) == wanted), None)


# --- filters by keys --------------------------------------------------------------------------------------------------


def _kept(plan: Plan, source: Plan) -> Mapping[int, tuple[int, ...]] | None:
    """Which values of the source's keys pass the plan's filter; None if that cannot be told from them alone.

    A filter decides which rows are the first k that pass, so it may be moved behind the bound only where the bound is
    by ordinals, or keeps every row.
    """
    if plan.relation == source.relation:
        return {}
    if not isinstance(plan.relation, Filter) or plan.relation.of != source.relation:
        return None
    every = plan.bound.form == "rows" and plan.bound.rows >= most_rows(plan.relation, plan.tables)
    conditions = _conditions(plan.relation.where)
    if conditions is None or not (plan.bound.form == "ingest" or every):
        return None
    found: dict[int, tuple[int, ...]] = {}
    for expr, values in conditions:
        axis = next((i for i, k in enumerate(source.keys) if k.expr == expr), None)
        if axis is None or axis in found:
            return None
        domain = source.keys[axis].domain or ()
        found[axis] = tuple(i for i, v in enumerate(domain) if v is not None and v in values)
    return found


def _conditions(where: Expr) -> list[tuple[Expr, tuple[Scalar, ...]]] | None:
    """`expression = constant` and `expression IN (constants)`, joined by AND; None for anything else."""
    if not isinstance(where, Call):
        return None
    if where.name == "and":
        parts = [_conditions(a) for a in where.args]
        return None if None in parts else [c for p in parts if p is not None for c in p]
    if where.name not in {"=", "in"}:
        return None
    first, *others = where.args
    if where.name == "=" and isinstance(first, Lit):
        first, others = others[0], [first]
    if isinstance(first, Lit) or not all(isinstance(o, Lit) for o in others):
        return None
    return [(first, tuple(o.value for o in others if isinstance(o, Lit)))]


# --- numbers ----------------------------------------------------------------------------------------------------------


def summed(way: Way, source: Priced, released: Released) -> Summed:
    """The source's released numbers added up: post-processing, which costs nothing (Dwork and Roth 2014, 2.1)."""
    values = Values.of(source, released)
    keys = source.plan.keys
    shape = [len(k.domain or ()) for k in keys]
    dropped = tuple(i for i in range(len(keys)) if i not in way.axes)
    left = [i for i in range(len(keys)) if i in way.axes]
    order = [left.index(a) for a in way.axes]
    made = []
    for place in way.measures:
        cube = released.values[place].reshape(shape)
        for axis, kept in way.kept.items():
            cube = np.take(cube, kept, axis=axis)
        made.append(_sum(cube, dropped).transpose(order).reshape(-1, 1))
    return Summed(
        values=tuple(made), cells=way.cells, scales=tuple(values.scales[p] for p in way.measures), fixed=values.fixed,
        norms=tuple(released.norms[p] for p in way.measures) if released.norms else (),
    )  # fmt: skip


def _sum(cube: Ints, axes: tuple[int, ...]) -> Ints:
    """Sums over axes, exact, and saturated at 64 bits as released numbers are."""
    high = (cube >> 32).sum(axis=axes)
    low = (cube & 0xFFFFFFFF).sum(axis=axes)
    high += low >> 32
    low &= 0xFFFFFFFF
    outside = (high >= 2**31) | (high < -(2**31))
    whole = (np.clip(high, -(2**31), 2**31 - 1) << 32) | low
    edge = np.where(high > 0, np.iinfo(np.int64).max, np.iinfo(np.int64).min)
    return np.asarray(np.where(outside, edge, whole), dtype=np.int64)


def priced_as(plan: Plan, way: Way, source: Priced) -> Priced:
    """The plan as it is answered free: with the source's noise, at no price, at once."""
    releases = tuple(source.releases[p] for p in way.measures)
    return Priced(plan=plan, releases=releases, cost=Cost(), rung=0.0)


# --- errors -----------------------------------------------------------------------------------------------------------


def errors(summed_: Summed, priced: Priced) -> list[float]:
    """Each number's standard deviation, in units of its measure; `priced` is the plan as it is answered."""
    values = Values.of(priced, summed_)
    return [values.deviation(i) * float(values.fixed) for i in range(len(priced.plan.measures))]


def expected_errors(priced: Priced) -> list[float]:
    """What the asked budget would buy: each number's expected deviation, in units of its measure."""
    plan, found = priced.plan, list[float]()
    for index, (measure, release) in enumerate(zip(plan.measures, priced.releases, strict=True)):
        if plan.bound.form == "clip":
            known = priced.reused[index] if priced.reused else None
            norm = likely_norm(plan, measure) if known is None else float(known.norm)
            found.append(deviation_at(norm, release.loss))
        else:
            mechanism = "laplace" if release.mechanism == "laplace" else "gaussian"
            found.append(intervals.deviation(mechanism, release.scale))  # type: ignore[arg-type]  # one of the two
    return found


def is_good_enough(summed_: Summed, answered: Priced, asked: Priced) -> bool:
    """Whether a roll-up errs no more, in each of its numbers, than what was asked for would.

    An accuracy that was asked for is kept by its interval, too.
    """
    if any(a > b for a, b in zip(errors(summed_, answered), expected_errors(asked), strict=True)):
        return False
    within = asked.plan.permitted.parsed.request.within
    if within is None:
        return True
    values, whole = Values.of(answered, summed_), max(m.share for m in answered.plan.measures)
    return all(
        values.half(i, LEVEL) * Fraction(values.unit(i)) <= within
        for i, m in enumerate(answered.plan.measures)
        if m.share == whole
    )

