"""Every exhibit of the museum is caught: its test is red on the broken copy, and says what the break gave away."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.privacy.museum import EXHIBITS, Exhibit, show


@pytest.mark.parametrize("exhibit", EXHIBITS, ids=[e.name for e in EXHIBITS])
def test_the_break_is_caught(exhibit: Exhibit, tmp_path: Path) -> None:
    shown = show(exhibit, tmp_path)
    assert shown.code == 1, shown.output
    assert shown.figure, shown.output
