"""What an attacker's scores say for certain: rates with Clopper-Pearson bounds, and the loss that they prove."""

from __future__ import annotations

import math
from statistics import NormalDist
from typing import Final

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
    spread = np.atleast_2d(np.cov(together, rowvar=False))
    return np.linalg.lstsq(spread, with_unit.mean(axis=0) - without.mean(axis=0), rcond=None)[0]


def proven(with_unit: Scores, without: Scores, *, gaussian: bool, alpha: float = ALPHA) -> float:
    """The loss that two states' answers prove: a lower bound on mu (Gaussian) or on epsilon.

    Half of the draws choose the weights and the threshold, the other half is counted, so that the choice costs nothing.
    """
    half = len(with_unit) // 2
    weights = direction(with_unit[:half], without[:half])
    a, b = with_unit @ weights, without @ weights
    middle = float(a[:half].mean() + b[:half].mean()) / 2
    cuts = [middle] if gaussian else [middle, float(np.median(a[:half]))]
    cut = max(cuts, key=lambda c: _bound(a[:half], b[:half], c, gaussian=gaussian, alpha=alpha))
    return _bound(a[half:], b[half:], cut, gaussian=gaussian, alpha=alpha)


def _bound(a: Scores, b: Scores, cut: float, *, gaussian: bool, alpha: float) -> float:
    tpr, fpr = least(int((a >= cut).sum()), len(a), alpha), most(int((b >= cut).sum()), len(b), alpha)
    if not 0 < tpr < 1 or not 0 < fpr < 1:
        return 0.0
    if gaussian:
        return NormalDist().inv_cdf(tpr) - NormalDist().inv_cdf(fpr)
    return math.log(tpr / fpr)


def charged_loss(priced: Priced) -> tuple[float, bool]:
    """What was paid, as mu if it is Gaussian, else as epsilon; and which of the two."""
    if priced.cost.rho:
        return math.sqrt(2 * priced.cost.rho / UNIT), True
    return priced.cost.eps_p / UNIT, False


def guesses(epsilon: float) -> float:
    """How often a guess between two equally likely neighbours can be right at most, under this loss."""
    return math.exp(epsilon) / (1 + math.exp(epsilon))
