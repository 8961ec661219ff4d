"""Confidence intervals of noisy counts and sums, and of averages by Fieller's way, from the noise alone."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from statistics import NormalDist
from typing import Final, TypeAlias

import numpy as np
import numpy.typing as npt

from sandbox.errors import RequestError
from sandbox.flow import Ints
from sandbox.privacy import sums as sums_of
from sandbox.privacy.mechanisms import Mechanism

LEVEL: Final = 0.95
"""The level of every interval that is shown."""

STEPS: Final = 60
"""Halvings on the way to an end of an interval: the range divided by 2^60."""

Floats: TypeAlias = npt.NDArray[np.float64]
Flags: TypeAlias = npt.NDArray[np.bool_]


def deviation(mechanism: Mechanism, scale: float) -> float:
    """The noise's standard deviation; of the continuous distribution, which is never less than the discrete one's."""
    return math.sqrt(2) * scale if mechanism == "laplace" else scale


def half_width(mechanism: Mechanism, scale: float, level: float = LEVEL) -> float:
    """The least integer w that the noise's size exceeds with probability at most 1 - level, in grid units.

    For Laplace exactly: P(|X| > w) = 2 p^(w+1) / (1 + p) with p = exp(-1/b). For Gaussian from the bound
    P(X >= m) <= P(N(0, sigma^2) >= m - 1), so at most one grid unit too wide.

    Source: Canonne, Kamath, Steinke 2020 (arXiv:2004.00010), the tail bound for the discrete Gaussian.
    """
    if mechanism == "gaussian":
        return float(math.ceil(_quantile(level) * scale))
    return float(max(math.ceil(scale * math.log(2 / ((1 - level) * (1 + math.exp(-1 / scale)))) - 1), 0))


def scale_within(mechanism: Mechanism, width: float, level: float = LEVEL) -> float:
    """The widest noise whose `half_width` is at most `width` grid units: what an asked accuracy needs.

    Raises:
        RequestError: `within_too_small`, less than one grid unit.
    """
    whole = math.floor(width)
    if whole < 1:
        raise RequestError("within_too_small")
    if mechanism == "gaussian":
        return whole / _quantile(level) * (1 - 1e-12)
    low, high = 0.0, (whole + 1) / -math.log(1 - level)
    for _ in range(STEPS):
        middle = (low + high) / 2
        low, high = (middle, high) if half_width(mechanism, middle, level) <= whole else (low, middle)
    return low


@dataclass(frozen=True, slots=True, kw_only=True)
class Ratio:
    """Averages of groups, in grid units. `flagged`: the count is under its noise, so the estimate is the centre."""

    estimate: Floats
    low: Floats
    high: Floats
    flagged: Flags


def ratio_interval(
    *,
    mechanism: Mechanism,
    total: Ints,
    total_scale: float,
    count: Ints,
    count_scale: float,
    center: int,
    lower: int,
    upper: int,
    level: float = LEVEL,
    cells: int = 1,
) -> Ratio:
    """Each group's average `center + total / count` with its confidence interval, inside [lower, upper].

    `total` is the noisy sum of x - center and `count` the noisy number of x. The interval is every t with
    |total - t count| <= q(t), where q(t) is the quantile of |X - t Y| for the two noises X and Y: the true average
    satisfies it with probability `level`, however small the count. A count under two deviations of its noise says
    nothing: the estimate is then the centre and the interval the whole declared range.

    Where both are sums of `cells` released numbers each, the quantile is that of so many noises (`sums`).

    Source: Fieller 1954, J. R. Statist. Soc. B 16; two Laplace noises have a quantile of their own (`_laplace_tail`).
    """
    low, high = float(lower - center), float(upper - center)
    sums, counts = total.astype(np.float64), count.astype(np.float64)
    flagged = counts < 2 * deviation(mechanism, count_scale) * math.sqrt(cells)
    narrowest = min(total_scale, count_scale)
    normal = sums_of.gaussian_quantile(narrowest, cells, level) * math.sqrt(cells) if mechanism == "gaussian" else 0.0
    at = np.clip(np.where(flagged, 0.0, sums / np.where(flagged, 1.0, counts)), low, high)

    def covers(t: Floats) -> Flags:
        # The noise is discrete: half a step of each, beside the continuous distributions' quantile, makes up for it.
        gap = np.abs(sums - t * counts) - (1 + np.abs(t)) / 2
        if mechanism == "gaussian":
            return np.asarray(gap <= normal * np.hypot(total_scale, t * count_scale))
        wide, other = np.maximum(gap, 0), np.abs(t) * count_scale
        if cells > 1:
            return np.asarray((gap <= 0) | (sums_of.laplace_tail(wide, total_scale, other, cells) >= 1 - level))
        return np.asarray((gap <= 0) | (_laplace_tail(wide, total_scale, other) >= 1 - level))

    # Noise has carried the whole set out of the declared bounds: a point at the bound would look like certainty.
    flagged |= ~covers(at)
    at = np.where(flagged, 0.0, at)
    return Ratio(
        estimate=center + at,
        low=center + np.where(flagged, low, _edge(covers, at, low)),
        high=center + np.where(flagged, high, _edge(covers, at, high)),
        flagged=flagged,
    )


def _edge(covers: Callable[[Floats], Flags], at: Floats, end: float) -> Floats:
    """Where the covered points around `at` stop on the way to `end`: just outside, or `end` if that is covered.

    q is convex in t (for Gaussian noise it is a hyperbola), so |total - t count| - q(t) changes sign once between a
    covered and an uncovered point. If even `at` is not covered, the average lies at the declared bound: `at` itself.
    """
    outer = np.full_like(at, end)
    reached, missed = covers(outer), ~covers(at)
    inner = at
    for _ in range(STEPS):
        middle = (inner + outer) / 2
        covered = covers(middle)
        inner, outer = np.where(covered, middle, inner), np.where(covered, outer, middle)
    return np.where(reached, end, np.where(missed, at, outer))


def _laplace_tail(w: Floats, a: float, b: Floats) -> Floats:
    """P(|X + Y| > w) for independent Laplace noises of scales a > 0 and b >= 0.

    (a^2 exp(-w/a) - b^2 exp(-w/b)) / (a^2 - b^2), from partial fractions of the characteristic function
    1 / ((1 + a^2 s^2)(1 + b^2 s^2)); written so that a = b and b = 0 need no care.
    """
    wide, narrow = np.maximum(a, b), np.minimum(a, b)
    some = np.where(narrow > 0, narrow, 1.0)
    u = w * (wide - some) / (wide * some)
    slope = np.where(u > 1e-8, -np.expm1(-np.maximum(u, 1e-8)) / np.maximum(u, 1e-8), 1.0)
    return np.asarray(np.exp(-w / wide) * (1 + np.where(narrow > 0, some * w * slope / (wide * (wide + some)), 0.0)))


def _quantile(level: float) -> float:
    return NormalDist().inv_cdf((1 + level) / 2)
