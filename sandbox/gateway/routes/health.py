"""Health: whether the process lives, and whether its duties do; asks nothing slow, and nobody for a key."""

from __future__ import annotations

from fastapi import APIRouter, Request, Response

from sandbox.schemas import Health

router = APIRouter(prefix="/health", tags=["health"])


@router.get("/live")
async def live() -> Health:
    """The process answers."""
    return Health(status="ok")


@router.get("/ready", responses={503: {"model": Health}})
async def ready(request: Request, response: Response) -> Health:
    """The database and every duty were well when last looked at, some seconds ago at most."""
    checks: dict[str, bool] = request.app.state.readiness.checks
    well = bool(checks) and all(checks.values())
    if not well:
        response.status_code = 503
    return Health(status="ok" if well else "not ready", checks=checks)
