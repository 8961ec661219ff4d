"""Messages: every code that is raised has a text in both languages, with no placeholder that nobody fills."""

from __future__ import annotations

import ast
import importlib
import pkgutil
import string
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import pytest

import sandbox.messages
from sandbox import errors
from sandbox.messages import both, render, texts

ROOT = Path(__file__).parents[2]
ERRORS = {name for name, kind in vars(errors).items() if isinstance(kind, type) and issubclass(kind, Exception)} | {
    "InternalFailure", "ProblemError", "Refusal", "Wrong", "WrongMethod",
}  # fmt: skip
NOT_PARAMS = {"position", "status", "params", "text", "code"}


def raised() -> Iterator[tuple[str, str, set[str] | None]]:
    """(code, place, names of its params; None when they are not written out) of every error in the source."""
    for folder in ("sandbox", "connectors"):
        for file in sorted((ROOT / folder).rglob("*.py")):
            for node in ast.walk(ast.parse(file.read_text("utf-8"))):
                if isinstance(node, ast.Call) and name_of(node.func) in ERRORS:
                    yield from codes_of(node, f"{file.relative_to(ROOT)}:{node.lineno}")


def name_of(node: ast.expr) -> str:
    return node.id if isinstance(node, ast.Name) else node.attr if isinstance(node, ast.Attribute) else ""


def codes_of(call: ast.Call, place: str) -> Iterator[tuple[str, str, set[str] | None]]:
    first = call.args[0] if call.args else next((k.value for k in call.keywords if k.arg == "code"), None)
    options = [first.body, first.orelse] if isinstance(first, ast.IfExp) else [first]
    options = [option.values[-1] if isinstance(option, ast.BoolOp) else option for option in options]
    for option in options:
        if isinstance(option, ast.Constant) and isinstance(option.value, str):
            yield option.value, place, params_of(call)


def params_of(call: ast.Call) -> set[str] | None:
    names: set[str] = set()
    for keyword in call.keywords:
        if keyword.arg == "params" and isinstance(keyword.value, ast.Dict):
            names |= {key.value for key in keyword.value.keys if isinstance(key, ast.Constant)}
        elif keyword.arg is None or keyword.arg == "params":
            return None
        elif keyword.arg not in NOT_PARAMS:
            names.add(keyword.arg)
    return names


RAISED = list(raised())


def placeholders(template: str) -> set[str]:
    return {name for _, name, _, _ in string.Formatter().parse(template) if name}


def test_the_search_finds_what_is_raised() -> None:
    codes = {code for code, _, _ in RAISED}
    assert {"transition_refused", "key_refused", "gateway_unreachable", "home_missing", "no_grant"} <= codes


def test_every_raised_code_has_a_text() -> None:
    missing = sorted({f"{code} ({place})" for code, place, _ in RAISED if code not in texts()})
    assert not missing


def test_every_placeholder_is_a_param_of_the_raiser() -> None:
    wrong = []
    for code, place, params in RAISED:
        for name, pair in texts().items():
            if params is not None and (name == code or name.startswith(f"{code}.")):
                wrong += [f"{name}: {{{p}}} ({place})" for p in placeholders(pair[0]) - params]
    assert not wrong


@pytest.mark.parametrize("code", sorted(texts()))
def test_both_languages_say_the_same(code: str) -> None:
    english, chinese = texts()[code]
    assert placeholders(english) == placeholders(chinese)
    assert any("\u4e00" <= c <= "\u9fff" for c in chinese) or code == "file_failed"
    assert not any("\u4e00" <= c <= "\u9fff" for c in english)


def test_no_code_is_told_twice() -> None:
    seen = defaultdict(list)
    for module in pkgutil.iter_modules(sandbox.messages.__path__):
        for code in importlib.import_module(f"sandbox.messages.{module.name}").TEXTS:
            seen[code].append(module.name)
    assert not {code: modules for code, modules in seen.items() if len(modules) > 1}


def test_params_are_shown_in_the_language() -> None:
    both_lists = {lang: render("table_unknown", {"table": "x", "tables": ["a", "b"]}, lang) for lang in ("en", "zh")}
    assert "a, b" in both_lists["en"]
    assert "a、b" in both_lists["zh"]


def test_a_callers_word_cannot_forge_lines_or_flood() -> None:
    text = render("table_unknown", {"table": "x\nWRONG\x1b[31m" + "y" * 10_000, "tables": []}, "en")
    assert "\n" not in text
    assert "\x1b" not in text
    assert len(text) < 500


def test_braces_in_a_callers_word_are_only_braces() -> None:
    assert "{code.__class__}" in render("table_unknown", {"table": "{code.__class__}", "tables": []}, "en")


def test_an_unknown_code_or_a_missing_param_is_no_exception() -> None:
    assert render("no_such_code", {}, "en") == "no_such_code"
    assert "-" in render("table_unknown", {}, "en")


def test_a_rule_has_a_text_of_its_own() -> None:
    told = both("request_invalid", {"field": "epsilon", "rule": "missing"})
    assert told == {"en": "Field epsilon is missing.", "zh": "缺少字段 epsilon。"}
