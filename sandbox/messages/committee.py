"""Texts of decisions, applications, grants, the ledger, paid queries, and organisations with their people."""

from __future__ import annotations

TEXTS: dict[str, tuple[str, str]] = {
    # --- decisions ---
    "action_not_granted": (
        "Grant {grant} does not allow the action {action}; it allows {granted}. Apply for a grant that does.",
        "许可 {grant} 不允许操作 {action}，只允许：{granted}。请就该操作另行申请。",
    ),
    "dataset_not_granted": (
        "Grant {grant} does not cover {dataset}; it covers {granted}. Name another grant, or apply for one.",
        "许可 {grant} 不包含数据集 {dataset}，仅包含：{granted}。请指定其他许可或另行申请。",
    ),
    "decision_failed": (
        "Whether this is allowed could not be decided, so it is refused; the operator finds the cause in the log.",
        "无法判定是否允许该操作，因此予以拒绝；运营方可在日志中查明原因。",
    ),
    "grant_ambiguous": (
        "Several grants fit this query; name one of them with --grant: {grants}",
        "有多个许可适用于该查询；请用 --grant 指定其中一个：{grants}",
    ),
    "grant_expired": (
        "Grant {grant} expired at {expired_at}; apply for a new one.",
        "许可 {grant} 已于 {expired_at} 到期；请重新申请。",
    ),
    "grant_not_active": (
        "Grant {grant} is not in force (state: {state}); ask the committee, or apply for a new one.",
        "许可 {grant} 当前无效（状态：{state}）；请联系数据委员会，或重新申请。",
    ),
    "grant_not_started": (
        "Grant {grant} is in force from {starts_at} only; ask again then.",
        "许可 {grant} 自 {starts_at} 起生效；请届时再查询。",
    ),
    "no_grant": (
        "Your organisation has no grant for {dataset}; nearest of those it has: {nearest}. Apply with: sandbox apply",
        "贵单位没有数据集 {dataset} 的许可；已有许可中最接近的是：{nearest}。请用 sandbox apply 提交申请。",
    ),
    "not_your_role": (
        "This needs the role {roles}, which your key does not have.",
        "该操作需要角色 {roles}，您的密钥不具备该角色。",
    ),
    "not_yours": (
        "This belongs to another organisation; you reach only what is your own organisation's.",
        "该内容属于其他单位；您只能访问本单位的内容。",
    ),
    "wrong_purpose": (
        "Grant {grant} is for the purpose “{granted}”, not “{asked}”; ask for that purpose, or apply for this one.",
        "许可 {grant} 的用途是“{granted}”，而非“{asked}”；请按许可用途查询，或就该用途另行申请。",
    ),
    "policies_missing": (
        "The policy files in {folder} are missing or unreadable; reinstall: nothing is allowed without them.",
        "{folder} 中缺少策略文件或无法读取；请重新安装，缺少策略时一律拒绝。",
    ),
    "policy_invalid": (
        "roles.csv is refused at line {line} ({problem}); mend it, the policy in force stays as it was.",
        "roles.csv 第 {line} 行不合规（{problem}）；请修正，现行策略保持不变。",
    ),
    # --- applications ---
    "application_unknown": (
        "There is no application {application}; look for its id in the list of applications.",
        "没有申请 {application}；请在申请列表中查找其编号。",
    ),
    "consent_already_given": (
        "The owner of {dataset} has already answered on application {application}; an answer is given once.",
        "数据集 {dataset} 的提供单位已对申请 {application} 作出数源确认；每项只能确认一次。",
    ),
    "consent_not_asked": (
        "This application needs no consent for {dataset}; consents are asked for: {asked}",
        "该申请无需对 {dataset} 进行数源确认；需要确认的数据集：{asked}",
    ),
    "consent_not_owner": (
        "Only a steward of the organisation that owns {dataset} can consent to its use.",
        "只有数据集 {dataset} 所属单位的数据管理员才能进行数源确认。",
    ),
    "consent_own_application": (
        "You submitted application {application} yourself; another steward of the owner has to consent.",
        "申请 {application} 由您本人提交；须由提供单位的另一位数据管理员确认。",
    ),
    "consents_missing": (
        "Application {application} lacks the consent of the owners of {datasets}; it cannot be granted as it is.",
        "申请 {application} 尚缺以下数据集的数源确认：{datasets}；目前不能批准。",
    ),
    "transition_refused": (
        "A {noun} in state {state} does not allow “{action}”; possible now: {possible}",
        "{noun} 处于 {state} 状态，不能执行“{action}”；目前可执行：{possible}",
    ),
    "vote_already_given": (
        "You have already voted on application {application}; another member has to vote.",
        "您已对申请 {application} 投过票；须由其他委员投票。",
    ),
    "vote_own_side": (
        "Nobody of the applicant's side votes on application {application}; members of other organisations do.",
        "申请方人员不能对申请 {application} 投票；须由其他单位的委员投票。",
    ),
    "terms_action_unknown": (
        "{action} is not an action that can be granted; possible: {known}",
        "{action} 不是可申请的操作；可选：{known}",
    ),
    "terms_budget": (
        "State the budget once: either a preset ({presets}) or an epsilon.",
        "请只用一种方式说明隐私预算：选择档位（{presets}）或填写 epsilon。",
    ),
    "terms_dataset_public": (
        "{dataset} is public and needs no grant; leave it out of the application.",
        "{dataset} 是公开数据集，无需许可；请从申请中去掉。",
    ),
    "terms_dataset_unknown": (
        "There is no dataset {dataset}; the nearest name is: {nearest}",
        "没有数据集 {dataset}；最接近的名称：{nearest}",
    ),
    "terms_date_unreadable": (
        "{field} is not a time: {value}. Write 2026-12-31 or 2026-12-31T08:00:00+08:00.",
        "{field} 不是有效时间：{value}。请写成 2026-12-31 或 2026-12-31T08:00:00+08:00。",
    ),
    "terms_dates_order": (
        "The grant would end ({expires_at}) before it starts ({starts_at}); exchange or mend the dates.",
        "许可的截止时间（{expires_at}）不晚于开始时间（{starts_at}）；请更正日期。",
    ),
    "terms_epsilon": (
        "Epsilon must be a number above 0, at most 1000, in steps of {least}; for example 0.5.",
        "epsilon 必须是大于 0 且不超过 1000 的数，最小单位为 {least}；例如 0.5。",
    ),
    "terms_list": (
        "{field} must name between 1 and {limit} different entries.",
        "{field} 须列出 1 至 {limit} 个互不相同的条目。",
    ),
    "terms_over": (
        "The grant would be over already ({expires_at}); choose a later end.",
        "许可的截止时间（{expires_at}）已过；请选择更晚的时间。",
    ),
    "terms_preset_unknown": (
        "{preset} is not a budget preset (nearest: {nearest}); possible: {presets}",
        "{preset} 不是预算档位（最接近：{nearest}）；可选：{presets}",
    ),
    "terms_text": (
        "{field} must be plain text of at most {limit} characters, without control characters, and say something.",
        "{field} 须为不超过 {limit} 个字符的纯文本，不含控制字符，且不能为空。",
    ),
    # --- grants and the ledger ---
    "grant_delta_too_small": (
        "No grant fits population {population}: of its {n_ids} identifiers (N_ids) its delta has room for {most}.",
        "人群 {population} 无法授予许可：声明的标识符上限 N_ids={n_ids}，而其 delta 只容得下 {most} 个。",
    ),
    "grant_epsilon_range": (
        "An epsilon of {epsilon} is not possible: population {population} has {most} in all; ask for less.",
        "epsilon={epsilon} 不可行：人群 {population} 的总额为 {most}；请减小申请额。",
    ),
    "grant_one_population": (
        "The datasets {datasets} protect different populations; apply for one population at a time.",
        "数据集 {datasets} 属于不同的人群；请按人群分别申请。",
    ),
    "grant_unknown": (
        "There is no grant {grant}; look for its id in the list of grants.",
        "没有许可 {grant}；请在许可列表中查找其编号。",
    ),
    "population_unknown": (
        "There is no population {population}; add it before its datasets.",
        "没有人群 {population}；请先登记人群，再登记数据集。",
    ),
    "budget_exhausted": (
        "Not charged: the {scope}'s privacy budget has ε {left_pure} or ρ {left_rho} left, this needs {needed}.",
        "未作扣减：{scope} 的隐私预算剩余 ε {left_pure} 或 ρ {left_rho}，而本次需要 {needed}。",
    ),
    "cap_delta_too_small": (
        "The {scope} has too small a delta ({delta}e-18) for its identifiers ({opening}e-18): declare fewer N_ids.",
        "{scope} 的 delta（{delta}e-18）不足以容纳其标识符（{opening}e-18）：请声明更小的 N_ids。",
    ),
    "cap_exists": (
        "The {scope} {subject} has its cap already; a cap is opened once.",
        "{scope} {subject} 已有预算上限；上限只建立一次。",
    ),
    "cap_missing": (
        "The ledger has no cap for {scope} {subject}, so nothing can be charged; run: sandbox doctor",
        "台账中没有 {scope} {subject} 的预算上限，无法扣减；请运行 sandbox doctor。",
    ),
    "charge_refused": (
        "Query {query} was not charged: a charge must be positive and pass the cap of its grant.",
        "查询 {query} 未扣减：扣减额必须为正，且须计入其许可的预算上限。",
    ),
    "step_already_charged": (
        "The step {step} of query {query} has been charged already; nothing was charged again.",
        "查询 {query} 的步骤 {step} 已扣减过；未重复扣减。",
    ),
    # --- paid queries ---
    "idempotency_in_flight": (
        "The same request is under way or done as query {query}; its answer costs nothing more.",
        "相同的请求已作为查询 {query} 受理；取其答案不再收费。",
    ),
    "idempotency_key_reused": (
        "This idempotency key was used for another request; use a new key for a new request.",
        "该幂等键已用于另一请求；新请求请使用新的键。",
    ),
    "query_already_settled": (
        "Query {query} has ended already, or another attempt has taken it over; nothing was changed.",
        "查询 {query} 已结束，或已由另一次尝试接管；未作任何更改。",
    ),
    "query_lost": (
        "Query {query} is not in the database as it was written; run: sandbox audit verify",
        "数据库中的查询 {query} 与写入时不符；请运行 sandbox audit verify。",
    ),
    # --- organisations and people ---
    "key_unknown": ("There is no key {key}; list them with the principals.", "没有密钥 {key}；请在主体列表中查看。"),
    "name_refused": (
        "A name must have 1 to {limit} printable characters.",
        "名称须为 1 至 {limit} 个可显示字符。",
    ),
    "principal_unknown": ("There is no active principal {principal}.", "没有有效的主体 {principal}。"),
    "role_not_of_kind": (
        "People of an organisation of kind {kind} have the role {role}, not {roles}. Register them with their own.",
        "{kind} 类机构的人员角色为 {role}，而非 {roles}。请在其所属机构下登记。",
    ),
    "role_unknown": (
        "{role} is not a role (nearest: {nearest}); possible: {roles}",
        "{role} 不是角色（最接近：{nearest}）；可选：{roles}",
    ),
    "roles_missing": ("State at least one role; possible: {roles}", "请至少指定一个角色；可选：{roles}"),
    "tenant_exists": ("There is an organisation named {tenant} already.", "已有名为 {tenant} 的单位。"),
    "tenant_kind_unknown": (
        "{kind} is not a kind of organisation; possible: {kinds}",
        "{kind} 不是单位类别；可选：{kinds}",
    ),
    "key_exists": ("This key is known already; make another.", "该密钥已登记；请另行生成。"),
    "tenant_unknown": ("There is no organisation {tenant}.", "没有单位 {tenant}。"),
    # --- the database ---
    "database_failed": (
        "The database cannot be read or written now (disk full, busy or broken); nothing was done, try again later.",
        "数据库暂时无法读写（磁盘已满、繁忙或损坏）；未执行任何操作，请稍后重试。",
    ),
    "schema_foreign": (
        "The database has schema {found}, this release knows {known}; use the release that wrote it, or a newer one.",
        "数据库的结构版本为 {found}，本版本只认识 {known}；请使用写入它的版本或更新的版本。",
    ),
}
