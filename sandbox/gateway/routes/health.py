"""Health: whether the process lives, and whether its home is well; asks nothing slow, and nobody for a key."""

from __future__ import annotations

from fastapi import APIRouter, Request, Response

from sandbox.gateway.problems import RETRY_AFTER
from sandbox.gateway.readiness import Readiness, Seen
from sandbox.schemas import CheckpointState, DutyState, Health, ProcessState, Ready, SchemaState
from sandbox.store.home_state import OPEN
from sandbox.work.standing import Standing

router = APIRouter(prefix="/health", tags=["health"])


@router.get("/live")
async def live() -> Health:
    """The process answers."""
    return Health(status="ok")


@router.get("/ready", responses={503: {"model": Ready}})
async def ready(request: Request, response: Response) -> Ready:
    """Database, object store and every duty were well when last looked at, some seconds ago at most."""
    readiness: Readiness = request.app.state.readiness
    seen = readiness.seen()
    well = all(seen.checks.values())
    if not well:
        response.status_code = 503
        response.headers["Retry-After"] = RETRY_AFTER
    told = Ready(status="ok" if well else "not ready", checks=seen.checks)
    return told if seen.standing is None else told.model_copy(update=_told(seen, seen.standing))


def _told(seen: Seen, standing: Standing) -> dict[str, object]:
    """What the verdict rests on: codes, digests and times, no names."""
    newest = standing.checkpoint
    return {
        "duties": [
            DutyState(
                name=duty.name,
                well=seen.checks.get(duty.name, duty.error is None),
                # To the minute: when a duty was done exactly would tell how long a resumed question took (P7.1).
                last_ok=None if duty.last_ok is None else f"{duty.last_ok[:16]}Z",
                error=duty.error,
                holder=duty.holder,
            )
            for duty in standing.duties
        ],
        "processes": [
            ProcessState(
                id=process.id, role=process.role, release=process.release, settings=process.settings,
                started_at=process.started_at, seen_at=process.seen_at,
            )
            for process in standing.processes
        ],
        "settings_differ": len(standing.settings()) > 1,
        "database": SchemaState(found=standing.schema, known=seen.known),
        "checkpoint": (
            None
            if newest is None
            else CheckpointState(size=newest[0], at=newest[1], waiting_since=standing.waiting_since)
        ),
        "read_only": seen.frozen or (None if standing.home.mode == OPEN else standing.home.code),
    }  # fmt: skip
