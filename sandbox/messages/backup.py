"""Texts of backup, restore, and of a home that may not be written to."""

from __future__ import annotations

TEXTS: dict[str, tuple[str, str]] = {
    "backup_damaged": (
        "The backup's file {file} is missing, cut off or changed; restore from another copy of this backup.",
        "备份中的文件 {file} 缺失、不完整或被改动；请改用该备份的另一份副本恢复。",
    ),
    "backup_exists": (
        "{folder} exists already, and a backup is never written over anything; choose a name that is free.",
        "{folder} 已存在，备份不会覆盖任何内容；请换一个未使用的名称。",
    ),
    "backup_failed": (
        "The backup folder {folder} cannot be read or written ({reason}); check its owner, its parent and the disk.",
        "备份目录 {folder} 无法读取或写入（{reason}）；请检查其属主、上级目录和磁盘。",
    ),
    "backup_full": (
        "There is no room for the backup {folder} ({reason}); nothing was left behind. Make room and try again.",
        "没有空间存放备份 {folder}（{reason}）；未留下任何内容。请腾出空间后重试。",
    ),
    "backup_log_differs": (
        "The events in the backup do not lead to its own checkpoint of {size} events; restore from another backup.",
        "备份中的事件与其自身 {size} 个事件的检查点不符；请改用其他备份恢复。",
    ),
    "backup_malformed": (
        "A line of the backup's table {table} is not a row of it; restore from another copy of this backup.",
        "备份中表 {table} 有一行不符合该表的格式；请改用该备份的另一份副本恢复。",
    ),
    "backup_missing": (
        "There is no finished backup in {folder}: it has no manifest.json.",
        "{folder} 中没有完整的备份：缺少 manifest.json。",
    ),
    "backup_newer": (
        "The backup was made by release {release}, which this one cannot read; restore it with that release.",
        "该备份由版本 {release} 制作，本版本无法读取；请用该版本恢复。",
    ),
    "home_forked": (
        "Another log than this home's was published: same name, same key, other events. Find out who ran a copy of it.",
        "已发布的日志与本主目录的日志不同：名称和密钥相同而事件不同。请查明何人运行过其副本。",
    ),
    "home_restored": (
        "The home was restored from a backup, and nobody outside holds a checkpoint to compare it with.",
        "主目录由备份恢复，且外部没有可供核对的检查点。",
    ),
    "home_rolled_back": (
        "The database is older than what was published of its log: charges and events since then are missing.",
        "数据库早于其日志已发布的内容：其后的扣减和事件缺失。",
    ),
    "home_unchecked": (
        "What was published of the log could not be looked up: the object store, or every witness, does not answer.",
        "无法查询日志已发布的内容：对象存储或所有见证均未应答。",
    ),
    "idempotency_key_lost": (
        (
            "The key {key} was used for query {query} before this home was restored; its answer is lost and it stays "
            "charged. To ask again, and pay again, use a new key."
        ),
        "幂等键 {key} 在本主目录恢复之前已用于查询 {query}；其答案已丢失，费用不退。如需再次提问并付费，请换用新键。",
    ),
    "ingest_lost_in_restore": (
        "The ingest went on after the backup that this home was restored from; its outcome is lost, submit it again.",
        "该导入在恢复所用备份之后继续进行，其结果已丢失；请重新提交。",
    ),
    "mend_published": (
        "Stop the gateways, run sandbox reconcile HOME, and start them again; docs/operations.md tells what it does.",
        "请停止各网关，运行 sandbox reconcile HOME，再重新启动；说明见 docs/operations.md。",
    ),
    "reconcile_disagrees": (
        (
            "Record {record} does not come out as event {event} says; nothing was changed. Restore the backup again, "
            "with every gateway stopped, and reconcile then."
        ),
        "记录 {record} 与事件 {event} 所述不符；未作任何更改。请停止所有网关，重新恢复备份后再对账。",
    ),
    "reconcile_forked": (
        (
            "This home's log and the published one part at event {index}: it was written to after its restore, or it "
            "is another home's. Nothing was changed; restore a backup that was not written to since."
        ),
        (
            "本主目录的日志与已发布的日志自事件 {index} 起不同：恢复后曾被写入，或属于另一主目录。未作更改；"
            "请恢复一份此后未被写入的备份。"
        ),
    ),
    "reconcile_incomplete": (
        (
            "{source} holds a checkpoint of {known} events, but the object store has {published} and this home {size}: "
            "those between are lost, and this log cannot go on. Bring the object store's newest copy back, or begin a "
            "new home."
        ),
        (
            "{source} 持有 {known} 个事件的检查点，而对象存储仅有 {published} 个、本主目录仅有 {size} 个："
            "其间的事件已丢失，该日志无法继续。请找回对象存储的最新副本，或新建主目录。"
        ),
    ),
    "reconcile_running": (
        "The home is open and in use; stop its gateways and workers first, or nothing is wrong with it.",
        "主目录处于可写状态且正在使用；请先停止其网关和后台进程，否则无需对账。",
    ),
    "reconcile_unknown_record": (
        "The published events tell of a kind of record ({record}) that this release does not know; use a newer one.",
        "已发布的事件涉及本版本不认识的记录类别（{record}）；请使用更新的版本。",
    ),
    "reconcile_unseen": (
        (
            "Neither the object store nor a witness holds any checkpoint of this log, so nothing shows that this "
            "backup is the newest. If both are lost for good, run it again with --nothing-outside."
        ),
        "对象存储和见证均未持有该日志的检查点，无法证明此备份为最新。若两者确已丢失，请加 --nothing-outside 重新运行。",
    ),
    "reconcile_witnesses": (
        (
            "None of the witnesses {witnesses} answers, and one may hold more than the object store; try again later, "
            "or set start_without_witnesses."
        ),
        "见证 {witnesses} 均未应答，而其中可能有比对象存储更新的检查点；请稍后再试，或设置 start_without_witnesses。",
    ),
    "restore_failed": (
        "The home {folder} cannot be written ({reason}); check its parent and the disk. Nothing was left behind.",
        "主目录 {folder} 无法写入（{reason}）；请检查其上级目录和磁盘。未留下任何内容。",
    ),
    "restore_key_differs": (
        "{key} is not the key of the home that was backed up; bring the folder with the keys that belong to it.",
        "{key} 不是被备份主目录的密钥；请提供与之对应的密钥目录。",
    ),
    "restore_not_empty": (
        "The database holds rows already, in table {table}; a backup is restored into an empty one only.",
        "数据库的表 {table} 中已有数据；备份只能恢复到空数据库。",
    ),
}
"""Code to (English, Chinese)."""
