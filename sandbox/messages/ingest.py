"""Texts of populations, manifests, sources, connectors, ingests and versions."""

from __future__ import annotations

TEXTS: dict[str, tuple[str, str]] = {
    # --- the manifest as a text ---
    "manifest_too_large": (
        "{file} is larger than {limit} bytes; a list may have 10,000 values, a domain of whole numbers can be a range.",
        "{file} 超过 {limit} 字节；每个列表最多 10,000 个值，整数取值范围可写成区间。",
    ),
    "manifest_empty": ("{file} is empty.", "{file} 是空文件。"),
    "manifest_syntax": ("{file} is not valid YAML at this place.", "{file} 在此处不是有效的 YAML。"),
    "manifest_anchor": (
        "{file} uses a YAML anchor or alias (& or *); write the value out.",
        "{file} 使用了 YAML 锚点或别名（& 或 *）；请直接写出值。",
    ),
    "manifest_tag": ("{file} uses a YAML tag (!); leave it out.", "{file} 使用了 YAML 标签（!）；请删除。"),
    "manifest_too_deep": ("{file} is nested more than {limit} levels deep.", "{file} 的嵌套超过 {limit} 层。"),
    "manifest_list_too_long": (
        "A list in {file} has more than {limit} values; a domain may have {limit}.",
        "{file} 中的列表超过 {limit} 个值；取值范围最多 {limit} 个值。",
    ),
    "manifest_key_unknown": (
        "{where} has no key {key}. Nearest: {nearest}. Known: {known}.",
        "{where} 没有键 {key}。最接近的是：{nearest}。可用的键：{known}。",
    ),
    "manifest_key_missing": ("{where} needs the key {key}.", "{where} 缺少键 {key}。"),
    "manifest_key_twice": ("{where} has the key {key} twice.", "{where} 的键 {key} 重复。"),
    "manifest_type": ("{where} must be a {expected}.", "{where} 的类型应为：{expected}。"),
    "manifest_text_long": ("{where} is longer than {limit} characters.", "{where} 超过 {limit} 个字符。"),
    "manifest_number_range": ("{where} must lie between {low} and {high}.", "{where} 必须在 {low} 与 {high} 之间。"),
    "manifest_choice": (
        "{where} cannot be {found}. Nearest: {nearest}. Known: {known}.",
        "{where} 不能是 {found}。最接近的是：{nearest}。可选：{known}。",
    ),
    "manifest_name": (
        "{where}: a name is lower-case letters, digits and _ and begins with a letter; a dataset may be area.name.",
        "{where}：名称由小写字母、数字和 _ 组成并以字母开头；数据集可写成“领域.名称”。",
    ),
    "manifest_public_has": (
        "A public table has no {key}; leave it out, or leave out `public: true`.",
        "公开表没有 {key}；请删除该键，或删除 `public: true`。",
    ),
    "provenance_not_one": (
        "{where} must have exactly one of {known}, with its source.",
        "{where} 必须且只能有以下之一并写明来源：{known}。",
    ),
    "provenance_missing": (
        "{where} does not say where {fact} comes from; name it, or add `others`.",
        "{where} 未说明 {fact} 的来源；请写明，或添加 `others`。",
    ),
    # --- populations ---
    "owner_not_yours": (
        "The manifest's owner is {owner}, and you are a steward of {yours}: register your own bureau's data.",
        "清单的数据源单位是 {owner}，而您是 {yours} 的数据管理员。只能登记本单位的数据。",
    ),
    "population_exists": (
        "The population {population} is already registered; a dataset can name it.",
        "人群 {population} 已登记，数据集可直接引用。",
    ),
    "population_not_registered": (
        "The population {population} is not registered. Nearest: {nearest}. Register it with `sandbox population add`.",
        "人群 {population} 尚未登记。最接近的是：{nearest}。请用 `sandbox population add` 登记。",
    ),
    "identifiers_below_registered": (
        "{where} is less than the registered {registered}: each of them may come.",
        "{where} 小于登记数 {registered}；每一个登记对象都可能出现。",
    ),
    "identifier_option": (
        "{where}: {key} has no meaning for identifiers of the form {kind}.",
        "{where}：{key} 不适用于 {kind} 形式的标识符。",
    ),
    "cap_range": ("{where} must be more than 0 and at most {most}.", "{where} 必须大于 0 且不超过 {most}。"),
    "cap_delta_small": (
        "{where}: a hundredth of delta must hold 2^-64 for each identifier; lower identifiers_max or raise it.",
        "{where}：delta 的百分之一须容纳每个标识符 2^64 分之一的碰撞概率；请降低 identifiers_max 或提高 delta。",
    ),
    # --- columns and limits ---
    "columns_count": (
        "{where} must declare between one column besides the unit and {limit} columns.",
        "{where} 除隐私单元列外至少要有一列，最多 {limit} 列。",
    ),
    "column_name": (
        "{where}: a column's name is lower-case letters, digits, _, none of {reserved}; `header` names the source's.",
        "{where}：列名由小写字母、数字和 _ 组成并以字母开头，且不能是 {reserved}；可用 `header` 写明数据源中的列名。",
    ),
    "header_twice": (
        "{where}: another column reads the same column of the source.",
        "{where}：另一列已使用数据源中的同一列。",
    ),
    "unit_not_declared": (
        "The unit column {unit} is not among the columns; declare it with type, meaning and level.",
        "隐私单元列 {unit} 未在 columns 中声明；请写明其类型、含义和级别。",
    ),
    "unit_has_no_values": (
        "{where}: the unit column is stored as a pseudonym only, so {key} has no meaning for it.",
        "{where}：隐私单元列仅以假名存储，{key} 对其没有意义。",
    ),
    "grid_not_for_type": ("{where}: a column of type {type} has no grid.", "{where}：{type} 类型的列没有网格。"),
    "grid_range": (
        "{where} must lie between 1e-12 and 1e12; for {type} a whole number if it is an integer or a timestamp.",
        "{where} 必须在 1e-12 与 1e12 之间；整数和时间戳列（此列为 {type}）的网格必须是整数。",
    ),
    "bounds_not_for_type": ("{where}: a column of type {type} has no bounds.", "{where}：{type} 类型的列没有上下界。"),
    "bounds_not_two": (
        "{where} must be [lower, upper] or {{from, to}}.",
        "{where} 必须写成 [下界, 上界] 或 {{from, to}}。",
    ),
    "bounds_upside_down": ("{where}: the lower bound is above the upper one.", "{where}：下界大于上界。"),
    "bounds_hold_no_grid_point": (
        "{where}: no multiple of the grid lies between the bounds.",
        "{where}：上下界之间没有网格点。",
    ),
    "bounds_too_large": (
        "{where}: the bounds are too large for this grid (2^53 steps, with the grid's digits); use a coarser one.",
        "{where}：上下界对该网格而言过大（含网格小数位共 2^53 步）；请使用更粗的网格。",
    ),
    "domain_not_for_type": (
        "{where}: a column of type {type} takes no such domain.",
        "{where}：{type} 类型的列不能这样声明取值范围。",
    ),
    "domain_empty": ("{where} has no value.", "{where} 没有任何值。"),
    "domain_too_long": (
        "{where} has more than {limit} values; coarser values, or bounds in place of a domain, would work.",
        "{where} 超过 {limit} 个值；请使用更粗的取值，或改用上下界。",
    ),
    "domain_off_grid": ("{where} is not a multiple of the grid {grid}.", "{where} 不是网格 {grid} 的整数倍。"),
    "domain_value_twice": ("{where} stands twice in the domain.", "{where} 在取值范围中重复。"),
    "domain_outside_bounds": ("{where} has values outside the bounds.", "{where} 含有超出上下界的值。"),
    "tiers_shape": (
        "{where} must be ascending ordinals, at most {limit} of them, the last one rows_per_unit ({last}).",
        "{where} 必须是递增的序号，最多 {limit} 个，最后一个等于 rows_per_unit（{last}）。",
    ),
    "default_rows_not_a_tier": ("{where} must be one of the tiers {known}.", "{where} 必须是分层边界之一：{known}。"),
    # --- sources and connectors ---
    "source_path_shape": (
        "{where} must be a path below the gateway's source folders, with / and without . or ..",
        "{where} 必须是网关数据源目录之下的相对路径，使用 /，不含 . 或 ..",
    ),
    "source_not_found": (
        "No file {path} lies in {owner}'s folder of the gateway's sources; the operator puts it there.",
        "网关数据源目录下的 {owner} 文件夹中没有文件 {path}；请由运营方放入。",
    ),
    "source_unreadable": (
        "{file} cannot be read from the disk; try again, or ask the operator.",
        "无法从磁盘读取 {file}；请重试或联系运营方。",
    ),
    "source_empty": ("{file} has no header line.", "{file} 没有表头。"),
    "source_encoding": (
        "{file} is not in the declared encoding at this place; known encodings: {known}.",
        "{file} 在此处与声明的编码不符；可用编码：{known}。",
    ),
    "source_column_missing": (
        "{file} has no column {column}; `header` in the manifest can give the source's own name.",
        "{file} 没有列 {column}；可在清单中用 `header` 写明数据源中的列名。",
    ),
    "source_column_twice": ("{file} has the column {column} more than once.", "{file} 中的列 {column} 重复。"),
    "source_column_type": (
        "{file}: the type of column {column} in the source does not fit the declared one.",
        "{file}：数据源中列 {column} 的类型与声明的类型不符。",
    ),
    "source_ragged_row": (
        "{file}: this row has {found} cells, the header has {expected}.",
        "{file}：该行有 {found} 个单元格，而表头有 {expected} 个。",
    ),
    "source_line_long": ("{file}: this line is longer than {limit} MB.", "{file}：该行超过 {limit} MB。"),
    "source_quote_open": (
        "{file}: a quote of this row is not closed as RFC 4180 has it; the option `quote: none` reads quotes as text.",
        "{file}：该行的引号未按 RFC 4180 闭合；选项 `quote: none` 可将引号视为普通字符。",
    ),
    "source_malformed": (
        "{file} cannot be read as the kind of source that the manifest names.",
        "{file} 无法按清单所述的数据源类型读取。",
    ),
    "source_not_parquet": ("{file} is not a whole Parquet file.", "{file} 不是完整的 Parquet 文件。"),
    "connector_unknown": (
        "There is no connector {connector}; known: {known}.",
        "不存在连接器 {connector}；可用：{known}。",
    ),
    "connector_option_unknown": (
        "The connector {connector} has no option {option}; known: {known}.",
        "连接器 {connector} 没有选项 {option}；可用：{known}。",
    ),
    "connector_option_value": (
        "The connector {connector} cannot use this value of the option {option}.",
        "连接器 {connector} 不接受选项 {option} 的这个值。",
    ),
    # --- ingests ---
    "dataset_exists": (
        "The dataset {dataset} exists; `sandbox dataset update` gives it a new version.",
        "数据集 {dataset} 已存在；可用 `sandbox dataset update` 生成新版本。",
    ),
    "dataset_unknown": ("There is no dataset {dataset}.", "不存在数据集 {dataset}。"),
    "ingest_under_way": (
        "An ingest of {dataset} is under way ({ingest}); wait for its end.",
        "{dataset} 正在入库（{ingest}）；请等待其结束。",
    ),
    "ingest_unknown": ("There is no ingest {ingest}.", "不存在入库任务 {ingest}。"),
    "ingest_too_many_rows": (
        "The source of {dataset} has more than the declared {n_max} rows; nothing was stored.",
        "{dataset} 的数据源超过所声明的 {n_max} 行；未存储任何内容。",
    ),
    "ingest_too_many_ids": (
        "With this dataset the population {population} would have more than its declared {n_ids} identifiers.",
        "加入该数据集后，人群 {population} 的标识符将超过所声明的 {n_ids} 个。",
    ),
    "ingest_lost": (
        "The worker died twice during this ingest; nothing was stored. Add the dataset again.",
        "执行该入库任务的进程两次中断；未存储任何内容。请重新添加数据集。",
    ),
    "ingest_broke": (
        "The ingest stopped for a reason inside the gateway; nothing was stored. The operator finds it in the log.",
        "入库因网关内部原因中止；未存储任何内容。运营方可在日志中查明。",
    ),
    "lease_lost": (
        "Another worker has taken over; this one has stopped, and changed nothing.",
        "另一个进程已接管；本进程已停止，未作任何更改。",
    ),
    "work_folder_full": ("The disk of the work folder is full.", "工作目录所在磁盘已满。"),
    "work_folder_failed": (
        "The work folder cannot be written; `sandbox doctor` tells more.",
        "无法写入工作目录；可运行 `sandbox doctor` 查明。",
    ),
    "parquet_failed": ("A file could not be written; try again.", "文件写入失败；请重试。"),
    "ingest_empty": (
        "{file} gives {dataset} no row: it has none, or none with a usable identifier and every required value.",
        "{file} 未给 {dataset} 提供任何记录：文件没有记录，或没有一条记录具有可用标识符和全部必填值。",
    ),
    # --- stored versions ---
    "version_manifest_differs": (
        "The manifest of version {version} is not what was stored; nothing is answered from it.",
        "版本 {version} 的清单与存储时不一致；不再据此作答。",
    ),
    "version_format_unknown": (
        "Version {version} has format {format}, which this release does not read.",
        "版本 {version} 的格式为 {format}，本发行版无法读取。",
    ),
    "catalogue_malformed": (
        "A stored {kind} cannot be read; nothing is answered from it.",
        "已存储的 {kind} 无法读取；不再据此作答。",
    ),
}
