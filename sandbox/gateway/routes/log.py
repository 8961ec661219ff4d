"""The log: an organisation's own events; for the auditor every leaf, every record, and all of them at one instant."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Annotated, Any, Final

from fastapi import APIRouter, Query
from fastapi.responses import StreamingResponse
from sqlalchemy.orm import Session

from sandbox.audit.checkpoint import vkey
from sandbox.audit.event import decode
from sandbox.audit.records import plain
from sandbox.crypto.suite import INTL
from sandbox.errors import NotFound, RequestError
from sandbox.flow import Principal
from sandbox.gateway.access import At, Caller, Gate, permit
from sandbox.gateway.pages import After, Limit, page
from sandbox.gateway.snapshot import settled
from sandbox.schemas import Checkpoint, Entries, Entry, Event, LogKey, Page, Records
from sandbox.store import log

router = APIRouter(prefix="/v1", tags=["log"])

_BATCH: Final = 1000


@router.get("/events")
def own_events(gate: At, caller: Caller, after: After = "", limit: Limit = 100) -> Page[Event]:
    """The events of the caller's organisation, oldest first."""
    permit(gate, caller, "event", "read_own")
    with gate.house.sessions.reading() as session:
        found = log.of_tenant(session, caller.tenant, after, limit + 1)
    return page(found, limit, lambda e: e[0], _event)


@router.get("/log/key")
def key(gate: At, _caller: Caller) -> LogKey:
    """The log's public key. Get it out of band as well: this answer proves nothing against the gateway."""
    house = gate.house
    return LogKey(vkey=vkey(house.log_name, INTL.public_key(house.log_key)))


@router.get("/log/checkpoint")
def checkpoint(gate: At, caller: Caller) -> Checkpoint:
    """The newest signed checkpoint."""
    permit(gate, caller, "event", "read_all")
    with gate.house.sessions.reading() as session:
        newest = log.checkpoint(session)
    if newest is None:
        raise NotFound("checkpoint_missing")
    return Checkpoint(size=newest[0], note=newest[1])


@router.get("/log/entries")
def entries(
    gate: At, caller: Caller, start: Annotated[int, Query(ge=0, le=2**53 - 1)] = 0, limit: Limit = 100
) -> Entries:
    """Leaves from a place on."""
    permit(gate, caller, "event", "read_all")
    _read(gate, caller, "entries")
    with gate.house.sessions.reading() as session:
        return Entries(entries=[Entry(**_entry(*found)) for found in log.entries(session, start, limit)])


@router.get("/log/records")
def records(
    gate: At, caller: Caller, table: Annotated[str, Query(max_length=40)], after: After = "", limit: Limit = 100
) -> Records:
    """A page of an audited table, in the form that the log's digests cover."""
    permit(gate, caller, "record", "read")
    if table not in log.AUDITED:
        raise RequestError("table_unknown", table=table, tables=sorted(log.AUDITED))
    _read(gate, caller, "records")
    with gate.house.sessions.reading() as session:
        found = list(log.records(session, table, after, limit + 1))
    shown = found[:limit]
    return Records(
        records={path: plain(values) for path, values in shown}, next=shown[-1][0] if len(found) > limit else None
    )


@router.get("/log/bundle", response_class=StreamingResponse)
def bundle(gate: At, caller: Caller) -> StreamingResponse:
    """Checkpoint, leaves and records at one instant, as `audit/verify.py` reads them.

    Pages of a living gateway would not fit together: a record could be newer than the leaves that vouch for it.
    """
    permit(gate, caller, "event", "read_all")
    permit(gate, caller, "record", "read")
    _read(gate, caller, "bundle")
    stack = ExitStack()
    session, size, note = settled(gate.house.sessions, stack)
    return StreamingResponse(_bundle(stack, session, size, note), media_type="application/json")


def _bundle(stack: ExitStack, session: Session, size: int, note: str) -> Iterator[str]:
    with stack:
        yield f'{{"v":1,"checkpoint":{json.dumps(note)},"entries":['
        yield from _joined(_entries(session, size))
        yield '],"records":{'
        yield from _joined(_records(session))
        yield "}}"


def _entries(session: Session, size: int) -> Iterator[str]:
    for start in range(0, size, _BATCH):
        for found in log.entries(session, start, min(_BATCH, size - start)):
            yield json.dumps(_entry(*found))


def _records(session: Session) -> Iterator[str]:
    for table in log.AUDITED:
        for path, values in log.records(session, table, "", 2**62):
            yield f"{json.dumps(path)}:{json.dumps(plain(values), ensure_ascii=False)}"


def _joined(parts: Iterator[str]) -> Iterator[str]:
    """The parts with commas between them, in pieces worth sending."""
    piece: list[str] = []
    comma = ""
    for part in parts:
        piece.append(comma + part)
        comma = ","
        if len(piece) == 200:
            yield "".join(piece)
            piece = []
    yield "".join(piece)


def _read(gate: Gate, caller: Principal, what: str) -> None:
    with gate.house.sessions.begin() as session:
        log.append(session, gate.house.clock, "log.read", actor=caller, subject=caller.id, details={"what": what})


def _event(found: tuple[str, int | None, bytes]) -> Event:
    event_id, _, body = found
    event = decode(body)
    told: dict[str, Any] = {
        "id": event.id,
        "type": event.type,
        "at": event.at,
        "actor": event.actor,
        "tenant": event.tenant,
        "subject": event.subject,
        "policy": event.policy,
        "details": event.details,
    }
    # Without its place: gaps between places would show when events that are not the reader's were written (P7.1).
    return Event(id=event_id, event=told)


def _entry(index: int, body: bytes, leaf: str) -> dict[str, Any]:
    return {"index": index, "body": base64.b64encode(body).decode("ascii"), "leaf": leaf}
