"""The public log: checkpoint and hash tiles for anybody, bundles of entries for the auditor.

Source: C2SP tlog-tiles (https://c2sp.org/tlog-tiles).
"""

from __future__ import annotations

from typing import Any, Final

from fastapi import APIRouter, Request, Response
from sqlalchemy.orm import Session

from sandbox.audit.tiles import WIDTH, pack_entries, parse_tile_path, width_at
from sandbox.crypto.suite import INTL
from sandbox.errors import NotFound
from sandbox.gateway.access import At, Caller, permit, record_reading
from sandbox.gateway.described import PROBLEM
from sandbox.store import cosignatures, log

router = APIRouter(prefix="/log", tags=["log"])

_TEXT: Final = "text/plain; charset=utf-8"
_BYTES: Final = "application/octet-stream"
_FOR_EVER: Final = "public, max-age=31536000, immutable"
_ASK_AGAIN: Final = "no-cache"

_SAME: Final[dict[str, Any]] = {"description": "Not changed since the ETag that was sent."}


def _responses(media: str) -> dict[int | str, dict[str, Any]]:
    schema = {"type": "string"} if media == _TEXT else {"type": "string", "format": "binary"}
    return {200: {"content": {media: {"schema": schema}}}, 304: _SAME, 404: PROBLEM}


@router.get("/checkpoint", response_class=Response, responses=_responses(_TEXT))
def checkpoint(request: Request, gate: At) -> Response:
    """The newest checkpoint, a signed note with the witnesses' cosignatures; needs no key."""
    with gate.house.sessions.reading() as session:
        newest = cosignatures.note(session)
    if newest is None:
        raise NotFound("checkpoint_missing")
    return _sent(request, newest[1].encode(), _TEXT, _ASK_AGAIN)


@router.get("/tile/entries/{path:path}", response_class=Response, responses=_responses(_BYTES))
def entries(path: str, request: Request, gate: At, caller: Caller) -> Response:
    """A bundle of entries, for the auditor: each event behind its length in two bytes."""
    permit(gate, caller, "event", "read_all")
    place = parse_tile_path(f"tile/entries/{path}")
    if gate.bundles.take(caller.id):
        record_reading(gate, caller, "entry bundles")
    start = place.index * WIDTH
    with gate.house.sessions.reading() as session:
        if width_at(0, place.index, _size(session)) < place.width:
            raise NotFound("tile_missing", level="entries", index=place.index)
        bodies = log.bodies(session, start, start + place.width)
    return _sent(request, pack_entries(bodies), _BYTES, "no-store")


@router.get("/tile/{path:path}", response_class=Response, responses=_responses(_BYTES))
def tile(path: str, request: Request, gate: At) -> Response:
    """A tile of hashes, full or partial; needs no key. A width that the newest checkpoint has not reached is 404."""
    place = parse_tile_path(f"tile/{path}")
    if place.level is None:  # the route above has those
        raise NotFound("tile_path_malformed", path=path)
    with gate.house.sessions.reading() as session:
        hashes = gate.tree.at(session, _size(session)).tile(place.level, place.index, place.width)
    return _sent(request, hashes, _BYTES, _FOR_EVER)


def _size(session: Session) -> int:
    newest = log.checkpoint(session)
    return newest[0] if newest else 0


def _sent(request: Request, content: bytes, media: str, cache: str) -> Response:
    headers = {"ETag": f'"{INTL.digest(content).hex()[:32]}"', "Cache-Control": cache}
    if headers["ETag"] in (mark.strip() for mark in request.headers.get("if-none-match", "").split(",")):
        return Response(status_code=304, headers=headers)
    return Response(content, headers={**headers, "Content-Type": media})
