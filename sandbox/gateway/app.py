"""The application: routers, the door, problems, and a readiness that is looked up beside the requests."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Final

import anyio
from anyio import to_thread
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.types import Lifespan

from sandbox import __version__
from sandbox.clock import parse_rfc3339
from sandbox.errors import SandboxError
from sandbox.gateway.access import Gate
from sandbox.gateway.door import Door
from sandbox.gateway.problems import MEDIA_TYPE, from_http, from_validation, problem
from sandbox.gateway.routes import catalogue, committee, health, log, people, queries
from sandbox.schemas import Problem
from sandbox.store import duties
from sandbox.wiring import House

_LOOK: Final = 2.0
_LATE: Final = 60.0
_log = logging.getLogger("sandbox.gateway")

_PROBLEM: Final = {"model": Problem, "description": "Refused; `code` says why."}


class Readiness:
    """What was last seen of the database and the duties; looked up every other second, never by a request."""

    def __init__(self, house: House) -> None:
        self._house = house
        self.checks: dict[str, bool] = {}

    async def watch(self) -> None:
        """Look, for as long as the application lives."""
        while True:
            self.checks = await to_thread.run_sync(self._look)
            await anyio.sleep(_LOOK)

    def _look(self) -> dict[str, bool]:
        now = self._house.clock.now()
        try:
            with self._house.sessions.reading() as session:
                found = duties.all_duties(session)
        except SandboxError as error:
            _log.error("not ready: %s", error.code)
            return {"database": False}
        checks = {"database": True}
        for duty in found:
            late = duty.last_ok is None or (now - parse_rfc3339(duty.last_ok)).total_seconds() > _LATE
            checks[duty.name] = duty.error is None and not late
        return checks


def create_app(house: House) -> FastAPI:
    """The gateway over a house. The caller opens and closes the house, and runs its duties."""
    gate, readiness = Gate.of(house), Readiness(house)

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(readiness.watch)
            yield
            if gate.behind:
                await asyncio.wait(gate.behind)
            tasks.cancel_scope.cancel()

    app = _described(lifespan)
    app.state.gate, app.state.readiness = gate, readiness
    app.add_middleware(Door, gate=gate)
    app.add_exception_handler(SandboxError, _refused)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(HTTPException, _http)
    return app


def openapi() -> dict[str, Any]:
    """The interface's description, without a house behind it."""
    return _described(None).openapi()


class _Described(FastAPI):
    """An application whose description gives problems their own media type."""

    def openapi(self) -> dict[str, Any]:
        found = super().openapi()
        for methods in found["paths"].values():
            for operation in methods.values():
                content = operation["responses"]["default"]["content"]
                if "application/json" in content:
                    content[MEDIA_TYPE] = content.pop("application/json")
        return found


def _described(lifespan: Lifespan[FastAPI] | None) -> FastAPI:
    app = _Described(
        title="Data sandbox 数据沙箱",
        version=__version__,
        description="Differentially private SQL over sealed city data: usable but not visible.",
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
        openapi_url="/openapi.json",
        responses={"default": _PROBLEM},
        telemetry={"tracing": False, "metrics": False, "logs": False, "operation_spans": False},
    )
    for module in (health, people, catalogue, committee, queries, log):
        app.include_router(module.router)
    return app


def _refused(request: Request, error: Exception) -> Response:
    assert isinstance(error, SandboxError)  # noqa: S101  # Starlette calls this for nothing else
    language = request.headers.get("accept-language", "")
    return problem(error, accept_language=language, instance=request.scope["state"]["instance"])


def _invalid(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)  # noqa: S101
    return _refused(request, from_validation(error.errors()))


def _http(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)  # noqa: S101
    return _refused(request, from_http(error))
