"""The published formulas, written down once more and apart from the product, for the tests to compare with."""

from __future__ import annotations

import math

import numpy as np
from scipy.optimize import minimize_scalar


def epsilon(rho: float, delta: float) -> float:
    """rho-zCDP as (epsilon, delta)-DP: Canonne, Kamath, Steinke 2020, section 2.3, minimised over the order."""

    def at(log_excess: float) -> float:
        a = 1 + math.exp(log_excess)
        return (
            a * rho + (math.log(1 / delta) + a * math.log1p(-1 / a) - math.log(a - 1)) / (a - 1) if a > 1 else math.inf
        )

    start = min(np.arange(-8, 20, 0.05), key=at)
    found = minimize_scalar(at, bounds=(start - 0.1, start + 0.1), method="bounded", options={"xatol": 1e-13})
    return max(min(float(found.fun), at(start)), 0.0)


def delta(rho: float, eps: float) -> float:
    """The same bound solved for delta."""

    def at(log_excess: float) -> float:
        a = 1 + math.exp(log_excess)
        return (a - 1) * (a * rho - eps) + a * math.log1p(-1 / a) - math.log(a - 1)

    start = min(np.arange(-8, 20, 0.05), key=at)
    found = minimize_scalar(at, bounds=(start - 0.1, start + 0.1), method="bounded", options={"xatol": 1e-13})
    return math.exp(min(float(found.fun), at(start)))


def discrete(mechanism: str, scale: float) -> tuple[np.ndarray, np.ndarray]:
    """Support and probabilities of discrete Laplace or Gaussian noise: Canonne, Kamath, Steinke 2020."""
    reach = int(40 * scale + 40) if mechanism == "laplace" else int(9 * scale + 20)
    x = np.arange(-reach, reach + 1)
    p = np.exp(-np.abs(x) / scale) if mechanism == "laplace" else np.exp(-((x / scale) ** 2) / 2)
    return x, p / p.sum()
