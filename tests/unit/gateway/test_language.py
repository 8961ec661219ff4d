"""Language: what Accept-Language prefers."""

from __future__ import annotations

import pytest

from sandbox.gateway.language import preferred


@pytest.mark.parametrize(
    ("header", "language"),
    [
        ("", "en"),
        ("zh", "zh"),
        ("zh-CN,zh;q=0.9,en;q=0.8", "zh"),
        ("en-US,en;q=0.9,zh;q=0.8", "en"),
        ("fr, zh;q=0.2", "zh"),
        ("en;q=0.1, zh;q=0.2", "zh"),
        ("zh;q=0", "en"),
        ("*", "en"),
        ("de", "en"),
        ("zh;q=nan", "en"),
        ("zh;q=9", "en"),
        (";;;,,,=", "en"),
        ("zh-Hans-CN;q=1.0", "zh"),
    ],
)
def test_preferred(header: str, language: str) -> None:
    assert preferred(header) == language
