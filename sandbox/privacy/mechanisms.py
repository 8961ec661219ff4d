"""Noise and its price by OpenDP, each price beside our own formula, and the conversion from rho to epsilon."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from fractions import Fraction
from functools import lru_cache
from typing import Any, Final, Literal, TypeAlias

import numpy as np
import opendp.prelude as dp

from sandbox.errors import IntegrityFailed, RequestError
from sandbox.flow import Ints
from sandbox.privacy import accounting
from sandbox.privacy.accounting import DELTA_UNIT, UNIT

dp.enable_features("contrib")

Mechanism: TypeAlias = Literal["laplace", "gaussian"]
"""Discrete noise on integers: Laplace is paid in eps_p, Gaussian in rho."""

CHUNK: Final = 4096
"""Values that one call into OpenDP gets."""

UNBOUNDED: Final = 10**30
"""What `epsilon_of_rho` says where no finite epsilon is certified: more than any cap."""

WIDEST: Final = 2.0**56
"""The largest scale: 64-bit results saturate, and noise near that edge would make the stated interval false."""


@lru_cache(maxsize=4096)
def epsilon_of_rho(rho: int, delta: int) -> int:
    """The epsilon that rho-zCDP gives at `delta`, all in ledger units: OpenDP's conversion, rounded against us.

    rho goes up, delta goes down, the result goes up and one unit more. `UNBOUNDED` where delta is 0 or OpenDP's
    arithmetic overflows (rho beyond several hundred).

    Source: Canonne, Kamath, Steinke 2020 (arXiv:2004.00010), section 2.3, as OpenDP computes it.
    """
    unit = _measurement("gaussian", 1.0, 1)
    exact = Fraction(rho, UNIT)
    distance = math.sqrt(2 * rho / UNIT)
    while Fraction(unit.map(distance)) < exact:
        distance = math.nextafter(distance, math.inf)
    try:
        epsilon = _converted().map(distance).epsilon(float_down(Fraction(delta, DELTA_UNIT)))
    except dp.OpenDPException:
        return UNBOUNDED
    return UNBOUNDED if math.isinf(epsilon) else math.ceil(Fraction(epsilon) * UNIT) + 1


def rho_of_epsilon(epsilon: int, delta: int) -> int:
    """The largest rho whose `epsilon_of_rho` at `delta` is at most `epsilon`; ledger units."""
    return _rho_of_epsilon(epsilon, delta)


@lru_cache(maxsize=4096)
def _rho_of_epsilon(epsilon: int, delta: int) -> int:
    return accounting.largest_rho(epsilon_of_rho, epsilon=epsilon, delta=delta)


def loss(mechanism: Mechanism, *, sensitivity: float, scale: float) -> int:
    """What noise of this scale costs at this sensitivity: eps_p (Laplace, L1) or rho (Gaussian, L2), rounded up.

    The larger of OpenDP's privacy map and our own formula, s/b or (s/sigma)^2 / 2 in exact rationals. An L2
    sensitivity is often a square root: give it as a float that was rounded up (`sensitivity.root_up`).

    Raises:
        ValueError: a sensitivity under 1, or a scale that is not positive and finite.
        IntegrityFailed: `price_disagrees`, the formula exceeds OpenDP's map by more than rounding.

    Source: Dwork and Roth 2014, theorem 3.6; Bun and Steinke 2016, proposition 1.6; for the discrete distributions
        Canonne, Kamath, Steinke 2020 (arXiv:2004.00010), sections 2 and 5.
    """
    return _price(mechanism, sensitivity, scale)


@lru_cache(maxsize=4096)
def _price(mechanism: Mechanism, sensitivity: float, scale: float) -> int:
    if not 1 <= sensitivity < math.inf or not 0 < scale < math.inf:
        raise ValueError("a price needs a sensitivity of at least 1 and a finite scale above 0")
    ratio = Fraction(sensitivity) / Fraction(scale)
    mapped = _measurement(mechanism, scale, 1).map(float_up(sensitivity))
    return larger(mechanism, own=ratio if mechanism == "laplace" else ratio * ratio / 2, mapped=mapped)


def larger(mechanism: str, *, own: Fraction, mapped: float) -> int:
    """The larger of our own loss and of OpenDP's map, in ledger units of 1e-12, rounded up.

    Raises:
        IntegrityFailed: `price_disagrees`, our formula exceeds OpenDP's map by more than rounding.
    """
    if not math.isfinite(mapped):
        raise IntegrityFailed("price_disagrees", mechanism=mechanism)
    ours, theirs = _ceil(own), _ceil(Fraction(mapped))
    if ours > theirs + 1 + theirs // 10**9:
        raise IntegrityFailed("price_disagrees", mechanism=mechanism)
    return max(ours, theirs)


def scale(mechanism: Mechanism, *, sensitivity: float, loss: int) -> float:
    """The smallest noise, to within 1e-9 of it, that costs at most `loss` (eps_p or rho, ledger units).

    Raises:
        RequestError: `budget_too_small`, the noise would not fit 64-bit results.
        ValueError: a sensitivity under 1.
    """
    return _scale(mechanism, sensitivity, loss)


@lru_cache(maxsize=4096)
def _scale(mechanism: Mechanism, sensitivity: float, paid: int) -> float:
    if paid < 1:
        raise RequestError("budget_too_small")
    least = Fraction(sensitivity) * UNIT / paid
    if mechanism == "gaussian":
        # (s / sigma)^2 / 2 = loss, solved for sigma.
        least = Fraction(math.isqrt(int(Fraction(sensitivity) * least * 2**255)) + 1, 2**128)
    return cheapest(least, lambda found: _price(mechanism, sensitivity, found) <= paid)


def cheapest(least: Fraction, affordable: Callable[[float], bool]) -> float:
    """The first float at or above `least` that is affordable: maps round up, so a few steps are enough.

    Raises:
        RequestError: `budget_too_small`, the noise would not fit 64-bit results.
    """
    if least > WIDEST:
        raise RequestError("budget_too_small")
    found = float_up(least)
    while found <= WIDEST and not affordable(found):
        found = math.nextafter(found, math.inf)
    if found > WIDEST:
        raise RequestError("budget_too_small")
    return found


def add_noise(mechanism: Mechanism, *, scale: float, values: Ints) -> Ints:
    """Fresh, independent, exact discrete noise on every value; results saturate at 64 bits.

    Privacy:
        This is the release. It costs `loss(mechanism, sensitivity=..., scale=scale)` for the whole array, where the
        sensitivity is that of the whole array: L1 for Laplace, L2 for Gaussian.

    Source: Canonne, Kamath, Steinke 2020, section 5, as OpenDP samples it from the system's randomness.
    """
    flat = np.array(values, dtype=np.int64, order="C").reshape(-1)  # a copy: OpenDP takes no read-only array
    noisy = np.empty_like(flat)

    def chunk(start: int) -> None:
        part = flat[start : start + CHUNK]
        noisy[start : start + CHUNK] = _measurement(mechanism, scale, part.size)(part)

    in_threads(chunk, range(0, flat.size, CHUNK))
    return noisy.reshape(values.shape)


def in_threads(act: Callable[[int], None], parts: Sequence[int]) -> None:
    """Call `act` on each part, on kept threads where there is more than one: OpenDP lets go of the lock."""
    if len(parts) <= 1:
        for part in parts:
            act(part)
    else:
        list(_threads(os.getpid()).map(act, parts))


@lru_cache(maxsize=1)
def _threads(_process: int) -> ThreadPoolExecutor:
    # A forked child has its parent's pool but none of its threads: one pool for each process.
    return ThreadPoolExecutor(os.cpu_count() or 1, thread_name_prefix="noise")


def _build(mechanism: Mechanism, scale: float, size: int) -> Any:
    domain = dp.vector_domain(dp.atom_domain(T="i64"), size)
    if mechanism == "laplace":
        return dp.m.make_laplace(domain, dp.l1_distance(T="f64"), scale=scale)
    return dp.m.make_gaussian(domain, dp.l2_distance(T="f64"), scale=scale)


_measurement = lru_cache(maxsize=256)(_build)
"""Measurements hold no data: built once, for prices and for noise."""


@lru_cache(maxsize=1)
def _converted() -> Any:
    return dp.c.make_zCDP_to_approxDP(_measurement("gaussian", 1.0, 1))


def _ceil(value: Fraction) -> int:
    return math.ceil(value * UNIT)


def float_up(value: Fraction | float) -> float:
    """The smallest float that is at least `value`."""
    near = float(value)
    return near if Fraction(near) >= value else math.nextafter(near, math.inf)


def float_down(value: Fraction) -> float:
    """The largest float that is at most `value`, for values above 0."""
    near = float(value)
    return near if Fraction(near) <= value else math.nextafter(near, 0.0)
