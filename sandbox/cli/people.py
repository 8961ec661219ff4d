"""Verbs on tenants, principals and keys."""

from __future__ import annotations

from typing import Annotated

import typer

from sandbox.cli import show
from sandbox.cli.options import Json, Key, Url, connect, print_json

tenants = typer.Typer(help="Organisations. 机构", no_args_is_help=True)
principals = typer.Typer(help="People and programs with keys. 主体与密钥", no_args_is_help=True)
keys = typer.Typer(help="API keys. 密钥", no_args_is_help=True)


def add_to(app: typer.Typer) -> None:
    """Hang these verbs into the command line."""
    app.add_typer(tenants, name="tenant")
    app.add_typer(principals, name="principal")
    app.add_typer(keys, name="key")
    app.command("me")(me)


def me(url: Url = None, key: Key = None, json: Json = False) -> None:
    """Show whom the key stands for. 查看当前身份."""
    with connect(url, key) as http:
        found = http.get("/v1/me")
    if json:
        print_json(found)
    else:
        show.pairs(found.items())


@tenants.command("add")
def tenant_add(
    name: Annotated[str, typer.Option("--name", help="The organisation's name. 机构名称")],
    kind: Annotated[str, typer.Option("--kind", help="operator, owner, committee, company, supervisor. 类别")],
    url: Url = None,
    key: Key = None,
    json: Json = False,
) -> None:
    """Register an organisation. 登记机构."""
    with connect(url, key) as http:
        added = http.post("/v1/tenants", {"name": name, "kind": kind})
    print_json(added) if json else show.pairs(added.items())


@tenants.command("list")
def tenant_list(url: Url = None, key: Key = None, json: Json = False) -> None:
    """List organisations. 列出机构."""
    with connect(url, key) as http:
        found = list(http.pages("/v1/tenants"))
    if json:
        print_json(found)
    else:
        show.table(["id", "name 名称", "kind 类别"], [(t["id"], t["name"], t["kind"]) for t in found])


@principals.command("add")
def principal_add(
    *,
    name: Annotated[str, typer.Option("--name", help="The person's or program's name. 名称")],
    tenant: Annotated[str, typer.Option("--tenant", help="Its organisation: id or name. 所属机构")],
    role: Annotated[list[str], typer.Option("--role", help="operator, steward, committee, engineer, auditor. 角色")],
    url: Url = None,
    key: Key = None,
    json: Json = False,
) -> None:
    """Register a principal and print its key, this once. 登记主体并显示密钥（仅此一次）."""
    with connect(url, key) as http:
        added = http.post("/v1/principals", {"name": name, "tenant": tenant, "roles": role})
    if json:
        print_json(added)
        return
    show.pairs(added.items())
    show.line("Keep the key now: it is stored only as a digest. 请立即保存密钥：系统只保存其摘要。")


@principals.command("list")
def principal_list(url: Url = None, key: Key = None, json: Json = False) -> None:
    """List principals. 列出主体."""
    with connect(url, key) as http:
        found = list(http.pages("/v1/principals"))
    if json:
        print_json(found)
        return
    columns = ["id", "name 名称", "tenant 机构", "roles 角色", "state 状态", "keys 密钥"]
    fields = ("id", "name", "tenant", "roles", "state", "keys")
    show.table(columns, [[p[field] for field in fields] for p in found])


@keys.command("revoke")
def key_revoke(
    key_id: Annotated[str, typer.Argument(help="The key's id, key_…")], url: Url = None, key: Key = None
) -> None:
    """Revoke a key; it stops working at once. 吊销密钥."""
    with connect(url, key) as http:
        http.post(f"/v1/keys/{key_id}/revoke")
    show.line(f"Revoked {key_id}. 已吊销。")
