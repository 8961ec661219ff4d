"""Texts of the privacy part's errors."""

from __future__ import annotations

TEXTS: dict[str, tuple[str, str]] = {
    "budget_too_small": (
        "The epsilon asked for is too small for this query: its noise would not fit 64 bits. Ask for more.",
        "所请求的 epsilon 对此查询过小：噪声将超出 64 位整数。请提高 epsilon。",
    ),
    "plan_overflows": (
        "{rows} rows of up to {row_bound} units each might not fit 64 bits. Declare tighter bounds or a coarser grid.",
        "最多 {rows} 行、每行至多 {row_bound} 个单位，可能超出 64 位整数。请声明更紧的上下界或更粗的网格。",
    ),
    "price_disagrees": (
        "Two computations of the price of {mechanism} noise disagree. Nothing was charged or released.",
        "{mechanism} 噪声价格的两种计算结果不一致。未扣除预算，未输出任何结果。",
    ),
    "within_too_small": (
        "The accuracy asked for is finer than one step of the result's grid. Ask for at least one step.",
        "所请求的精度小于结果网格的一个单位。请至少要求一个单位。",
    ),
}
