"""Proxies: whose word on an address counts, and that nobody else's does."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from starlette.datastructures import Headers
from starlette.testclient import TestClient

from sandbox.errors import Denied
from sandbox.gateway.app import create_app
from sandbox.gateway.proxies import Proxies
from tests.unit.gateway.living import Living, living

TRUSTED = Proxies.of(("10.0.0.0/8", "2001:db8:1::1"))


def headers(**named: str | list[str]) -> Headers:
    raw = []
    for name, values in named.items():
        listed = [values] if isinstance(values, str) else values
        raw += [(name.replace("_", "-").encode(), value.encode()) for value in listed]
    return Headers(raw=raw)


def https(forwarded: str | list[str]) -> Headers:
    return headers(x_forwarded_proto="https", x_forwarded_for=forwarded)


@pytest.mark.parametrize("peer", ["192.0.2.7", "127.0.0.1", "testclient"])
def test_without_named_proxies_a_header_is_nobodys_word(peer: str) -> None:
    assert Proxies.of(()).caller(peer, https("203.0.113.9")) == peer


@pytest.mark.parametrize(
    ("forwarded", "caller"),
    [
        ("203.0.113.9", "203.0.113.9"),
        ("203.0.113.9:4711", "203.0.113.9"),
        ("198.51.100.1, 203.0.113.9", "203.0.113.9"),  # what stands further left the caller wrote himself
        ("10.9.9.9, 203.0.113.9", "203.0.113.9"),  # also when he claims to be one of us
        ("203.0.113.9, 10.0.0.2", "203.0.113.9"),  # two proxies of ours behind one another
        (["198.51.100.1", "203.0.113.9, 10.0.0.2"], "203.0.113.9"),  # in two lines
        ("10.0.0.3, 10.0.0.2", "10.0.0.3"),  # a caller inside the house
        ("nonsense, 10.0.0.2", "10.0.0.2"),
        ("nonsense", "10.0.0.1"),
        ([], "10.0.0.1"),
        ("::ffff:203.0.113.9", "203.0.113.9"),
        ("2001:db8:7:7::1", "2001:db8:7:7::/64"),
        ("[2001:db8:7:7:ffff::2]:443", "2001:db8:7:7::/64"),
    ],
)
def test_the_caller_is_the_last_hop_that_is_no_proxy_of_ours(forwarded: str | list[str], caller: str) -> None:
    assert TRUSTED.caller("10.0.0.1", https(forwarded)) == caller


@pytest.mark.parametrize("peer", ["192.0.2.7", "127.0.0.1", "::1", "11.0.0.1", "testclient", None, ""])
def test_nobody_but_a_proxy_is_answered(peer: str | None) -> None:
    with pytest.raises(Denied, match="proxy_unknown"):
        TRUSTED.caller(peer, https("10.0.0.1"))


@pytest.mark.parametrize("proto", [[], "http", "", "https, http", "http, https", ["http", "https"], "httpsx"])
def test_who_came_in_clear_is_refused(proto: str | list[str]) -> None:
    with pytest.raises(Denied, match="proxy_insecure"):
        TRUSTED.caller("10.0.0.1", headers(x_forwarded_proto=proto, x_forwarded_for="203.0.113.9"))


def test_a_proxy_and_this_machine_may_ask_for_health_themselves() -> None:
    assert TRUSTED.caller("10.0.0.1", headers(), keyless=True) == "10.0.0.1"
    assert TRUSTED.caller("127.0.0.1", headers(), keyless=True) == "127.0.0.1"
    with pytest.raises(Denied, match="proxy_unknown"):
        TRUSTED.caller("192.0.2.7", headers(), keyless=True)


def test_an_ipv4_peer_on_a_dual_socket_is_the_same_peer() -> None:
    assert TRUSTED.caller("::ffff:10.0.0.1", https("203.0.113.9")) == "203.0.113.9"


@pytest.fixture(scope="module")
def behind(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Living]:
    with living(tmp_path_factory.mktemp("behind"), trusted_proxies=("10.0.0.0/8",), bad_keys_per_minute=2) as found:
        yield found


def from_peer(alive: Living, peer: str) -> TestClient:
    return TestClient(create_app(alive.house), client=(peer, 50_000))


def test_spoofed_headers_of_a_stranger_get_403_and_leave_nothing(behind: Living) -> None:
    before = len(behind.events("access.deny"))
    spoofed = {"X-Forwarded-For": "10.0.0.1", "X-Forwarded-Proto": "https", "Forwarded": "for=10.0.0.1;proto=https"}
    for key in (behind.who("engineer"), {"Authorization": "Bearer sbx_" + "A" * 43}, {}):
        response = from_peer(behind, "192.0.2.7").get("/v1/me", headers={**spoofed, **key})
        assert (response.status_code, response.json()["code"]) == (403, "proxy_unknown")
    assert len(behind.events("access.deny")) == before


def test_a_proxy_is_answered_for_a_caller_who_came_by_https(behind: Living) -> None:
    client = from_peer(behind, "10.1.2.3")
    told = {**behind.who("engineer"), "X-Forwarded-For": "203.0.113.9", "X-Forwarded-Proto": "https"}
    assert client.get("/v1/me", headers=told).status_code == 200
    refused = client.get("/v1/me", headers={**told, "X-Forwarded-Proto": "http"})
    assert (refused.status_code, refused.json()["code"]) == (403, "proxy_insecure")
    assert client.get("/health/live").status_code == 200


def test_limits_count_by_the_forwarded_address_and_not_by_a_forged_one(behind: Living) -> None:
    client = from_peer(behind, "10.1.2.3")

    def bad(forwarded: str) -> int:
        told = {"Authorization": "Bearer sbx_" + "A" * 43, "X-Forwarded-Proto": "https"}
        return client.get("/v1/me", headers={**told, "X-Forwarded-For": forwarded}).status_code

    # The left part changes with every try, as a caller would forge it; the proxy has written the right one.
    assert [bad(f"198.51.100.{n}, 203.0.113.50") for n in range(4)] == [401, 401, 429, 429]
    assert bad("203.0.113.51") == 401


def test_the_settings_refuse_what_is_no_network(tmp_path: Path) -> None:
    from sandbox.errors import RequestError
    from sandbox.settings import checked

    for wrong in (["proxy.example"], ["10.0.0.1/8"], [""], "10.0.0.1"):
        with pytest.raises(RequestError, match="trusted_proxies"):
            checked({"log_name": "a/b", "trusted_proxies": wrong}, "settings.toml")
    assert checked({"log_name": "a/b", "trusted_proxies": ["10.0.0.1", "::1"]}, "x").trusted_proxies == ("10.0.0.1", "::1")
