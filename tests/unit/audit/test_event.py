"""Events have one spelling, and nothing that has two ever becomes one."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
import rfc8785
from hypothesis import given
from hypothesis import strategies as st

from sandbox.audit.event import EVENT_TYPES, Event, decode, encode
from sandbox.errors import IntegrityFailed

EVENT = Event(
    id="evt_1", type="key.create", at="2026-01-02T03:04:05.678Z", actor="prn_1", tenant="ten_1", subject="key_1",
    policy=7, details={"b": [1, "二", None, True], "a": {}},
)  # fmt: skip
BODY = (
    '{"actor":"prn_1","at":"2026-01-02T03:04:05.678Z","details":{"a":{},"b":[1,"二",null,true]},"id":"evt_1",'
    '"policy":7,"subject":"key_1","tenant":"ten_1","type":"key.create","v":1}'
).encode()

TEXT = st.text(st.characters(exclude_categories=("Cs",)), max_size=8)
EXACT = st.recursive(
    st.none() | st.booleans() | TEXT | st.integers(-(2**53) + 1, 2**53 - 1),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=10,
)


def test_the_canonical_bytes_are_these() -> None:
    assert encode(EVENT) == BODY
    assert decode(BODY) == EVENT


@given(st.dictionaries(TEXT, EXACT, max_size=4), st.sampled_from(EVENT_TYPES))
def test_every_event_comes_back_from_its_bytes(details: dict[str, object], type_: str) -> None:
    event = replace(EVENT, type=type_, details=details)
    body = encode(event)
    assert decode(body) == event
    assert rfc8785.dumps(json.loads(body)) == body


def test_tuples_are_lists() -> None:
    assert decode(encode(replace(EVENT, details={"caps": (("grant", "grt_1"),)}))).details == {
        "caps": [["grant", "grt_1"]]
    }


@pytest.mark.parametrize(
    ("details", "where"),
    [
        ({"a": 0.5}, "details.a"),
        ({"a": 1.0}, "details.a"),
        ({"a": float("nan")}, "details.a"),
        ({"a": {"b": [0, 2**53]}}, "details.a.b[1]"),
        ({"a": -(2**53)}, "details.a"),
        ({"a": b"bytes"}, "details.a"),
        ({"a": {1: "x"}}, "details.a"),
        ({"a": {1, 2}}, "details.a"),
        ({"a": "\ud800"}, "text"),
    ],
)
def test_what_has_no_exact_form_is_refused_with_its_place(details: dict[str, object], where: str) -> None:
    with pytest.raises(IntegrityFailed, match="event_refused") as refused:
        encode(replace(EVENT, details=details))
    assert refused.value.params == {"type": "key.create", "where": where}


def test_a_type_that_is_not_in_the_list_is_refused() -> None:
    with pytest.raises(IntegrityFailed, match="event_refused"):
        encode(replace(EVENT, type="key.created"))
    assert len(set(EVENT_TYPES)) == len(EVENT_TYPES)


@pytest.mark.parametrize(
    "body",
    [
        b"", b"null", b"[]", b"{}", b"{", b"\xff", b"[" * 100_000, BODY + b" ", b" " + BODY,
        BODY.replace(b'"v":1', b'"v":2'), BODY.replace(b'"v":1', b'"v":true'), BODY.replace(b'"v":1', b'"v":1.0'),
        BODY.replace(b'"policy":7', b'"policy":true'), BODY.replace(b'"policy":7', b'"policy":"7"'),
        BODY.replace(b'"policy":7', b'"policy":9007199254740992'), BODY.replace(b"key.create", b"key.other"),
        BODY.replace(b'"id":"evt_1"', b'"id":1'), BODY.replace(b'"id":"evt_1",', b""),
        BODY.replace(b'"id":"evt_1"', b'"id":"evt_1","id":"evt_1"'), BODY.replace(b'"id"', b'"extra":1,"id"'),
        BODY.replace(b'"v":1', b'"v": 1'), BODY.replace("二".encode(), b"\\u4e8c"),
        BODY.replace(b'{"a":{}', b'{"a":0.5'),
        BODY.replace(b'{"a":{},"b":[1,"\xe4\xba\x8c",null,true]}', b"[]"),
    ],
)  # fmt: skip
def test_bytes_that_no_event_gives_are_malformed(body: bytes) -> None:
    with pytest.raises(IntegrityFailed, match="event_malformed"):
        decode(body)


def test_an_event_that_no_bundle_could_hold_is_refused() -> None:
    whole = replace(EVENT, details={"rows": "x" * 65_000})
    assert decode(encode(whole)) == whole
    with pytest.raises(IntegrityFailed, match="event_too_long") as caught:
        encode(replace(EVENT, details={"rows": "x" * 65_500}))
    assert caught.value.params["limit"] == 65_535
