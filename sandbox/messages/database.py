"""Texts of the database: how it is reached, and what it refuses."""

from __future__ import annotations

TEXTS: dict[str, tuple[str, str]] = {
    "database_busy": (
        "The database is busy; nothing was done. Try again in a moment.",
        "数据库繁忙；未执行任何操作。请稍后重试。",
    ),
    "database_collation": (
        "It must be UTF-8 (it is {encoding}) and sort by bytes: createdb -T template0 -E UTF8 --locale C NAME",
        "数据库须为 UTF-8 编码（当前为 {encoding}）并按字节排序：createdb -T template0 -E UTF8 --locale C NAME",
    ),
    "database_full": (
        "The database has no room left; nothing was done. Make room on its disk, then try again.",
        "数据库空间已满；未执行任何操作。请腾出磁盘空间后重试。",
    ),
    "database_missing": (
        "The database server has no database of that name; make it, or mend `database` in the settings.",
        "数据库服务器上没有该名称的数据库；请创建，或更正设置中的 `database`。",
    ),
    "database_not_empty": (
        "Another home lives in this database; a home needs a database of its own.",
        "该数据库已属于另一个主目录；每个主目录需要自己的数据库。",
    ),
    "database_password_in_url": (
        "The database's URL may not hold a password; put it into a file and name that in `database_password`.",
        "数据库地址中不得含有密码；请将密码存入文件，并在 `database_password` 中写明其路径。",
    ),
    "database_password_refused": (
        "The database server does not let this user in; check the user in `database` and the file `database_password`.",
        "数据库服务器拒绝该用户；请检查 `database` 中的用户名和 `database_password` 文件。",
    ),
    "database_refused": (
        "The database refused a change that its rules forbid; nothing was done. Run: sandbox doctor HOME",
        "数据库拒绝了其规则所禁止的更改；未执行任何操作。请运行：sandbox doctor HOME",
    ),
    "database_unreachable": (
        "The database server does not answer; check that it runs, and host and port in `database`.",
        "数据库服务器无应答；请检查其是否运行，以及 `database` 中的主机和端口。",
    ),
    "database_url_refused": (
        "The database's URL is not understood ({part}); write it as postgresql://user@host:port/name",
        "无法理解数据库地址（{part}）；请写作 postgresql://user@host:port/name",
    ),
    "home_read_only": (
        "This home takes no changes now ({reason}); nothing was done. The operator must reconcile it first.",
        "该主目录目前不接受更改（{reason}）；未执行任何操作。须先由运营方核对。",
    ),
    "text_refused": (
        "A text is too long for where it is kept, or holds a NUL character; nothing was done.",
        "文本超出存储长度，或含有 NUL 字符；未执行任何操作。",
    ),
}
"""Code to (English, Chinese)."""
