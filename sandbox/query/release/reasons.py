"""Texts of how a plan bounds a unit and why: what an explanation and an answer say, in both languages."""

from __future__ import annotations

WORDS: dict[str, tuple[str, str]] = {
    "bound_units_alone": (
        "Each {unit} counts once: only its first row is read.",
        "每个 {unit} 只计一次：仅读取其首行。",
    ),
    "bound_ingest_enough": (
        "Bounded at ingest: each {unit} gives its first {rows} rows by keyed order, and nothing else is read.",
        "入库时限界：每个 {unit} 按密钥序取前 {rows} 行，不读取其他行。",
    ),
    "bound_rows_passing": (
        "Bounded at query: each {unit} gives its first {rows} rows that pass the filter, so that less is lost to it.",
        "查询时限界：每个 {unit} 取通过过滤条件的前 {rows} 行，以减少过滤造成的损失。",
    ),
    "bound_rows_joined": (
        "Bounded at query: joins, unions and subqueries may make more rows, and each {unit} gives {rows} of them.",
        "查询时限界：连接、合并或子查询可能产生更多行，每个 {unit} 计入其中 {rows} 行。",
    ),
    "bound_groups_asked": (
        "Bounded by groups: each {unit} counts in {groups} groups chosen by keyed order, with {per_group} rows' worth.",
        "按分组限界：每个 {unit} 按密钥序计入 {groups} 个分组，每组至多 {per_group} 行的量。",
    ),
    "bound_clip_smaller": (
        "Clipped: what a {unit} adds over all groups is shortened to one norm, which errs less here than rows.",
        "整体裁剪：将每个 {unit} 对所有分组的贡献向量缩短至同一范数，误差小于按行限界。",
    ),
    "stage_keys": (
        "Each unit votes for at most {keys} of its keys; of those with enough noisy votes {most} at most are shown.",
        "每个单位至多为 {keys} 个键投票；带噪票数达到阈值的键至多显示 {most} 个，随后对其测量。",
    ),
    "stage_norms": (
        "The norm is released first, for a tenth of the price.",
        "范数先行发布，占价格的十分之一。",
    ),
    "norm_reused": (
        "The norm of {columns} is reused: {query} has released and paid for it.",
        "{columns} 的裁剪范数沿用 {query} 已发布并付费的结果。",
    ),
    "mechanism_why": (
        "{mechanism} noise, because it errs less at this budget.",
        "采用 {mechanism} 噪声，因其在该预算下误差更小。",
    ),
    "steps_why": (
        "Released up to {releases} times, each paid for first, until every count and sum is within {share} of itself.",
        "最多发布 {releases} 次，每次先付费，直至每个计数与总和的误差不超过其自身的 {share}。",
    ),
    "accuracy_reached": (
        "Every count and sum is within {share} of itself at 95 %, after {releases} releases.",
        "经 {releases} 次发布，每个计数与总和的 95 % 误差均不超过其自身的 {share}。",
    ),
    "accuracy_short": (
        "After {releases} releases, {wide} numbers (flagged) err by more than {share}: what is left is not enough.",
        "经 {releases} 次发布，仍有 {wide} 个数值（已标记）的误差超过其自身的 {share}：剩余部分不足以达到。",
    ),
    "preview_free": (
        "This preview touched no data and cost nothing.",
        "本预览未接触数据，不计费。",
    ),
    "bounded_ingest": ("each {unit} gives at most {rows} rows", "每个 {unit} 最多计入 {rows} 行"),
    "bounded_rows": ("each {unit} gives at most {rows} rows", "每个 {unit} 最多计入 {rows} 行"),
    "bounded_groups": (
        "each {unit} counts in at most {groups} groups, with at most {per_group} rows' worth in each",
        "每个 {unit} 最多计入 {groups} 个分组，每组至多 {per_group} 行的量",
    ),
    "bounded_clip": ("what each {unit} adds is cut to one norm", "每个 {unit} 的总贡献被裁剪至同一范数"),
    "bounded_all": ("each {unit} gives all its stored rows", "每个 {unit} 计入其全部存储行"),
}


def text(name: str, **told: str | int) -> tuple[str, str]:
    """A text in English and in Chinese."""
    english, chinese = WORDS[name]
    return english.format(**told), chinese.format(**told)
