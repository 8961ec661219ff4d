"""Texts of the published log: what the object store and the witnesses say of it."""

from __future__ import annotations

TEXTS: dict[str, tuple[str, str]] = {
    "event_unknown": (
        "There is no such event among those you may read.",
        "在您可以读取的事件中没有该事件。",
    ),
    "export_broken": (
        "The export broke off, or held what no export holds (at {file}); nothing was left behind. Try again.",
        "导出在 {file} 处中断或含有不应有的内容；未留下任何文件，请重试。",
    ),
    "month_before_log": (
        "The log begins in {oldest}; nothing can be told of {month}.",
        "日志始于 {oldest}；无法出具 {month} 的月报。",
    ),
    "month_to_come": (
        "The month {month} has not begun yet; the newest that can be told of is {newest}.",
        "{month} 尚未开始；最近可出具的月份为 {newest}。",
    ),
    "published_ahead": (
        (
            "The object store holds a checkpoint of {published} events, this database only {size}: it is an "
            "older copy. Nothing is overwritten; run sandbox reconcile HOME."
        ),
        (
            "对象存储中的检查点有 {published} 条事件，而本数据库只有 {size} 条：数据库是旧副本。未覆盖任何内容；"
            "请运行 sandbox reconcile HOME。"
        ),
    ),
    "published_differs": (
        (
            "The events in the object store do not lead from the {from_size} of this database to the {size} that "
            "were signed."
        ),
        "对象存储中的事件无法从本数据库的 {from_size} 条推出已签名的 {size} 条。",
    ),
    "published_forked": (
        (
            "The object store holds other events than this database among the first {size}: one of them was "
            "changed, or another home uses the same place. Nothing is overwritten; restore the right database, "
            "or mend `objects`."
        ),
        (
            "前 {size} 条事件中，对象存储与本数据库不一致：其一被更改，或另一主目录使用了同一位置。"
            "未覆盖任何内容；请恢复正确的数据库，或更正设置 `objects`。"
        ),
    ),
    "published_malformed": (
        "The published log cannot be read at {key}: it was cut off or changed. Restore that object from its copies.",
        "无法读取已发布日志的 {key}：内容被截断或更改。请从副本恢复该对象。",
    ),
    "receipt_not_ready": (
        "The event is in the log and gets its receipt within a second; ask again.",
        "事件已写入日志，其凭证将在一秒内生成；请稍后再取。",
    ),
    "witness_ahead": (
        (
            "Witness {witness} has cosigned {known} events of this log, and only {size} were ever published from "
            "this database: it is an older copy. Run sandbox reconcile HOME."
        ),
        (
            "见证 {witness} 已联署本日志的 {known} 条事件，而本数据库只发布过 {size} 条：数据库是旧副本。请运行 "
            "sandbox reconcile HOME。"
        ),
    ),
    "witness_behind": (
        (
            "Witness {witness} had cosigned {size} events and now knew {known} only: it has forgotten. It has "
            "cosigned anew; have its operator look at its memory."
        ),
        "见证 {witness} 曾联署 {size} 条事件，现在却只记得 {known} 条：它已遗忘。它已重新联署；请其运营方检查其存储。",
    ),
    "witness_forked": (
        (
            "Witness {witness} refuses: the {known} events that it cosigned are not how this log of {size} "
            "begins. One of the two was forged, or the database is not the one of this log."
        ),
        (
            "见证 {witness} 拒绝联署：它联署过的 {known} 条事件并非本日志（{size} 条）的开头。其一被伪造，"
            "或数据库不属于本日志。"
        ),
    ),
    "witness_refused": (
        (
            "{witness} does not name a witness; write its public key, a space and its address, as in "
            "witness.example+1234abcd+BASE64 https://witness.example/"
        ),
        (
            "{witness} 不是有效的见证设置；请写出其公钥、一个空格和地址，例如 witness.example+1234abcd+BASE64 "
            "https://witness.example/"
        ),
    ),
    "witness_refuses": (
        "Witness {witness} refuses this log (status {answer}); has its operator been given the log's public key?",
        "见证 {witness} 拒绝本日志（状态 {answer}）；其运营方是否已取得本日志的公钥？",
    ),
    "witness_unreachable": (
        "Witness {witness} does not answer; the log goes on, without its cosignature for now.",
        "见证 {witness} 无应答；日志照常运行，暂缺其联署。",
    ),
}
"""Code to (English, Chinese)."""
