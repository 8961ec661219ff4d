"""Verbs of those who check: own events and receipts, and the auditor's export, proof and monthly page."""

from __future__ import annotations

import json as jsonlib
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated, Any, Final

import typer
from rich.progress import DownloadColumn, TextColumn, TimeElapsedColumn

from sandbox.cli import show
from sandbox.cli.exports import check_free, take
from sandbox.cli.failures import FAILED, tell
from sandbox.cli.options import Json, Key, Url, connect, print_json
from sandbox.client.http import Http, ProblemError

audits = typer.Typer(help="Check the log. 审计", no_args_is_help=True)

_ASKS: Final = 20
_PAUSE: Final = 0.25
"""Between asking for a receipt that is not there yet."""


def add_to(app: typer.Typer) -> None:
    """Hang these verbs into the command line."""
    app.command("events")(events)
    app.command("receipt")(receipt)
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


@audits.command("export")
def audit_export(
    folder: Annotated[Path, typer.Argument(help="A new or empty folder. 新目录或空目录")],
    url: Url = None,
    key: Key = None,
) -> None:
    """Take away log and records of one instant, for `verify.py` to check without a gateway. 导出日志与记录."""
    check_free(folder)
    with connect(url, key) as http:
        _export(http, folder)
    show.line(f"Exported to {folder}. Check it, with verify.py, books.py and rows.py in one folder:")
    show.line(f"已导出至 {folder}。将上述三个文件置于同一目录后核验：")
    show.line(f"  python verify.py {folder} --key @log.vkey")


@audits.command("verify")
def audit_verify(
    *,
    save: Annotated[
        Path | None, typer.Option("--save", help="Keep the export in this folder. 将导出保存至此目录")
    ] = None,
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

    kept = [path.read_text("utf-8") for path in earlier or []]
    with TemporaryDirectory() as scratch, connect(url, key) as http:
        if vkey is None:
            show.line("The key comes from the gateway itself; use --vkey with one got out of band to trust it less.")
            show.line("公钥取自网关本身；如需不依赖网关，请用 --vkey 指定另行取得的公钥。")
        public = vkey.read_text("utf-8").strip() if vkey else str(http.get("/v1/log/key")["vkey"])
        folder = save or Path(scratch) / "export"
        _export(http, folder)
        if save is not None:
            show.line(f"Saved to {save}. 已保存。")
        findings, _ = verify(folder, public, kept)
        size, records = _counted(folder)
    if findings:
        for finding in findings:
            show.line(show.plain(finding).plain)
        tell(ProblemError("audit_findings", status=400, params={"count": len(findings)}))
        raise typer.Exit(FAILED)
    show.line(f"Verified: {size} events, {records} records; tree, ledger and grants agree.")
    show.line(f"核验通过：{size} 条事件，{records} 条记录；默克尔树、账本与授权一致。")


@audits.command("report")
def audit_report(
    month: Annotated[str, typer.Option("--month", help="Which month, as 2026-11. 月份")],
    save: Annotated[Path | None, typer.Option("--save", help="Keep the signed page in this file. 保存至文件")] = None,
    url: Url = None,
    key: Key = None,
) -> None:
    """A month on one signed page: grants, spend, releases, overruns, denials. 月报."""
    with connect(url, key) as http:
        note = str(http.get("/v1/log/report", month=month)["note"])
    if save is None:
        sys.stdout.write(note)
        return
    save.write_text(note, "utf-8")
    show.line(f"Saved to {save}. 已保存。")


def receipt(
    subject: Annotated[str, typer.Argument(help="The answer's id, qry_…, or an event's, evt_…")],
    save: Annotated[Path | None, typer.Option("--save", help="Keep the receipt in this file. 保存至文件")] = None,
    url: Url = None,
    key: Key = None,
) -> None:
    """Fetch the proof that a charge or an event stands in the log. 获取凭证."""
    path = f"/v1/{'events' if subject.startswith('evt_') else 'answers'}/{subject}/receipt"
    with connect(url, key) as http:
        got = _soon(http, path)
    if save is None:
        print_json(got)
        return
    save.write_text(jsonlib.dumps(got, ensure_ascii=False, indent=1) + "\n", "utf-8")
    show.line(f"Saved to {save}. Check it with: sandbox verify-receipt {save} --key @log.vkey")
    show.line(f"已保存至 {save}。核验：sandbox verify-receipt {save} --key @log.vkey")


def _soon(http: Http, path: str) -> Any:
    """What is there within a second of the charge, asked for until it is."""
    for _ in range(_ASKS):
        try:
            return http.get(path)
        except ProblemError as problem:
            if problem.code != "receipt_not_ready":
                raise
        time.sleep(_PAUSE)
    return http.get(path)


def _export(http: Http, folder: Path) -> None:
    """Everything the verifier needs, as the gateway has it at one instant, into a folder."""
    columns = (TextColumn("{task.description}"), DownloadColumn(), TimeElapsedColumn())
    with http.download("/v1/log/export") as (_, chunks), show.progress(*columns) as bar:
        task = bar.add_task("log 日志", total=None)

        def counted() -> Iterator[bytes]:
            for chunk in chunks:
                bar.advance(task, len(chunk))
                yield chunk

        take(counted(), folder)


def _counted(folder: Path) -> tuple[int, int]:
    """How many events and records an export holds, as it says itself."""
    size = (folder / "checkpoint").read_text("utf-8", "replace").split("\n")[1:2]
    records = 0
    for file in folder.glob("records/*.jsonl"):
        with file.open("rb") as lines:
            records += sum(1 for _ in lines)
    return int(size[0]) if size and size[0].isdigit() else 0, records
