"""Texts of the gateway, the client and the command line: what is wrong, where, and what would work."""

from __future__ import annotations

TEXTS: dict[str, tuple[str, str]] = {
    # --- titles of problems ---
    "title_request": ("Request refused", "请求有误"),
    "title_unauthenticated": ("Not authenticated", "未通过身份验证"),
    "title_denied": ("Denied", "无权限"),
    "title_not_found": ("Not found", "未找到"),
    "title_conflict": ("Conflict", "冲突"),
    "title_too_large": ("Too large", "过大"),
    "title_too_slow": ("Too slow", "过慢"),
    "title_too_many": ("Too many requests", "请求过多"),
    "title_failed": ("Not available", "暂不可用"),
    # --- requests ---
    "request_invalid": ("Field {field} is not valid.", "字段 {field} 无效。"),
    "request_invalid.missing": ("Field {field} is missing.", "缺少字段 {field}。"),
    "request_invalid.unknown": ("Field {field} is not known here. Remove it.", "未知字段 {field}，请删除。"),
    "request_invalid.range": (
        "Field {field} is out of range: it must be a number {limit}.",
        "字段 {field} 超出范围：须为 {limit} 的数值。",
    ),
    "request_invalid.finite": ("Field {field} must be a finite number.", "字段 {field} 须为有限数值。"),
    "request_invalid.length": (
        "Field {field} has the wrong length: it must be {limit}.",
        "字段 {field} 长度有误：须 {limit}。",
    ),
    "request_invalid.choice": ("Field {field} must be one of {limit}.", "字段 {field} 须为 {limit} 之一。"),
    "request_invalid.form": (
        "Field {field} is not in the form that is wanted (limit: {limit}).",
        "字段 {field} 的格式不符（限制：{limit}）。",
    ),
    "request_invalid.one_of": ("Give only one of {limit}.", "{limit} 只能给出其一。"),
    "request_invalid.type": ("Field {field} is of the wrong type.", "字段 {field} 类型有误。"),
    "request_not_json": (
        "The body is not the JSON object that is wanted here; send it with Content-Type application/json.",
        "请求体不是所需的 JSON 对象；请以 Content-Type application/json 发送。",
    ),
    "route_unknown": ("There is nothing at this address.", "该地址不存在。"),
    "method_unknown": ("This address does not take that method.", "该地址不支持此方法。"),
    "body_too_large": ("The body is over the limit of {limit} bytes.", "请求体超过 {limit} 字节的上限。"),
    "request_too_slow": (
        "The request did not arrive within {seconds} seconds. Send it again, in one go.",
        "请求未在 {seconds} 秒内到齐。请一次性重新发送。",
    ),
    "request_timed_out": (
        "The gateway took more than {seconds} seconds. What became of the request is not known: look, then repeat it.",
        "网关处理超过 {seconds} 秒，结果未知；重试前请先查询。",
    ),
    "gateway_busy": (
        "The gateway has too many requests under way. Try again in some seconds.",
        "网关正在处理的请求过多，请数秒后重试。",
    ),
    "too_many_under_way": (
        "You have {limit} requests under way already, your share of the gateway. Wait for some to end.",
        "您已有 {limit} 个请求在处理，达到份额上限。请等待部分完成。",
    ),
    "too_many_requests": (
        "More than {limit} requests a minute. Wait some seconds, then ask more slowly.",
        "每分钟请求超过 {limit} 次。请稍候并放慢速度。",
    ),
    "proxy_unknown": (
        "This gateway answers its named proxies alone. Use its public address.",
        "该网关仅应答指定的代理。请使用其公开地址。",
    ),
    "proxy_insecure": (
        "The request came in clear, so its key may have been seen. Use https, and let the proxy set X-Forwarded-Proto.",
        "请求以明文到达，密钥可能已泄露。请使用 https，并由代理设置 X-Forwarded-Proto。",
    ),
    "traces_failed": (
        "{file} cannot be written. Correct `traces`, or take it out of the settings.",
        "无法写入 {file}。请修正或移除设置 `traces`。",
    ),
    "too_many_queries": (
        "Your organisation has {limit} queries under way already. Wait for some to end.",
        "贵机构已有 {limit} 个查询在处理，请等待部分完成。",
    ),
    "idempotency_key_required": (
        "A question that spends needs an Idempotency-Key header, so that it is paid for once however often it is sent.",
        "会消耗预算的查询须带 Idempotency-Key 请求头，以确保无论发送几次只计一次费。",
    ),
    "internal_failure": (
        "Something failed that nobody foresaw; nothing of it leaves. Tell the operator this id: {instance}.",
        "发生未预料的故障，未泄露任何内容。请将此编号告知运营方：{instance}。",
    ),
    # --- keys ---
    "key_missing": (
        "An API key is needed. Send it as `Authorization: Bearer sbx_…`, or set SANDBOX_KEY.",
        "需要 API 密钥。请以 `Authorization: Bearer sbx_…` 发送，或设置 SANDBOX_KEY。",
    ),
    "key_refused": (
        "The API key is not known, or was revoked. Ask the operator for a new one.",
        "API 密钥无效或已吊销。请向运营方申请新密钥。",
    ),
    "too_many_bad_keys": (
        "Too many bad keys from your address. Wait a minute.",
        "来自该地址的错误密钥过多，请等待一分钟。",
    ),
    # --- the catalogue ---
    "dataset_protected": (
        "Dataset {dataset} protects people, so its rows are never given out. Ask it with `sandbox query`.",
        "数据集 {dataset} 受保护，不提供原始数据行。请用 `sandbox query` 查询。",
    ),
    # --- the log ---
    "checkpoint_missing": (
        "There is no checkpoint yet. Try again in a second.",
        "尚无检查点，请稍后再试。",
    ),
    "table_unknown": (
        "There is no audited table {table}. There are: {tables}.",
        "没有名为 {table} 的受审计表。可用：{tables}。",
    ),
    "log_busy": (
        "No moment was found at which the log covers all records. Is the sequencer running? Try again.",
        "未能取得日志覆盖全部记录的时刻。排序任务是否在运行？请重试。",
    ),
    "audit_findings": (
        "The log does not prove what is stored: {count} findings, listed above.",
        "日志与存储内容不符：共 {count} 项问题，见上。",
    ),
    # --- settings and homes ---
    "home_missing": (
        "There is no home at {home}. Make one with `sandbox init {home}`.",
        "{home} 不是网关主目录。请用 `sandbox init {home}` 创建。",
    ),
    "home_exists": ("There is a home at {home} already.", "{home} 已是网关主目录。"),
    "home_not_empty": (
        "{home} is not empty. Choose an empty or a new folder.",
        "{home} 非空。请选择空目录或新目录。",
    ),
    "home_in_use": (
        "Another process serves {home}. One home has one gateway; stop the other first.",
        "另有进程正在使用 {home}。一个主目录只能有一个网关，请先停止它。",
    ),
    "home_failed": (
        "Folder {folder} cannot be written. Check its owner, its mode and the disk.",
        "目录 {folder} 无法写入。请检查属主、权限与磁盘。",
    ),
    "settings_unreadable": (
        "{file} cannot be read as TOML.",
        "无法将 {file} 作为 TOML 读取。",
    ),
    "settings_invalid": (
        "Setting {setting} in {file} is not valid ({problem}). docs/settings.md tells what it may be.",
        "{file} 中的设置 {setting} 无效（{problem}）。可用取值见 docs/settings.md。",
    ),
    "variable_invalid": (
        (
            "Setting {setting}, from the environment variable {variable}, is not valid ({problem}); lists are JSON. "
            "docs/settings.md tells what it may be."
        ),
        "设置 {setting}（来自环境变量 {variable}）无效（{problem}）；列表须为 JSON。可用取值见 docs/settings.md。",
    ),
    "variable_unknown": (
        "The environment variable {variable} is no setting; the nearest is {nearest}. Correct or unset it.",
        "环境变量 {variable} 不是任何设置；最接近的是 {nearest}。请更正或取消该变量。",
    ),
    "connector_missing": (
        "Connector {connector} is not installed. Installed: {installed}.",
        "未安装连接器 {connector}。已安装：{installed}。",
    ),
    "connector_broken": (
        "Connector {connector} cannot be loaded ({kind}). Install it again, or take it out of the settings.",
        "连接器 {connector} 无法加载（{kind}）。请重新安装，或从设置中移除。",
    ),
    "connector_contract": (
        "Connector {connector} speaks contract {contract}, this release {wanted}. Install a fitting one.",
        "连接器 {connector} 的接口版本为 {contract}，本版本需要 {wanted}。请安装匹配的版本。",
    ),
    "serve_insecure": (
        "Keys would go in clear to {host}. Listen on 127.0.0.1, or set tls_certificate and tls_key or trusted_proxies.",
        "密钥将以明文经 {host} 传输。请监听 127.0.0.1，或设置 tls_certificate 与 tls_key 或 trusted_proxies。",
    ),
    "tls_incomplete": (
        "tls_certificate and tls_key belong together; one of them is not set.",
        "tls_certificate 与 tls_key 须同时设置，现缺其一。",
    ),
    "tls_file_failed": (
        "{file} cannot be read. Check its path, its owner and its mode.",
        "无法读取 {file}。请检查路径、属主与权限。",
    ),
    "tls_certificate_malformed": (
        "{file} is not a certificate chain in PEM form.",
        "{file} 不是 PEM 格式的证书链。",
    ),
    "tls_key_malformed": (
        "{file} is not a private key in PEM form without a passphrase.",
        "{file} 不是无口令的 PEM 格式私钥。",
    ),
    "tls_mismatched": (
        "The private key in {key} does not belong to the first certificate in {certificate}.",
        "{key} 中的私钥与 {certificate} 中的首个证书不匹配。",
    ),
    "port_failed": (
        "{host}:{port} cannot be listened on; perhaps another program does. Choose another with --port.",
        "无法监听 {host}:{port}，可能已被占用。请用 --port 指定其他端口。",
    ),
    # --- the client and the command line ---
    "usage": ("{problem}", "命令用法有误：{problem}"),
    "url_missing": (
        "No gateway is named. Set SANDBOX_URL, or give --url.",
        "未指定网关。请设置 SANDBOX_URL，或使用 --url。",
    ),
    "url_invalid": ("{url} is not an address of a gateway.", "{url} 不是有效的网关地址。"),
    "url_insecure": (
        "The key would travel in clear to {url}. Use https.",
        "密钥将以明文发送至 {url}。请使用 https。",
    ),
    "key_not_set": (
        "No key is given. Set SANDBOX_KEY, or give --key.",
        "未提供密钥。请设置 SANDBOX_KEY，或使用 --key。",
    ),
    "gateway_unreachable": (
        "The gateway at {url} does not answer. Is `sandbox serve` running there?",
        "位于 {url} 的网关没有响应。`sandbox serve` 是否在运行？",
    ),
    "gateway_untrusted": (
        "The certificate of {url} is not trusted. If it is your city's own, name its authority in SSL_CERT_FILE.",
        "{url} 的证书不受信任。若为本市自建证书，请用 SSL_CERT_FILE 指定其签发机构。",
    ),
    "gateway_strange": (
        "What answers there does not speak as a gateway does (status {status}). Check the address.",
        "对方的应答不像网关（状态 {status}）。请检查地址。",
    ),
    "server_extra_missing": (
        "This verb needs {module}, which a plain client install has not. Install `data-sandbox[server]`.",
        "该命令需要 {module}，仅安装客户端时没有。请安装 `data-sandbox[server]`。",
    ),
    "file_failed": ("{file}: {problem}.", "{file}：{problem}。"),
    "file_not_utf8": ("{file} is not UTF-8 text. Save it as UTF-8.", "{file} 不是 UTF-8 文本。请另存为 UTF-8。"),
    "file_too_long": ("{file} is longer than {limit} bytes.", "{file} 超过 {limit} 字节。"),
    "file_without_at": (
        "{file} is a file: to have the key read from it, put @ before it: @{file}",
        "{file} 是一个文件：如需从中读取公钥，请在前面加 @：@{file}",
    ),
    "cli_broken": (
        "The command broke in a way that nobody foresaw ({kind} at {where}). Please report it.",
        "命令发生未预料的故障（{kind}，{where}），请反馈。",
    ),
    # --- flags of answers ---
    "flag_few": (
        "too few rows for its noise: the estimate is drawn to the middle of the declared bounds.",
        "行数少于噪声量级：估计值已收缩至声明范围的中点。",
    ),
    "flag_rank": (
        "its rank may be off by half of all rows: such a quantile says little. Ask with more budget, or alone.",
        "秩误差可达总行数的一半：该分位数参考价值很小。请提高预算，或单独提问。",
    ),
    "flag_wide": (
        "its error is a larger part of it than was asked for; see the line on accuracy.",
        "误差占比大于所求；见精度说明。",
    ),
    # --- the doctor ---
    "doctor_casbin_twice": (
        "Both `casbin` and `pycasbin` are installed; they overwrite each other's files.",
        "同时安装了 `casbin` 与 `pycasbin`，二者会互相覆盖文件。",
    ),
    "doctor_log_key_differs": (
        "The log's signing key does not belong to {file}.",
        "日志签名密钥与 {file} 不匹配。",
    ),
    "doctor_checkpoint_differs": (
        "The newest checkpoint (size {size}) does not cover the stored log.",
        "最新检查点（大小 {size}）与存储的日志不符。",
    ),
    "doctor_pages": ("The database file is damaged.", "数据库文件已损坏。"),
    "doctor_event_changed": (
        "Event {index} of the log is not what it was when it was written.",
        "日志事件 {index} 与写入时不符。",
    ),
    "doctor_object_changed": ("Object {key} is missing or changed.", "对象 {key} 缺失或已被改动。"),
    "doctor_objects": ("Folder {folder} cannot be written.", "目录 {folder} 无法写入。"),
    "doctor_disk": ("Only {free} MB are free; {wanted} are wanted.", "磁盘仅剩 {free} MB，期望至少 {wanted} MB。"),
    "doctor_source": ("Source folder {folder} is missing or cannot be read.", "数据源目录 {folder} 不存在或不可读。"),
    "doctor_clock": (
        "The clock is behind the last event ({last}).",
        "系统时钟早于最后一条事件（{last}）。",
    ),
    "doctor_duty_error": (
        "Duty {duty} fails with {error}; it last succeeded at {last_ok}.",
        "任务 {duty} 失败（{error}）；上次成功于 {last_ok}。",
    ),
    "doctor_duty_late": (
        "Duty {duty} has not succeeded since {last_ok}.",
        "任务 {duty} 自 {last_ok} 起未再成功。",
    ),
    "doctor_settings_changed": (
        "The running gateway was started with other settings.",
        "正在运行的网关启动时使用了不同的设置。",
    ),
    "mend_settings": (
        "Correct settings.toml or the SANDBOX_ variable, or make a home with `sandbox init`.",
        "请修正 settings.toml 或 SANDBOX_ 变量，或用 `sandbox init` 创建主目录。",
    ),
    "mend_packages": (
        "Uninstall both, then install `pycasbin` alone.",
        "请先卸载两者，再仅安装 `pycasbin`。",
    ),
    "mend_database": (
        "Use the release that wrote it, or restore the database file from a backup.",
        "请使用写入该数据库的版本，或从备份恢复数据库文件。",
    ),
    "mend_root key": (
        "Restore the file from a backup, owned by the gateway's user, and run `chmod 600` on it.",
        "请从备份恢复该文件，属主为网关用户，并执行 `chmod 600`。",
    ),
    "mend_log key": (
        "Restore keys/log.key and log.vkey from the same backup, and run `chmod 600` on the key.",
        "请从同一备份恢复 keys/log.key 与 log.vkey，并对密钥执行 `chmod 600`。",
    ),
    "mend_objects": (
        "Give a folder to the gateway's user, on a disk mounted for writing; for a bucket, see the s3_ settings.",
        "若为目录，请将其属主设为网关用户，并确认磁盘以可写方式挂载；若为存储桶，请检查 s3_ 开头的设置。",
    ),
    "mend_disk": ("Free some space, or move the home to a larger disk.", "请释放空间，或将主目录迁至更大的磁盘。"),
    "mend_sources": (
        "Make the folder readable, or correct `sources` in settings.toml.",
        "请使该目录可读，或修正 settings.toml 中的 `sources`。",
    ),
    "mend_connectors": (
        "Install the connector, or take it out of `connectors` in settings.toml.",
        "请安装该连接器，或将其从 settings.toml 的 `connectors` 中移除。",
    ),
    "mend_checkpoint": (
        "Stop the gateway, and do not serve before it is explained; compare with a checkpoint that was kept elsewhere.",
        "请停止网关，查明原因前不要启动服务；并与另存的检查点比对。",
    ),
    "mend_pages": (
        "Stop the gateway and restore the database from its backup; compare its newest checkpoint with the auditor's.",
        "请停止网关，从备份恢复数据库，并与审计方保存的检查点比对。",
    ),
    "mend_events": (
        "Stop the gateway, keep a copy for the auditor, and find out who changed the database.",
        "请停止网关，为审计方留存副本，并查明何人改动了数据库。",
    ),
    "mend_versions": (
        "Restore the object folder from its backup; nothing is answered from the damaged version meanwhile.",
        "请从备份恢复对象目录；在此之前不会用损坏的版本回答查询。",
    ),
    "mend_clock": ("Set the system clock right (NTP), then start again.", "请校准系统时钟（NTP）后重新启动。"),
    "mend_duties": (
        "See the gateway's log on standard error; restart it if a duty hangs.",
        "请查看网关标准错误中的日志；若任务挂起请重启网关。",
    ),
    "mend_process": ("Restart them.", "请将其重启。"),
}
