"""Answers and explanations as they go out: the table, then bounds, mechanism, price, what is left, and the promise."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping
from decimal import Decimal
from typing import Any, Final

import pyarrow as pa

from sandbox.flow import Cost, Ints, Plan, Priced
from sandbox.privacy import accounting
from sandbox.privacy.accounting import Cap
from sandbox.query import canonical
from sandbox.query.expressions.bind import columns_of
from sandbox.query.planning.price import Purse, epsilon_of
from sandbox.query.release.table import expected, table

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


def answer(priced: Priced, values: Ints, *, query_id: str, event: str, receipt: Mapping[str, Any]) -> dict[str, Any]:
    """The body of an answer: a function of noisy values, the plan and the receipt."""
    plan = priced.plan
    epsilon, left = spent_and_left(priced.cost, receipt)
    return {
        "id": query_id,
        "grant": plan.permitted.grant.id,
        "dataset": plan.spec.name,
        "version": plan.version.number,
        "purpose": plan.permitted.grant.purpose,
        **table(priced, values),
        "bounds": bounds(plan),
        "price": _cost(priced.cost),
        "epsilon": epsilon,
        "left": left,
        "rung": priced.rung,
        "event": event,
        "facts": facts(plan),
        "promise": PROMISE,
    }


def explanation(priced: Priced, purse: Purse) -> dict[str, Any]:
    """What the question would compute and cost; no data was touched."""
    plan = priced.plan
    content = canonical.priced_form(priced)
    affordable = accounting.fits(purse.spent, priced.cost, purse.cap)
    return {
        "dataset": plan.spec.name,
        "version": plan.version.number,
        "grant": plan.permitted.grant.id,
        "rule": plan.permitted.rule,
        "plan": {"plan_v": plan.plan_v, **content["content"]},
        "outputs": expected(priced),
        "groups": plan.groups,
        "price": _cost(priced.cost),
        "epsilon": accounting.decimal(epsilon_of(priced.cost, purse.cap.first_share())),
        "affordable": affordable,
        "left_before": _left(purse.spent, purse.cap),
        "left_after": _left(purse.spent + priced.cost, purse.cap) if affordable else None,
        "rung": priced.rung,
        "facts": facts(plan),
        "bounds": bounds(plan),
        "text": _why(priced),
    }


def _left(spent: Cost, cap: Cap) -> dict[str, str]:
    """What one more pure, or one more Gaussian, charge could cost under the grant alone: two ways to spend it."""
    pure, rho = accounting.left([(spent, cap)])
    return {"pure": accounting.decimal(pure), "gaussian_rho": accounting.decimal(rho)}


def _why(priced: Priced) -> dict[str, str]:
    plan, first = priced.plan, priced.releases[0]
    tiers = len(plan.bound.tiers)
    return {
        "en": (
            f"Bounded at ingest: each unit gives its first {plan.bound.rows} rows by keyed order, read from {tiers} "
            f"tier(s). {first.mechanism.capitalize()} noise, because it errs less at this budget. "
            "This preview touched no data and cost nothing."
        ),
        "zh": (
            f"入库时限界：每个单位按密钥序取前 {plan.bound.rows} 行，读取 {tiers} 个分层。"
            f"采用 {first.mechanism} 噪声，因其在该预算下误差更小。本预览未接触数据，不计费。"
        ),
    }


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


def bounds(plan: Plan) -> dict[str, Any]:
    """The bounds that the intervals speak of, and which of them may bite."""
    bites = [] if plan.bound.rows >= plan.spec.r_max else [f"rows_per_unit={plan.bound.rows}"]
    clamps_en, clamps_zh = [], []
    for name in sorted({c for m in plan.measures if m.kind == "sum" for c in columns_of(m.expr)}):
        column = plan.spec.column(name)
        if column is None or column.lower is None or column.upper is None:
            continue
        low, high = (_decimal(v * column.grid) for v in (column.lower, column.upper))
        bites.append(f"{name}={low}..{high}")
        clamps_en.append(f"{name} is taken within {low} to {high}")
        clamps_zh.append(f"{name} 取值限制在 {low} 至 {high}")
    unit = plan.spec.unit or "unit"
    first_en = f"each {unit} gives at most {plan.bound.rows} rows"
    first_zh = f"每个 {unit} 最多计入 {plan.bound.rows} 行"
    if plan.bound.rows >= plan.spec.r_max:
        first_en, first_zh = first_en + " (all that are stored)", first_zh + "（即全部存储行）"
    return {
        "rows_per_unit": plan.bound.rows,
        "may_bite": bites,
        "text": {
            "en": f"Intervals are of the bounded aggregate: {'; '.join([first_en, *clamps_en])}.",
            "zh": f"区间针对限界后的聚合：{'；'.join([first_zh, *clamps_zh])}。",
        },
    }


def _decimal(value: Decimal) -> str:
    return format(value.normalize(), "f")


# --- Arrow ----------------------------------------------------------------------------------------------------------

_ARROW: Final = {"integer": pa.int64(), "decimal": pa.float64(), "boolean": pa.bool_()}


def as_arrow(body: Mapping[str, Any]) -> bytes:
    """An answer as an Arrow IPC stream: each number's column is followed by its interval's two ends.

    The schema's metadata holds everything else of the body as JSON under `sandbox`.
    """
    arrays: list[pa.Array] = []
    fields: list[pa.Field] = []
    for i, column in enumerate(body["columns"]):
        kind = _ARROW.get(column["type"], pa.string())
        names = [column["label"]] if column["kind"] == "key" else [column["label"] + s for s in ("", "_low", "_high")]
        for name, source in zip(names, ("rows", "low", "high"), strict=False):
            cells = [row[i] for row in body[source]]
            exact = kind if column["kind"] != "key" or column["type"] != "integer" else pa.int64()
            fields.append(pa.field(name, exact))
            arrays.append(pa.array(cells, type=exact))
    rest = {k: v for k, v in body.items() if k not in {"rows", "low", "high"}}
    schema = pa.schema(fields, metadata={"sandbox": json.dumps(rest, ensure_ascii=False)})
    sink = io.BytesIO()
    with pa.ipc.new_stream(sink, schema) as writer:
        writer.write_table(pa.Table.from_arrays(arrays, schema=schema))
    return sink.getvalue()
