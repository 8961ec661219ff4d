"""The application: routers, the door, problems, and a readiness that is looked up beside the requests."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.types import Lifespan

from sandbox import __version__
from sandbox.errors import SandboxError
from sandbox.gateway.access import Gate
from sandbox.gateway.described import PROBLEM, Described
from sandbox.gateway.door import Door
from sandbox.gateway.problems import from_http, from_validation, problem
from sandbox.gateway.readiness import Readiness
from sandbox.gateway.routes import catalogue, committee, health, log, people, queries, receipts, removals, tlog
from sandbox.wiring import House


def create_app(house: House) -> FastAPI:
    """The gateway over a house. The caller opens and closes the house, and runs its duties."""
    gate, readiness = Gate.of(house), Readiness(house)

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        readiness.start()
        yield
        if gate.behind:
            await asyncio.wait(gate.behind)
        readiness.stop()
        gate.watch.close()

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


def _described(lifespan: Lifespan[FastAPI] | None) -> FastAPI:
    app = Described(
        title="Data sandbox 数据沙箱",
        version=__version__,
        description="Differentially private SQL over sealed city data: usable but not visible.",
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
        openapi_url="/openapi.json",
        redirect_slashes=False,
        responses={"default": PROBLEM},
        telemetry={"tracing": False, "metrics": False, "logs": False, "operation_spans": False},
    )
    for module in (health, people, catalogue, removals, committee, queries, receipts, log, tlog):
        app.include_router(module.router)
    return app


def _refused(request: Request, error: Exception) -> Response:
    assert isinstance(error, SandboxError)  # noqa: S101  # Starlette calls this for nothing else
    request.scope["state"]["code"] = error.code
    language = request.headers.get("accept-language", "")
    return problem(error, accept_language=language, instance=request.scope["state"]["instance"])


def _invalid(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)  # noqa: S101
    return _refused(request, from_validation(error.errors()))


def _http(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)  # noqa: S101
    return _refused(request, from_http(error))
