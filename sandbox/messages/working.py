"""Texts of processes: working, upgrading, leases, and what the doctor finds of them."""

from __future__ import annotations

TEXTS: dict[str, tuple[str, str]] = {
    "work_embedded": (
        "{home} is on SQLite, where `sandbox serve` does the work itself; a process of its own needs PostgreSQL.",
        "{home} 使用 SQLite，后台任务由 `sandbox serve` 自身承担；独立进程需要 PostgreSQL。",
    ),
    "schema_old": (
        "The database has schema {found}, this release needs {known}; run: sandbox migrate HOME",
        "数据库的结构版本为 {found}，本版本需要 {known}；请执行：sandbox migrate HOME",
    ),
    # --- the doctor ---
    "doctor_server_old": (
        "The database server is PostgreSQL {version}; upgrade it to 14 or newer.",
        "数据库服务器为 PostgreSQL {version}；请升级至 14 或更新版本。",
    ),
    "doctor_server_unsafe": (
        "The database server may lose what it has committed: {settings}.",
        "数据库服务器可能丢失已提交的内容：{settings}。",
    ),
    "doctor_server_clock": (
        "The database server's clock and this machine's are {seconds} s apart.",
        "数据库服务器与本机的时钟相差 {seconds} 秒。",
    ),
    "mend_server": (
        "Set fsync, full_page_writes and synchronous_commit on in postgresql.conf; keep both clocks right by NTP.",
        "请在 postgresql.conf 中开启 fsync、full_page_writes 与 synchronous_commit；并用 NTP 校准两台机器的时钟。",
    ),
    "doctor_read_only": (
        "The home takes no changes ({reason}).",
        "主目录处于只读状态（{reason}）。",
    ),
    "mend_mode": (
        "Find out why, then run: sandbox reconcile HOME",
        "请查明原因，然后执行：sandbox reconcile HOME",
    ),
    "doctor_log_waits": (
        "An event has waited for its place in the log since {since}.",
        "有事件自 {since} 起一直未被编入日志。",
    ),
    "mend_log": (
        "Start a worker (`sandbox work HOME`), or read in its output why it does not sequence.",
        "请启动后台任务进程（`sandbox work HOME`），或在其输出中查看未能编号的原因。",
    ),
    "doctor_settings_differ": (
        "These run with other settings than the ones here: {processes}.",
        "以下进程的设置与此处不同：{processes}。",
    ),
    "doctor_cost_model_old": (
        "A slower kind of machine may have joined since these were started: {processes}.",
        "以下进程启动之后可能有较慢的机型加入：{processes}。",
    ),
}
"""Code to (English, Chinese)."""
