"""A record has one form without numbers, and its digest changes with every value."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandbox.audit.records import plain, record_digest
from sandbox.crypto.suite import INTL
from sandbox.errors import IntegrityFailed

ROW = {
    "id": "x",
    "spent": 2**62,
    "wrapped": b"\x00\xff\x10",
    "on": True,
    "none": None,
    "spec": {"b": [1, -2], "a": 0.1},
}
PLAIN = {
    "id": "x", "spent": "4611686018427387904", "wrapped": "AP8Q", "on": True, "none": None,
    "spec": {"b": ["1", "-2"], "a": "0.1"},
}  # fmt: skip


def test_the_plain_form_has_no_numbers_and_no_bytes() -> None:
    assert plain(ROW) == PLAIN


def test_the_digest_is_over_canonical_json() -> None:
    canonical = (
        '{"id":"x","none":null,"on":true,"spec":{"a":"0.1","b":["1","-2"]},'
        '"spent":"4611686018427387904","wrapped":"AP8Q"}'
    )
    assert record_digest(ROW) == INTL.digest(canonical.encode()).hex()


def test_an_auditor_computes_the_same_digest_from_the_plain_form() -> None:
    assert record_digest(json.loads(json.dumps(plain(ROW)))) == record_digest(ROW)


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_a_float_comes_back_from_its_text(value: float) -> None:
    text = plain({"x": value})["x"]
    assert isinstance(text, str)
    assert float(text) == value


@pytest.mark.parametrize("column", list(ROW))
def test_every_value_counts(column: str) -> None:
    changed: dict[str, object] = {**ROW, column: "another"}
    assert record_digest(changed) != record_digest(ROW)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), {1: 2}, {1, 2}, object(), [object()]])
def test_a_value_without_an_exact_form_is_refused_by_its_column(value: object) -> None:
    with pytest.raises(IntegrityFailed, match="record_refused") as refused:
        record_digest({"id": "x", "bad": value})
    assert refused.value.params == {"column": "bad"}


def test_text_that_is_not_unicode_is_refused() -> None:
    with pytest.raises(IntegrityFailed, match="record_refused"):
        record_digest({"id": "\ud800"})
