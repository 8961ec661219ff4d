"""The client's HTTP: what it refuses to send, what it sends again, and what it makes of strange answers."""

from __future__ import annotations

from collections.abc import Callable

import httpx2
import pytest

from sandbox.client.http import Http, ProblemError

KEY = "sbx_" + "a" * 43
URL = "http://127.0.0.1:8321"


def http(answer: Callable[[httpx2.Request], httpx2.Response], waits: list[float] | None = None) -> Http:
    """A client over a network that answers as told."""
    waits = [] if waits is None else waits
    return Http(URL, KEY, transport=httpx2.MockTransport(answer), sleep=waits.append)


@pytest.mark.parametrize(
    ("url", "code"),
    [
        ("ftp://127.0.0.1", "url_invalid"),
        ("127.0.0.1:8321", "url_invalid"),
        ("http://", "url_invalid"),
        ("http://city.example", "url_insecure"),
        ("http://10.0.0.1:8321", "url_insecure"),
        ("http://localhost.example", "url_insecure"),
    ],
)
def test_addresses_that_get_no_key(url: str, code: str) -> None:
    with pytest.raises(ProblemError) as caught:
        Http(url, KEY)
    assert caught.value.code == code


@pytest.mark.parametrize("url", ["http://localhost:1", "http://127.0.0.1", "http://[::1]:8", "https://city.example"])
def test_addresses_that_do(url: str) -> None:
    Http(url, KEY).close()


def test_address_and_key_come_from_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SANDBOX_URL", raising=False)
    monkeypatch.delenv("SANDBOX_KEY", raising=False)
    with pytest.raises(ProblemError) as caught:
        Http()
    assert caught.value.code == "url_missing"
    monkeypatch.setenv("SANDBOX_URL", URL)
    with pytest.raises(ProblemError) as caught:
        Http()
    assert caught.value.code == "key_not_set"
    monkeypatch.setenv("SANDBOX_KEY", KEY)
    Http().close()


def test_a_key_that_cannot_be_a_header_is_refused() -> None:
    with pytest.raises(ProblemError) as caught:
        Http(URL, "sbx_\nHost: other")
    assert caught.value.code == "key_refused"


def test_a_broken_connection_is_tried_again_under_the_same_idempotency_key() -> None:
    seen, waits = [], []

    def answer(request: httpx2.Request) -> httpx2.Response:
        seen.append(request.headers["Idempotency-Key"])
        if len(seen) < 3:
            raise httpx2.ReadError("gone")
        return httpx2.Response(200, json={"id": "qry_1"})

    assert http(answer, waits).post("/v1/queries", {}, idempotency_key="k" * 8) == {"id": "qry_1"}
    assert seen == ["k" * 8] * 3
    assert len(waits) == 2


def problem(code: str, **headers: str) -> httpx2.Response:
    body = {"code": code, "text": {"en": "No.", "zh": "无。"}}
    return httpx2.Response(503, json=body, headers=headers)


def test_a_gateway_that_asks_to_come_again_is_asked_again_under_the_same_key() -> None:
    seen, waits = [], []

    def answer(request: httpx2.Request) -> httpx2.Response:
        seen.append(request.headers["Idempotency-Key"])
        return problem("database_busy", **{"Retry-After": "2"}) if len(seen) < 3 else httpx2.Response(200, json={})

    assert http(answer, waits).post("/v1/queries", {}, idempotency_key="k" * 8) == {}
    assert seen == ["k" * 8] * 3
    assert waits == [2.0, 2.0]


def test_it_waits_no_longer_than_it_likes_and_gives_up_at_last() -> None:
    waits: list[float] = []
    with pytest.raises(ProblemError) as caught:
        http(lambda _: problem("database_failed", **{"Retry-After": "3600"}), waits).get("/v1/me")
    assert caught.value.code == "database_failed"
    assert waits == [5.0]


@pytest.mark.parametrize(
    "response",
    [
        problem("query_no_answer", **{"Retry-After": "5"}),
        problem("home_read_only", **{"Retry-After": "5"}),
        problem("database_failed"),
        httpx2.Response(429, json={"code": "too_many_requests", "text": {"en": "", "zh": ""}}, headers={"Retry-After": "5"}),
    ],
)
def test_what_another_try_does_not_mend_is_told_at_once(response: httpx2.Response) -> None:
    waits: list[float] = []
    with pytest.raises(ProblemError):
        http(lambda _: response, waits).post("/v1/queries", {}, idempotency_key="k" * 8)
    assert waits == []


def test_a_post_without_idempotency_key_is_sent_once() -> None:
    seen = []

    def answer(request: httpx2.Request) -> httpx2.Response:
        seen.append(request)
        raise httpx2.ReadError("gone")

    with pytest.raises(ProblemError) as caught:
        http(answer).post("/v1/tenants", {})
    assert caught.value.code == "gateway_unreachable"
    assert len(seen) == 1


def test_a_gateway_that_never_answers_is_unreachable() -> None:
    def answer(_request: httpx2.Request) -> httpx2.Response:
        raise httpx2.ConnectError("refused")

    with pytest.raises(ProblemError) as caught:
        http(answer).get("/v1/me")
    assert (caught.value.code, caught.value.status) == ("gateway_unreachable", 0)
    assert "8321" in caught.value.text["en"]


@pytest.mark.parametrize(
    ("status", "content"),
    [(200, b"<html>"), (502, b"<html>"), (500, b"{}"), (400, b'{"code": "x"}'), (400, b"[]"), (404, b"\xff")],
)
def test_what_is_no_gateway_is_called_strange(status: int, content: bytes) -> None:
    with pytest.raises(ProblemError) as caught:
        http(lambda _: httpx2.Response(status, content=content)).get("/v1/me")
    assert caught.value.code == "gateway_strange"


def test_a_problem_comes_back_whole() -> None:
    body = {
        "code": "column_unknown", "params": {"column": "docvi"}, "text": {"en": "No.", "zh": "无。"},
        "position": {"line": 1, "column": 8, "file": None}, "instance": "urn:x",
    }  # fmt: skip
    with pytest.raises(ProblemError) as caught:
        http(lambda _: httpx2.Response(400, json=body)).get("/v1/me")
    error = caught.value
    assert (error.code, error.status, error.text["zh"], error.params) == ("column_unknown", 400, "无。", body["params"])
    assert error.position is not None
    assert (error.position.line, error.position.column) == (1, 8)


def test_pages_are_followed_to_the_end() -> None:
    pages = {None: (["a", "b"], "b"), "b": (["c"], None)}

    def answer(request: httpx2.Request) -> httpx2.Response:
        items, after = pages[request.url.params.get("after")]
        return httpx2.Response(200, json={"items": items, "next": after})

    assert list(http(answer).pages("/v1/things")) == ["a", "b", "c"]


def test_redirects_are_not_followed() -> None:
    def answer(_request: httpx2.Request) -> httpx2.Response:
        return httpx2.Response(302, headers={"Location": "http://127.0.0.1:1/"}, content=b"")

    with pytest.raises(ProblemError):
        http(answer).get("/v1/me")
