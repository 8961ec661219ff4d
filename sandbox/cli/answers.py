"""An answer on the terminal: each number with its interval beside it, then what stands behind the table."""

from __future__ import annotations

import csv
import io
import json
import math
from decimal import Decimal
from typing import Any, Final

from sandbox.cli import show
from sandbox.messages import render

_FORMULA: Final = ("=", "+", "-", "@", "\t", "\r")


def table(body: dict[str, Any]) -> None:
    """Print an answer."""
    heads: list[str] = []
    for column in body["columns"]:
        heads.append(column["label"])
        if column["kind"] != "key":
            heads.append(_level(column))
    rows, marks = [], set()
    for number in range(len(body["rows"])):
        row, found = _row(body, number)
        rows.append(row)
        marks |= found
    show.table(heads, rows)
    for mark in sorted(marks):
        show.line(f"* {render(f'flag_{mark}', {}, 'en')} {render(f'flag_{mark}', {}, 'zh')}")
    _beneath(body)


_CHOSEN = {"quantile", "min", "max"}
_LISTS = {"quantiles", "histogram", "top"}


def _told(column: dict[str, Any], value: Any, low: Any) -> tuple[str, str]:
    """A value that was chosen, with its interval in rank; a list, with the half-width that all its counts have."""
    if column["kind"] == "top":
        return ", ".join(map(str, value)), ""
    if column["kind"] == "quantiles":
        widths = ", ".join(f"{width:,.0f}" for width in column["rank_half_widths"])
        return ", ".join("NULL" if x is None else str(x) for x in value), f"± {widths} rows 行 (rank 秩)"
    if column["kind"] == "histogram":
        bins = column["bins"]
        half = next((count - least for count, least in zip(value, low or [], strict=False)), None)
        told = "" if half is None else f"each 各 ± {half:,.0f}"
        return "; ".join(f"{start}: {count:,}" for start, count in zip(bins, value, strict=False)), told
    width = column.get("rank_half_width") or 0.0
    return ("NULL" if value is None else str(value)), f"± {width:,.0f} rows 行 (rank 秩)"


def _level(column: dict[str, Any]) -> str:
    return f"{(column.get('level') or 0.95) * 100:g} %"


def _row(body: dict[str, Any], number: int) -> tuple[list[str], set[str]]:
    cells: list[str] = []
    marks: set[str] = set()
    for place, column in enumerate(body["columns"]):
        value = body["rows"][number][place]
        if column["kind"] == "key":
            cells.append("NULL" if value is None else str(value))
            continue
        if column["kind"] in _CHOSEN | _LISTS:
            adrift = set(body["flags"][number]) & ({"rank"} if column["kind"] in _CHOSEN | {"quantiles"} else set())
            marks |= adrift
            said, width = _told(column, value, body["low"][number][place])
            cells += [said + "*" * len(adrift), width]
            continue
        low, high = body["low"][number][place], body["high"][number][place]
        said = "few" if column["kind"] in {"avg", "variance", "stddev", "expression"} else "wide"
        flags = set(body["flags"][number]) & {said}
        marks |= flags
        shown = digits(low, high)
        cells.append(_number(value, shown) + ("*" if flags else ""))
        cells.append(f"[{_number(low, shown)}, {_number(high, shown)}]")
    return cells, marks


def digits(low: float | None, high: float | None) -> int:
    """Decimals that the interval's width supports: two significant digits of its half."""
    if low is None or high is None or not math.isfinite(high - low) or high <= low:
        return 2
    return max(0, min(9, 1 - math.floor(math.log10((high - low) / 2))))


def _number(value: float | None, digits: int) -> str:
    if value is None:
        return "NULL"
    if isinstance(value, int):
        return f"{value:,}"
    return f"{value:,.{digits}f}"


def _beneath(body: dict[str, Any]) -> None:
    left = body["left"]
    for text in (
        body["bounds"]["text"]["en"],
        body["bounds"]["text"]["zh"],
        f"Mechanism 机制: {_mechanisms(body)}",
        *_source(body),
        *_accuracy(body),
        f"Price 价格: epsilon {body['epsilon']} ({_price(body['price'])})",
        f"Left 剩余: pure {left['pure']}, or 或 rho {left['gaussian_rho']} (epsilon {left['gaussian_epsilon']})",
        f"Log entry 日志: {body['event']}   Query 查询: {body['id']}   Grant 授权: {body['grant']}",
        f"Receipt 凭证: sandbox receipt {body['id']}",
        f"Dataset 数据集: {body['dataset']}, version 版本 {body['version']}",
    ):
        show.line(text)


def _mechanisms(body: dict[str, Any]) -> str:
    parts = [
        f"{c['label']}: {c['mechanism']}" + _scale(c["scale"])
        for c in body["columns"]
        if c["mechanism"] is not None
    ]
    return "; ".join(parts) or "-"


def _scale(scale: float | list[float] | None) -> str:
    """A column's noise; of a list, that of each of its elements."""
    found = scale if isinstance(scale, list) else [] if scale is None else [scale]
    return f", scale {' / '.join(f'{s:,.4g}' for s in found)}" if found else ""


def _price(price: dict[str, str]) -> str:
    """The ledger's counters that were moved, as decimals; none where it was free."""
    units = {"eps_p": 12, "rho": 12, "delta": 18}
    moved = {name: Decimal(value).scaleb(-units[name]) for name, value in price.items() if value != "0"}
    return ", ".join(f"{name} {value.normalize():f}" for name, value in moved.items()) or "free 免费"


def _source(body: dict[str, Any]) -> list[str]:
    """Where a free answer comes from."""
    source = body.get("source")
    return [] if source is None else [source["text"]["en"], source["text"]["zh"]]


def _accuracy(body: dict[str, Any]) -> list[str]:
    """How far a question by relative accuracy has come."""
    found = body.get("accuracy")
    return [] if found is None else [found["text"]["en"], found["text"]["zh"]]


def explanation(body: dict[str, Any]) -> None:
    """Print an explanation."""
    show.table(
        ["output 输出", "mechanism 机制", "expected 95 % ±"],
        [(o["label"], o["mechanism"], _expected(o)) for o in body["outputs"]],
    )
    show.line(f"Dataset 数据集: {body['dataset']}, version 版本 {body['version']}")
    for line in _source(body):
        show.line(line)
    most = " at most 至多" if body.get("steps") else ""
    show.line(f"Price 价格{most}: epsilon {body['epsilon']} ({_price(body['price'])})")
    before, after = body["left_before"], body["left_after"]
    if after is None:
        show.line(f"The grant cannot pay this: it has ε {before['pure']} or ρ {before['gaussian_rho']} left.")
        show.line(f"该授权无法支付：剩余 ε {before['pure']} 或 ρ {before['gaussian_rho']}。")
    else:
        show.line(
            f"Left of the grant 授权剩余: ε {before['pure']} -> {after['pure']}, "
            f"or 或 ρ {before['gaussian_rho']} -> {after['gaussian_rho']}"
        )
    show.line(f"Leaves after 送出时刻: {body['rung']:g} s")
    for text in (body["bounds"].get("text"), body.get("text")):
        if text:
            show.line(text["en"])
            show.line(text["zh"])
    facts = body.get("facts") or []
    if facts:
        told = ("subject", "fact", "value")
        rows = [(*(f[t] for t in told), f["provenance"]["kind"], f["provenance"]["source"]) for f in facts]
        show.table(["declared 声明", "fact 事实", "value 值", "provenance 来源", "source 出处"], rows)


def _expected(output: dict[str, Any]) -> str | None:
    by_rows = output.get("expected_by_rows")
    if by_rows:
        return "; ".join(f"{width:,.3g} at 当 {int(rows):,} rows 行" for rows, width in by_rows.items())
    ranks = output.get("rank_half_widths") or [w for w in [output.get("rank_half_width")] if w is not None]
    if ranks:
        return f"{' / '.join(f'{w:,.0f}' for w in ranks)} rows 行 (rank 秩)"
    value = output["expected_interval"]
    return f"{value:,.4g}" if isinstance(value, int | float) else None


def csv_of(body: dict[str, Any]) -> str:
    """An answer as CSV: each number is followed by its low and high end, one in rank by its half-width; flags last."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    heads: list[str] = []
    for column in body["columns"]:
        label = escaped(column["label"])
        heads += [label, *(f"{label}_{end}" for end in _ends(column))]
    writer.writerow([*heads, "flags"])
    for row, low, high, flags in zip(body["rows"], body["low"], body["high"], body["flags"], strict=True):
        cells: list[Any] = []
        for place, column in enumerate(body["columns"]):
            cells.append(escaped(_listed(row[place])))
            cells += [_listed(end) for end in _ends(column, low[place], high[place]).values()]
        writer.writerow([*cells, " ".join(flags)])
    return out.getvalue()


def _ends(column: dict[str, Any], low: Any = None, high: Any = None) -> dict[str, Any]:
    """What stands beside a number, by the ending of its column's name."""
    if column["kind"] == "key":
        return {}
    if column["kind"] in _CHOSEN | {"quantiles"}:
        return {"rank_half_width": column.get("rank_half_widths") or column.get("rank_half_width")}
    bins = {"bins": column["bins"]} if column["kind"] == "histogram" else {}
    return {"low": low, "high": high, **bins}


def _listed(cell: Any) -> Any:
    return json.dumps(cell, ensure_ascii=False) if isinstance(cell, list) else cell


def escaped(value: Any) -> Any:
    """A text that a spreadsheet would take for a formula gets a quote before it; a number is no text.

    Source: OWASP, CSV Injection.
    """
    return f"'{value}" if isinstance(value, str) and value.startswith(_FORMULA) else value
