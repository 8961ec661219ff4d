"""What the table of accepted forms says is what the parser reads; what it says is refused, is."""

from __future__ import annotations

import re
import string
from collections.abc import Iterator
from typing import Final

import pytest

from sandbox.errors import SandboxError
from sandbox.messages import both
from sandbox.messages.language import TEXTS
from sandbox.query.language.accepted import (
    AGGREGATES,
    CASTS,
    CONSTRUCTS,
    ELSEWHERE,
    EXAMPLE,
    FUNCTIONS,
    NOT_ACCEPTED,
    OPERATORS,
    Accepted,
)
from sandbox.query.language.parse import parse_query
from sandbox.query.language.syntax import Aggregate, Op, walk
from tests.generate import ROOT

ROWS: Final = {"functions": FUNCTIONS, "operators": OPERATORS, "casts": CASTS}


def examples() -> Iterator[tuple[str, str, str]]:
    """(name, query, the operator or aggregate that must be in its tree)."""
    for table, forms in ROWS.items():
        for form in forms.values():
            yield f"{table} {form.name}", EXAMPLE.format(aggregate="count(*)", condition=form.example), operator(table, form)
    for form in AGGREGATES.values():
        yield form.name, EXAMPLE.format(aggregate=form.example, condition="delay > 1"), form.op


def operator(table: str, form: Accepted) -> str:
    if form.name == "cast":
        return "cast numeric"
    parts = {"date_trunc": "date_trunc month", "date_part": "extract year", "extract": "extract year"}
    return f"cast {form.op}" if table == "casts" else parts.get(form.name, form.op)


@pytest.mark.parametrize(("sql", "op"), [e[1:] for e in examples()], ids=[e[0] for e in examples()])
def test_every_example_becomes_its_operator(sql: str, op: str) -> None:
    found = {part.name for part in walk(parse_query(sql)) if isinstance(part, Op | Aggregate)}
    assert op in found


@pytest.mark.parametrize("name", CONSTRUCTS)
def test_every_construct_is_read(name: str) -> None:
    sql = CONSTRUCTS[name].example
    parse_query(sql)
    # The example shows what it is for: its own last word is in it.
    assert {"subquery": "(SELECT", "star": "*"}.get(name, name.upper().split()[-1]) in sql.upper()


@pytest.mark.parametrize(("sql", "code"), NOT_ACCEPTED)
def test_what_is_listed_as_refused_is_refused_in_both_languages(sql: str, code: str) -> None:
    with pytest.raises(SandboxError) as caught:
        parse_query(sql)
    error = caught.value
    assert error.code == code
    assert error.position is not None
    told = both(error.code, error.params)
    assert told["en"] != told["zh"]
    assert code not in told.values()


def test_every_code_has_a_text_and_every_text_is_raised() -> None:
    """Also those that stand in tables, or are raised by a method."""
    source = {path: path.read_text("utf-8") for path in (ROOT / "sandbox").rglob("*.py") if "messages" not in path.parts}
    found = {path: set(re.findall(r'"((?:sql|query)_[a-z_]+)"', text)) for path, text in source.items()}
    here = set().union(*(codes for path, codes in found.items() if path.parent.name == "language"))
    assert here <= set(TEXTS)
    assert set(TEXTS) <= set().union(*found.values())


def test_other_systems_names_lead_to_something_that_is_accepted() -> None:
    known = {n.upper() for t in (FUNCTIONS, AGGREGATES, OPERATORS) for n in t}
    assert set(ELSEWHERE.values()) <= known
    assert not set(ELSEWHERE) & (set(FUNCTIONS) | set(AGGREGATES))


def test_every_form_has_both_languages() -> None:
    for table in (*ROWS.values(), AGGREGATES, CONSTRUCTS):
        for form in table.values():
            english, chinese = form.meaning
            assert english
            assert any(c not in string.printable for c in chinese)
