"""Noisy integers as numbers with intervals: counts, sums, averages, spreads, and the candidates that were chosen."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Final, Literal, TypeAlias

import numpy as np

from sandbox.flow import Ints, Priced, Released
from sandbox.plans import Call, Lit, Measure, Output
from sandbox.privacy import intervals, relative, selection, spread, sums
from sandbox.query.kernel.fixed import clip_bits
from sandbox.query.planning.sizes import all_rows
from sandbox.query.release import post
from sandbox.query.release.free import Summed
from sandbox.query.release.noise import clipped_scales
from sandbox.query.release.post import Series

LEVEL: Final = 0.95
FEW: Final = frozenset({"measure avg", "measure variance", "measure stddev"})
"""What says nothing where the count is under its noise."""
Noise: TypeAlias = Literal["laplace", "gaussian"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Values:
    """A plan's noisy integers with the noise that each has; `units` is the value of one of its steps."""

    priced: Priced
    released: Released
    scales: tuple[float, ...]
    cells: int = 1
    """Released integers, and so independent noises, that each number is the sum of: 1 but in a roll-up."""
    fixed: Fraction = Fraction(1)
    """The part of a unit that one step of the integers stands for: 1, but for clipped vectors."""

    @classmethod
    def of(cls, priced: Priced, released: Released) -> Values:
        """The values of an answer."""
        plan = priced.plan
        if isinstance(released, Summed):
            scales, fixed = released.scales, released.fixed
            return cls(priced=priced, released=released, scales=scales, cells=released.cells, fixed=fixed)
        if released.totals is not None:
            return cls(priced=priced, released=released, scales=released.totals.scales)
        if plan.bound.form != "clip":
            return cls(priced=priced, released=released, scales=tuple(r.scale for r in priced.releases))
        bits = clip_bits(plan.relation, plan.tables, plan.measures, released.norms)
        scales = clipped_scales(priced, released.norms)
        return cls(priced=priced, released=released, scales=scales, fixed=Fraction(2) ** -bits)

    @property
    def groups(self) -> int:
        """How many groups the answer has before HAVING and LIMIT."""
        labels = self.released.labels
        return self.priced.plan.groups if labels is None else len(labels)

    def measure(self, index: int) -> Measure:
        """A measure of the plan."""
        return self.priced.plan.measures[index]

    def noise(self, index: int) -> Noise:
        """The noise that an additive measure has."""
        return "laplace" if self.priced.releases[index].mechanism == "laplace" else "gaussian"

    def unit(self, index: int) -> float:
        """The value of one step of a measure's integers."""
        measure = self.measure(index)
        step = Fraction(*measure.scale) if measure.kind in {"sum", "square"} else Fraction(1)
        return float((step * step if measure.kind == "square" else step) * self.fixed)

    def numbers(self, index: int) -> Ints:
        """A measure's noisy integers, of one column."""
        return self.released.values[index][:, 0]

    def half(self, index: int, level: float) -> float:
        """The half-width of an additive measure's interval, in steps of its integers."""
        if self.released.totals is not None:
            return relative.half_width(self.scales[index])
        if self.cells == 1:
            return intervals.half_width(self.noise(index), self.scales[index], level)
        return sums.half_width(self.noise(index), self.scales[index], self.cells, level)

    def deviation(self, index: int) -> float:
        """The standard deviation of the noise that an additive measure has, in steps of its integers."""
        return intervals.deviation(self.noise(index), self.scales[index]) * math.sqrt(self.cells)

    def atoms(self, level: float) -> Callable[[Call], Series]:
        """Each atom of a formula as numbers with intervals that hold at this level."""
        return lambda call: _ATOMS.get(call.name, _noised)(self, indexes(call), level)

    def few(self, output: Output) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
        """Groups where the output's count is under its noise: its estimate is then the centre of what is declared."""
        flags = np.zeros(self.groups, dtype=np.bool_)
        for atom in post.atoms_of(output.formula) if output.formula is not None else ():
            if atom.name in FEW:
                count = indexes(atom)[-1 if atom.name == "measure avg" else 2]
                flags |= self.numbers(count) < 2 * self.deviation(count)
        return flags

    def adrift(self, output: Output) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
        """Groups where a quantile may lie half of all rows away: as many as were counted beside it, or as declared."""
        plan, flags = self.priced.plan, np.zeros(self.groups, dtype=np.bool_)
        if output.formula is None or output.kind not in {"quantile", "min", "max", "quantiles"}:
            return flags
        width = max(rank_half_width(self.priced, i) for atom in post.atoms_of(output.formula) for i in indexes(atom))
        count = next((i for i, m in enumerate(plan.measures) if m.kind == "rows"), None)
        rows = all_rows(plan.relation, plan.tables) / max(self.groups, 1) if count is None else self.numbers(count)
        flags |= 2 * width >= rows
        return flags

    def wide(self) -> list[np.ndarray[tuple[int], np.dtype[np.bool_]]]:
        """Of a question by relative accuracy, for each measure: the groups whose numbers err by more than was asked."""
        steps = self.priced.steps
        if steps is None:
            return []
        share = steps.share / relative.PARTS
        found = range(len(self.priced.plan.measures))
        return [self.half(i, LEVEL) > share * np.abs(self.numbers(i).astype(np.float64)) for i in found]


def indexes(call: Call) -> list[int]:
    """What an atom's arguments say: numbers of measures, and flags."""
    return [int(a.value) for a in call.args if isinstance(a, Lit) and isinstance(a.value, int)]


def _noised(values: Values, at: Sequence[int], level: float) -> Series:
    unit, centre = values.unit(at[0]), values.numbers(at[0]).astype(np.float64)
    half = values.half(at[0], level)
    return Series(value=centre * unit, low=(centre - half) * unit, high=(centre + half) * unit)


def average(values: Values, at: Sequence[int], level: float) -> intervals.Ratio:
    """The average of sum and count, in grid units of its expression; a fixed point that both have falls out."""
    total, count = at
    measure = values.measure(total)
    return intervals.ratio_interval(
        mechanism=values.noise(total),
        total=values.numbers(total),
        total_scale=values.scales[total],
        count=values.numbers(count),
        count_scale=values.scales[count],
        center=measure.center,
        lower=measure.lower,
        upper=measure.upper,
        level=level,
        cells=values.cells,
    )


def _average(values: Values, at: Sequence[int], level: float) -> Series:
    ratio, unit = average(values, at, level), float(Fraction(*values.measure(at[0]).scale))
    return Series(value=ratio.estimate * unit, low=ratio.low * unit, high=ratio.high * unit)


def _spread(values: Values, at: Sequence[int], level: float, *, root: bool) -> Series:
    square, total, count, population = at
    measure = values.measure(total)
    found = spread.variance(
        mechanism=values.noise(total),
        count=spread.Atom(values=values.numbers(count), scale=values.scales[count]),
        total=spread.Atom(values=values.numbers(total), scale=values.scales[total]),
        squares=spread.Atom(values=values.numbers(square), scale=values.scales[square]),
        lower=measure.lower,
        upper=measure.upper,
        of="population" if population else "sample",
        level=level,
    )
    unit = float(Fraction(*measure.scale))
    unit, found = (unit, found.root()) if root else (unit * unit, found)
    return Series(value=found.estimate * unit, low=found.low * unit, high=found.high * unit)


def _variance(values: Values, at: Sequence[int], level: float) -> Series:
    return _spread(values, at, level, root=False)


def _stddev(values: Values, at: Sequence[int], level: float) -> Series:
    return _spread(values, at, level, root=True)


def _chosen(values: Values, at: Sequence[int], _level: float) -> Series:
    measure = values.measure(at[0])
    marks = np.asarray(measure.marks, dtype=np.float64)[values.numbers(at[0])] * float(Fraction(*measure.scale))
    open_ = np.full(values.groups, np.nan)
    return Series(value=marks, low=open_, high=open_)


_ATOMS: Final[dict[str, Callable[[Values, Sequence[int], float], Series]]] = {
    "measure avg": _average, "measure variance": _variance, "measure stddev": _stddev,
    "measure quantile": _chosen, "measure min": _chosen, "measure max": _chosen,
}  # fmt: skip


def rank_half_width(priced: Priced, index: int, level: float = LEVEL) -> float:
    """How many rows the chosen candidate's rank may lie from the one that was asked for."""
    measure, release = priced.plan.measures[index], priced.releases[index]
    return selection.rank_half_width(release.scale, of=len(measure.marks), q=measure.rank[1], share=1, level=level)
