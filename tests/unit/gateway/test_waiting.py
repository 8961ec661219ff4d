"""An end to every waiting: for a request's head, its body, a route, a caller that takes nothing; and a bound on all."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from fastapi.responses import StreamingResponse
from starlette.testclient import TestClient

from sandbox.gateway.app import create_app
from tests.unit.gateway.living import Living, living
from tests.unit.gateway.sockets import connect, listening, started


@pytest.fixture(scope="module")
def hasty(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Living, str]]:
    folder = tmp_path_factory.mktemp("hasty")
    with living(folder, body_seconds=1, request_seconds=1) as alive, listening(alive.house, folder) as url:
        yield alive, url


def until_closed(connection: socket.socket, drop: bytes = b"") -> bytes:
    """What arrives until the other side closes; sends a byte of `drop` now and then meanwhile."""
    connection.settimeout(0.2 if drop else 60)
    found = b""
    for _ in range(300):
        try:
            piece = connection.recv(65_536)
        except TimeoutError:
            try:
                connection.sendall(drop)
            except OSError:
                break
            continue
        except OSError:
            break
        if not piece:
            break
        found += piece
    else:
        pytest.fail("the connection stays open")
    return found


@pytest.mark.parametrize("sent", [b"", b"GET /health/live HTTP/1.1\r\nHost: x\r\nX-Slow: "])
def test_a_connection_that_does_not_say_what_it_wants_is_closed(hasty: tuple[Living, str], sent: bytes) -> None:
    with connect(hasty[1]) as connection:
        connection.sendall(sent)
        assert until_closed(connection, b"a" if sent else b"") == b""


def test_a_body_that_trickles_is_told_so_and_cut(hasty: tuple[Living, str]) -> None:
    alive, url = hasty
    before = alive.events("access.deny")
    with connect(url) as connection:
        key = alive.keys["engineer"].encode()
        connection.sendall(
            b"POST /v1/queries HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer " + key + b"\r\nContent-Type: application/json\r\n"
            b"Content-Length: 1000\r\n\r\n{"
        )  # fmt: skip
        found = until_closed(connection, b" ")
    assert found.startswith(b"HTTP/1.1 408")
    assert b'"request_too_slow"' in found
    assert b"connection: close" in found.lower()
    assert alive.events("access.deny") == before


def test_a_refused_body_is_not_read_for_ever(hasty: tuple[Living, str]) -> None:
    with connect(hasty[1]) as connection:
        connection.sendall(b"POST /v1/queries HTTP/1.1\r\nHost: x\r\nContent-Length: 11000000\r\n\r\n{")
        found = until_closed(connection, b" ")
    assert found.startswith(b"HTTP/1.1 4")
    assert b"connection: close" in found.lower()


def test_a_head_too_long_is_refused(hasty: tuple[Living, str]) -> None:
    for head in (b"GET /health/live?" + b"q" * 200_000, b"GET /health/live HTTP/1.1\r\nX: " + b"x" * 200_000):
        with connect(hasty[1]) as connection:
            try:
                connection.sendall(head)
            except OSError:
                continue
            assert until_closed(connection)[:12] in {b"HTTP/1.1 400", b""}


def test_one_connection_too_many_is_closed_and_the_others_live(tmp_path: Path) -> None:
    with living(tmp_path, body_seconds=3600, connections=16) as alive, listening(alive.house, tmp_path) as url:
        held = [connect(url) for _ in range(30)]
        for connection in held:
            connection.setblocking(False)
        while sum(map(closed, held)) < 14:
            time.sleep(0.01)
        living_ones = [c for c in held if not closed(c)]
        assert len(living_ones) == 16
        living_ones[0].setblocking(True)
        living_ones[0].sendall(b"GET /health/live HTTP/1.1\r\nHost: x\r\n\r\n")
        assert living_ones[0].recv(12) == b"HTTP/1.1 200"
        for connection in held:
            connection.close()


def closed(connection: socket.socket) -> bool:
    try:
        return connection.recv(1, socket.MSG_PEEK) == b""
    except BlockingIOError:
        return False
    except OSError:
        return True


def test_a_route_that_hangs_is_answered_for_and_counts_until_it_ends(hasty: tuple[Living, str]) -> None:
    released = threading.Event()

    def hanging() -> str:
        released.wait(60)
        return "too late"

    app = create_app(hasty[0].house)
    app.get("/hanging")(hanging)
    with TestClient(app) as client:
        flight = app.state.gate.flight
        response = client.get("/hanging")
        assert (response.status_code, response.json()["code"]) == (503, "request_timed_out")
        assert response.headers["retry-after"] == "5"
        assert flight.aboard == 1
        released.set()
        while flight.aboard:
            time.sleep(0.01)
        assert client.get("/health/live").status_code == 200


def test_a_caller_that_does_not_take_its_answer_is_cut(hasty: tuple[Living, str]) -> None:
    """Else a download that nobody reads would keep what it reads from for as long as its caller likes."""
    app = create_app(hasty[0].house)
    sent = [0]

    @app.get("/endless")
    def endless() -> object:
        def pieces() -> Iterator[bytes]:
            for _ in range(10_000):
                sent[0] += 1
                yield b"x" * 1_000_000

        return StreamingResponse(pieces())

    with started(app, hasty[0].house.settings, None) as url, connect(url) as connection:
        connection.sendall(b"GET /endless HTTP/1.1\r\nHost: x\r\n\r\n")
        while not app.state.gate.flight.aboard:
            time.sleep(0.01)
        while app.state.gate.flight.aboard:
            time.sleep(0.01)
    assert sent[0] < 10_000
