"""Texts of versions: updates, questions that name one, retirements, and destructions."""

from __future__ import annotations

TEXTS: dict[str, tuple[str, str]] = {
    # --- updates ---
    "update_field_fixed": (
        "{field} cannot change in an update with mode {mode}; a new dataset can have it otherwise.",
        "以 {mode} 方式更新时不能更改 {field}；如需更改，请登记新的数据集。",
    ),
    "update_rows_wide": (
        "limits.rows may be at most {most}: the number of buckets is fixed with the first version.",
        "limits.rows 最多为 {most}：分桶数在首个版本时即已固定。",
    ),
    "reason_required": (
        "A correction needs a reason: say with --reason what was wrong.",
        "更正必须说明理由：请用 --reason 写明错误所在。",
    ),
    "version_moved": (
        "{dataset} got another version meanwhile; nothing was stored. Update it again.",
        "{dataset} 在此期间产生了新版本；未存储任何内容。请重新更新。",
    ),
    # --- questions ---
    "version_unknown": (
        "There is no version {version} that could be asked; open are: {open}.",
        "没有可查询的版本 {version}；可查询的版本：{open}。",
    ),
    "version_withdrawn": (
        "Version {version} was withdrawn by a correction; open are: {open}.",
        "版本 {version} 已因更正而撤回；可查询的版本：{open}。",
    ),
    "version_destroyed": ("Version {version} was destroyed.", "版本 {version} 已销毁。"),
    "dataset_retired": (
        "{dataset} is retired: no question, application or update any more; answers that were given stay readable.",
        "{dataset} 已停用：不再接受查询、申请和更新；已给出的答复仍可查看。",
    ),
    "dataset_destroyed": (
        "{dataset} is destroyed: no key opens it any more; answers that were given stay readable.",
        "{dataset} 已销毁：其密钥不复存在；已给出的答复仍可查看。",
    ),
    "dataset_name_used": (
        "The name {dataset} is that of a retired or destroyed dataset and can never be used again; choose another.",
        "名称 {dataset} 属于已停用或已销毁的数据集，永不可再用；请另选名称。",
    ),
    "terms_dataset_retired": (
        "{dataset} is not in use any more: nothing can be granted on it.",
        "{dataset} 已不再使用，不能再获许可。",
    ),
    # --- removals ---
    "removal_own_side": (
        "A destruction is confirmed or declined by a second person, of another organisation than the owner's.",
        "销毁须由第二人确认或否决，且其所在机构不能是数据源单位。",
    ),
    "removal_under_way": (
        "The destruction of {dataset} is proposed already ({removal}).",
        "{dataset} 的销毁已经提出（{removal}）。",
    ),
    "removal_unknown": ("There is no removal {removal}.", "不存在移除记录 {removal}。"),
    "removal_none": (
        "Nobody has proposed to destroy {dataset}: a steward of its owner does, with `sandbox dataset destroy`.",
        "尚无人提出销毁 {dataset}；须由数据源单位的数据管理员用 `sandbox dataset destroy` 提出。",
    ),
    "certificate_none": (
        "{dataset} has no certificate of destruction.",
        "{dataset} 没有销毁证书。",
    ),
}
