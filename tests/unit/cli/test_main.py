"""The command line's wall: two lines for every error, an exit code for each kind, and never a traceback."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator

import pytest
import typer

from sandbox import __version__
from sandbox.cli import main
from sandbox.cli.failures import exit_code
from sandbox.client.http import ProblemError
from sandbox.errors import Conflict, Denied, DependencyFailed, Position, RequestError, Unauthenticated

SERVER = ("sqlalchemy", "fastapi", "cryptography", "duckdb", "opendp", "casbin", "sqlglot", "uvicorn", "alembic")


@pytest.fixture(autouse=True)
def nowhere(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SANDBOX_URL", raising=False)
    monkeypatch.delenv("SANDBOX_KEY", raising=False)


@pytest.fixture
def broken() -> Iterator[list[Exception]]:
    """A verb that raises what it is given."""
    raised: list[Exception] = []

    @main.app.command("break")
    def break_() -> None:
        raise raised[0]

    yield raised
    main.app.registered_commands.pop()


def said(capsys: pytest.CaptureFixture[str]) -> list[str]:
    out, err = capsys.readouterr()
    assert out == ""
    assert "Traceback" not in err
    return err.splitlines()


def test_an_error_is_one_line_in_each_language(broken: list[Exception], capsys: pytest.CaptureFixture[str]) -> None:
    broken.append(Denied("no_grant", dataset="health.nhefs"))
    assert main.run(["break"]) == 3
    english, chinese = said(capsys)
    assert "health.nhefs" in english
    assert "health.nhefs" in chinese
    assert english.isascii()
    assert not chinese.isascii()


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (RequestError("budget_missing"), 2),
        (Conflict("home_exists", home="x"), 2),
        (Unauthenticated("key_refused"), 3),
        (Denied("not_your_role"), 3),
        (DependencyFailed("database_failed"), 4),
        (ProblemError("gateway_unreachable", status=0), 4),
        (ProblemError("gateway_strange", status=200), 4),
        (ProblemError("url_missing", status=0), 2),
        (ProblemError("too_many_queries", status=429), 2),
    ],
)
def test_exit_codes(error: ProblemError, code: int) -> None:
    assert exit_code(error) == code


def test_a_place_stands_before_both_lines(broken: list[Exception], capsys: pytest.CaptureFixture[str]) -> None:
    broken.append(RequestError("budget_missing", position=Position(line=3, column=14, file="nhefs.yaml")))
    assert main.run(["break"]) == 2
    assert all(line.startswith("nhefs.yaml:3:14: ") for line in said(capsys))


@pytest.mark.parametrize(
    "error", [ValueError("cell of data"), RuntimeError(), KeyError("x"), RecursionError(), ModuleNotFoundError("x")]
)
def test_what_nobody_foresaw_is_two_lines_too(
    broken: list[Exception], capsys: pytest.CaptureFixture[str], error: Exception
) -> None:
    broken.append(error)
    assert main.run(["break"]) == 1
    lines = said(capsys)
    assert len(lines) == 2
    assert "cell of data" not in "".join(lines)


def test_a_missing_server_library_says_what_to_install(
    broken: list[Exception], capsys: pytest.CaptureFixture[str]
) -> None:
    broken.append(ModuleNotFoundError("No module named 'uvicorn'", name="uvicorn"))
    assert main.run(["break"]) == 2
    assert all("uvicorn" in line and "data-sandbox[server]" in line for line in said(capsys))


def test_a_file_that_is_not_there(capsys: pytest.CaptureFixture[str], tmp_path: object) -> None:
    arguments = ["population", "add", f"{tmp_path}/none.yaml", "--url", "http://127.0.0.1:9", "--key", "sbx_x"]
    assert main.run(arguments) == 2
    assert "none.yaml" in said(capsys)[0]


@pytest.mark.parametrize(
    "arguments",
    [["qeury"], ["query"], ["query", "x", "--rows", "many"], ["--nothing"], ["tenant", "add"], ["query", "a", "b"],
     ["query", "x", "--format", "xml"], ["serve", "x", "--port", "99999999"], ["apply"]],
)  # fmt: skip
def test_wrong_usage_is_two_lines_and_2(capsys: pytest.CaptureFixture[str], arguments: list[str]) -> None:
    assert main.run(arguments) == 2
    assert len(said(capsys)) == 2


@pytest.mark.parametrize("arguments", [["me"], ["query", "SELECT 1"], ["audit", "verify"], ["events"]])
def test_without_an_address_nothing_is_tried(capsys: pytest.CaptureFixture[str], arguments: list[str]) -> None:
    assert main.run(arguments) == 2
    assert "SANDBOX_URL" in said(capsys)[0]


def test_a_gateway_that_does_not_answer_is_4(capsys: pytest.CaptureFixture[str]) -> None:
    there = ["--url", "http://127.0.0.1:9", "--key", "k"]
    assert main.run(["tenant", "add", "--name", "x", "--kind", "company", *there]) == 4
    assert len(said(capsys)) == 2


def test_help_is_no_error(capsys: pytest.CaptureFixture[str]) -> None:
    assert main.run(["--help"]) == 0
    assert "query" in capsys.readouterr().out
    assert main.run([]) == 2
    assert "query" in capsys.readouterr().err


def test_the_release_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    assert main.run(["--version"]) == 0
    assert capsys.readouterr().out == f"sandbox {__version__}\n"


def verbs(app: typer.Typer, before: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    for command in app.registered_commands:
        yield (*before, str(command.name))
    for group in app.registered_groups:
        assert group.typer_instance is not None
        yield from verbs(group.typer_instance, (*before, str(group.name)))


@pytest.mark.parametrize("verb", sorted(verbs(main.app)), ids=" ".join)
def test_every_verb_explains_itself_in_both_languages(
    capsys: pytest.CaptureFixture[str], verb: tuple[str, ...]
) -> None:
    assert main.run([*verb, "--help"]) == 0
    told = capsys.readouterr().out
    assert any("\u4e00" <= c <= "\u9fff" for c in told), verb


def test_a_client_needs_nothing_of_the_server() -> None:
    """`sandbox` and `sandbox.client` start where no server library is installed."""
    program = f"""
import sys
class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {SERVER!r}:
            raise ModuleNotFoundError(name=name)
sys.meta_path.insert(0, Absent())
import sandbox.client
from sandbox.cli.main import run
assert run(["--help"]) == 0
assert run(["me", "--url", "http://127.0.0.1:9", "--key", "k"]) == 4
assert run(["init", "/nonexistent/x"]) == 2
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "data-sandbox[server]" in done.stderr
