"""The door: what happens to every request before any route sees it, and what leaves when a route breaks."""

from __future__ import annotations

import asyncio
import functools
import logging
from collections.abc import Awaitable, Callable
from time import perf_counter
from typing import Final

import anyio
import uuid_utils
from anyio import to_thread
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from sandbox.errors import DependencyFailed, SandboxError, TooLarge, TooMany, TooSlow
from sandbox.flow import Principal
from sandbox.gateway import trails
from sandbox.gateway.access import Gate, authenticate
from sandbox.gateway.limits import Seat
from sandbox.gateway.problems import Carried, internal, problem
from sandbox.gateway.trails import Trail
from sandbox.settings import Settings

_access = logging.getLogger("sandbox.access")
_log = logging.getLogger("sandbox.gateway")

_HEADERS: Final = (
    ("X-Content-Type-Options", "nosniff"),
    ("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'"),
    ("Referrer-Policy", "no-referrer"),
    ("Cache-Control", "no-store"),
)
_HEALTH: Final = "/health/"
_KEYED: Final = ("/v1/", "/log/tile/entries/")
"""What is asked for with a key; the rest of the log is public."""
_WAITS: Final = ("POST", "/v1/queries")
"""The route that may take its time: it waits for a slot, which has a bound of its own, and for the rung."""


class Door:
    """ASGI middleware: an id for each request, limits and authentication before the body is read, an end to waiting.

    FastAPI reads a body before it runs dependencies; a stranger could make it parse megabytes. So the key is
    checked here, in a thread and with no database session held afterwards.
    """

    def __init__(self, app: ASGIApp, gate: Gate) -> None:
        self._app = app
        self._gate = gate
        self._settings = gate.house.settings

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let one request through."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        visit = _Visit(scope, receive, send, self._settings, Trail(self._gate.house.clock))
        token = trails.current.set(visit.trail)
        try:
            await self._admit(visit)
        except SandboxError as error:
            await visit.fail(error)
        except Exception as error:  # noqa: BLE001  # the last wall: whatever nobody foresaw becomes a 503 without a story
            await visit.fail(internal(error, visit.id))
        finally:
            trails.current.reset(token)
            self._gate.watch.tell(visit.leave())

    async def _admit(self, visit: _Visit) -> None:
        health = visit.path.startswith(_HEALTH)
        address = self._gate.proxies.caller(visit.peer, visit.headers, keyless=health)
        if health:
            await self._app(visit.scope, visit.receive, visit.send)
            return
        seat = self._gate.flight.board()
        leave: Callable[[], None] | None = seat.leave
        try:
            visit.check_length()
            name = await self._name(visit, seat, address)
            if (visit.method, visit.path) == _WAITS:
                await self._app(visit.scope, visit.receive, visit.send)
            else:
                task = asyncio.ensure_future(self._run(visit, name))
                leave = None
                task.add_done_callback(functools.partial(_over, seat))
                await self._timed(visit, task)
        finally:
            if leave is not None:
                leave()

    async def _run(self, visit: _Visit, name: str) -> None:
        async with self._gate.routes.share_of(name):
            visit.begun = True
            await self._app(visit.scope, visit.receive, visit.send)

    async def _name(self, visit: _Visit, seat: Seat, address: str) -> str:
        """Find out for whom the request counts, and whether they may have one more."""
        name, buckets, per_minute = address, self._gate.open, self._settings.open_per_minute
        if visit.path == "/v1" or visit.path.startswith(_KEYED):
            principal = await self._authenticated(visit, address)
            name, buckets, per_minute = principal.tenant, self._gate.tenants, self._settings.tenant_per_minute
        if not buckets.take(name):
            raise TooMany("too_many_requests", limit=per_minute)
        seat.take(name)
        return name

    async def _authenticated(self, visit: _Visit, address: str) -> Principal:
        call = functools.partial(authenticate, self._gate, visit.headers.get("authorization", ""), address)
        start = perf_counter()
        try:
            principal = await to_thread.run_sync(call)
        except Exception as error:
            trails.broke("authenticate", perf_counter() - start, error)
            raise
        trails.went("authenticate", perf_counter() - start)
        visit.scope["state"]["principal"] = principal
        return principal

    async def _timed(self, visit: _Visit, task: asyncio.Future[None]) -> None:
        """Wait for the route to begin its answer; past its time, answer in its place while its thread ends alone."""
        seconds = self._settings.request_seconds + (self._settings.body_seconds if visit.has_body else 0)
        try:
            await asyncio.wait({task}, timeout=seconds)
            if not task.done() and not visit.status:
                visit.abandoned = True
                if not visit.begun:
                    task.cancel()
                raise DependencyFailed("request_timed_out", seconds=seconds)
            await task
        except asyncio.CancelledError:
            task.cancel()
            raise


def _over(seat: Seat, task: asyncio.Future[None]) -> None:
    # An abandoned route counts until its thread has ended; what it raised then is nobody's answer any more.
    seat.leave()
    if not task.cancelled() and (error := task.exception()) is not None:
        _log.debug("route ended with %s", type(error).__qualname__)


class _Visit:
    """One request's way through the door."""

    def __init__(self, scope: Scope, receive: Receive, send: Send, settings: Settings, trail: Trail) -> None:
        self.id = f"urn:uuid:{uuid_utils.uuid7()}"
        self.scope, self._receive, self._send, self.trail = scope, receive, send, trail
        self.headers = Headers(scope=scope)
        self.path: str = scope["path"]
        self.method: str = scope["method"]
        self.peer: str | None = scope["client"][0] if scope.get("client") else None
        self.has_body = self.headers.get("content-length", "0") != "0" or "transfer-encoding" in self.headers
        self.status = 0
        self.begun = self.abandoned = False
        self._limit, self._seconds = settings.body_limit, settings.body_seconds
        self._read, self._whole = 0, not self.has_body
        self._start = perf_counter()
        self._deadline = self._start + self._seconds
        self._code: str | None = None
        scope.setdefault("state", {})["instance"] = self.id

    def check_length(self) -> None:
        declared = self.headers.get("content-length", "")
        if declared.isdigit() and int(declared[:20]) > self._limit:
            raise TooLarge("body_too_large", limit=self._limit)

    async def receive(self) -> Message:
        if self._whole:
            return await self._receive()  # only a caller's leaving is still to come
        try:
            message = await _within(self._deadline - perf_counter(), self._receive())
        except TimeoutError:
            raise Carried(TooSlow("request_too_slow", seconds=self._seconds)) from None
        if message["type"] == "http.request":
            self._read += len(message.get("body", b""))
            self._whole = not message.get("more_body", False)
            if self._read > self._limit:
                raise Carried(TooLarge("body_too_large", limit=self._limit))
        return message

    async def send(self, message: Message) -> None:
        """What the route sends; nothing any more once it was answered in its place."""
        if not self.abandoned:
            await self._pass(message)

    async def _pass(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            headers = MutableHeaders(scope=message)
            headers["X-Request-Id"] = self.id
            for name, value in _HEADERS:
                headers.setdefault(name, value)
            if not self._whole:
                headers["Connection"] = "close"  # what is left of the body is not awaited
        try:
            await _within(self._seconds, self._send(message))
        except TimeoutError:
            # The caller does not take its answer: it would hold a snapshot or a buffer for as long as it liked.
            raise ConnectionAbortedError from None

    async def fail(self, error: SandboxError) -> None:
        if self.status:
            # Half an answer is out; cutting the connection is the only honest end.
            raise ConnectionAbortedError
        self._code = error.code
        response = problem(error, accept_language=self.headers.get("accept-language", ""), instance=self.id)
        await response(self.scope, self._receive, self._pass)

    def leave(self) -> trails.Walked:
        """Tell the access log, and close the trail."""
        state = self.scope["state"]
        principal: Principal | None = state.get("principal")
        took = (perf_counter() - self._start) * 1000
        _access.info(
            "%s %s %d %.0fms %s %s",
            self.method, self.path, self.status, took, principal.id if principal else "-", self.id,
        )  # fmt: skip
        return self.trail.end(
            request_id=self.id,
            route=getattr(self.scope.get("route"), "path", "-"),
            method=self.method,
            status=self.status,
            code=self._code or state.get("code"),
            principal=principal,
        )


async def _within(seconds: float, awaitable: Awaitable[Message | None]) -> Message:
    with anyio.fail_after(max(0.0, seconds)):
        return await awaitable or {}
