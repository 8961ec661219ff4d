"""The plan shapes that the tests of sensitivity go through, and how far one unit moves each stage of a plan."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final, Literal

import numpy as np

from sandbox.errors import RequestError
from sandbox.flow import Ints, Labels, Plan
from sandbox.plans import Measure, Scalar
from sandbox.privacy import keys, selection
from sandbox.query.kernel.fixed import clip_bits, scaled
from sandbox.query.planning.offers import keys_kept, reach_of, touched
from sandbox.query.planning.plan import Known
from sandbox.query.planning.sizes import most_rows
from tests.privacy.pipeline import Pipeline

T: Final = "FROM city.trips"
SHAPES: Final = [
    f"SELECT count(*) {T}",
    f"SELECT count(DISTINCT rider) {T}",
    f"SELECT count(*), count(DISTINCT rider), avg(fare) {T}",
    f"SELECT count(delay), sum(delay), avg(delay), var_pop(delay) {T}",
    f"SELECT line, count(*), sum(fare), avg(fare), stddev(delay) {T} GROUP BY line",
    f"SELECT line, hour, count(*), avg(delay) {T} GROUP BY line, hour",
    f"SELECT day, count(*), count(DISTINCT rider) {T} GROUP BY day",
    f"SELECT paid, sum(delay * 2 - hour) {T} WHERE delay > -5 AND line IN ('A', 'B') GROUP BY paid",
    f"SELECT sum(CASE WHEN paid THEN fare ELSE -1 END), count(*) FILTER (WHERE paid) {T} WHERE hour < 12",
    f"SELECT hour, sum(abs(delay)) FILTER (WHERE paid) {T} GROUP BY hour HAVING count(*) > 2 ORDER BY sum(fare) LIMIT 3",
    f"SELECT avg(hour + 100) {T} WHERE extract(month from day) <= 6",
    f"SELECT date_trunc('month', day) AS m, count(*), count(DISTINCT rider), sum(fare) {T} GROUP BY m",
    f"SELECT CASE WHEN delay < 0 THEN 'early' WHEN delay < 60 THEN 'late' END AS b, count(*), sum(delay) {T} GROUP BY b",
    f"SELECT delay / 200 AS d, width_bucket(fare, 0, 200, 4) AS w, count(*) {T} GROUP BY d, w",
    f"SELECT count(DISTINCT note), count(DISTINCT hour), count(DISTINCT delay), count(DISTINCT paid) {T}",
    f"SELECT line, count(DISTINCT note), count(DISTINCT day) FILTER (WHERE paid) {T} GROUP BY line",
    f"SELECT line, histogram(fare, 0, 200, 5), histogram(delay, -60, 1300, 3) FILTER (WHERE hour > 5) {T} GROUP BY line",
    f"SELECT line, median(fare), percentile_cont(0.9) WITHIN GROUP (ORDER BY delay), min(day), max(hour) {T} GROUP BY line",
    f"SELECT line, approx_top_k(hour, 2), approx_top_k(line, 1) {T} WHERE paid IS NOT TRUE GROUP BY line",
    f"SELECT note, count(*), sum(fare), count(DISTINCT rider) {T} GROUP BY note",
    f"SELECT note, count(*), count(DISTINCT rider) {T} WHERE paid GROUP BY note",
    f"SELECT hour, count(*), sum(fare), count(DISTINCT rider) FILTER (WHERE delay > 0) {T} WHERE line <> 'B' GROUP BY hour",
    f"SELECT line, note, count(*), median(delay), count(DISTINCT hour), approx_top_k(line, 1) {T} GROUP BY line, note",
    f"SELECT lower(note) || '!' AS n, count(*) {T} WHERE hour > 2 GROUP BY n",
    f"SELECT avg(s), count(*), median(s) FROM (SELECT rider, sum(fare) AS s {T} GROUP BY rider) AS u",
    f"WITH u AS (SELECT rider, count(*) AS n {T} WHERE paid GROUP BY rider HAVING count(*) > 1) SELECT n, count(*) FROM u GROUP BY n",
    f"SELECT line, sum(m), count(*) FROM (SELECT rider, line, max(delay) AS m {T} GROUP BY rider, line) AS u GROUP BY line",
    f"SELECT count(*), sum(x), avg(x) FROM (SELECT delay AS x {T} UNION ALL SELECT hour {T} WHERE paid) AS u",
    f"SELECT line, count(*) FROM (SELECT line, rider {T} UNION ALL SELECT line, rider FROM city.stays) AS u GROUP BY line",
    f"SELECT z.zone, count(*), sum(z.length) {T} t JOIN city.lines z ON t.line = z.code GROUP BY z.zone",
    f"SELECT z.zone, count(*), count(z.length) {T} t LEFT JOIN city.lines z ON t.line = z.code GROUP BY z.zone",
    f"SELECT p.stop, count(*), sum(t.delay), count(DISTINCT t.rider) {T} t JOIN city.stops p ON t.line = p.line GROUP BY p.stop",
    f"SELECT t.line, count(*), sum(p.place) {T} t LEFT JOIN city.stops p ON t.line = p.line AND t.hour > 3 GROUP BY t.line"
    .replace(" AND t.hour > 3", ""),
    f"SELECT count(*), sum(s.nights), sum(t.fare) {T} t JOIN city.stays s ON t.rider = s.rider",
    f"SELECT t.line, count(*), count(s.nights) {T} t LEFT JOIN city.stays s ON t.rider = s.rider AND t.line = s.line GROUP BY 1",
    f"SELECT count(*), count(DISTINCT a.rider) {T} a JOIN city.trips b USING (rider) WHERE a.hour < b.hour",
    (f"SELECT u.n, count(*), avg(t.fare) {T} t JOIN (SELECT rider, count(*) AS n FROM city.stays GROUP BY rider) AS u "
    "ON t.rider = u.rider GROUP BY u.n"),
    ("WITH late AS (SELECT rider, line, delay FROM city.trips WHERE delay > 60), s AS (SELECT rider, sum(nights) AS n FROM "
    "city.stays GROUP BY rider) SELECT late.line, sum(s.n) FROM late LEFT JOIN s ON late.rider = s.rider GROUP BY late.line"),
    f"SELECT line, percentile_cont(ARRAY[0.25, 0.5, 0.75]) WITHIN GROUP (ORDER BY hour) FILTER (WHERE paid), count(*) {T} GROUP BY line",
]
"""Every construct that a unit's rows can go through on their way to a measure."""

BOUNDS: Final[list[dict[str, Any]]] = [
    {"rows": 1}, {"rows": 3}, {"rows": 10}, {"rows": 3, "bounding": "ingest"}, {"rows": 3, "bounding": "rows"},
    {"groups": 1}, {"groups": 2, "per_group": 2}, {"groups": 5, "per_group": 1}, {"bounding": "clip"},
]  # fmt: skip
"""What a question may ask of its bound; where it does not fit, it is left out."""


def plans(pipeline: Pipeline, known: Known, sql: str) -> Iterator[Plan]:
    """The plans of a query under every bound that fits it, each once."""
    seen = set()
    for asked in BOUNDS:
        try:
            found = pipeline.plans(known, sql, **asked)
        except RequestError as error:
            if error.code not in {"bounding_unfit", "rows_not_an_edge"}:
                raise
            continue
        for plan in found:
            if plan.bound not in seen:
                seen.add(plan.bound)
                yield plan


@dataclass(frozen=True, slots=True, kw_only=True)
class Moved:
    """How far one unit moved one array of a stage, as a part of what is claimed; at most 1 or the claim is wrong."""

    plan: Plan
    what: str
    part: float

    def __str__(self) -> str:
        return f"figure: one unit moved {self.what} by {self.part:.2f} times the claim ({self.plan.bound})"


Votes = Literal["laplace", "gaussian"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Stages:
    """Exact integers of every stage of a plan, with the constants that stand for what earlier ones would release."""

    votes: dict[Votes, dict[tuple[Scalar, ...], int]]
    norms: tuple[Ints, ...]
    values: dict[tuple[int, ...], tuple[Ints, ...]]
    """By the norms that vectors were clipped at."""


def computed(pipeline: Pipeline, plan: Plan, labels: Labels | None) -> Stages:
    """All stages of one plan over one version."""
    votes: dict[Votes, dict[tuple[Scalar, ...], int]] = {}
    norms: tuple[Ints, ...] = ()
    if "keys" in plan.stages:
        mechanisms: tuple[Votes, ...] = ("laplace", "gaussian")
        for mechanism in mechanisms:
            weights = tuple(int(v) for v in keys.weights(mechanism, keys_kept(plan)))
            (sums,), found = pipeline.stage(plan, "keys", votes=weights)
            votes[mechanism] = dict(zip(found or (), sums[:, 0].tolist(), strict=True))
    cuts: list[tuple[int, ...]] = [()]
    if "norms" in plan.stages:
        norms, _ = pipeline.stage(plan, "norms", labels=labels if plan.private else None)
        most = most_rows(plan.relation, plan.tables)
        cuts = [
            tuple(max(1, int(most * m.row_bound * share)) for m in plan.measures) for share in (0, 0.21, 0.5, 1)
        ]
    values = {cut: pipeline.stage(plan, labels=labels if plan.private else None, norms=cut)[0] for cut in cuts}
    return Stages(votes=votes, norms=norms, values=values)


def compare(plan: Plan, full: Stages, less: Stages) -> Iterator[Moved]:
    """Every array of every stage, on the rows and on the rows without one unit."""
    for mechanism, votes in full.votes.items():
        others = less.votes[mechanism]
        moved = [votes.get(k, 0) - others.get(k, 0) for k in votes.keys() | others.keys()]
        size = sum(moved) if mechanism == "laplace" else math.sqrt(sum(v * v for v in moved))
        yield Moved(plan=plan, what=f"the votes ({mechanism})", part=size / keys.VOTE)
        touched_keys = sum(v != 0 for v in moved)
        yield Moved(plan=plan, what="the number of keys", part=touched_keys / keys_kept(plan))
    for a, b in zip(full.norms, less.norms, strict=True):
        yield Moved(plan=plan, what="the histogram of norms", part=float(np.abs(a - b).sum()))
    for cut, arrays in full.values.items():
        for number, (measure, a, b) in enumerate(zip(plan.measures, arrays, less.values[cut], strict=True)):
            yield from _measured(plan, measure, number, cut, (a - b).astype(object))


def _measured(plan: Plan, measure: Measure, number: int, cut: tuple[int, ...], difference: Any) -> Iterator[Moved]:
    l1, square = int(np.abs(difference).sum()), int((difference * difference).sum())
    if cut:
        bits = clip_bits(plan.relation, plan.tables, plan.measures, cut)
        yield Moved(plan=plan, what=f"a clipped {measure.kind}", part=math.sqrt(square) / scaled(cut[number], bits))
        return
    if measure.kind in {"quantile", "top"}:
        groups = int((difference != 0).any(axis=1).sum())
        yield Moved(plan=plan, what=f"the groups of a {measure.kind}", part=groups / touched(plan))
        yield Moved(plan=plan, what=f"a {measure.kind}", part=_score(plan, measure, difference))
        return
    claim = reach_of(plan, measure)
    yield Moved(plan=plan, what=f"a {measure.kind} (L1)", part=l1 / claim.l1)
    yield Moved(plan=plan, what=f"a {measure.kind} (L2)", part=math.sqrt(square) / claim.l2)


def _score(plan: Plan, measure: Measure, difference: Any) -> float:
    """How far a score moved: scores are linear in the weights up to their maximum with 0, so the unit's own say it."""
    if measure.kind == "top":
        return float(max(difference.max(initial=0), 2 * (difference < 0).any()))
    p, q = measure.rank
    own = np.asarray(difference, dtype=np.int64)
    below = np.cumsum(own, axis=1)
    total = below[:, -1:]
    terms = np.abs(np.concatenate([p * total - q * below[:, 1::2], q * below[:, 0:-1:2] - p * total], axis=1))
    rows = plan.bound.per_group if plan.bound.form == "groups" else plan.bound.rows
    return float(terms.max(initial=0)) / selection.score_sensitivity(p, q, rows)


def others(plan: Plan, full: Stages, less: Stages, alone: Stages) -> Iterator[str]:
    """Where what other units give is not what it was without the unit: a sum over units is the sum of its parts."""
    for mechanism, votes in full.votes.items():
        parts = [less.votes[mechanism], alone.votes[mechanism]]
        for key in {*votes, *parts[0], *parts[1]}:
            if votes.get(key, 0) != sum(p.get(key, 0) for p in parts):
                yield f"votes for {key!r}"
    arrays = [("norms", "norms", a, b, c) for a, b, c in zip(full.norms, less.norms, alone.norms, strict=True)]
    for cut in full.values:
        triples = zip(plan.measures, full.values[cut], less.values[cut], alone.values[cut], strict=True)
        arrays += [(f"values at {cut}", m.kind, a, b, c) for m, a, b, c in triples]
    for where, kind, whole, rest, own in arrays:
        if kind == "distinct":
            if ((whole < np.maximum(rest, own)) | (whole > rest + own)).any():
                yield f"{where}: {kind}"
        elif (whole != rest + own).any():
            yield f"{where}: {kind} by {int(np.abs(whole - rest - own).sum())}"


def labels_of(pipeline: Pipeline, plan: Plan) -> Labels | None:
    """Every private key that is there, as if all had been released, and one that nobody has."""
    if not plan.private:
        return None
    weights = tuple(int(v) for v in keys.weights("gaussian", keys_kept(plan)))
    _, found = pipeline.stage(plan, "keys", votes=weights)
    nobody = tuple("nobody" if k.domain is None else k.domain[0] for k in plan.keys)
    return tuple(itertools.chain(found or (), [nobody] if nobody not in (found or ()) else []))
