"""Which private group keys may be shown: weighted votes of units, noise, and a threshold that few can fake."""

from __future__ import annotations

import math
from fractions import Fraction
from functools import lru_cache
from statistics import NormalDist
from typing import Any, Final, TypeAlias

import numpy as np
import numpy.typing as npt
import opendp.prelude as dp

from sandbox.errors import IntegrityFailed
from sandbox.flow import Cost, Ints
from sandbox.privacy import mechanisms
from sandbox.privacy.accounting import DELTA_UNIT, UNIT
from sandbox.privacy.mechanisms import Mechanism, add_noise, float_up, loss

VOTE: Final = 65_536
"""What a unit with a single key gives it: votes are integers, and no unit's votes have a larger norm than this."""

Flags: TypeAlias = npt.NDArray[np.bool_]


def weights(mechanism: Mechanism, most: int) -> Ints:
    """What a unit with t keys gives to each of them, at index t = 0..most (index 0 is 0); shape (most + 1,).

    Gaussian: floor(VOTE / sqrt t), so that t of them have an L2 norm of at most VOTE. Laplace: floor(VOTE / t), so
    that they have an L1 norm of at most VOTE. Never under 1.

    A noisy sum of votes is therefore not a number of units: a unit with many keys counts for less in each.

    Raises:
        ValueError: `most` outside 1..VOTE.

    Source: Gopi et al. 2020 (arXiv:2002.09745), the weighted Gaussian, on an integer grid.
    """
    if not 1 <= most <= VOTE:
        raise ValueError("a unit may have from 1 to VOTE keys")
    return np.array([0, *(_vote(mechanism, t) for t in range(1, most + 1))], dtype=np.int64)


def _vote(mechanism: Mechanism, keys: int) -> int:
    return math.isqrt(VOTE * VOTE // keys) if mechanism == "gaussian" else VOTE // keys


def scale(mechanism: Mechanism, *, paid: int) -> float:
    """The noise on sums of votes that costs at most `paid`: eps_p (Laplace) or rho (Gaussian), ledger units.

    Raises:
        RequestError: `budget_too_small`.
    """
    return mechanisms.scale(mechanism, sensitivity=VOTE, loss=paid)


@lru_cache(maxsize=1024)
def threshold(mechanism: Mechanism, *, scale: float, most: int, delta: int) -> int:
    """The least threshold, to within 1e-6 of the noise, whose `price` has at most this `delta` (units of 1e-18).

    About the largest, over t <= most, of vote(t) + sigma Phi^-1((1 - delta)^(1/t)).

    Raises:
        ValueError: a delta outside 1..DELTA_UNIT - 1, or so small that floats cannot carry it.
    """
    if not 0 < delta < DELTA_UNIT:
        raise ValueError("a threshold needs a delta between 0 and 1")
    share = delta / DELTA_UNIT
    cut = max(_cut(mechanism, scale, t, share) for t in range(1, most + 1))
    step = max(1, math.ceil(scale * 1e-7))
    for _ in range(100):
        if price(mechanism, scale=scale, most=most, threshold=cut).delta <= delta:
            return cut
        cut, step = cut + step, step * 2
    raise ValueError("no threshold has so small a delta")


def _cut(mechanism: Mechanism, scale: float, keys: int, share: float) -> int:
    each = -math.expm1(math.log1p(-share) / keys)
    if mechanism == "gaussian":
        above = -scale * NormalDist().inv_cdf(each)
    else:
        above = -scale * (math.log(each) + math.log1p(math.exp(-1 / scale)))
    return max(_vote(mechanism, keys) + math.ceil(above) + 1, VOTE + 1)


@lru_cache(maxsize=1024)
def price(mechanism: Mechanism, *, scale: float, most: int, threshold: int) -> Cost:
    """What showing the keys whose noisy votes reach `threshold` costs: (eps_p or rho, and delta).

    Proof. Let X' have one unit more than X, with t <= most keys, and let W be those keys that only this unit has.
    Run X' with the keys in W never shown: call that Q'. Under Q' and under X the same keys can be shown, their exact
    sums differ by the unit's votes, whose norm is at most VOTE, so Q' and X are `loss(VOTE, scale)` apart; forgetting
    sums under the threshold is post-processing. Under X' a key of W is shown when vote(t) + Z >= threshold; the
    noises are independent, so this happens to one of at most t keys with probability at most
    1 - (1 - P(vote(t) + Z >= threshold))^t <= delta, independently of all that is shown besides W. Hence
    P_X'(S) <= Q'(S) + delta and P_X'(S) >= (1 - delta) Q'(S): the release is delta-approximately rho-zCDP
    (eps_p-DP), in either order. The number t is a function of the unit's own rows, so the price is the largest over t.

    The loss and each delta are the larger of OpenDP's map of its own threshold mechanism, asked *one step under* the
    threshold (at the threshold itself it under-reports delta: opendp#2922), and of our formula: the exact tail for
    Laplace, P(Z >= m) <= P(N(0, sigma^2) >= m - 1) for Gaussian.

    Raises:
        ValueError: a threshold that a single vote reaches without noise, or `most` under 1.
        IntegrityFailed: `price_disagrees`.

    Source: Gopi et al. 2020 (arXiv:2002.09745); Bun and Steinke 2016, section 8, for approximate zCDP; Canonne,
        Kamath, Steinke 2020 (arXiv:2004.00010), proposition 25, for the tail.
    """
    if most < 1 or threshold <= VOTE:
        raise ValueError("a threshold lies above a single unit's vote")
    charged, delta = loss(mechanism, sensitivity=VOTE, scale=scale), 0
    released = _thresholded(mechanism, scale, threshold - 1)
    for t in range(1, most + 1):
        vote = _vote(mechanism, t)
        mapped, theirs = released.map((t, float(VOTE), float(vote)))
        if not (math.isfinite(mapped) and math.isfinite(theirs)):
            raise IntegrityFailed("price_disagrees", mechanism=mechanism)
        own = -math.expm1(t * math.log1p(-_tail(mechanism, scale, threshold - vote))) * (1 + 1e-9)
        if own > theirs * (1 + 1e-5) + 2 / DELTA_UNIT:
            raise IntegrityFailed("price_disagrees", mechanism=mechanism)
        charged = max(charged, math.ceil(Fraction(mapped) * UNIT))
        delta = max(delta, math.ceil(Fraction(max(own, theirs)) * DELTA_UNIT))
    counter = "rho" if mechanism == "gaussian" else "eps_p"
    return Cost(**{counter: charged, "delta": delta})


def _tail(mechanism: Mechanism, scale: float, least: int) -> float:
    """An upper bound of P(noise >= least) for least >= 1; for Laplace the probability itself."""
    if mechanism == "gaussian":
        return math.erfc((least - 1) / scale / math.sqrt(2)) / 2
    return math.exp(-least / scale) / (1 + math.exp(-1 / scale))


@lru_cache(maxsize=256)
def _thresholded(mechanism: Mechanism, scale: float, at: int) -> Any:
    votes = dp.map_domain(dp.atom_domain(T=str), dp.atom_domain(T="i64"))
    size = dp.absolute_distance(T="f64")
    if mechanism == "gaussian":
        return dp.m.make_gaussian_threshold(votes, dp.l02inf_distance(size), scale=scale, threshold=at)
    return dp.m.make_laplace_threshold(votes, dp.l01inf_distance(size), scale=scale, threshold=at)


def release(mechanism: Mechanism, *, scale: float, threshold: int, sums: Ints) -> tuple[Flags, Ints]:
    """Which keys are shown, and their noisy sums of votes (0 where not shown); shapes as `sums`.

    `sums` has one entry for each key that at least one unit has, and no other: a key without a unit has no noise, so
    it can never be shown. Labels of keys that are not shown must not leave.

    Privacy:
        This is the release. It costs `price(mechanism, scale=..., most=..., threshold=...)`, if each unit gives
        `weights(mechanism, most)[t]` to each of its t <= most keys.
    """
    noisy = add_noise(mechanism, scale=scale, values=sums)
    shown = noisy >= threshold
    return shown, np.where(shown, noisy, 0)


def certain(mechanism: Mechanism, *, scale: float, threshold: int, miss: float = 0.05) -> float:
    """How many units that have no other key a key needs so that it is missed with probability at most `miss`."""
    z = -NormalDist().inv_cdf(miss) if mechanism == "gaussian" else math.log(1 / (2 * miss))
    return float_up((threshold + z * scale) / VOTE)
