"""Verbs on applications and grants."""

from __future__ import annotations

from typing import Annotated, Any, TypeAlias

import typer

from sandbox.cli import show
from sandbox.cli.options import Json, Key, Url, connect, print_json

applications = typer.Typer(help="Applications: one scenario each. 场景申请", no_args_is_help=True)
grants = typer.Typer(help="Grants: what was approved. 授权", no_args_is_help=True)

Application: TypeAlias = Annotated[str, typer.Argument(help="The application's id, app_…")]
Grant: TypeAlias = Annotated[str, typer.Argument(help="The grant's id, grt_…")]
Reason: TypeAlias = Annotated[str, typer.Option("--reason", help="Why. 理由")]


def add_to(app: typer.Typer) -> None:
    """Hang these verbs into the command line."""
    app.command("apply")(apply)
    app.add_typer(applications, name="application")
    app.add_typer(grants, name="grant")


def apply(
    *,
    scenario: Annotated[str, typer.Option("--scenario", help="What is to be made. 场景")],
    purpose: Annotated[str, typer.Option("--purpose", help="For what. 用途")],
    dataset: Annotated[list[str], typer.Option("--dataset", help="A dataset; may be repeated. 数据集")],
    until: Annotated[str, typer.Option("--until", help="End: date or time (RFC 3339). 截止")],
    since: Annotated[str | None, typer.Option("--from", help="Begin; now by default. 起始")] = None,
    action: Annotated[list[str] | None, typer.Option("--action", help="query, by default. 操作")] = None,
    preset: Annotated[str | None, typer.Option("--preset", help="strict, standard or research. 档")] = None,
    epsilon: Annotated[str | None, typer.Option("--epsilon", help="The budget, instead of a preset. 隐私预算")] = None,
    url: Url = None,
    key: Key = None,
    json: Json = False,
) -> None:
    """Apply for one scenario. 提交场景申请."""
    body: dict[str, Any] = {
        "scenario": scenario, "purpose": purpose, "datasets": dataset, "actions": action or ["query"], "preset": preset,
        "epsilon": epsilon, "starts_at": since, "expires_at": until,
    }  # fmt: skip
    with connect(url, key) as http:
        made = http.post("/v1/applications", {name: value for name, value in body.items() if value is not None})
    print_json(made) if json else _application(made)


@applications.command("list")
def application_list(url: Url = None, key: Key = None, json: Json = False) -> None:
    """List applications. 列出申请."""
    with connect(url, key) as http:
        found = list(http.pages("/v1/applications"))
    if json:
        print_json(found)
        return
    columns = ["id", "state 状态", "scenario 场景", "purpose 用途", "datasets 数据集", "grant 授权"]
    rows = [(a["id"], a["state"], *_terms(a, "scenario", "purpose", "datasets"), a["grant"]) for a in found]
    show.table(columns, rows)


@applications.command("show")
def application_show(application: Application, url: Url = None, key: Key = None, json: Json = False) -> None:
    """Show an application and what was said on it. 查看申请."""
    with connect(url, key) as http:
        found = http.get(f"/v1/applications/{application}")
    print_json(found) if json else _application(found)


@applications.command("consent")
def application_consent(
    application: Application,
    *,
    dataset: Annotated[str, typer.Option("--dataset", help="The dataset you speak for. 数据集")],
    refuse: Annotated[bool, typer.Option("--refuse", help="Refuse instead. 不同意")] = False,
    reason: Reason = "",
    url: Url = None,
    key: Key = None,
    json: Json = False,
) -> None:
    """Consent, as the data's owner. 数源确认."""
    body = {"dataset": dataset, "approve": not refuse, "reason": reason}
    _say(application, "consent", body, url=url, key=key, json=json)


@applications.command("approve")
def application_approve(
    application: Application, reason: Reason = "", url: Url = None, key: Key = None, json: Json = False
) -> None:
    """Vote for it, as a committee member. 赞成."""
    _say(application, "vote", {"approve": True, "reason": reason}, url=url, key=key, json=json)


@applications.command("reject")
def application_reject(
    application: Application, reason: Reason = "", url: Url = None, key: Key = None, json: Json = False
) -> None:
    """Vote against it, as a committee member. 反对."""
    _say(application, "vote", {"approve": False, "reason": reason}, url=url, key=key, json=json)


@applications.command("withdraw")
def application_withdraw(application: Application, url: Url = None, key: Key = None, json: Json = False) -> None:
    """Withdraw your own application. 撤回."""
    _say(application, "withdraw", {}, url=url, key=key, json=json)


def _say(
    application: str, verb: str, body: dict[str, Any], *, url: str | None, key: str | None, json: bool
) -> None:
    with connect(url, key) as http:
        found = http.post(f"/v1/applications/{application}/{verb}", body)
    print_json(found) if json else _application(found)


def _application(found: dict[str, Any]) -> None:
    show.pairs([("application 申请", found["id"]), ("state 状态", found["state"]), ("grant 授权", found["grant"])])
    show.pairs(found["terms"].items())
    if found["votes"]:
        columns = ["round 轮次", "principal 主体", "approve 同意", "reason 理由", "at 时间"]
        show.table(columns, [(v["round"], v["principal"], v["approve"], v["reason"], v["at"]) for v in found["votes"]])


def _terms(found: dict[str, Any], *names: str) -> tuple[Any, ...]:
    return tuple(found["terms"].get(name) for name in names)


@grants.command("list")
def grant_list(url: Url = None, key: Key = None, json: Json = False) -> None:
    """List grants and what is left of them. 列出授权."""
    with connect(url, key) as http:
        found = list(http.pages("/v1/grants"))
    if json:
        print_json(found)
        return
    columns = ["id", "state 状态", "purpose 用途", "datasets 数据集", "expires 截止", "left pure 剩余", "left rho 剩余"]
    rows = [
        (g["id"], g["state"], *_terms(g, "purpose", "datasets", "expires_at"), *_left(g["budget"])) for g in found
    ]
    show.table(columns, rows)


@grants.command("show")
def grant_show(grant: Grant, url: Url = None, key: Key = None, json: Json = False) -> None:
    """Show a grant: terms, state, budget. 查看授权."""
    with connect(url, key) as http:
        found = http.get(f"/v1/grants/{grant}")
    print_json(found) if json else _grant(found)


@grants.command("revoke")
def grant_revoke(grant: Grant, url: Url = None, key: Key = None, json: Json = False) -> None:
    """Revoke a grant. 撤销授权."""
    with connect(url, key) as http:
        found = http.post(f"/v1/grants/{grant}/revoke")
    print_json(found) if json else _grant(found)


def _grant(found: dict[str, Any]) -> None:
    shown = [("grant 授权", "id"), ("state 状态", "state"), ("application 申请", "application")]
    show.pairs((head, found[field]) for head, field in shown)
    show.pairs(found["terms"].items())
    show.pairs((f"budget.{name}", value) for name, value in found["budget"].items())


def _left(budget: dict[str, str]) -> tuple[str, str]:
    return budget["left_pure"], budget["left_rho"]
