"""Sums of independent noises: quantiles that are sound for adding up released numbers, as a roll-up does."""

from __future__ import annotations

import math
from statistics import NormalDist
from typing import Final, TypeAlias

import numpy as np
import numpy.typing as npt

from sandbox.privacy.mechanisms import Mechanism

Floats: TypeAlias = npt.NDArray[np.float64]

_NEGLIGIBLE: Final = 1e-3
"""So far may the sum's tails lie from those of one discrete Gaussian, as a factor, for its quantile to be taken."""
_STEPS: Final = 20
"""Halvings towards the best exponent of a Chernoff bound; any exponent at all gives a sound one."""
_NARROWINGS: Final = 50
"""Halvings towards a width."""


def half_width(mechanism: Mechanism, scale: float, cells: int, level: float) -> float:
    """An integer w that the sum of so many noises exceeds in size with probability at most 1 - level, in grid units.

    Source: `gaussian_quantile` and `laplace_tail`.
    """
    if mechanism == "gaussian":
        return float(math.ceil(gaussian_quantile(scale, cells, level) * scale * math.sqrt(cells)))
    low, high = 0.0, scale * (2 * math.sqrt(cells) + 2) * (1 - 2 * math.log(1 - level))
    while _tail(high, scale, cells) > 1 - level:
        high *= 2
    for _ in range(_NARROWINGS):
        middle = (low + high) / 2
        low, high = (middle, high) if _tail(middle, scale, cells) > 1 - level else (low, middle)
    # P(|S| > w) = P(|S| >= w + 1) for whole numbers, and the bound is on P(|S| >= high).
    return float(max(math.ceil(high) - 1, 0))


def gaussian_quantile(scale: float, cells: int, level: float) -> float:
    """How many deviations sqrt(cells) * scale enclose the sum of discrete Gaussians with this probability.

    The log ratio between the sum's probabilities and those of one discrete Gaussian of variance cells * scale^2 is at
    most 5 exp(-2 pi^2 scale^2 k / (k + 1)) for each k-th addition, so at most 5 (cells - 1) exp(-pi^2 scale^2) in all
    (scale >= 1/2); we allow twice as much, and give the level away for it. Noise that is too narrow for that to be
    negligible gets the sub-Gaussian bound P(|S| >= w) <= 2 exp(-w^2 / (2 cells scale^2)).

    Source: Kairouz, Liu, Steinke 2021 (arXiv:2102.06387), convolution of discrete Gaussians; Canonne, Kamath, Steinke
        2020 (arXiv:2004.00010), the discrete Gaussian is sub-Gaussian, and its tail under the continuous one's.
    """
    if cells == 1:
        return NormalDist().inv_cdf((1 + level) / 2)
    gap = 10 * (cells - 1) * math.exp(-((math.pi * scale) ** 2))
    if scale < 0.5 or gap > _NEGLIGIBLE:
        return math.sqrt(2 * math.log(2 / (1 - level)))
    return NormalDist().inv_cdf(1 - (1 - level) * math.exp(-gap) / 2)


def laplace_tail(w: Floats, a: float, b: Floats, cells: int) -> Floats:
    """A bound on P(|X + Y| >= w) for X a sum of `cells` Laplace noises of scale a, and Y one of scales b >= 0.

    Chernoff: 2 exp(min over s of -cells log(1 - a^2 s^2) - cells log(1 - b^2 s^2) - s w). The discrete noise's moment
    generating function (cosh(1/b) - 1) / (cosh(1/b) - cosh s) is nowhere above the continuous 1 / (1 - b^2 s^2), since
    (cosh x - 1) / x^2 grows with x. The exponent's derivative grows with s, so halving finds its zero.

    Source: Boucheron, Lugosi, Massart 2013, section 2.2 (Chernoff); Canonne, Kamath, Steinke 2020 (arXiv:2004.00010),
        the discrete Laplace distribution.
    """
    other = np.asarray(b, dtype=np.float64)
    most = 1 / np.maximum(a, other)
    low, high = np.zeros_like(most), most * (1 - 1e-12)
    for _ in range(_STEPS):
        s = (low + high) / 2
        slope = cells * (2 * a * a * s / (1 - (a * s) ** 2) + 2 * other * other * s / (1 - (other * s) ** 2))
        low, high = np.where(slope < w, s, low), np.where(slope < w, high, s)
    exponent = -cells * (np.log1p(-((a * low) ** 2)) + np.log1p(-((other * low) ** 2))) - low * w
    return np.asarray(np.minimum(1.0, 2 * np.exp(exponent)))


def _tail(w: float, scale: float, cells: int) -> float:
    """The same for one kind of noise: the best exponent is the positive root of a quadratic equation."""
    if w <= 0:
        return 1.0
    u = w / scale
    s = (math.hypot(cells, u) - cells) / u
    return min(1.0, 2 * math.exp(-cells * math.log1p(-s * s) - s * u))
