"""Verbs of a witness: make its folder, and watch logs from there as a small program of its own."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, TypeAlias

import typer

from sandbox.cli import show
from sandbox.cli.options import Json, print_json, word_or_file

witnesses = typer.Typer(help="Watch logs and cosign what only grows. 见证", no_args_is_help=True)

Folder: TypeAlias = Annotated[Path, typer.Argument(help="The witness's folder: its key and its memory. 见证目录")]


def add_to(app: typer.Typer) -> None:
    """Hang these verbs into the command line."""
    app.add_typer(witnesses, name="witness")


@witnesses.command("init")
def witness_init(
    folder: Folder,
    name: Annotated[str, typer.Option("--name", help="Its name, such as witness.example/w1. 名称")],
    json: Json = False,
) -> None:
    """Make a witness: a key, an empty memory; prints the public key to give to logs and auditors. 初始化见证."""
    # The server extra's cryptography; a plain client install has not got it.
    from sandbox.cli.witnessing import make

    vkey = make(folder, name)
    if json:
        print_json({"folder": str(folder), "vkey": vkey})
        return
    show.pairs([("witness key 见证公钥", vkey)])
    show.line(f"Next 下一步: sandbox witness serve {folder} --log @log.vkey")


@witnesses.command("serve")
def witness_serve(
    folder: Folder,
    log: Annotated[list[str], typer.Option("--log", help="Public key of a log to watch, or @FILE. 被见证日志的公钥")],
    *,
    host: Annotated[str, typer.Option("--host", help="Address. 地址")] = "127.0.0.1",
    port: Annotated[int, typer.Option("--port", min=0, max=65535, help="Port; 0: a free one. 端口")] = 8330,
    certificate: Annotated[
        Path | None, typer.Option("--tls-certificate", help="Certificate chain, PEM. TLS 证书")
    ] = None,
    key: Annotated[Path | None, typer.Option("--tls-key", help="Its private key, PEM. TLS 私钥")] = None,
) -> None:
    """Cosign the checkpoints of these logs until told to stop; a fork is refused and named. 启动见证."""
    from sandbox.cli.witnessing import serve

    serve(folder, [word_or_file(one) for one in log], host=host, port=port, certificate=certificate, key=key)
