"""Answers and explanations as they go out: the table, then bounds, mechanism, price, what is left, and the promise."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping
from decimal import Decimal
from fractions import Fraction
from typing import Any, Final

import pyarrow as pa

from sandbox.catalog import Column
from sandbox.flow import Cost, Plan, Priced, Released
from sandbox.plans import Steps
from sandbox.privacy import accounting
from sandbox.privacy.accounting import Cap
from sandbox.query import canonical
from sandbox.query.expressions.typed import columns_of
from sandbox.query.planning.offers import Purse, epsilon_of
from sandbox.query.planning.sizes import most_rows, most_shown
from sandbox.query.release.free import Source
from sandbox.query.release.reasons import text
from sandbox.query.release.table import expected, measured_by, table
from sandbox.query.release.values import Values

PROMISE: Final = {
    "en": "Differentially private answers only; 0 reviewed releases stand beside them for this population.",
    "zh": "仅为差分隐私答案；该人群另有 0 项经审核的出箱结果。",
}


def receipt(grant_cap: Cap, left: tuple[int, int]) -> dict[str, Any]:
    """What is left under every cap, pure or Gaussian, at the moment of the charge; and where rho converts (P6.6)."""
    pure, rho = left
    return {"left_pure": str(pure), "left_rho": str(rho), "share": str(grant_cap.first_share())}


def spent_and_left(cost: Cost, receipt: Mapping[str, str]) -> tuple[str, dict[str, str]]:
    """The price as one epsilon, and what is left, as decimals for people."""
    pure, rho, share = int(receipt["left_pure"]), int(receipt["left_rho"]), int(receipt["share"])
    left = {
        "pure": accounting.decimal(pure),
        "gaussian_rho": accounting.decimal(rho),
        "gaussian_epsilon": accounting.decimal(epsilon_of(Cost(rho=rho), share)),
    }
    return accounting.decimal(epsilon_of(cost, share)), left


def answer(
    priced: Priced,
    released: Released,
    *,
    query_id: str,
    event: str,
    receipt: Mapping[str, Any],
    source: Source | None = None,
) -> dict[str, Any]:
    """The body of an answer: a function of noisy values, the plan and the receipt; one with a source costs nothing."""
    plan, totals = priced.plan, released.totals
    if totals is not None and source is None:
        receipt = totals.receipt
    whole = priced.cost if totals is None else Cost(rho=sum(totals.losses))
    cost = whole if source is None else Cost()
    epsilon, left = spent_and_left(cost, receipt)
    return {
        "id": query_id,
        "grant": plan.permitted.grant.id,
        "dataset": plan.spec.name,
        "version": plan.version.number,
        "purpose": plan.permitted.grant.purpose,
        **table(priced, released),
        "bounds": bounds(priced, released.norms),
        "source": None if source is None else source.told(),
        "accuracy": accuracy(priced, released),
        "price": _cost(cost),
        "epsilon": epsilon,
        "left": left,
        "rung": priced.rung if source is None else 0.0,
        "event": event,
        "facts": facts(plan),
        "promise": PROMISE,
    }


def explanation(priced: Priced, purse: Purse, source: Source | None = None) -> dict[str, Any]:
    """What the question would compute and cost, or from which stored answer it is free; no data was touched."""
    plan, steps = priced.plan, priced.steps
    whole = priced.cost if steps is None else Cost(rho=steps.most)
    cost = whole if source is None else Cost()
    content = canonical.priced_form(priced)
    affordable = accounting.fits(purse.spent, cost, purse.cap)
    return {
        "dataset": plan.spec.name,
        "version": plan.version.number,
        "grant": plan.permitted.grant.id,
        "rule": plan.permitted.rule,
        "plan": {"plan_v": plan.plan_v, **content["content"]},
        "source": None if source is None else source.told(),
        "outputs": expected(priced, 1 if source is None else source.cells),
        "groups": plan.groups,
        "price": _cost(cost),
        "epsilon": accounting.decimal(epsilon_of(cost, purse.cap.first_share())),
        "steps": None if steps is None or source is not None else _steps(priced, steps),
        "affordable": affordable,
        "left_before": _left(purse.spent, purse.cap),
        "left_after": _left(purse.spent + cost, purse.cap) if affordable else None,
        "rung": priced.rung if source is None else 0.0,
        "facts": facts(plan),
        "bounds": bounds(priced),
        "text": _why(priced),
    }


def _left(spent: Cost, cap: Cap) -> dict[str, str]:
    """What one more pure, or one more Gaussian, charge could cost under the grant alone: two ways to spend it."""
    pure, rho = accounting.left([(spent, cap)])
    return {"pure": accounting.decimal(pure), "gaussian_rho": accounting.decimal(rho)}


def _why(priced: Priced) -> dict[str, str]:
    """Why the plan is as it is, in words: the bound, the stages, the mechanism."""
    plan, first = priced.plan, priced.releases[0]
    bound = plan.bound
    told: dict[str, str | int] = {
        "rows": bound.rows, "groups": bound.groups, "per_group": bound.per_group, "unit": plan.spec.unit or "unit",
    }  # fmt: skip
    parts = [text(f"bound_{bound.why}", **told)]
    if priced.keys is not None:
        parts.append(text("stage_keys", keys=priced.keys.times, most=most_shown(priced.plan.measures)))
    if priced.norms:
        parts.append(text("stage_norms"))
    if priced.steps is None:
        parts.append(text("mechanism_why", mechanism=first.mechanism))
    else:
        parts.append(text("steps_why", share=percent(priced.steps), releases=priced.steps.count))
    parts.append(text("preview_free"))
    return {"en": " ".join(p[0] for p in parts), "zh": "".join(p[1] for p in parts)}


def percent(steps: Steps) -> str:
    """A relative accuracy as it was asked for."""
    return f"{_decimal(Decimal(steps.share).scaleb(-4))}%"


def _steps(priced: Priced, steps: Steps) -> dict[str, Any]:
    """How a question by relative accuracy is paid for: the first release's price, and what all may come to."""
    return {
        "within": percent(steps), "releases_at_most": steps.count, "first": _cost(priced.cost),
        "at_most": _cost(Cost(rho=steps.most)), "seconds_between": steps.tick,
    }  # fmt: skip


def accuracy(priced: Priced, released: Released) -> dict[str, Any] | None:
    """How far a question by relative accuracy has come: a function of its released numbers."""
    steps, totals = priced.steps, released.totals
    if steps is None or totals is None:
        return None
    wide = sum(int(w.sum()) for w in Values.of(priced, released).wide())
    told: dict[str, str | int] = {"share": percent(steps), "releases": totals.draws, "wide": wide}
    english, chinese = text("accuracy_short" if wide else "accuracy_reached", **told)
    return {
        "within": percent(steps), "releases": totals.draws, "reached": not wide, "wide": wide,
        "text": {"en": english, "zh": chinese},
    }  # fmt: skip


def _cost(cost: Cost) -> dict[str, str]:
    return {"eps_p": str(cost.eps_p), "rho": str(cost.rho), "delta": str(cost.delta)}


def facts(plan: Plan) -> list[dict[str, Any]]:
    """The declared facts, each with its provenance (P1.4)."""
    return [
        {
            "subject": f.subject,
            "fact": f.fact,
            "value": f.value,
            "provenance": {"kind": f.provenance.kind, "source": f.provenance.source},
        }
        for f in plan.facts
    ]


def _reused(priced: Priced) -> list[dict[str, str]]:
    """Which columns are clipped at a norm that an earlier answer has released, and which answer that is."""
    found: dict[str, list[str]] = {}
    for index, norm in enumerate(priced.reused):
        if norm is not None:
            found.setdefault(norm.query, []).extend(measured_by(priced.plan, index))
    return [{"columns": ", ".join(dict.fromkeys(columns)), "query": query} for query, columns in found.items()]


def _norms(priced: Priced, norms: tuple[int, ...]) -> list[dict[str, Any]]:
    """Where each measure of a clip is cut, in its own unit, and the query that released it; None if this one does."""
    plan, told = priced.plan, []
    for index, measure in enumerate(plan.measures if plan.bound.form == "clip" else ()):
        known = priced.reused[index] if priced.reused else None
        norm = norms[index] if norms else None if known is None else known.norm
        unit = Fraction(*measure.scale) if measure.kind == "sum" else Fraction(1)
        told.append({
            "columns": measured_by(plan, index), "norm": None if norm is None else float(norm * unit),
            "query": None if known is None else known.query,
        })  # fmt: skip
    return told


def bounds(priced: Priced, norms: tuple[int, ...] = ()) -> dict[str, Any]:
    """The bounds that the intervals speak of, and which of them may bite; `norms` as an answer's vectors were cut."""
    plan = priced.plan
    bites = [] if plan.bound.rows >= most_rows(plan.relation, plan.tables) else [f"rows_per_unit={plan.bound.rows}"]
    if plan.bound.form == "groups":
        bites = [f"groups_per_unit={plan.bound.groups}", f"rows_per_group={plan.bound.per_group}"]
    if plan.bound.form == "clip":
        bites = ["contribution_norm"]
    clamps, clamps_en, clamps_zh = [], [], []
    en, zh = ([text("norm_reused", **norm)[i] for norm in _reused(priced)] for i in (0, 1))
    for name in sorted({c for m in plan.measures if m.kind in {"sum", "square"} for c in columns_of(m.expr)}):
        column = _stored(plan, name)
        if column is None or column.lower is None or column.upper is None:
            continue
        low, high = (_decimal(v * column.grid) for v in (column.lower, column.upper))
        clamps.append(f"{name}={low}..{high}")
        clamps_en.append(f"{name} is taken within {low} to {high}")
        clamps_zh.append(f"{name} 取值限制在 {low} 至 {high}")
    first = text(
        f"bounded_{plan.bound.form}", rows=plan.bound.rows, groups=plan.bound.groups, per_group=plan.bound.per_group,
        unit=plan.spec.unit or "unit",
    )  # fmt: skip
    if not bites:
        first = text("bounded_all", unit=plan.spec.unit or "unit")
    return {
        "form": plan.bound.form,
        "rows_per_unit": plan.bound.rows,
        "groups_per_unit": plan.bound.groups or None,
        "may_bite": bites + clamps,
        "norms": _norms(priced, norms),
        "text": {
            "en": " ".join([f"Intervals are of the bounded aggregate: {'; '.join([first[0], *clamps_en])}.", *en]),
            "zh": "".join([f"区间针对限界后的聚合：{'；'.join([first[1], *clamps_zh])}。", *zh]),
        },
    }


def _stored(plan: Plan, name: str) -> Column | None:
    """The declared column behind a column of the relation, where it is one as it is stored."""
    number, _, stored = name.rpartition(".")
    if number and not number.isdigit():
        return None
    table = plan.tables[int(number or 0)]
    return table.spec.column(stored)


def _decimal(value: Decimal) -> str:
    return format(value.normalize(), "f")


# --- Arrow ----------------------------------------------------------------------------------------------------------

_ARROW: Final = {"integer": pa.int64(), "decimal": pa.float64(), "boolean": pa.bool_()}
_ENDED: Final = frozenset({"count", "sum", "avg", "variance", "stddev", "histogram", "expression"})
"""Kinds of columns that have an interval of values."""


def as_arrow(body: Mapping[str, Any]) -> bytes:
    """An answer as an Arrow IPC stream: each number's column is followed by its interval's two ends.

    A histogram's are lists. The schema's metadata holds everything else of the body as JSON under `sandbox`.
    """
    arrays: list[pa.Array] = []
    fields: list[pa.Field] = []
    for i, column in enumerate(body["columns"]):
        names = [column["label"] + s for s in (("", "_low", "_high") if column["kind"] in _ENDED else ("",))]
        for name, source in zip(names, ("rows", "low", "high"), strict=False):
            kind = _kind(column)
            fields.append(pa.field(name, kind))
            arrays.append(pa.array([row[i] for row in body[source]], type=kind))
    rest = {k: v for k, v in body.items() if k not in {"rows", "low", "high"}}
    schema = pa.schema(fields, metadata={"sandbox": json.dumps(rest, ensure_ascii=False)})
    sink = io.BytesIO()
    with pa.ipc.new_stream(sink, schema) as writer:
        writer.write_table(pa.Table.from_arrays(arrays, schema=schema))
    return sink.getvalue()


def _kind(column: Mapping[str, Any]) -> pa.DataType:
    if column["kind"] == "histogram":
        return pa.list_(pa.int64())
    if column["kind"] in {"quantiles", "top"}:
        return pa.list_(_ARROW.get(column["elements"], pa.string()))
    return _ARROW.get(column["type"], pa.string())
