"""Backup verbs on a home of this machine: back up, restore, reconcile with what was published."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, TypeAlias

import typer

from sandbox.cli import show
from sandbox.cli.options import Json, print_json

Home: TypeAlias = Annotated[Path, typer.Argument(help="The gateway's home folder. 网关主目录")]
Folder: TypeAlias = Annotated[Path, typer.Argument(help="The backup's folder. 备份目录")]

_SHOWN = 5


def add_to(app: typer.Typer) -> None:
    """Hang these verbs into the command line."""
    app.command("backup")(backup)
    app.command("restore")(restore)
    app.command("reconcile")(reconcile)


def backup(
    home: Home,
    folder: Folder,
    *,
    objects: Annotated[bool, typer.Option("--objects", help="Copy the sealed objects too. 同时复制密封对象")] = False,
    json: Json = False,
) -> None:
    """Back a home up while it is used: tables, settings, an inventory of objects; never a key. 备份主目录."""
    from sandbox.cli.homes import source_of
    from sandbox.work.backup import make

    with source_of(home) as (source, keys):
        made = make(source, folder.absolute(), copies=objects)
    if json:
        print_json({
            "backup": made.backup, "folder": str(made.folder), "size": made.size, "rows": made.rows,
            "objects": made.objects, "missing": list(made.missing), "logged": made.logged,
        })  # fmt: skip
        return
    show.pairs([
        ("backup 备份", made.backup), ("folder 目录", made.folder), ("log size 日志大小", made.size),
        ("rows 行数", made.rows), ("objects 对象", made.objects),
    ])  # fmt: skip
    if made.missing:
        count, some = len(made.missing), ", ".join(made.missing[:_SHOWN])
        show.line(f"{count} objects are missing or changed: {some}. Run sandbox doctor. 有 {count} 个对象缺失或有误。")
    if not made.logged:
        show.line("The home is read-only, so the log does not tell of this backup. 主目录为只读，日志中没有此次备份。")
    names = ", ".join(str(key) for key in keys)
    show.line(f"No key is in it: keep {names} elsewhere, apart from it. 备份不含密钥：请另处单独保管。")


def restore(
    folder: Folder,
    home: Home,
    *,
    keys: Annotated[Path | None, typer.Option("--keys", help="Folder with root.key and log.key. 密钥目录")] = None,
    database: Annotated[
        str | None, typer.Option("--database", help="postgresql://user@host/name, or a file. 数据库")
    ] = None,
    password: Annotated[Path | None, typer.Option("--database-password", help="File. 数据库密码文件")] = None,
    objects: Annotated[
        str | None, typer.Option("--objects", help="Where the objects still are: a folder, or s3://… 现有对象所在处")
    ] = None,
    json: Json = False,
) -> None:
    """Make a home of a backup; it stays read-only until it was compared with what was published. 恢复."""
    from sandbox.clock import Clock
    from sandbox.work.restore import Wanted
    from sandbox.work.restore import restore as make

    wanted = Wanted(home=home, keys=keys, database=database, password=password, objects=objects)
    made = make(folder, wanted, Clock())
    if json:
        told = {"backup": made.backup, "size": made.size, "rows": made.rows, "objects": made.objects}
        print_json({"home": str(made.home), **told})
        return
    show.pairs([
        ("home 主目录", made.home), ("backup 备份", made.backup), ("log size 日志大小", made.size),
        ("rows 行数", made.rows), ("objects 对象", made.objects),
    ])  # fmt: skip
    if keys is None:
        show.line(f"Put root.key and log.key into {made.home}/keys, mode 0600. 请将两把密钥放入该处，权限 0600。")
    show.line("Nothing is written there before the newest checkpoint was looked up. 核对最新检查点之前不写入任何内容。")
    show.line(f"Next 下一步: sandbox reconcile {home}, then 然后 sandbox serve {home}")


def reconcile(
    home: Home,
    *,
    unseen: Annotated[
        bool, typer.Option("--nothing-outside", help="Nobody else holds a checkpoint: go on. 外部已无检查点，仍继续")
    ] = False,
    json: Json = False,
) -> None:
    """Bring a restored home up to what was published of its log, say what is lost, and open it again. 对账."""
    from sandbox.cli.homes import home_of
    from sandbox.work.reconcile import reconcile as bring_up

    with home_of(home) as parts:
        done = bring_up(parts, unseen=unseen)
    if json:
        print_json({
            "from_size": done.from_size, "to_size": done.to_size, "recovered": done.recovered, "lost": list(done.lost),
            "opened": done.opened, "silent": list(done.silent),
        })  # fmt: skip
        return
    show.pairs([
        ("from size 原大小", done.from_size), ("to size 现大小", done.to_size), ("events 找回事件", done.recovered),
        ("lost records 丢失记录", len(done.lost)), ("silent witnesses 未应答见证", list(done.silent)),
    ])  # fmt: skip
    for path in done.lost:
        show.line(f"lost 丢失  {path}")
    show.line("The home is open. 主目录已可写入。" if done.opened else "There was nothing to do. 无需对账。")
