"""Audit of noise and price (privacy contract): a million draws of the release step say what the loss at least is.

Two neighbours differ by the plan's sensitivity in one number. A threshold tells them apart; its true and false
positive rates, with Clopper-Pearson bounds, give a lower bound on the loss, which must not exceed what was charged.
Each audit then audits a release whose sensitivity was claimed at half, which must be caught: the audit can fail.
"""

from __future__ import annotations

import math
from statistics import NormalDist

import numpy as np
import pytest
from scipy.stats import beta

from sandbox.privacy.accounting import UNIT
from sandbox.privacy.mechanisms import Mechanism, add_noise, loss, scale
from sandbox.privacy.sensitivity import reach
from tests.promises import promise

ALPHA = 1e-7
"""Chance that one bound is wrong: an honest release fails an audit less than once in five million."""

ROWS = 40
TRUE = 10_000


def least(hits: int, draws: int) -> float:
    """Clopper-Pearson: the rate is at least this."""
    return float(beta.ppf(ALPHA, hits, draws - hits + 1)) if hits else 0.0


def most(hits: int, draws: int) -> float:
    """Clopper-Pearson: the rate is at most this."""
    return float(beta.ppf(1 - ALPHA, hits + 1, draws - hits)) if hits < draws else 1.0


def rates(mechanism: Mechanism, width: float, moved: int, cut: int, draws: int) -> tuple[float, float]:
    """(lower bound of the true positive rate, upper bound of the false positive rate) of `answer >= cut`."""
    without = add_noise(mechanism, scale=width, values=np.full(draws, TRUE, dtype=np.int64))
    with_unit = add_noise(mechanism, scale=width, values=np.full(draws, TRUE + moved, dtype=np.int64))
    return least(int(np.sum(with_unit >= cut)), draws), most(int(np.sum(without >= cut)), draws)


def gaussian_loss(width: float, moved: int, draws: int) -> float:
    """A lower bound on mu: for Gaussian noise the two hypotheses are N(0, 1) and N(mu, 1). rho = mu^2 / 2."""
    tpr, fpr = rates("gaussian", width, moved, TRUE + moved // 2, draws)
    return NormalDist().inv_cdf(tpr) - NormalDist().inv_cdf(fpr)


def laplace_loss(width: float, moved: int, draws: int) -> float:
    """A lower bound on epsilon: the ratio of the two rates at the threshold where it is largest."""
    tpr, fpr = rates("laplace", width, moved, TRUE + moved, draws)
    return math.log(tpr / fpr)


def audit_gaussian(draws: int) -> None:
    claim = round(reach(form="ingest", kind="rows", groups=1, rows=ROWS).l2)
    width = scale("gaussian", sensitivity=claim, loss=UNIT // 2)
    charged = math.sqrt(2 * loss("gaussian", sensitivity=claim, scale=width) / UNIT)
    found = gaussian_loss(width, claim, draws)
    assert 0.95 * charged < found <= charged
    assert gaussian_loss(width, 2 * claim, draws // 10) > charged


def audit_laplace(draws: int) -> None:
    claim = round(reach(form="ingest", kind="rows", groups=1, rows=ROWS).l2)
    width = scale("laplace", sensitivity=claim, loss=UNIT)
    charged = loss("laplace", sensitivity=claim, scale=width) / UNIT
    found = laplace_loss(width, claim, draws)
    assert 0.95 * charged < found <= charged
    assert laplace_loss(width, 2 * claim, draws // 10) > charged


@promise("P5.1", "P1.2")
def test_gaussian_noise_loses_no_more_than_its_price() -> None:
    audit_gaussian(500_000)


@promise("P5.1", "P1.2")
def test_laplace_noise_loses_no_more_than_its_price() -> None:
    audit_laplace(500_000)


@pytest.mark.slow
@promise("P5.1")
def test_gaussian_noise_loses_no_more_than_its_price_at_ten_million_draws() -> None:
    audit_gaussian(5_000_000)


@pytest.mark.slow
@promise("P5.1")
def test_laplace_noise_loses_no_more_than_its_price_at_ten_million_draws() -> None:
    audit_laplace(5_000_000)
