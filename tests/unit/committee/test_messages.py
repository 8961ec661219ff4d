"""Every code that this part raises has a text in both languages, which uses only params that are given."""

from __future__ import annotations

import ast
import re
from pathlib import Path
from string import Formatter

import pytest

import sandbox
from sandbox.messages import texts
from sandbox.messages.committee import TEXTS

ROOT = Path(sandbox.__file__).parent
STORE = ("ledger", "committee", "principals", "queries", "sessions", "failures", "connecting", "migrations/__init__")
FILES = [
    *ROOT.glob("policy/*.py"), *ROOT.glob("committee/*.py"), *(ROOT / "store" / f"{name}.py" for name in STORE),
    ROOT / "machine.py",
]  # fmt: skip
ERRORS = {"RequestError", "Denied", "NotFound", "Conflict", "IntegrityFailed", "DependencyFailed", "Refusal"}


def raised() -> dict[str, set[str]]:
    """Each code with the names of the params that some place gives."""
    found: dict[str, set[str]] = {}
    for file in FILES:
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in ERRORS):
                continue
            keywords = {k.arg: k.value for k in node.keywords if k.arg}
            code = node.args[0] if node.args else keywords.pop("code")
            params = keywords.pop("params", None)
            if isinstance(params, ast.Dict):
                keywords |= {ast.literal_eval(key): key for key in params.keys if key}
            if isinstance(code, ast.Constant):
                found.setdefault(str(code.value), set()).update(keywords)
    return found


def test_every_code_has_a_text() -> None:
    codes = set(raised())
    assert len(codes) > 50
    assert not codes - set(texts())
    assert not set(TEXTS) - codes - {"decision_failed", "not_your_role"}


@pytest.mark.parametrize("code", sorted(TEXTS))
def test_texts_use_the_params_that_are_given(code: str) -> None:
    english, chinese = TEXTS[code]
    fields = [{name for _, name, _, _ in Formatter().parse(text) if name} for text in (english, chinese)]
    assert fields[0] == fields[1]
    assert fields[0] <= raised().get(code, fields[0]), code
    assert re.search(r"[一-鿿]", chinese)
    assert not re.search(r"[一-鿿]", english)
