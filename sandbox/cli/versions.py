"""Verbs on a dataset's versions and its end: update, retire, destroy by two persons, and the certificate of it."""

from __future__ import annotations

import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, TypeAlias

import typer

from sandbox.cli import show
from sandbox.cli.catalogue import send
from sandbox.cli.options import Json, Key, Url, connect, document, print_json
from sandbox.client.http import Http, ProblemError

Name: TypeAlias = Annotated[str, typer.Argument(help="The dataset's name. 数据集名称")]
Target: TypeAlias = Annotated[str, typer.Argument(help="The dataset's name, or the removal's id, rem_… 名称或编号")]
Reason: TypeAlias = Annotated[str, typer.Option("--reason", help="Why. 理由")]


def add_to(group: typer.Typer) -> None:
    """Hang these verbs into the group of a dataset's."""
    group.command("update")(update)
    group.command("versions")(versions)
    group.command("retire")(retire)
    group.command("destroy")(destroy)
    group.command("destroy-confirm")(destroy_confirm)
    group.command("destroy-decline")(destroy_decline)
    group.command("certificate")(certificate)


class Mode(StrEnum):
    """What becomes of the rows before: kept beside the new ones, put aside by number, or withdrawn as wrong."""

    APPEND = "append"
    REPLACE = "replace"
    CORRECT = "correct"


def update(
    name: Name,
    manifest: Annotated[Path, typer.Argument(help="YAML manifest. 数据集清单")],
    *,
    mode: Annotated[Mode, typer.Option("--mode", help="append, replace or correct. 追加、替换或更正")],
    reason: Annotated[str, typer.Option("--reason", help="Why; a correction needs one. 理由")] = "",
    check: Annotated[bool, typer.Option("--check", help="Check the manifest only, read nothing. 仅检查清单")] = False,
    no_wait: Annotated[bool, typer.Option("--no-wait", help="Do not wait for the ingest. 不等待入库")] = False,
    url: Url = None,
    key: Key = None,
) -> None:
    """Give a dataset its next version, under the caps it has. 更新数据集."""
    body = {**document(manifest), "mode": mode.value, "reason": reason}
    with connect(url, key) as http:
        send(http, f"/v1/datasets/{name}/versions", body, check=check, wait=not no_wait)


def versions(name: Name, url: Url = None, key: Key = None, json: Json = False) -> None:
    """List a dataset's versions. 列出版本."""
    with connect(url, key) as http:
        found = list(http.pages(f"/v1/datasets/{name}/versions"))
    if json:
        print_json(found)
        return
    columns = ["version 版本", "kind 方式", "state 状态", "at 时间", "id"]
    show.table(columns, [(v["number"], v["kind"], v["state"], v["created_at"], v["id"]) for v in found])


def retire(name: Name, *, reason: Reason, url: Url = None, key: Key = None, json: Json = False) -> None:
    """Take a dataset out of use, for good. 停用数据集."""
    with connect(url, key) as http:
        _shown(http.post(f"/v1/datasets/{name}/retire", {"reason": reason}), json=json)


def destroy(name: Name, *, reason: Reason, url: Url = None, key: Key = None, json: Json = False) -> None:
    """Propose to destroy a dataset; a member of the committee confirms. 提出销毁数据集."""
    with connect(url, key) as http:
        _shown(http.post(f"/v1/datasets/{name}/destroy", {"reason": reason}), json=json)
    if not json:
        show.line("Nothing is destroyed yet: a member of the committee, of another organisation than the owner's, runs")
        show.line(f"  sandbox dataset destroy-confirm {name}    (or 或否决 destroy-decline)")
        show.line("尚未销毁：须由数据委员会成员（其他单位）执行上述命令确认或否决。")


def destroy_confirm(target: Target, url: Url = None, key: Key = None, json: Json = False) -> None:
    """Destroy what was proposed, for ever. 确认销毁."""
    with connect(url, key) as http:
        _shown(http.post(f"/v1/removals/{_proposed(http, target)}/confirm"), json=json)


def destroy_decline(target: Target, url: Url = None, key: Key = None, json: Json = False) -> None:
    """Say no to a proposed destruction. 否决销毁."""
    with connect(url, key) as http:
        _shown(http.post(f"/v1/removals/{_proposed(http, target)}/decline"), json=json)


def certificate(target: Target, url: Url = None, key: Key = None) -> None:
    """Print the certificate of a destruction, as the log's key signed it. 打印销毁证书."""
    with connect(url, key) as http:
        found = [r["certificate"] for r in _removals(http, target) if r["certificate"] is not None]
    if not found:
        raise ProblemError("certificate_none", status=404, params={"dataset": target})
    sys.stdout.write(found[-1])


def _proposed(http: Http, target: str) -> str:
    """The id of what waits for a second person; one that does not wait is left for the gateway to refuse."""
    if target.startswith("rem_"):
        return target
    found = _removals(http, target)
    waiting = [r["id"] for r in found if r["state"] == "proposed"]
    if not waiting:
        raise ProblemError("removal_none", status=404, params={"dataset": target})
    return str(waiting[-1])


def _removals(http: Http, target: str) -> list[dict[str, Any]]:
    if target.startswith("rem_"):
        return [http.get(f"/v1/removals/{target}")]
    return list(http.pages("/v1/removals", dataset=target))


def _shown(found: dict[str, Any], *, json: bool) -> None:
    if json:
        print_json(found)
        return
    told = ("id", "name", "state", "reason", "proposed_by", "decided_by")
    show.pairs((name, found[name]) for name in told)
