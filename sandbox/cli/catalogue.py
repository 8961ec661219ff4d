"""Verbs on populations and datasets, with the progress of an ingest and its report for the owner's steward."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated, Any, Final

import typer
from rich.progress import BarColumn, DownloadColumn, SpinnerColumn, TextColumn, TimeElapsedColumn

from sandbox.cli import show
from sandbox.cli.options import Json, Key, Url, connect, document, print_json
from sandbox.client.http import Http, ProblemError
from sandbox.errors import Position

populations = typer.Typer(help="Populations: whom a cap protects. 人群", no_args_is_help=True)
datasets = typer.Typer(help="Datasets. 数据集", no_args_is_help=True)
ingests = typer.Typer(help="Ingests. 入库任务", no_args_is_help=True)

_POLL: Final = 0.3
_ENDED: Final = frozenset({"committed", "failed"})


def add_to(app: typer.Typer) -> None:
    """Hang these verbs into the command line."""
    app.add_typer(populations, name="population")
    app.add_typer(datasets, name="dataset")
    app.add_typer(ingests, name="ingest")


@populations.command("add")
def population_add(
    file: Annotated[Path, typer.Argument(help="YAML file of the population. 人群声明文件")],
    url: Url = None,
    key: Key = None,
    json: Json = False,
) -> None:
    """Register a population: unit, identifiers, cap. 登记人群."""
    with connect(url, key) as http:
        added = http.post("/v1/populations", document(file))
    print_json(added) if json else _population(added)


@populations.command("list")
def population_list(url: Url = None, key: Key = None, json: Json = False) -> None:
    """List populations. 列出人群."""
    with connect(url, key) as http:
        found = list(http.pages("/v1/populations"))
    if json:
        print_json(found)
        return
    columns = ["name 名称", "unit 隐私单位", "registered 登记数", "epsilon", "pure", "delta"]
    show.table(columns, [(p["name"], p["unit"], p["registered"], p["epsilon"], p["pure"], p["delta"]) for p in found])


def _population(found: dict[str, Any]) -> None:
    show.pairs((name, value) for name, value in found.items() if name != "title")


@datasets.command("add")
def dataset_add(
    manifest: Annotated[Path, typer.Argument(help="YAML manifest. 数据集清单")],
    check: Annotated[bool, typer.Option("--check", help="Check the manifest only, read nothing. 仅检查清单")] = False,
    no_wait: Annotated[bool, typer.Option("--no-wait", help="Do not wait for the ingest. 不等待入库")] = False,
    url: Url = None,
    key: Key = None,
) -> None:
    """Register a dataset and load it. 登记数据集并入库."""
    with connect(url, key) as http:
        send(http, "/v1/datasets", document(manifest), check=check, wait=not no_wait)


def send(http: Http, path: str, body: dict[str, str], *, check: bool, wait: bool) -> None:
    """Send a manifest and follow its ingest; or only ask whether it would be accepted."""
    if check:
        checked = http.post(f"{path}/check", body)
        changed = ", ".join(checked["changed"]) or "-"
        show.line(f"{checked['dataset']}: this manifest would make version {checked['version']}. Changes: {changed}")
        show.line(f"{checked['dataset']}：该清单可生成版本 {checked['version']}。更改：{changed}")
        return
    accepted = http.post(path, body)
    show.line(f"{accepted['dataset']}: {accepted['ingest']}")
    if wait:
        _finish(http, accepted["ingest"])


@ingests.command("show")
def ingest_show(
    ingest_id: Annotated[str, typer.Argument(help="The ingest's id, ing_…")],
    url: Url = None,
    key: Key = None,
    json: Json = False,
) -> None:
    """Show an ingest, waiting for its end. 查看入库任务."""
    with connect(url, key) as http:
        if json:
            print_json(http.get(f"/v1/ingests/{ingest_id}"))
        else:
            _finish(http, ingest_id)


@datasets.command("list")
def dataset_list(url: Url = None, key: Key = None, json: Json = False) -> None:
    """List datasets. 列出数据集."""
    with connect(url, key) as http:
        found = list(http.pages("/v1/datasets"))
    if json:
        print_json(found)
        return
    columns = ["name 名称", "title 标题", "owner 所有者", "population 人群", "version 版本", "state 状态"]
    rows = [
        (d["name"], _both(d["title"]), d["owner"], d["population"] or "public 公开", d["version"], d["state"])
        for d in found
    ]
    show.table(columns, rows)


@datasets.command("show")
def dataset_show(
    name: Annotated[str, typer.Argument(help="The dataset's name. 数据集名称")],
    url: Url = None,
    key: Key = None,
    json: Json = False,
) -> None:
    """Show what is declared about a dataset. 查看数据集声明."""
    with connect(url, key) as http:
        found = http.get(f"/v1/datasets/{name}")
    if json:
        print_json(found)
        return
    shown = "name owner population unit version state n_max r_max default_rows tiers other_persons"
    show.pairs((field, found[field]) for field in shown.split())
    columns = ["column 列", "type 类型", "meaning 含义", "level 分级", "bounds 界", "grid 格", "domain 值域"]
    rows = [
        (
            c["name"], c["type"], _both(c["meaning"]), c["level"],
            None if c["lower"] is None else f"{c['lower']} … {c['upper']}", c["grid"], _some(c["domain"]),
        )
        for c in found["columns"]
    ]  # fmt: skip
    show.table(columns, rows)


def _both(text: dict[str, str]) -> str:
    return f"{text['en']} {text['zh']}"


def _some(domain: list[str] | None) -> str | None:
    if domain is None:
        return None
    return ", ".join(domain[:8]) + (f", … ({len(domain)})" if len(domain) > 8 else "")


@datasets.command("download")
def dataset_download(
    name: Annotated[str, typer.Argument(help="A public table. 公开数据集")],
    out: Annotated[Path, typer.Option("--out", "-o", help="Parquet file to write. 输出文件")],
    url: Url = None,
    key: Key = None,
) -> None:
    """Download a public table as Parquet. 下载公开数据集."""
    with connect(url, key) as http, http.download(f"/v1/datasets/{name}/content") as (size, chunks):
        partial = out.with_name(out.name + ".part")
        columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn())
        with show.progress(*columns, transient=False) as bar, partial.open("wb") as file:
            task = bar.add_task(out.name, total=size)
            for chunk in chunks:
                file.write(chunk)
                bar.advance(task, len(chunk))
        partial.replace(out)
    show.line(str(out))


def _finish(http: Http, ingest_id: str) -> None:
    """Follow an ingest to its end with a progress bar, then print the report or raise its error."""
    columns = (
        SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), TextColumn("{task.percentage:>3.0f} %"),
        TimeElapsedColumn(),
    )  # fmt: skip
    with show.progress(*columns) as bar:
        task = bar.add_task("queued", total=None)
        while (found := http.get(f"/v1/ingests/{ingest_id}"))["state"] not in _ENDED:
            progress = found["progress"]
            phase, rows = str(progress.get("phase") or found["state"]), int(progress.get("rows") or 0)
            bar.update(task, description=f"{phase} {rows:,}", total=found["rows_max"], completed=rows)
            time.sleep(_POLL)
    if found["state"] == "failed":
        raise _failure(found["error"] or {"code": "ingest_failed"})
    _report(found)


def _failure(error: dict[str, Any]) -> ProblemError:
    place = error.get("position")
    return ProblemError(
        str(error.get("code")),
        status=400,
        params=error.get("params") or {},
        position=Position(line=place["line"], column=place["column"], file=place.get("file")) if place else None,
    )


def _report(found: dict[str, Any]) -> None:
    show.line(f"{found['dataset']}: {found['state']}")
    report = found["report"]
    if not report:
        return
    show.pairs((name, value) for name, value in report.items() if not isinstance(value, dict | list))
    columns: dict[str, dict[str, Any]] = report.get("columns") or {}
    counted = list(dict.fromkeys(name for counts in columns.values() for name in counts))
    if columns:
        rows = [(name, *(counts.get(c) for c in counted)) for name, counts in columns.items()]
        show.table(["column 列", *counted], rows)
