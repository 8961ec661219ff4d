"""How far one unit can move a measure, from the plan's bound; and the proof that the exact integers do not overflow."""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction
from typing import Final, Literal, TypeAlias

from sandbox.errors import RequestError
from sandbox.privacy.mechanisms import float_up

ROOM: Final = 2**62
"""Exact aggregates stay under this: half of what 64 bits hold, so that noise has room."""

Form: TypeAlias = Literal["ingest", "rows", "groups", "clip"]
Kind: TypeAlias = Literal["rows", "present", "sum", "square", "units", "distinct", "histogram"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Reach:
    """Upper bounds of the L1 and L2 norms of one unit's contribution over all groups; at least 1, rounded up."""

    l1: float
    l2: float


def reach(
    *,
    form: Form,
    kind: Kind,
    groups: int,
    rows: int = 0,
    kept: int = 0,
    per_group: int = 0,
    row_bound: int = 1,
    most: int = 1,
    norm: int = 0,
) -> Reach:
    """How far one unit moves a measure over `groups` groups: `rows` = k, `kept` = g, `per_group` = c, `norm` = T.

    Every measure is a sum over units (distinct: a union over units) of a vector that depends on that unit's rows
    alone, so removing the unit moves the measure by at most the unit's vector v, whose norms are bounded here.

    ingest, rows: at most k rows of the unit are used and each falls into one group (and one bin), moving it by at
        most b. So |v|_2 <= |v|_1 <= k b, reached when all rows fall into one place. COUNT(DISTINCT unit) moves at
        most min(k, G) groups by 1: |v|_1 = min(k, G), |v|_2 its root. COUNT(DISTINCT x) moves group j by l_j <= l
        with sum l_j <= k over at most G groups; both norms are largest when as few groups as possible are full.
    groups: at most min(g, G) groups are kept, and in each a count moves by at most c, a sum by at most c b, the bins
        of a histogram together by c, the distinct units by 1, the distinct values by l: a vector of t entries of
        size at most a has |v|_1 <= t a and |v|_2 <= sqrt(t) a (for bins, the entries of a group have L2 <= L1 <= c).
    clip: the vector is scaled in fixed point, truncated toward zero, by T over its norm rounded up: |v|_2 <= T, in
        the units of `norm`. By Cauchy-Schwarz |v|_1 <= sqrt(G) T. The bound is per measure; several measures are
        separate releases.

    It is the largest contribution, not the width of its range: a sum over [100, 110] moves by 110. A measure that is
    always 0 still gets 1: no noise has scale 0.

    Raises:
        ValueError: a form without its bound, or a kind that the form does not have.

    Source: P4.1, P4.2 and their proofs in docs/privacy.md; Wilson et al. 2020 (arXiv:1909.01917) for bounding groups.
    """
    if groups < 1 or most < 1 or row_bound < 0:
        raise ValueError("a reach needs groups, most >= 1 and row_bound >= 0")
    if form == "clip":
        return _clipped(kind, groups, norm)
    if form == "groups":
        return _by_groups(kind, min(kept, groups), per_group, max(row_bound, 1), most)
    return _by_rows(kind, groups, rows, max(row_bound, 1), most)


def _clipped(kind: Kind, groups: int, norm: int) -> Reach:
    if norm < 1 or kind not in {"rows", "present", "sum", "square", "histogram"}:
        raise ValueError("only additive measures with a norm above 0 are clipped")
    return Reach(l1=root_up(groups * norm * norm), l2=float_up(norm))


def _by_groups(kind: Kind, kept: int, per_group: int, row_bound: int, most: int) -> Reach:
    each = {"units": 1, "distinct": most}.get(kind, per_group * row_bound)
    if kept < 1 or each < 1:
        raise ValueError("a bound by groups needs kept and per_group above 0")
    return Reach(l1=float_up(kept * each), l2=root_up(kept * each * each))


def _by_rows(kind: Kind, groups: int, rows: int, row_bound: int, most: int) -> Reach:
    if rows < 1:
        raise ValueError("a bound by rows needs rows above 0")
    if kind not in {"units", "distinct"}:
        return Reach(l1=float_up(rows * row_bound), l2=float_up(rows * row_bound))
    most = 1 if kind == "units" else min(most, rows)
    full, rest = divmod(rows, most)
    if full >= groups:
        full, rest = groups, 0
    return Reach(l1=float_up(full * most + rest), l2=root_up(full * most * most + rest * rest))


def root_up(square: int) -> float:
    """The smallest float whose square is at least the integer `square`."""
    root = float_up(Fraction(math.isqrt(square * 2**256), 2**128))
    while Fraction(root) ** 2 < square:
        root = math.nextafter(root, math.inf)
    return root


def check_room(*, form: Form, n_max: int, r_max: int, largest: int, fixed: int = 1) -> None:
    """Prove from declared maxima that a measure's exact integers fit, in every group and on the way there.

    `largest` is the largest summand of one row in size, before and after the centre is taken off; `fixed` the factor
    of its fixed point. A partial sum adds some of n_max rows: n_max largest fixed < 2^62. For `clip` the square of a
    unit's norm is at most (r_max largest fixed)^2, and v T is less than that square (a unit is scaled only when its
    norm exceeds T, and |v| is at most the norm): both under 2^63. A sum that could overflow would tell how many rows
    there are.

    Raises:
        RequestError: `plan_overflows`, declared bounds do not exclude an overflow.
    """
    reached = largest * fixed
    fits_clip = form != "clip" or (r_max * reached) ** 2 < 2**63
    if max(n_max, r_max) * reached >= ROOM or not fits_clip:
        raise RequestError("plan_overflows", rows=max(n_max, r_max), row_bound=str(reached))
