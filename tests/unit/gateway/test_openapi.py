"""The interface is written down: additive only, so the golden file changes by a reviewed diff or not at all.

After a wanted change: `python -m tests.unit.gateway.test_openapi`.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from sandbox.gateway.app import openapi

GOLDEN = Path(__file__).parents[2] / "golden" / "openapi.json"
OPEN = {"/health/live", "/health/ready"}


def written() -> str:
    return json.dumps(openapi(), ensure_ascii=False, indent=1, sort_keys=True) + "\n"


def test_the_interface_is_the_golden_one() -> None:
    assert written() == GOLDEN.read_text("utf-8"), "see this module's first lines"


def operations() -> list[tuple[str, str, dict[str, Any]]]:
    return [
        (path, method, operation)
        for path, methods in openapi()["paths"].items()
        for method, operation in methods.items()
    ]


def test_every_operation_but_health_needs_a_key() -> None:
    for path, method, operation in operations():
        assert (operation.get("security") == [{"key": []}]) == (path not in OPEN), (path, method)


def test_every_operation_says_what_it_does_and_how_it_refuses() -> None:
    for path, method, operation in operations():
        assert operation["description"], (path, method)
        assert operation["responses"]["default"]["content"].keys() == {"application/problem+json"}, (path, method)


def test_everything_is_under_v1_but_health() -> None:
    assert {path for path, _, _ in operations() if not path.startswith("/v1/")} == OPEN


if __name__ == "__main__":
    GOLDEN.write_text(written(), "utf-8")
