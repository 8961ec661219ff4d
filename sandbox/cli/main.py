"""The command line's root: every verb, and the wall behind which no traceback gets through."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Annotated

import typer

from sandbox import __version__
from sandbox.cli import ask, audit, backup, catalogue, committee, local, people, receipt, versions, witness
from sandbox.cli.failures import FAILED, INTERRUPTED, USAGE, tell
from sandbox.client.http import ProblemError
from sandbox.errors import SandboxError

app = typer.Typer(
    name="sandbox",
    help="Data sandbox 数据沙箱: ask city data, see no row of it. Remote verbs read SANDBOX_URL and SANDBOX_KEY.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


def _version(asked: bool) -> None:
    if asked:
        typer.echo(f"sandbox {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    _version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the release. 版本")
    ] = False,
) -> None:
    pass


local.add_to(app)
people.add_to(app)
catalogue.add_to(app)
versions.add_to(catalogue.datasets)
committee.add_to(app)
ask.add_to(app)
audit.add_to(app)
backup.add_to(app)
receipt.add_to(app)
witness.add_to(app)


def main() -> None:
    """The entry point of the `sandbox` command."""
    sys.exit(run(sys.argv[1:]))


def run(arguments: Sequence[str]) -> int:
    """Run one command line; gives the exit code, whatever happens inside."""
    command = typer.main.get_command(app)
    try:
        code = command.main(args=list(arguments), prog_name="sandbox", standalone_mode=False)
    except Exception as error:  # noqa: BLE001  # no traceback ever: it would tell a user nothing, and only in English
        return _told(error)
    return code if isinstance(code, int) else 0


def _told(error: Exception) -> int:
    match error:
        case ProblemError() | SandboxError():
            code = tell(error)
        case typer.Abort():
            code = INTERRUPTED
        case typer.TyperException():
            code = _usage(error)
        case BrokenPipeError():
            # The reader of a pipe has gone; nothing is left to say, not even by the interpreter's last flush.
            sys.stderr.close()
            code = FAILED
        case ModuleNotFoundError() if (error.name or "sandbox").partition(".")[0] not in {"sandbox", "connectors"}:
            code = tell(ProblemError("server_extra_missing", status=400, params={"module": error.name}))
        case OSError():
            params = {"file": _name(error), "problem": error.strerror or "-"}
            code = tell(ProblemError("file_failed", status=400, params=params))
        case _:
            code = _broken(error)
    return code


def _usage(error: typer.TyperException) -> int:
    if type(error).__name__ == "NoArgsIsHelpError":  # the message is the help itself
        sys.stderr.write(error.format_message() + "\n")
    else:
        tell(ProblemError("usage", status=400, params={"problem": error.format_message()}))
    return USAGE


def _broken(error: Exception) -> int:
    tell(ProblemError("cli_broken", status=503, params={"kind": type(error).__qualname__, "where": _where(error)}))
    return FAILED


def _name(error: OSError) -> str:
    return str(error.filename) if error.filename is not None else "-"


def _where(error: Exception) -> str:
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    if trace is None:
        return "-"
    return f"{trace.tb_frame.f_code.co_filename.rpartition('/')[2]}:{trace.tb_lineno}"


if __name__ == "__main__":
    main()
