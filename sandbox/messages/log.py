"""Texts of the log's formats: tiles, receipts, cosignatures, witnesses and the month's page."""

from __future__ import annotations

TEXTS: dict[str, tuple[str, str]] = {
    "cosignature_missing": (
        "The checkpoint bears no valid cosignature of the witness {witness}; ask for one that does.",
        "该检查点没有见证 {witness} 的有效联署；请索取有其联署的检查点。",
    ),
    "entries_malformed": (
        "A bundle of log entries is cut off or damaged at its entry {entry}; fetch it again or restore it.",
        "日志条目包在第 {entry} 条处被截断或损坏；请重新获取或从备份恢复。",
    ),
    "entry_too_long": (
        "A log entry of {size} bytes does not fit a bundle, which holds at most {limit} bytes an entry.",
        "日志条目为 {size} 字节，超出条目包中每条最多 {limit} 字节的限制。",
    ),
    "event_too_long": (
        "An event of type {type} has {size} bytes, over the limit of {limit}. Nothing was changed; ask for less.",
        "类型为 {type} 的事件有 {size} 字节，日志每条最多 {limit} 字节。未作任何更改；请缩小单次操作。",
    ),
    "export_folder_used": (
        "{folder} is not empty, and an export is written into a new folder; choose another.",
        "{folder} 不为空，导出只写入新目录；请另选目录。",
    ),
    "export_incomplete": (
        "The export holds {found} events whose root is not that of the checkpoint over {size}; export again.",
        "导出包含 {found} 条事件，其根哈希与覆盖 {size} 条的检查点不符；请重新导出。",
    ),
    "month_malformed": (
        "{month} is not a month; write it as 2026-11.",
        "{month} 不是月份；请写作 2026-11 的形式。",
    ),
    "receipt_malformed": (
        "The file is not a receipt, or is cut off or damaged (field {field}); fetch the receipt again.",
        "该文件不是凭证，或已被截断、损坏（字段 {field}）；请重新获取凭证。",
    ),
    "receipt_not_included": (
        "The proof does not show this event at place {index} of the {size} that the log signed; tell the auditor.",
        "证明未能表明该事件位于日志所签 {size} 条中的位置 {index}；请将凭证交审计方查看。",
    ),
    "receipt_other_log": (
        "The receipt is of the log {origin}, and the key of the log {name}; use the key of the receipt's log.",
        "凭证属于日志 {origin}，而公钥属于日志 {name}；请使用凭证所属日志的公钥。",
    ),
    "report_malformed": (
        "The log's key signed this, but it is not a month's page; fetch the page again.",
        "该内容有日志密钥签名，但不是月报；请重新获取月报。",
    ),
    "submission_malformed": (
        "The submission is not what tlog-witness prescribes: old size, proof lines, an empty line, a checkpoint.",
        "提交内容不符合 tlog-witness 规定：应依次为旧大小、证明行、空行和检查点。",
    ),
    "tile_missing": (
        "The log has no such tile: level {level}, index {index}. If it should, restore the tiles from a backup.",
        "日志没有该哈希块：层 {level}，序号 {index}。如应存在，请从备份恢复。",
    ),
    "tile_path_malformed": (
        "No tile has the path {path}; tiles are named as in https://c2sp.org/tlog-tiles, such as tile/0/x001/234.",
        "没有路径为 {path} 的哈希块；命名规则见 https://c2sp.org/tlog-tiles，例如 tile/0/x001/234。",
    ),
    "witness_insecure": (
        "A witness in clear listens on this machine alone, not on {host}; set --tls-certificate and --tls-key.",
        "未加密的见证只在本机监听，而非 {host}；请设置 --tls-certificate 与 --tls-key。",
    ),
    "witness_running": (
        "Another witness already runs from {folder}; stop it first, or make a second folder.",
        "已有见证进程在使用 {folder}；请先停止它，或另建目录。",
    ),
    "witness_state_damaged": (
        "{file} is not what this witness stored. Restore its newest copy: one that forgets can be shown a fork.",
        "{file} 与该见证当初存入的内容不符。请恢复最新的副本：遗忘的见证可能被分叉蒙骗。",
    ),
}
"""Code to (English, Chinese)."""
