"""What an attacker's scores say for certain: rates with Clopper-Pearson bounds, and the loss that they prove."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from statistics import NormalDist
from typing import Final, TypeAlias

import numpy as np
import numpy.typing as npt
from scipy.stats import beta

from sandbox.flow import Priced
from sandbox.privacy.accounting import UNIT

ALPHA: Final = 1e-7
"""Chance that one bound is wrong."""

Scores = npt.NDArray[np.float64]


def least(hits: int, draws: int, alpha: float = ALPHA) -> float:
    """Clopper-Pearson: the rate is at least this."""
    return float(beta.ppf(alpha, hits, draws - hits + 1)) if hits else 0.0


def most(hits: int, draws: int, alpha: float = ALPHA) -> float:
    """Clopper-Pearson: the rate is at most this."""
    return float(beta.ppf(1 - alpha, hits + 1, draws - hits)) if hits < draws else 1.0


def direction(with_unit: Scores, without: Scores) -> Scores:
    """How to weigh the numbers of an answer so that one sum tells two states apart best; of shape (draws, numbers)."""
    together = np.concatenate([with_unit - with_unit.mean(axis=0), without - without.mean(axis=0)])
    apart = with_unit.mean(axis=0) - without.mean(axis=0)
    spread = np.atleast_2d(np.cov(together, rowvar=False))
    # A number that tells the few draws apart without any spread tells most, not nothing.
    spread += np.diag(1e-6 * (spread.diagonal() + apart * apart) + 1e-12)
    return np.linalg.lstsq(spread, apart, rcond=None)[0]


def epsilon_at(tpr: float, fpr: float) -> float:
    """The epsilon without which these two rates cannot be."""
    return math.log(tpr / fpr)


def mu_at(tpr: float, fpr: float) -> float:
    """The same for Gaussian noise, also where releases follow one another: mu of them all."""
    return NormalDist().inv_cdf(tpr) - NormalDist().inv_cdf(fpr)


def rho_at(tpr: float, fpr: float) -> float:
    """The same for any noise that is paid in rho: the test is an answer too, of order a at most a rho apart.

    A selection by Gumbel noise is not Gaussian: one of e^2 / 8-zCDP can be told by more than its mu.
    """
    if tpr <= fpr:
        return 0.0
    own = [tpr * math.log(tpr / fpr) + (1 - tpr) * math.log((1 - tpr) / (1 - fpr))]
    for order in ORDERS:
        moment = sum(p**order * q ** (1 - order) for p, q in ((tpr, fpr), (1 - tpr, 1 - fpr)))
        own.append(math.log(moment) / (order - 1) / order)
    return max(own)


ORDERS: Final = (1.1, 1.5, 2.0, 3.0, 5.0, 10.0)
"""Orders of divergence that `rho_at` tries beside the limit of 1."""

Bound: TypeAlias = Callable[[float, float], float]


def proven(
    with_unit: Scores, without: Scores, *, bound: Bound, alpha: float = ALPHA, delta: float = 0.0, choosing: int = 0,
    cuts: int = 19,
) -> float:  # fmt: skip
    """The loss that two states' answers prove: a lower bound on mu, epsilon or rho, as `bound` makes it of two rates.

    The first draws (half of them, or `choosing`) choose the weights, the threshold, and which state is to be guessed;
    the others are counted, so that the choice costs nothing. An event may be more likely by `delta` for free. Thresholds
    are tried in the middle, and at so many `cuts` on both sides of it; where draws are few, chance would choose among
    them, so that without `cuts` it is the middle, and the state with the unit.
    """
    part = choosing or len(with_unit) // 2
    together = np.concatenate([with_unit[:part], without[:part]])
    # Ratios have long tails: means and spreads of the choice are those of what lies inside.
    low, high = np.quantile(together, [0.01, 0.99], axis=0)
    weights = direction(with_unit[:part].clip(low, high), without[:part].clip(low, high))
    a, b = with_unit.clip(low, high) @ weights, without.clip(low, high) @ weights
    middle = float(a[:part].mean() + b[:part].mean()) / 2
    tried = [middle, *np.quantile(np.concatenate([a[:part], b[:part]]), np.linspace(0.05, 0.95, cuts))]

    def least_loss(some: slice, cut: float, turned: bool) -> float:
        ours, theirs = int((a[some] >= cut).sum()), int((b[some] >= cut).sum())
        draws = len(a[some])
        hits, misses = (draws - theirs, draws - ours) if turned else (ours, theirs)
        tpr, fpr = least(hits, draws, alpha) - delta, most(misses, draws, alpha)
        return bound(tpr, fpr) if 0 < tpr < 1 and 0 < fpr < 1 else 0.0

    tests = itertools.product(tried, (False, True) if cuts else (False,))
    cut, turned = max(tests, key=lambda test: least_loss(slice(part), *test))
    return least_loss(slice(part, None), cut, turned)


def charged_loss(priced: Priced) -> tuple[float, Bound]:
    """What was paid, as mu if it is Gaussian, else as epsilon; and how that is proven."""
    if priced.cost.rho:
        return math.sqrt(2 * priced.cost.rho / UNIT), mu_at
    return priced.cost.eps_p / UNIT, epsilon_at


def guesses(epsilon: float) -> float:
    """How often a guess between two equally likely neighbours can be right at most, under this loss."""
    return math.exp(epsilon) / (1 + math.exp(epsilon))
