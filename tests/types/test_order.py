"""Order is a type error: the kept snippets that take a step out of turn fail mypy, each on its marked line."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from mypy import api

from tests.promises import promise

REFUSED = Path(__file__).parent / "refused"


@pytest.fixture(scope="module")
def report() -> str:
    """One run over all snippets."""
    root = REFUSED.parent.parent.parent
    out, err, code = api.run(
        ["--config-file", str(root / "pyproject.toml"), "--no-error-summary", *map(str, sorted(REFUSED.glob("*.py")))]
    )
    assert not err, err
    assert code == 1, "the snippets must not type-check"
    return out


@promise("P6.2")
@pytest.mark.parametrize("snippet", sorted(p.name for p in REFUSED.glob("*.py")))
def test_a_step_out_of_turn_is_a_type_error(snippet: str, report: str) -> None:
    expected = {
        (n, re.findall(r"# refused: ([\w-]+)", line)[0])
        for n, line in enumerate((REFUSED / snippet).read_text().splitlines(), 1)
        if "# refused:" in line
    }
    found = {
        (int(m[1]), m[2]) for m in re.finditer(rf"{re.escape(snippet)}:(\d+): error: .*\[([\w-]+)\]", report)
    }
    assert found == expected
