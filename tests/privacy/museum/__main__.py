"""Prints docs/museum.md: each exhibit with the figure that its attack recovered."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from tests.privacy.museum import EXHIBITS, show

out = sys.stdout
out.write(
    "# The museum of broken variants\n\n"
    "Each exhibit is a change of a line or two to a copy of the house; a test that guards it goes red and says what the break\n"
    "gave away. `python -m tests.privacy.museum` makes this page; `tests/privacy/test_museum.py` shows it in every run.\n\n"
    "| exhibit | what is broken | what it gave away | caught by |\n|---|---|---|---|\n"
)
for exhibit in EXHIBITS:
    with tempfile.TemporaryDirectory() as folder:
        shown = show(exhibit, Path(folder))
    assert shown.code == 1, shown.output
    out.write(f"| {exhibit.name} | {exhibit.story} | {shown.figure} | `{exhibit.caught_by.split('::')[1]}` |\n")
