"""The suite is whole: every public function of every module of the store is called by a test that runs on both."""

from __future__ import annotations

import ast
import importlib
import inspect
import pkgutil
from collections.abc import Iterator
from pathlib import Path

import sandbox.store

HERE = Path(__file__).parent
NOT_OF_SQL = {"tables", "connecting", "failures", "bell"}
"""No function of theirs takes a session: test_sessions.py goes through all of them."""


def public() -> Iterator[str]:
    """`module.function` for every public function that is defined in a module of the store."""
    for found in pkgutil.iter_modules(sandbox.store.__path__):
        if found.name in NOT_OF_SQL:
            continue
        module = importlib.import_module(f"sandbox.store.{found.name}")
        for name, value in vars(module).items():
            if inspect.isfunction(value) and value.__module__ == module.__name__ and not name.startswith("_"):
                yield f"{found.name}.{name}"


def called() -> set[str]:
    """`module.function` for every use of one in this suite, by module or by name."""
    found: set[str] = set()
    for file in [*HERE.glob("test_*.py"), HERE.parents[1] / "unit" / "store" / "home.py"]:
        for node in ast.walk(ast.parse(file.read_text("utf-8"))):
            if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
                found.add(f"{node.value.id}.{node.attr}")
            elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith("sandbox.store."):
                found |= {f"{str(node.module).rsplit('.', 1)[1]}.{alias.name}" for alias in node.names}
    return found


def test_every_public_function_is_called_on_both() -> None:
    functions = set(public())
    assert {"ledger.charge", "log.append", "migrations.upgrade", "queries.settle"} <= functions
    assert sorted(functions - called()) == []


def test_what_is_left_out_takes_no_session() -> None:
    for name in NOT_OF_SQL:
        for value in vars(importlib.import_module(f"sandbox.store.{name}")).values():
            if inspect.isfunction(value):
                assert "session" not in inspect.signature(value).parameters, value
