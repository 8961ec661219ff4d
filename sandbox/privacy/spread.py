"""Variances and standard deviations of groups, with intervals, from noisy counts, sums and sums of squares."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

import numpy as np

from sandbox.flow import Ints
from sandbox.privacy.intervals import LEVEL, Flags, Floats, deviation, half_width
from sandbox.privacy.mechanisms import Mechanism

ATOMS: Final = 3
"""Noisy numbers that a variance is made of."""

Of: TypeAlias = Literal["sample", "population"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Spread:
    """Variances (or deviations) of groups. `flagged`: the count is under its noise, the estimate says nothing."""

    estimate: Floats
    low: Floats
    high: Floats
    flagged: Flags

    def root(self) -> Spread:
        """Standard deviations from variances: the root is monotone, so the coverage stays."""
        return Spread(
            estimate=np.sqrt(self.estimate), low=np.sqrt(self.low), high=np.sqrt(self.high), flagged=self.flagged
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Atom:
    """A noisy number for each group, and the scale of its noise in the number's own grid units."""

    values: Ints
    scale: float

    def within(self, mechanism: Mechanism, level: float) -> tuple[Floats, Floats, Floats]:
        """Estimates with the ends of their intervals."""
        at = self.values.astype(np.float64)
        width = half_width(mechanism, self.scale, level)
        return at, at - width, at + width


def variance(
    *,
    mechanism: Mechanism,
    count: Atom,
    total: Atom,
    squares: Atom,
    lower: int,
    upper: int,
    one: float = 1.0,
    of: Of = "sample",
    level: float = LEVEL,
) -> Spread:
    """Each group's variance from the noisy number n, sum s of x - center and sum Q of (x - center)^2; grid units^2.

    The three noises are independent, so all three true numbers lie in their own intervals of level^(1/3) at once with
    probability `level`, and the answer's interval is the exact range of Q/n - (s/n)^2 over that box: increasing in Q,
    decreasing in |s|, and concave in 1/n with its top at Q / (2 s^2). A sample's is n / (n - 1) times that, each end
    by its own n; `one` is what a single row adds to the count's integers (more than 1 in fixed point, where the other
    two have the same factor). Both lie in [0, ((U - L) / 2)^2] for x in [L, U], the sample's again times n / (n - 1).

    A count under two deviations of its noise, or under two rows for a sample, says nothing: flagged, the interval is
    all that is possible, and the estimate its middle. So where no variance fits the box. Where noise alone explains a
    negative variance, the estimate is 0.

    Privacy:
        Post-processing of three additive releases.

    Source: interval arithmetic over a joint confidence box (Sidak 1967 for independent intervals); Popoviciu 1935 for
        the largest variance on [L, U].
    """
    each = level ** (1 / ATOMS)
    n, n_low, n_high = count.within(mechanism, each)
    s, s_low, s_high = total.within(mechanism, each)
    q, q_low, q_high = squares.within(mechanism, each)
    least = 2.0 * one if of == "sample" else one
    flagged = (n < 2 * deviation(mechanism, count.scale)) | (n < least)
    n, n_low = np.where(flagged, least, n), np.maximum(n_low, least)
    n_high = np.maximum(n_high, n_low)
    cap = ((upper - lower) / 2) ** 2
    shift_least = np.where((s_low <= 0) & (s_high >= 0), 0.0, np.minimum(np.abs(s_low), np.abs(s_high)))
    shift_most = np.maximum(np.abs(s_low), np.abs(s_high))
    top = _highest(q_high, shift_least, 1 / n_high, 1 / n_low)
    # Noise has carried the whole box out of what is possible: an interval of [0, 0] would look like certainty.
    flagged |= top < 0
    top = np.where(flagged, cap, np.minimum(top, cap))
    low = np.where(flagged, 0.0, _lowest(q_low, shift_most, 1 / n_high, 1 / n_low))
    at = np.clip(q / n - (s / n) ** 2, 0.0, cap)
    if of == "sample":
        top, low, at = top * n_low / (n_low - one), low * n_high / (n_high - one), at * n / (n - one)
    low = np.clip(low, 0.0, top)
    return Spread(estimate=np.where(flagged, top / 2, np.clip(at, low, top)), low=low, high=top, flagged=flagged)


def _highest(q: Floats, s: Floats, u_low: Floats, u_high: Floats) -> Floats:
    """The largest q u - s^2 u^2 for u between its ends: at the parabola's top, or at the end next to it."""
    squared = s * s
    # Compared before it is divided: 2 s^2 may be so small that the quotient overflows.
    inside = (q > 2 * squared * u_low) & (q < 2 * squared * u_high)
    ends = np.where(q >= 2 * squared * u_high, u_high, u_low)
    u = np.where(inside, q / np.where(inside, 2 * squared, 1.0), ends)
    return np.asarray(q * u - squared * u * u)


def _lowest(q: Floats, s: Floats, u_low: Floats, u_high: Floats) -> Floats:
    """The smallest q u - s^2 u^2: concave in u, so at one of the ends."""
    return np.minimum(q * u_low - (s * u_low) ** 2, q * u_high - (s * u_high) ** 2)
