"""Bounding: which ways there are to bound one unit's influence on a plan, the likeliest first; price weighs them."""

from __future__ import annotations

import math
from collections.abc import Sequence

from sandbox.errors import RequestError
from sandbox.flow import Request
from sandbox.plans import ADDITIVE, Bound, Key, Measure, Relation, Table
from sandbox.query.planning.sizes import is_filtered, is_row_by_row, most_rows, scans_of

AUTOMATIC_T = 1.3
"""What an automatically chosen norm costs beside a known one (utility.md)."""
NORM_SHARE = 10
"""One in so many parts of a clipped measure's loss buys the norm."""
MIN_GROUPS = 4
WIDEST_NORM = 2**31
"""The largest norm that a histogram of norms knows."""


def bounds_of(
    relation: Relation, tables: Sequence[Table], keys: Sequence[Key], measures: Sequence[Measure], request: Request
) -> tuple[Bound, ...]:
    """The bounds that fit, in order of preference; all of them are functions of declared facts alone.

    Raises:
        RequestError: `rows_not_an_edge`, `rows_range`, `bounding_unfit`.
    """
    most = most_rows(relation, tables)
    by_row, filtered = is_row_by_row(relation), is_filtered(relation)
    if by_row and not filtered and not keys and all(m.kind == "units" and m.expr is None for m in measures):
        return (Bound(form="ingest", rows=1, why="units_alone"),)
    k = _rows(relation, tables, request, most, by_row=by_row)
    found = []
    if by_row and request.bounding in {None, "ingest"} and (not filtered or k >= most or request.bounding is not None):
        found.append(Bound(form="ingest", rows=k, why="ingest_enough"))
    if request.bounding == "rows" or (request.bounding is None and not found):
        found.append(Bound(form="rows", rows=k, why="rows_passing" if by_row else "rows_joined"))
    additive = all(m.kind in ADDITIVE - {"square"} and most * m.row_bound <= WIDEST_NORM for m in measures)
    if request.bounding == "groups" or request.groups is not None:
        found = [_groups(request, most, additive=bool(keys) and all(m.kind in {*ADDITIVE, "units"} for m in measures))]
    if request.bounding == "clip" or (request.bounding is None and request.groups is None and _clips(keys, k)):
        if additive and keys and request.within is None and request.relative is None:
            found.append(Bound(form="clip", rows=most, why="clip_smaller"))
        elif request.bounding == "clip":
            raise RequestError("bounding_unfit", form="clip")
    if request.bounding not in {None, "ingest", "rows", "groups", "clip"} or not found:
        raise RequestError("bounding_unfit", form=str(request.bounding))
    return tuple(found)


def _rows(relation: Relation, tables: Sequence[Table], request: Request, most: int, *, by_row: bool) -> int:
    spec = tables[scans_of(relation)[0].table].spec
    k = spec.default_rows if request.rows is None else request.rows
    if by_row:
        if k not in spec.tiers:
            raise RequestError("rows_not_an_edge", rows=k, edges=[str(t) for t in spec.tiers])
        return k
    if k < 1:
        raise RequestError("rows_range", rows=k)
    return min(k, most)


def _groups(request: Request, most: int, *, additive: bool) -> Bound:
    g = 1 if request.groups is None else request.groups
    c = most if request.per_group is None else request.per_group
    if not additive or g < 1 or c < 1:
        raise RequestError("bounding_unfit", form="groups")
    return Bound(form="groups", rows=most, groups=g, per_group=min(c, most), why="groups_asked")


def _clips(keys: Sequence[Key], k: int) -> bool:
    """Whether a clipped vector can err less than k rows that might all fall into one group."""
    groups = math.prod(len(key.domain) for key in keys if key.domain is not None)
    return bool(keys) and all(key.domain is not None for key in keys) and groups >= MIN_GROUPS and k >= MIN_GROUPS


def expected_norm(k: int, groups: int, row_bound: int) -> float:
    """The norm that a unit of k rows is expected to have when they spread over the groups, times what T costs."""
    return AUTOMATIC_T * math.sqrt(k * max(1.0, k / max(groups, 1))) * row_bound
