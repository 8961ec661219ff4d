"""Verbs on a home of this machine; the server's code is loaded only when one of them runs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, TypeAlias

import typer

from sandbox.cli import show
from sandbox.cli.options import Json, print_json

Home: TypeAlias = Annotated[Path, typer.Argument(help="The gateway's home folder. 网关主目录")]


def add_to(app: typer.Typer) -> None:
    """Hang these verbs into the command line."""
    app.command("init")(init)
    app.command("serve")(serve)
    app.command("work")(work)
    app.command("migrate")(migrate)
    app.command("doctor")(doctor)


def init(
    home: Home,
    operator: Annotated[str, typer.Option("--operator", help="The operator's name. 运营方名称")] = "operator",
    database: Annotated[str, typer.Option("--database", help="postgresql://user@host/name. 数据库地址")] = "",
    password: Annotated[Path | None, typer.Option("--database-password", help="File. 数据库密码文件")] = None,
    json: Json = False,
) -> None:
    """Make a home: settings, keys, database, folders; prints the operator's key, this once. 初始化主目录."""
    from sandbox.cli.home import make_home

    made = make_home(home, operator, database=database, password=password)
    if json:
        print_json({"home": str(made.home), "principal": made.principal, "key": made.key, "vkey": made.vkey})
        return
    told = [("home 主目录", made.home), ("operator 运营方", made.principal)]
    show.pairs([*told, ("key 密钥", made.key), ("log key 日志公钥", made.vkey)])
    show.line("Keep the key now: it is stored only as a digest. 请立即保存密钥：系统只保存其摘要。")
    show.line(f"Next 下一步: sandbox serve {home}")


def serve(
    home: Home,
    host: Annotated[str | None, typer.Option("--host", help="Address, instead of the settings'. 地址")] = None,
    port: Annotated[int | None, typer.Option("--port", min=0, max=65535, help="Port; 0: a free one. 端口")] = None,
) -> None:
    """Run the gateway until it is told to stop; on SQLite with its worker. 启动网关."""
    from sandbox.cli.serving import run

    run(home, host=host, port=port)


def work(home: Home) -> None:
    """Run the duties beside gateways on PostgreSQL until it is told to stop. 启动后台任务进程."""
    from sandbox.cli.working import run

    run(home)


def migrate(home: Home) -> None:
    """Bring the database to this release's schema, while the release before may go on answering. 升级数据库结构."""
    from sandbox.cli.working import migrate as bring

    found, head = bring(home)
    show.line(f"schema 结构 {found} -> {head}" if found != head else f"schema 结构 {head}: nothing to do 无需升级")


def doctor(home: Home) -> None:
    """Check a home and say how to mend what is wrong. 检查主目录."""
    from sandbox.cli.doctor import examine

    wrong = 0
    for finding in examine(home):
        if finding.what is None:
            show.line(f"ok     {finding.check}")
            for line in finding.told:
                show.line(f"         {line}")
            continue
        wrong += 1
        show.line(f"WRONG  {finding.check}: {finding.what['en']} {finding.mend['en']}")
        show.line(f"问题   {finding.check}: {finding.what['zh']}{finding.mend['zh']}")
    if wrong:
        raise typer.Exit(1)
