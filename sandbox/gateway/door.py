"""The door: what happens to every request before any route sees it, and what leaves when a route breaks."""

from __future__ import annotations

import functools
import logging
from time import perf_counter
from typing import Final

import uuid_utils
from anyio import to_thread
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from sandbox.errors import SandboxError, TooLarge
from sandbox.gateway.access import Gate, authenticate
from sandbox.gateway.problems import Carried, internal, problem

_access = logging.getLogger("sandbox.access")

_HEADERS: Final = (
    ("X-Content-Type-Options", "nosniff"),
    ("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'"),
    ("Referrer-Policy", "no-referrer"),
    ("Cache-Control", "no-store"),
)


class Door:
    """ASGI middleware: an id for each request, authentication before the body is read, a limit on the body.

    FastAPI reads a body before it runs dependencies; a stranger could make it parse megabytes. So the key is
    checked here, in a thread and with no database session held afterwards.
    """

    def __init__(self, app: ASGIApp, gate: Gate) -> None:
        self._app = app
        self._gate = gate
        self._limit = gate.house.settings.body_limit

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let one request through."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        visit = _Visit(scope, receive, send, self._limit)
        try:
            visit.check_length()
            if scope["path"].startswith("/v1/") or scope["path"] == "/v1":
                address = scope["client"][0] if scope.get("client") else "-"
                call = functools.partial(authenticate, self._gate, visit.header("authorization"), address)
                scope.setdefault("state", {})["principal"] = await to_thread.run_sync(call)
            await self._app(scope, visit.receive, visit.send)
        except SandboxError as error:
            await visit.fail(error)
        except Exception as error:  # noqa: BLE001  # the last wall: whatever nobody foresaw becomes a 503 without a story
            await visit.fail(internal(error, visit.id))
        finally:
            visit.tell()


class _Visit:
    """One request's way through the door."""

    def __init__(self, scope: Scope, receive: Receive, send: Send, limit: int) -> None:
        self.id = f"urn:uuid:{uuid_utils.uuid7()}"
        self._scope, self._receive, self._send, self._limit = scope, receive, send, limit
        self._headers = Headers(scope=scope)
        self._read = 0
        self._status = 0
        self._start = perf_counter()
        scope.setdefault("state", {})["instance"] = self.id

    def header(self, name: str) -> str:
        return self._headers.get(name, "")

    def check_length(self) -> None:
        declared = self.header("content-length")
        if declared.isdigit() and int(declared[:20]) > self._limit:
            raise TooLarge("body_too_large", limit=self._limit)

    async def receive(self) -> Message:
        message = await self._receive()
        if message["type"] == "http.request":
            self._read += len(message.get("body", b""))
            if self._read > self._limit:
                raise Carried(TooLarge("body_too_large", limit=self._limit))
        return message

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self._status = message["status"]
            headers = MutableHeaders(scope=message)
            headers["X-Request-Id"] = self.id
            for name, value in _HEADERS:
                headers.setdefault(name, value)
        await self._send(message)

    async def fail(self, error: SandboxError) -> None:
        if self._status:
            # Half an answer is out; cutting the connection is the only honest end.
            raise ConnectionAbortedError
        response = problem(error, accept_language=self.header("accept-language"), instance=self.id)
        await response(self._scope, self._receive, self.send)

    def tell(self) -> None:
        principal = self._scope["state"].get("principal")
        took = (perf_counter() - self._start) * 1000
        _access.info(
            "%s %s %d %.0fms %s %s",
            self._scope["method"], self._scope["path"], self._status, took, principal.id if principal else "-", self.id,
        )  # fmt: skip
