"""Texts of keys, sealed objects, the object store and the log."""

from __future__ import annotations

TEXTS: dict[str, tuple[str, str]] = {
    "bucket_missing": (
        "There is no bucket {bucket} on the S3 server; make it there, or name another in the setting objects.",
        "S3 服务器上没有存储桶 {bucket}；请创建它，或在设置 objects 中改用其他存储桶。",
    ),
    "event_malformed": (
        "An entry of the log is not the canonical form of an event; verify the log against an older checkpoint.",
        "日志中有一条记录不是规范格式的事件；请用较早的检查点核验日志。",
    ),
    "event_refused": (
        "An event of type {type} cannot be logged: {where} has no exact canonical form. Nothing was changed.",
        "类型为 {type} 的事件无法写入日志：{where} 没有精确的规范形式。未作任何更改。",
    ),
    "key_file_exists": (
        "{path} exists already, and a key is never overwritten; choose another place or move it away first.",
        "{path} 已存在，密钥绝不会被覆盖；请换一个位置，或先将其移走。",
    ),
    "key_file_failed": (
        "The key file {path} cannot be read or written; check that it exists, its owner and the disk.",
        "密钥文件 {path} 无法读取或写入；请检查文件是否存在、其属主以及磁盘。",
    ),
    "key_file_malformed": (
        "{path} does not hold a key of the expected kind; restore it from its backup.",
        "{path} 中不是所需类型的密钥；请从备份恢复。",
    ),
    "key_size_wrong": (
        "A key has {size} bytes where {needed} are needed; nothing was sealed or opened with it.",
        "密钥为 {size} 字节，而所需为 {needed} 字节；未用它加密或解密任何内容。",
    ),
    "log_key_mode": (
        "Others than its owner may touch the log's key {path} (mode {mode}); run: chmod 600 {path}",
        "日志密钥 {path} 可被属主以外的人访问（权限 {mode}）；请执行：chmod 600 {path}",
    ),
    "log_name_refused": (
        "A log cannot be named {name}: the name may not be empty, nor hold a space or a plus sign.",
        "日志不能命名为 {name}：名称不能为空，也不能含有空格或加号。",
    ),
    "note_malformed": (
        "The checkpoint is not a signed note: an origin, a size, a root, an empty line, then signatures.",
        "该检查点不是签名记录：应依次为来源、大小、根哈希、空行和签名。",
    ),
    "note_not_signed": (
        "The checkpoint bears no valid signature of the key {name}; do not trust this log.",
        "该检查点没有密钥 {name} 的有效签名；请勿信任此日志。",
    ),
    "object_corrupt": (
        "A stored object is not what was stored; nothing is answered from it. Restore it from its backup.",
        "存储的对象与当初存入的内容不符；不会用它作答。请从备份恢复。",
    ),
    "stored_rows_wrong": (
        "Rows of the stored object {key} are not ordered or numbered as they must be. Nothing was answered.",
        "存储对象 {key} 中的行未按规定排序或编号，未返回任何结果。",
    ),
    "object_exists": (
        "The object {key} exists already with other content, and objects are never replaced.",
        "对象 {key} 已存在且内容不同；对象绝不会被替换。",
    ),
    "object_kept": (
        "The object {key} is under retention: nobody can remove it before {until}. Try again after that.",
        "对象 {key} 处于保留期：{until} 之前任何人都无法删除。请在此之后重试。",
    ),
    "object_key_refused": (
        "An object's key has at most 200 characters: letters, digits, dots, dashes and underscores, parted by slashes.",
        "对象键最多 200 个字符：由字母、数字、点、短横线和下划线组成，以斜杠分隔。",
    ),
    "object_missing": (
        "The object {key} is missing from the store; restore it from its backup.",
        "对象 {key} 不在存储中；请从备份恢复。",
    ),
    "object_store_failed": (
        "The object store cannot be used ({reason}); check its folder, permissions and disk, or the S3 server.",
        "对象存储无法使用（{reason}）；请检查其目录、权限和磁盘，或检查 S3 服务器。",
    ),
    "object_store_full": (
        "The object store is full ({reason}); nothing was stored. Make room and try again.",
        "对象存储已满（{reason}）；未存入任何内容。请腾出空间后重试。",
    ),
    "object_store_refused": (
        "The S3 server refuses the credentials ({reason}); renew the files of s3_access_key and s3_secret_key.",
        "S3 服务器拒绝了凭据（{reason}）；请更新 s3_access_key 与 s3_secret_key 所指的文件。",
    ),
    "object_too_large": (
        "An object is over the 1 PiB that the sealed format can hold; cut it into several.",
        "对象超过加密格式可容纳的 1 PiB；请拆分为多个对象。",
    ),
    "object_truncated": (
        "The object {key} is shorter than what was stored; restore it from its backup.",
        "对象 {key} 比当初存入的内容短；请从备份恢复。",
    ),
    "record_refused": (
        "A record cannot be logged: its column {column} holds a value without an exact form. Nothing was changed.",
        "记录无法写入日志：其列 {column} 的值没有精确的表示形式。未作任何更改。",
    ),
    "root_key_mode": (
        "Others than its owner may touch the root key {path} (mode {mode}); run: chmod 600 {path}",
        "根密钥 {path} 可被属主以外的人访问（权限 {mode}）；请执行：chmod 600 {path}",
    ),
    "s3_ca_missing": (
        "The file {path} of the setting s3_ca is not there; put the authority's PEM file in its place.",
        "设置 s3_ca 所指的文件 {path} 不存在；请放置颁发机构的 PEM 文件。",
    ),
    "s3_endpoint_refused": (
        "The setting s3_endpoint reads {endpoint}, but must read host:port, such as s3.city.cn:443.",
        "设置 s3_endpoint 的值为 {endpoint}，应为“主机:端口”的形式，例如 s3.city.cn:443。",
    ),
    "s3_plain_refused": (
        "The S3 server {endpoint} is another machine and would be reached without TLS; set s3_secure to true.",
        "S3 服务器 {endpoint} 位于另一台机器，不能以明文访问；请将 s3_secure 设为 true。",
    ),
    "s3_setting_missing": (
        "The objects lie in a bucket, but the setting {setting} is missing; docs/settings.md tells of it.",
        "对象存放在存储桶中，但缺少设置 {setting}；说明见 docs/settings.md。",
    ),
    "sealed_open_failed": (
        "Sealed content does not open: it was changed, moved from its place, or sealed under another key.",
        "加密内容无法打开：内容被改动、被移位，或由另一把密钥加密。",
    ),
    "suite_unknown": (
        "The crypto suite {suite} is not known to this release; use a release that has it.",
        "本版本不支持密码套件 {suite}；请使用支持它的版本。",
    ),
    "vkey_malformed": (
        "The log's public key must read name+hash+key, as in log.vkey; copy it again from whom you trust.",
        "日志公钥应为“名称+哈希+密钥”的形式，如 log.vkey 所示；请从可信来源重新复制。",
    ),
    "wrapping_key_differs": (
        "A key was wrapped under another key than the one at hand; restore the root key that belongs to this home.",
        "该密钥由另一把密钥封装；请恢复属于此目录的根密钥。",
    ),
}
"""Code to (English, Chinese)."""
