"""Choosing how far to clip units from a noisy histogram of their norms, when nobody declared it."""

from __future__ import annotations

import math
from typing import Final

import numpy as np

from sandbox.flow import Ints
from sandbox.privacy import mechanisms
from sandbox.privacy.mechanisms import add_noise

SHARE: Final = (1, 10)
"""The part of a release's rho that its norm histogram gets."""

CONFIDENT: Final = 4.5
"""Deviations that a window of bins must exceed to count as occupied: under 4, empty bins give a T far too large."""

WINDOWS: Final = (1, 2, 4)
"""Numbers of bins that are looked at together."""


def edges(maximum: int) -> Ints:
    """Upper edges of the bins, as *squared* norms: 1, 2, 4, ... up to the first power of 2 >= maximum^2.

    Half an octave of the norm is an octave of its square, so integers carry the edges exactly.

    Raises:
        ValueError: a maximum under 1, or one whose square does not fit 62 bits.
    """
    if not 1 <= maximum <= 2**31:
        raise ValueError("a norm's maximum lies between 1 and 2^31")
    return np.array([1 << j for j in range((maximum * maximum - 1).bit_length() + 1)], dtype=np.int64)


def bin_of(squared: Ints, maximum: int) -> Ints:
    """The bin of each unit's squared norm: the first whose edge is not less; the last for all beyond `maximum`."""
    limits = edges(maximum)
    return np.minimum(np.searchsorted(limits, squared, side="left"), len(limits) - 1).astype(np.int64)


def scale(*, rho: int) -> float:
    """The deviation of the noise on the histogram that costs at most `rho` (ledger units).

    One unit is in one bin, so the histogram's L2 sensitivity is 1.

    Raises:
        RequestError: `budget_too_small`.
    """
    return mechanisms.scale("gaussian", sensitivity=1, loss=rho)


def release(*, scale: float, histogram: Ints) -> Ints:
    """The noisy histogram; `histogram` counts each unit once, in the bin of its norm. Any shape.

    Privacy:
        This is the release. It costs `mechanisms.loss("gaussian", sensitivity=1, scale=...)` for each histogram.
    """
    return add_noise("gaussian", scale=scale, values=histogram)


def overlooked(scale: float) -> float:
    """Units in one bin that a histogram with this noise may not tell from none."""
    return CONFIDENT * scale


def cut_on_purpose(*, groups: int, sigma: float) -> float:
    """r*: how many units `choose` is content to clip, .8 G sigma / min(sqrt G, 2)."""
    return 0.8 * groups * sigma / min(math.sqrt(groups), 2.0)


def choose(noisy: Ints, *, scale: float, groups: int, sigma: float, maximum: int) -> int:
    """The norm T to clip at, 1 <= T <= maximum: deterministic, from the noisy histogram and public numbers alone.

    `scale` is the histogram's deviation; `sigma` the noise that the main release will add to each of `groups`
    numbers for a norm of 1 (it adds sigma T).

    From the top, the first window of 1, 2 or 4 bins whose sum exceeds 4.5 deviations ends at the largest norm. A
    lower T clips more units and adds less noise: by one unit of T, each unit above it loses up to min(sqrt G, 2) over
    all groups, while the noise's mean absolute error shrinks by .8 G sigma. So descend while fewer units than r* =
    .8 G sigma / min(sqrt G, 2) lie above, by the noisy counts. With no occupied window, T is 1.

    Privacy:
        Post-processing of `release`.

    Source: the rule was found by measurement (docs/performance.md); Amin et al. 2019 (PMLR 97) for the balance.
    """
    counts = [int(n) for n in noisy]
    if len(counts) != len(edges(maximum)):
        raise ValueError("the histogram has one count for each edge")
    bin_ = _occupied(counts, scale)
    enough = cut_on_purpose(groups=groups, sigma=sigma)
    above = 0
    while bin_ > 0 and above + counts[bin_] < enough:
        above += counts[bin_]
        bin_ -= 1
    square = 1 << bin_
    root = math.isqrt(square)
    return min(root + (root * root < square), maximum)


def _occupied(counts: list[int], scale: float) -> int:
    """The topmost bin of the first window that holds more than noise explains; 0 if there is none."""
    for top in range(len(counts) - 1, -1, -1):
        for width in WINDOWS:
            if width <= top + 1 and sum(counts[top + 1 - width : top + 1]) > overlooked(scale) * math.sqrt(width):
                return top
    return 0
