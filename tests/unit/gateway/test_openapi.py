"""The interface is written down: additive only, so the golden file changes by a reviewed diff or not at all.

After a wanted change: `python -m tests.unit.gateway.test_openapi`.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from sandbox.gateway.app import _described, openapi

GOLDEN = Path(__file__).parents[2] / "golden" / "openapi.json"
HEALTH = {"/health/live", "/health/ready"}
PUBLIC = {"/log/checkpoint", "/log/tile/{path}"}
"""The log's proofs, which anybody may check."""


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


def test_every_operation_needs_a_key_but_health_and_the_public_log() -> None:
    for path, method, operation in operations():
        assert (operation.get("security") == [{"key": []}]) == (path not in HEALTH | PUBLIC), (path, method)


def test_every_operation_says_what_it_does() -> None:
    for path, method, operation in operations():
        assert operation["description"], (path, method)


def test_every_refusal_is_told_by_its_status_and_none_by_default() -> None:
    described = openapi()["components"]["responses"]
    for path, method, operation in operations():
        responses = operation["responses"]
        assert "default" not in responses, (path, method)
        assert "422" not in responses, (path, method)
        wanted = {"403", "503"} | ({"413", "429"} if path not in HEALTH else set())
        wanted |= {"401"} if "security" in operation else set()
        wanted |= {"400", "404", "408", "409"} if "requestBody" in operation else set()
        assert wanted <= responses.keys(), (path, method)
        for status, response in responses.items():
            if int(status) < 300:
                assert response["content"], (path, method)
            elif "$ref" in response:
                assert response["$ref"].rpartition("/")[2] == f"Refused{status}"
    for name, response in described.items():
        assert response["content"].keys() == {"application/problem+json"}, name
    for status in ("429", "503"):
        assert described[f"Refused{status}"]["headers"]["Retry-After"]["required"]


def test_the_description_is_the_same_when_it_is_asked_for_twice() -> None:
    app = _described(None)
    assert app.openapi() == app.openapi() == openapi()


def test_everything_is_under_v1_but_health_and_the_log() -> None:
    others = {path for path, _, _ in operations() if not path.startswith("/v1/")}
    assert others == HEALTH | PUBLIC | {"/log/tile/entries/{path}"}


if __name__ == "__main__":
    GOLDEN.write_text(written(), "utf-8")
