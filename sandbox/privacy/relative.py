"""Asking by relative accuracy: repeated releases as one, and how much more to pay for, from noisy numbers alone."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import Final, TypeAlias

import numpy as np
import numpy.typing as npt

from sandbox.flow import Ints

Floats: TypeAlias = npt.NDArray[np.float64]
Flags: TypeAlias = npt.NDArray[np.bool_]

PARTS: Final = 10**6
"""Of a number, in which an accuracy is counted."""
GROWTH: Final = 1.1
"""The total rho of a measure grows at least so much with each release: at most a tenth is paid too much."""
STOPPED: Final = 0.96
"""The level of the intervals that decide, and that are shown at 95 %: stopping when noise looks good costs coverage."""
ROOM: Final = 2
"""Steps by which discrete noise, and rounding to whole steps, may exceed what the continuous distribution allows."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Draw:
    """One release of a measure: its noisy integers, shape (groups, 1), the noise's deviation, and the rho paid."""

    values: Ints
    scale: float
    loss: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Combined:
    """All releases of a measure as one: its integers, shape (groups, 1), the noise that is left, and the rho in all."""

    values: Ints
    scale: float
    loss: int

    @property
    def half(self) -> float:
        """The half-width of every number's interval, in steps of the integers."""
        return half_width(self.scale)


def combine(draws: Sequence[Draw]) -> Combined:
    """The mean of independent releases of the same integers, weighted by inverse variance, to whole steps.

    Privacy: post-processing.
    """
    first = draws[0]
    weights = np.array([1 / d.scale**2 for d in draws])
    whole = float(weights.sum())
    # Differences between releases are noise, so that floats carry them; the numbers themselves may not fit floats.
    moved = sum(((d.values - first.values) * (w / whole) for d, w in zip(draws, weights, strict=True)), 0.0)
    values = first.values + np.rint(moved).astype(np.int64)
    return Combined(values=values, scale=1 / math.sqrt(whole), loss=sum(d.loss for d in draws))


def half_width(scale: float) -> float:
    """What the combined noise, and rounding, exceed with probability at most 1 - `STOPPED`, in steps of the integers.

    Each discrete Gaussian Z is stochastically at most G + 1 for the continuous G of its scale, since P(Z >= m) is at
    most P(G >= m - 1); so a weighted mean of them is at most the mean of the Gs and 1. Rounding adds a half.

    Source: Canonne, Kamath, Steinke 2020 (arXiv:2004.00010), the tail of the discrete Gaussian.
    """
    return float(math.ceil(NormalDist().inv_cdf((1 + STOPPED) / 2) * scale)) + ROOM


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """How far a measure is: which numbers are as accurate as was asked, and which cannot become so under the cap."""

    reached: Flags
    hopeless: Flags

    @property
    def open(self) -> Flags:
        """Numbers that more rho may bring there."""
        return np.asarray(~self.reached & ~self.hopeless)


def standing(found: Combined, *, share: float, left: int) -> Standing:
    """Judge each number by its interval: `share` is the asked half-width as a part of the number, `left` the rho left.

    A number cannot be reached where even the largest value in its interval would need a narrower one than all that is
    left could buy: an empty group must not use up the cap.
    """
    size = np.abs(found.values[:, 0].astype(np.float64))
    best = half_width(found.scale * math.sqrt(found.loss / (found.loss + max(left, 0))))
    return Standing(reached=found.half <= share * size, hopeless=best > share * (size + found.half))


def wanted(found: Combined, judged: Standing, *, share: float, last: bool) -> int:
    """The total rho that a measure's releases should have after the next one.

    What its open numbers need even if each is as large as its interval allows, so that no step is wasted; at least
    `GROWTH` times what there is. At the `last` step, what they need if each is as small as its interval allows.
    """
    if not judged.open.any():
        return found.loss
    size = np.abs(found.values[:, 0].astype(np.float64))[judged.open]
    likely = np.maximum(size - found.half, 1.0) if last else size + found.half
    return math.ceil(found.loss * max(GROWTH, float(np.max((found.half / (share * likely)) ** 2))))
