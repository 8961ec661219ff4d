"""Verbs that ask: a question in SQL, its explanation, and an answer once more."""

from __future__ import annotations

import sys
from enum import StrEnum
from typing import Annotated, Any

import typer

from sandbox.cli import answers
from sandbox.cli.options import Key, Url, connect, print_json
from sandbox.client.client import new_idempotency_key


class Format(StrEnum):
    """How an answer is printed."""

    TABLE = "table"
    JSON = "json"
    CSV = "csv"


def add_to(app: typer.Typer) -> None:
    """Hang these verbs into the command line."""
    app.command("query")(query)
    app.command("answer")(answer)


def query(
    sql: Annotated[str, typer.Argument(help="SELECT … FROM a dataset. 查询语句")],
    *,
    epsilon: Annotated[
        str | None, typer.Option("--epsilon", "--at-most", help="Budget to spend, or its cap. 花费的预算或上限")
    ] = None,
    preset: Annotated[str | None, typer.Option("--preset", help="strict, standard or research. 档")] = None,
    within: Annotated[
        str | None, typer.Option("--within", help="Error at 95 %, instead of a budget; 5% with --at-most. 误差")
    ] = None,
    grant: Annotated[str | None, typer.Option("--grant", help="The grant, if several fit. 授权")] = None,
    purpose: Annotated[str | None, typer.Option("--purpose", help="The purpose, if several fit. 用途")] = None,
    rows: Annotated[int | None, typer.Option("--rows", help="Rows one unit gives at most. 单位行数上限")] = None,
    bounding: Annotated[
        str | None, typer.Option("--bounding", help="ingest, rows, groups or clip, not the planner's choice. 限界方式")
    ] = None,
    groups: Annotated[int | None, typer.Option("--groups", help="Groups one unit counts in at most. 分组上限")] = None,
    per_group: Annotated[int | None, typer.Option("--per-group", help="Rows' worth in one group. 每组行数上限")] = None,
    version: Annotated[int | None, typer.Option("--version", help="A version by number; the newest. 版本号")] = None,
    explain: Annotated[bool, typer.Option("--explain", help="Plan, price, error; free. 解释，不收费")] = False,
    shape: Annotated[Format, typer.Option("--format", help="Output. 输出格式")] = Format.TABLE,
    idempotency_key: Annotated[
        str | None, typer.Option("--idempotency-key", help="To pay once over several tries. 幂等键")
    ] = None,
    url: Url = None,
    key: Key = None,
) -> None:
    """Ask a dataset; the answer is noisy and says how noisy. 查询数据集."""
    body: dict[str, Any] = {
        "sql": sql, "epsilon": epsilon, "preset": preset, "within": within, "grant": grant, "purpose": purpose,
        "rows": rows, "bounding": bounding, "groups": groups, "per_group": per_group, "version": version,
    }  # fmt: skip
    body = {name: value for name, value in body.items() if value is not None}
    with connect(url, key) as http:
        if explain:
            explained = http.post("/v1/queries", {**body, "explain": True})
            print_json(explained) if shape is Format.JSON else answers.explanation(explained)
            return
        got = http.post("/v1/queries", body, idempotency_key=idempotency_key or new_idempotency_key())
    _print(got, shape)


def answer(
    query_id: Annotated[str, typer.Argument(help="The query's id, qry_…")],
    shape: Annotated[Format, typer.Option("--format", help="Output. 输出格式")] = Format.TABLE,
    url: Url = None,
    key: Key = None,
) -> None:
    """Show an answer again, free. 再次查看答复."""
    with connect(url, key) as http:
        got = http.get(f"/v1/answers/{query_id}")
    _print(got, shape)


def _print(body: dict[str, Any], shape: Format) -> None:
    if shape is Format.JSON:
        print_json(body)
    elif shape is Format.CSV:
        sys.stdout.write(answers.csv_of(body))
    else:
        answers.table(body)
