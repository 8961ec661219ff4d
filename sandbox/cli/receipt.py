"""Verbs that check alone, without a gateway: a receipt, and a month's page."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sandbox.cli import show
from sandbox.cli.audit import audits
from sandbox.cli.failures import FAILED, tell
from sandbox.cli.options import Json, print_json, word_or_file
from sandbox.client.http import ProblemError
from sandbox.errors import SandboxError

if TYPE_CHECKING:
    from sandbox.audit.receipt import Proved

_TOLD = [("query", "query 查询"), ("grant", "grant 授权"), ("step", "step 步骤"), ("answer_sha256", "answer 答案")]


def add_to(app: typer.Typer) -> None:
    """Hang these verbs into the command line."""
    app.command("verify-receipt")(verify_receipt)
    audits.command("check-report")(check_month)


def verify_receipt(
    file: Annotated[Path, typer.Argument(help="The receipt. 凭证文件")],
    key: Annotated[str, typer.Option("--key", help="The log's public key, or @FILE. 日志公钥")],
    witness: Annotated[
        list[str] | None,
        typer.Option("--witness", help="Public key of a witness that must have cosigned, or @FILE. 见证公钥"),
    ] = None,
    json: Json = False,
) -> None:
    """Prove alone that an event stands in the log. 离线核验凭证."""
    # The verifier's cryptography is the server extra's; a plain client install has not got it.
    from sandbox.audit.receipt import LONGEST, check, read

    vkey, witnesses = word_or_file(key), [word_or_file(one) for one in witness or []]
    with file.open("rb") as opened:
        raw = opened.read(LONGEST + 1)
    try:
        proved = check(read(raw), vkey, witnesses)
    except SandboxError as wrong:
        tell(wrong)
        raise typer.Exit(FAILED) from None
    if json:
        print_json(_json(proved))
        return
    _show(proved)


def check_month(
    file: Annotated[Path, typer.Argument(help="The signed page. 已签名月报")],
    export: Annotated[Path, typer.Option("--export", help="An exported log. 导出的日志目录")],
    key: Annotated[str, typer.Option("--key", help="The log's public key, or @FILE. 日志公钥")],
) -> None:
    """Compute a month's page anew from an export, and compare. 离线核验月报."""
    from sandbox.audit.checkpoint import LONGEST_NOTE
    from sandbox.audit.report import check_report

    vkey = word_or_file(key)
    with file.open("rb") as opened:
        page = opened.read(4 * LONGEST_NOTE).decode("utf-8", "replace")
    try:
        findings = check_report(page, vkey, export)
    except SandboxError as wrong:
        tell(wrong)
        raise typer.Exit(FAILED) from None
    for finding in findings:
        show.line(show.plain(finding).plain)
    if findings:
        tell(ProblemError("audit_findings", status=400, params={"count": len(findings)}))
        raise typer.Exit(FAILED)
    show.line("Verified: every figure of the page follows from the export. 核验通过：月报各数字均可由导出的日志得出。")


def _show(proved: Proved) -> None:
    from sandbox.audit.receipt import price

    event = proved.event
    told = [(label, event.details[name]) for name, label in _TOLD if name in event.details]
    if "cost" in event.details:
        told.append(("price 价格", price(event.details["cost"])))
    show.line("Proved: this event stands in the log. 已证明：该事件在日志中。")
    show.pairs(
        [
            ("event 事件", f"{event.type} {event.id}"),
            *told,
            ("at 时间", event.at),
            ("place 位置", f"{proved.index} / {proved.size}"),
            ("log 日志", proved.origin),
            ("witnesses 见证", [f"{name} {_time(at)}" for name, at in proved.witnesses.items()]),
        ]
    )


def _json(proved: Proved) -> dict[str, object]:
    event = proved.event
    return {
        "origin": proved.origin,
        "size": proved.size,
        "index": proved.index,
        "id": event.id,
        "type": event.type,
        "at": event.at,
        "subject": event.subject,
        "details": dict(event.details),
        "witnesses": {name: _time(at) for name, at in proved.witnesses.items()},
    }


def _time(at: int) -> str:
    try:
        return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    except (OverflowError, ValueError, OSError):
        return str(at)
