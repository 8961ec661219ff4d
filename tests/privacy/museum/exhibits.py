"""Exhibits of what appends, joins, tails, retries, thresholds, refusals and rungs would give away."""

from __future__ import annotations

from typing import Final

from tests.privacy.museum.exhibit import Exhibit

CAUGHT: Final = "tests/privacy/test_caught.py"

MORE: Final = (
    Exhibit(
        name="threshold priced at T",
        story="The price of private keys is OpenDP's at the threshold itself, where it under-reports delta.",
        file="sandbox/privacy/keys.py",
        old="""        own = -math.expm1(t * math.log1p(-_tail(mechanism, scale, threshold - vote))) * (1 + 1e-9)
""",
        new="""        own, (mapped, theirs) = 0.0, _thresholded(mechanism, scale, threshold).map((t, float(VOTE), float(vote)))
""",
        caught_by=f"{CAUGHT}::test_a_key_of_one_unit_is_shown_no_more_often_than_delta",
    ),
    Exhibit(
        name="ordinals restarted on append",
        story="The rows of each append are numbered from 0 again.",
        file="sandbox/ingest/sorting.py",
        old="    kept = np.flatnonzero(numbered.ordinal < tiers[-1])\n",
        new="""    source = np.repeat(np.arange(len(batches)), [b.num_rows for b in batches])[numbered.rows]
    whose = numbered.unit * len(batches) + source
    numbered.ordinal[:] = [int((whose[:i] == whose[i]).sum()) for i in range(len(whose))]
    kept = np.flatnonzero(numbered.ordinal < tiers[-1])
""",
        caught_by=f"{CAUGHT}::test_ordinals_go_on_after_an_append",
    ),
    Exhibit(
        name="ordinal used before a fan-out",
        story="A join is bounded by what is read of the table, before its rows multiply.",
        file="sandbox/query/planning/bounding.py",
        old='    if by_row and request.bounding in {None, "ingest"} and',
        new='    if request.bounding in {None, "ingest"} and',
        caught_by=f"{CAUGHT}::test_rows_of_a_join_are_bounded_after_it",
    ),
    Exhibit(
        name="lag over tiers",
        story="Passing rows of a later tier are ranked as if the tiers before held none of their unit's.",
        file="sandbox/query/kernel/ranks.py",
        old="        np.subtract.at(self._left, unit.astype(np.intp), 1)\n",
        new="        pass\n",
        caught_by=f"{CAUGHT}::test_rows_of_later_tiers_count_on_from_those_before",
    ),
    Exhibit(
        name="lag over a join",
        story="Rows are ranked by their place in a run although a unit's rows lie apart, as a join leaves them.",
        file="sandbox/query/kernel/ranks.py",
        old='            raise IntegrityFailed("rows_unsorted")\n',
        new="            pass\n",
        caught_by=f"{CAUGHT}::test_a_tail_out_of_order_is_refused_or_cut_all_the_same",
    ),
    Exhibit(
        name="noise on cumulative counts",
        story="A histogram is noised as running totals, each of which a row of the first bin moves.",
        file="sandbox/query/release/noise.py",
        old='        case "laplace" | "gaussian" as noisy:\n',
        new="""        case "laplace" | "gaussian" as noisy if measure.kind == "histogram":
            totals = mechanisms.add_noise(noisy, scale=scale, values=np.cumsum(values, axis=1))
            return np.diff(totals, axis=1, prepend=0)
        case "laplace" | "gaussian" as noisy:
""",
        caught_by=f"{CAUGHT}::test_each_bin_of_a_histogram_has_noise_of_its_own",
    ),
    Exhibit(
        name="a bucket merged twice on retry",
        story="Of a bucket that was asked for again, the late answer is counted beside the first.",
        file="sandbox/executors/claims.py",
        old="""        if request != self.request or item not in self._asked or item in self._taken:
            return False
""",
        new="""        if item in self._taken:
            item = -1 - item
            self._items += (item,)
""",
        caught_by=f"{CAUGHT}::test_a_second_answer_for_a_bucket_is_dropped",
    ),
    Exhibit(
        name="refusal by true row count",
        story="A question over few rows is refused, by the number of rows that are there.",
        file="sandbox/query/planning/plan.py",
        old='        raise RequestError("query_without_aggregate", position=select.at)\n',
        new="""        raise RequestError("query_without_aggregate", position=select.at)
    if sum(f.rows for f in relations.tables[0].version.files) < 70:
        raise RequestError("too_few_rows")
""",
        caught_by=f"{CAUGHT}::test_refusal_price_and_rung_follow_from_declared_facts",
    ),
    Exhibit(
        name="a heavy unit changes the rung",
        story="The rung follows from the rows that are stored, not from how many may be.",
        file="sandbox/query/planning/rung.py",
        old="        rows = sum(t.spec.n_max for t in plan.tables) /",
        new="        rows = sum(f.rows for t in plan.tables for f in t.version.files) /",
        caught_by=f"{CAUGHT}::test_refusal_price_and_rung_follow_from_declared_facts",
    ),
)
