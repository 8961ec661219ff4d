"""A faulty HTTP proxy before a real server: slow, cutting off, answering 503, lying about bytes; switched while it runs."""

from __future__ import annotations

import contextlib
import http.client
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import Enum, auto
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Fault(Enum):
    """What the proxy does to a request."""

    TRICKLE = auto()
    """Sends the answer a byte at a time, from its first."""
    SILENCE = auto()
    """Takes the request and never answers."""
    CUT = auto()
    """Passes the request on, then closes in the middle of the answer's body, or before the answer if it has none."""
    DROP = auto()
    """Closes without passing the request on."""
    UNAVAILABLE = auto()
    """503 with a page of HTML, and a wish that one come back in an hour."""
    FULL = auto()
    """507, as of a disk that is full."""
    EXPIRED = auto()
    """403 ExpiredToken."""
    DENIED = auto()
    """403 AccessDenied."""
    NO_CONDITIONS = auto()
    """501 for a conditional write, as servers answer that do not know them."""
    LIE = auto()
    """Changes a byte of the answer's body."""
    LIE_UP = auto()
    """Changes a byte of the request's body."""
    GARBAGE = auto()
    """200 with a body that is no XML."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """A request that arrived."""

    method: str
    path: str
    headers: dict[str, str]
    size: int


@dataclass(slots=True)
class _Rule:
    fault: Fault
    when: Callable[[Asked], bool]
    left: int


@dataclass(slots=True)
class Proxy:
    """The proxy's switchboard."""

    endpoint: str
    upstream: str
    rules: list[_Rule] = field(default_factory=list)
    asked: list[Asked] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)
    over: threading.Event = field(default_factory=threading.Event)

    def fault(self, fault: Fault, *, times: int = 1_000_000, when: Callable[[Asked], bool] = lambda _: True) -> None:
        """Do this to the next `times` requests that match."""
        with self.lock:
            self.rules.append(_Rule(fault, when, times))

    def calm(self) -> None:
        """Pass everything on again, and forget what was asked."""
        with self.lock:
            self.rules.clear()
            self.asked.clear()

    def take(self, asked: Asked) -> Fault | None:
        """Note a request; the fault that it shall suffer."""
        with self.lock:
            self.asked.append(asked)
            for rule in self.rules:
                if rule.left and rule.when(asked):
                    rule.left -= 1
                    return rule.fault
        return None


@contextmanager
def proxy(upstream: str, tls: ssl.SSLContext | None = None) -> Iterator[Proxy]:
    """A proxy before `host:port`; speaks TLS to its callers where it has a context."""

    class Passes(_Passes):
        board: Proxy

    server = ThreadingHTTPServer(("127.0.0.1", 0), Passes)
    server.daemon_threads = True
    if tls is not None:
        server.socket = tls.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    board = Passes.board = Proxy(endpoint=f"127.0.0.1:{server.server_port}", upstream=upstream)
    thread = threading.Thread(target=lambda: server.serve_forever(poll_interval=0.02), daemon=True)
    thread.start()
    try:
        yield board
    finally:
        board.over.set()
        server.shutdown()
        server.server_close()
        thread.join()


class _Passes(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    board: Proxy

    def log_message(self, *args: object) -> None:
        """Tests have their own say."""

    def handle(self) -> None:
        with contextlib.suppress(OSError):  # callers go away in the middle
            super().handle()

    def pass_on(self) -> None:
        size = int(self.headers.get("Content-Length") or 0)
        body = self.rfile.read(size)
        asked = Asked(method=self.command, path=self.path, headers=dict(self.headers.items()), size=size)
        fault = self.board.take(asked)
        if fault is Fault.SILENCE:
            self.board.over.wait(600)
        if fault in {Fault.SILENCE, Fault.DROP}:
            self.close_connection = True
            return
        if fault is Fault.LIE_UP:
            body = _spoiled(body)
        own = _own_answer(fault, asked)
        try:
            status, headers, answer = own or self.upstream(body)
        except (OSError, http.client.HTTPException):  # no server behind us: a broken connection is the honest answer
            self.close_connection = True
            return
        self.answer(status, headers, _spoiled(answer) if fault is Fault.LIE else answer, fault)

    def upstream(self, body: bytes) -> tuple[int, list[tuple[str, str]], bytes]:
        connection = http.client.HTTPConnection(self.board.upstream, timeout=60)
        try:
            connection.putrequest(self.command, self.path, skip_host=True, skip_accept_encoding=True)
            for name, value in self.headers.items():
                connection.putheader(name, value)
            connection.endheaders(body or None)
            answer = connection.getresponse()
            headers = [(n, v) for n, v in answer.getheaders() if n.lower() not in {"transfer-encoding", "connection"}]
            return answer.status, headers, answer.read()
        finally:
            connection.close()

    def answer(self, status: int, headers: list[tuple[str, str]], body: bytes, fault: Fault | None) -> None:
        if self.command != "HEAD":
            headers = [(n, v) for n, v in headers if n.lower() != "content-length"]
            headers.append(("Content-Length", str(len(body))))
        head = f"HTTP/1.1 {status} x\r\n" + "".join(f"{n}: {v}\r\n" for n, v in headers) + "\r\n"
        whole = head.encode("latin-1") + (b"" if self.command == "HEAD" else body)
        if fault is Fault.CUT:
            self.wfile.write(whole[: len(head) + len(body) // 2] if body else whole[: len(head) // 2])
            self.close_connection = True
        elif fault is Fault.TRICKLE:
            self.connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            for byte in whole:
                self.wfile.write(bytes([byte]))
                if self.board.over.wait(0.05):
                    break
            self.close_connection = True
        else:
            self.wfile.write(whole)

    do_GET = do_PUT = do_POST = do_HEAD = do_DELETE = pass_on  # noqa: N815  # as http.server names them


def _spoiled(body: bytes) -> bytes:
    middle = len(body) // 2
    return body[:middle] + bytes([body[middle] ^ 1]) + body[middle + 1 :] if body else body


def _own_answer(fault: Fault | None, asked: Asked) -> tuple[int, list[tuple[str, str]], bytes] | None:
    xml = [("Content-Type", "application/xml")]
    if fault is Fault.UNAVAILABLE:
        return 503, [("Content-Type", "text/html"), ("Retry-After", "3600")], b"<html>come back later</html>"
    if fault is Fault.FULL:
        return 507, xml, b"<Error><Code>XMinioStorageFull</Code><Message>/disk3 is full</Message></Error>"
    if fault is Fault.EXPIRED:
        return 403, xml, b"<Error><Code>ExpiredToken</Code><Message>of /etc/keys</Message></Error>"
    if fault is Fault.DENIED:
        return 403, xml, b"<Error><Code>AccessDenied</Code><Message>no</Message></Error>"
    if fault is Fault.GARBAGE:
        return 200, xml, b"<ListBucketResult><Contents>"
    if fault is Fault.NO_CONDITIONS and "If-None-Match" in asked.headers:
        return 501, xml, b"<Error><Code>NotImplemented</Code><Message>no</Message></Error>"
    return None
