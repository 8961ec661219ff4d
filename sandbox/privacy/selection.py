"""Choosing one of many public candidates: quantiles that know ties, and the largest counts."""

from __future__ import annotations

import math
from fractions import Fraction
from functools import lru_cache
from typing import Any, Final, Literal, TypeAlias

import numpy as np
import opendp.prelude as dp

from sandbox.errors import RequestError
from sandbox.flow import Ints
from sandbox.privacy.accounting import UNIT
from sandbox.privacy.intervals import LEVEL
from sandbox.privacy.mechanisms import cheapest, in_threads, larger
from sandbox.privacy.sensitivity import ROOM

Selection: TypeAlias = Literal["exponential", "gumbel"]
"""The noise on scores: exponential is paid in eps_p, Gumbel in rho."""

CANDIDATES: Final = 4096
"""The most values that a quantile chooses among, unless told otherwise."""

STRIDE: Final = 32
"""Groups that one thread takes at a time."""


def candidates(lower: int, upper: int, limit: int = CANDIDATES) -> Ints:
    """At most `limit` evenly spaced integers from `lower` to `upper`, both ends included, ascending.

    All of them where they fit; a function of declared bounds alone.

    Raises:
        ValueError: an empty range, or a limit under 2.
    """
    if upper < lower or limit < 2:
        raise ValueError("candidates need lower <= upper and a limit of at least 2")
    width = upper - lower
    if width < limit:
        return np.arange(lower, upper + 1, dtype=np.int64)
    steps = limit - 1
    return np.array([lower + (2 * i * width + steps) // (2 * steps) for i in range(limit)], dtype=np.int64)


def score_sensitivity(p: int, q: int, weight: int) -> int:
    """How far one unit moves any score of `scores`, where its weights in one group sum to at most `weight`.

    Proof. A unit's weights w >= 0 with sum W <= weight change p N - q F(c) by p W - q w(<= c), which lies in
    [-(q - p) W, p W], and q F(c-) - p N by q w(< c) - p W, in [-p W, (q - p) W]. A maximum of such terms and 0 moves
    by no more than the largest of them: max(p, q - p) W.
    """
    return max(p, q - p) * weight


def check_scores(p: int, q: int, total: int) -> None:
    """Prove that scores fit 64 bits where all weights in a group sum to at most `total`.

    Raises:
        RequestError: `plan_overflows`.
        ValueError: a fraction p / q outside [0, 1].
    """
    if not 0 <= p <= q or q < 1:
        raise ValueError("a quantile is a fraction p / q with 0 <= p <= q")
    if max(p, q - p, 1) * total >= ROOM:
        raise RequestError("plan_overflows", rows=total, row_bound=str(max(p, q - p)))


def scores(histogram: Ints, *, p: int, q: int) -> Ints:
    """Exact scores of m candidates as the p/q quantile: 0 for a right one, minus q times the rank error otherwise.

    `histogram`, shape (groups, 2m + 1), holds non-negative integer weights: entry 2i + 1 of what equals candidate i,
    entry 2i of what lies strictly between candidates i - 1 and i (the first and last entry: outside all). It is a
    sum over units, so histograms of buckets add up. With F(c) the weight of all that is at most c, F(c-) of what is
    less, N of everything: score(c) = -max(p N - q F(c), q F(c-) - p N, 0), shape (groups, m).

    A value that half of the rows share is right for every quantile inside its share: ties cost nothing.

    Privacy:
        Exact: for `choose` alone. One unit moves every score by at most `score_sensitivity`.

    Raises:
        ValueError: a histogram of an even width, or p / q outside [0, 1].
    """
    if histogram.ndim != 2 or histogram.shape[1] % 2 == 0:
        raise ValueError("a histogram of m candidates has 2m + 1 entries for each group")
    if not 0 <= p <= q or q < 1:
        raise ValueError("a quantile is a fraction p / q with 0 <= p <= q")
    below = np.cumsum(histogram, axis=1, dtype=np.int64)
    # p N - q F = p (N - F) - (q - p) F: no term is larger than max(p, q - p) N.
    above = below[:, -1:] - below
    error = p * above - (q - p) * below
    return np.asarray(-np.maximum(np.maximum(error[:, 1::2], -error[:, 0:-1:2]), 0))


def loss(selection: Selection, *, sensitivity: int, scale: float, picks: int = 1, monotonic: bool = False) -> int:
    """What choosing the `picks` best costs: eps_p (exponential) or rho (Gumbel), ledger units, rounded up.

    One pick with Gumbel noise is the exponential mechanism: it has a loss *range* of e, hence e^2 / 8-zCDP, where e =
    2 sensitivity / scale, or half of it for `monotonic` scores (removing a unit moves all of them the same way, as it
    does counts). Exponential noise gives e-DP (permute and flip). Picks are removed one after the other and add up.
    The larger of OpenDP's map and this formula is charged.

    A unit that is in t groups pays for t choices: t times this.

    Raises:
        ValueError: a sensitivity or number of picks under 1, or a scale that is not positive and finite.
        IntegrityFailed: `price_disagrees`.

    Source: Cesar and Rogers 2021 (arXiv:2004.07223) for e^2 / 8; Durfee and Rogers 2019 (arXiv:1905.04273) for top k
        by Gumbel noise; McKenna and Sheldon 2020 (arXiv:2010.12603) for permute and flip.
    """
    return _price(selection, sensitivity, scale, picks, monotonic)


@lru_cache(maxsize=4096)
def _price(selection: Selection, sensitivity: int, scale: float, picks: int, monotonic: bool) -> int:
    if sensitivity < 1 or picks < 1 or not 0 < scale < math.inf:
        raise ValueError("a selection needs a sensitivity and picks of at least 1 and a finite scale above 0")
    e = Fraction(sensitivity if monotonic else 2 * sensitivity) / Fraction(scale)
    own = picks * (e if selection == "exponential" else e * e / 8)
    mapped = _measurement(selection, scale, picks, monotonic).map(sensitivity)
    return larger(selection, own=own, mapped=mapped)


def scale(selection: Selection, *, sensitivity: int, loss: int, picks: int = 1, monotonic: bool = False) -> float:
    """The smallest scale, to within 1e-9 of it, at which `picks` choices cost at most `loss`; ledger units.

    Raises:
        RequestError: `budget_too_small`.
    """
    if loss < 1:
        raise RequestError("budget_too_small")
    least = Fraction((sensitivity if monotonic else 2 * sensitivity) * picks * UNIT, loss)
    if selection == "gumbel":
        # picks (d / scale)^2 / 8 = loss, solved for scale.
        square = least * (sensitivity if monotonic else 2 * sensitivity)
        least = Fraction(math.isqrt(int(square * 2**253)) + 1, 2**128)
    return cheapest(least, lambda s: _price(selection, sensitivity, s, picks, monotonic) <= loss)


def choose(selection: Selection, *, scale: float, scores: Ints) -> Ints:
    """The noisily best candidate of each group; `scores` has the shape (groups, m), the result (groups,).

    Privacy:
        This is the release. It costs `loss(selection, sensitivity=..., scale=...)` times the number of groups that
        one unit can be in.
    """
    return top_k(selection, scale=scale, counts=scores, picks=1, monotonic=False)[:, 0]


def top_k(selection: Selection, *, scale: float, counts: Ints, picks: int, monotonic: bool = True) -> Ints:
    """The noisily largest `picks` of each group, best first: indexes; (groups, m) gives (groups, min(picks, m)).

    `counts` are numbers of distinct units for each value of a public domain: monotonic, sensitivity 1.

    Privacy:
        This is the release. It costs `loss(selection, sensitivity=1, scale=..., picks=picks, monotonic=True)` times
        the number of groups that one unit can be in, however many values of the domain a unit has.
    """
    groups, width = counts.shape
    picks = min(picks, width)
    rows = np.ascontiguousarray(counts, dtype=np.int64)
    chosen = np.empty((groups, picks), dtype=np.int64)
    measurement = _measurement(selection, scale, picks, monotonic)

    # About a microsecond for each candidate and pick, up to four where scores lie many scales apart.
    def stride(start: int) -> None:
        for group in range(start, min(start + STRIDE, groups)):
            chosen[group] = measurement(rows[group])

    in_threads(stride, range(0, groups, STRIDE))
    return chosen


@lru_cache(maxsize=256)
def _measurement(selection: Selection, scale: float, picks: int, monotonic: bool) -> Any:
    measure = dp.max_divergence() if selection == "exponential" else dp.zero_concentrated_divergence()
    domain = dp.vector_domain(dp.atom_domain(T="i64"))
    return dp.m.make_noisy_top_k(domain, dp.linf_distance(T="i64", monotonic=monotonic), measure, k=picks, scale=scale)


def score_gap(scale: float, *, of: int, picks: int = 1, level: float = LEVEL) -> float:
    """With probability `level`, no pick scores more than this below the best that was still left, for either noise.

    One pick: P(score < best - gap) <= of exp(-gap / scale), and permute and flip is never worse; so gap = scale
    (ln of + ln(picks / (1 - level))), a union bound over the picks. For top k: every chosen count is at least the
    true k-th largest less the gap.

    Source: McSherry and Talwar 2007, theorem 6; McKenna and Sheldon 2020, theorem 2.
    """
    return scale * math.log(of * picks / (1 - level))


def rank_half_width(scale: float, *, of: int, q: int, share: int, level: float = LEVEL) -> float:
    """The interval of a quantile, in rank: the chosen value lies at most this many rows from the wanted rank.

    A row of full weight counts `share`; rows of units with many rows count for less. `of` is the number of candidates.
    Where candidates are thinned, the rows between the best candidate and its neighbour come on top. Nothing follows
    from it about *values*: half of the rows may lie between two ranks that are one apart, or none.
    """
    return score_gap(scale, of=of, level=level) / (q * share)
