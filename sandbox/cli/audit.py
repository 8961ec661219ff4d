"""Verbs of those who check: an organisation's own events, and the auditor's proof of log, ledger and grants."""

from __future__ import annotations

import json as jsonlib
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.progress import DownloadColumn, TextColumn, TimeElapsedColumn

from sandbox.cli import show
from sandbox.cli.failures import FAILED, tell
from sandbox.cli.options import Json, Key, Url, connect, print_json
from sandbox.client.http import Http, ProblemError

audits = typer.Typer(help="Check the log. 审计", no_args_is_help=True)

def add_to(app: typer.Typer) -> None:
    """Hang these verbs into the command line."""
    app.command("events")(events)
    app.add_typer(audits, name="audit")


def events(
    limit: Annotated[int, typer.Option("--limit", min=1, max=10_000, help="At most so many. 最多条数")] = 100,
    after: Annotated[str | None, typer.Option("--after", help="Only after this event's id. 起始事件")] = None,
    url: Url = None,
    key: Key = None,
    json: Json = False,
) -> None:
    """List your own organisation's events. 列出本机构事件."""
    found: list[dict[str, Any]] = []
    with connect(url, key) as http:
        for item in http.pages("/v1/events", after=after):
            found.append(item)
            if len(found) == limit:
                break
    if json:
        print_json(found)
        return
    columns = ["at 时间", "type 类型", "actor 主体", "subject 对象", "id"]
    fields = ("at", "type", "actor", "subject")
    show.table(columns, [(*(e["event"][field] for field in fields), e["id"]) for e in found])


@audits.command("verify")
def audit_verify(
    *,
    save: Annotated[Path | None, typer.Option("--save", help="Keep the bundle in this file. 保存证据包")] = None,
    vkey: Annotated[
        Path | None,
        typer.Option("--vkey", help="File with the log's public key, got out of band. 另行取得的日志公钥文件"),
    ] = None,
    earlier: Annotated[
        list[Path] | None,
        typer.Option("--earlier", help="A checkpoint kept before: it must be a beginning of this log. 先前的检查点"),
    ] = None,
    url: Url = None,
    key: Key = None,
) -> None:
    """Fetch log and records, then recompute tree, ledger and grants from the events. 核验日志、账本与授权."""
    # The verifier stands alone and brings its own cryptography, which a plain client install has not.
    from sandbox.audit.verify import verify

    with connect(url, key) as http:
        if vkey is None:
            show.line("The key comes from the gateway itself; use --vkey with one got out of band to trust it less.")
            show.line("公钥取自网关本身；如需不依赖网关，请用 --vkey 指定另行取得的公钥。")
        public = vkey.read_text("utf-8").strip() if vkey else str(http.get("/v1/log/key")["vkey"])
        bundle = _bundle(http)
    if save is not None:
        save.write_text(jsonlib.dumps(bundle, ensure_ascii=False), "utf-8")
        show.line(f"Saved to {save}. 已保存。")
    findings = verify(bundle, public, [path.read_text("utf-8") for path in earlier or []])
    if findings:
        for finding in findings:
            show.line(finding)
        tell(ProblemError("audit_findings", status=400, params={"count": len(findings)}))
        raise typer.Exit(FAILED)
    size = len(bundle["entries"])
    show.line(f"Verified: {size} events, {len(bundle['records'])} records; tree, ledger and grants agree.")
    show.line(f"核验通过：{size} 条事件，{len(bundle['records'])} 条记录；默克尔树、账本与授权一致。")


def _bundle(http: Http) -> dict[str, Any]:
    """Everything the verifier needs, as the gateway has it at one instant."""
    columns = (TextColumn("{task.description}"), DownloadColumn(), TimeElapsedColumn())
    raw = bytearray()
    with http.download("/v1/log/bundle") as (_, chunks), show.progress(*columns) as bar:
        task = bar.add_task("log 日志", total=None)
        for chunk in chunks:
            raw += chunk
            bar.advance(task, len(chunk))
    try:
        bundle: dict[str, Any] = jsonlib.loads(raw)
    except ValueError:
        raise ProblemError("gateway_strange", status=0, params={"status": 200}) from None
    return bundle
