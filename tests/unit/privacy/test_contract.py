"""The contract as a document: every promise stands once, opens a paragraph, and has a reason and known sources."""

from __future__ import annotations

import re
from pathlib import Path

TEXT = (Path(__file__).parents[3] / "docs" / "privacy.md").read_text(encoding="utf-8")
PROMISES = re.split(r"^(?=\*\*P\d+\.\d+ )", TEXT, flags=re.MULTILINE)[1:]


def test_each_promise_has_one_id_in_order() -> None:
    ids = re.findall(r"\*\*(P\d+\.\d+)", TEXT)
    places = [tuple(map(int, i[1:].split("."))) for i in ids]
    assert places == sorted(set(places))
    assert len(PROMISES) == len(ids)


def test_each_promise_is_followed_by_its_reason() -> None:
    assert [p.split()[0] for p in PROMISES if not re.search(r"^\*(Why|Proof)\.\*", p, re.MULTILINE)] == []


def test_no_promise_is_mentioned_that_is_not_made() -> None:
    made = set(re.findall(r"\*\*(P\d+\.\d+)", TEXT))
    assert set(re.findall(r"\bP\d+\.\d+", TEXT)) == made
