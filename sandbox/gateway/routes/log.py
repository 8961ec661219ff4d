"""The log: an organisation's own events; for the auditor every leaf, every record, and all of them at one instant."""

from __future__ import annotations

from contextlib import ExitStack
from typing import Annotated, Any, Final

from fastapi import APIRouter, Query
from fastapi.responses import StreamingResponse

from sandbox.audit.checkpoint import vkey
from sandbox.audit.event import decode
from sandbox.audit.records import plain
from sandbox.crypto.suite import INTL
from sandbox.errors import NotFound, RequestError
from sandbox.flow import Principal
from sandbox.gateway import exporting, monthly
from sandbox.gateway.access import At, Caller, Gate, permit, record_reading
from sandbox.gateway.described import PROBLEM
from sandbox.gateway.pages import After, Limit, page
from sandbox.gateway.snapshot import settled
from sandbox.schemas import Checkpoint, Entries, Entry, Event, LogKey, Page, Records, Report
from sandbox.store import cosignatures, log

router = APIRouter(prefix="/v1", tags=["log"])

JSON: Final = "application/json"
TAR: Final = "application/x-tar"
_BINARY: Final = {"schema": {"type": "string", "format": "binary"}}


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


@router.get("/log/checkpoint", responses={404: PROBLEM})
def checkpoint(gate: At, caller: Caller) -> Checkpoint:
    """The newest signed checkpoint, with its cosignatures."""
    permit(gate, caller, "event", "read_all")
    with gate.house.sessions.reading() as session:
        newest = cosignatures.note(session)
    if newest is None:
        raise NotFound("checkpoint_missing")
    return Checkpoint(size=newest[0], note=newest[1])


@router.get("/log/entries")
def entries(
    gate: At, caller: Caller, start: Annotated[int, Query(ge=0, le=2**53 - 1)] = 0, limit: Limit = 100
) -> Entries:
    """Leaves from a place on."""
    permit(gate, caller, "event", "read_all")
    record_reading(gate, caller, "entries")
    with gate.house.sessions.reading() as session:
        return Entries(entries=[Entry(**exporting.entry(*found)) for found in log.entries(session, start, limit)])


@router.get("/log/records")
def records(
    gate: At,
    caller: Caller,
    table: Annotated[str, Query(max_length=40)],
    after: Annotated[str, Query(max_length=400, description="Only records after this one.")] = "",
    limit: Limit = 100,
) -> Records:
    """A page of an audited table, in the form that the log's digests cover."""
    permit(gate, caller, "record", "read")
    if table not in log.AUDITED:
        raise RequestError("table_unknown", table=table, tables=sorted(log.AUDITED))
    record_reading(gate, caller, "records")
    with gate.house.sessions.reading() as session:
        found = list(log.records(session, table, after, limit + 1))
    shown = found[:limit]
    return Records(
        records={path: plain(values) for path, values in shown}, next=shown[-1][0] if len(found) > limit else None
    )


@router.get("/log/bundle", response_class=StreamingResponse, responses={200: {"content": {JSON: {"schema": {}}}}})
def bundle(gate: At, caller: Caller) -> StreamingResponse:
    """Checkpoint, records and leaves at one instant, as one JSON value.

    Pages of a living gateway would not fit together: a record could be newer than the leaves that vouch for it.
    """
    _may_see_all(gate, caller)
    record_reading(gate, caller, "bundle")
    stack = ExitStack()
    instant = settled(gate.house, stack)
    return StreamingResponse(exporting.as_json(gate.house, instant, stack), media_type=JSON)


@router.get("/log/export", response_class=StreamingResponse, responses={200: {"content": {TAR: _BINARY}}})
def export(gate: At, caller: Caller) -> StreamingResponse:
    """The same as a tar of the folder that `audit/verify.py` reads: records, tiles, bundles of entries, checkpoint."""
    _may_see_all(gate, caller)
    record_reading(gate, caller, "export")
    stack = ExitStack()
    instant = settled(gate.house, stack)
    return StreamingResponse(exporting.as_tar(gate.house, gate.tree, instant, stack), media_type=TAR)


@router.get("/log/report")
def report(gate: At, caller: Caller, month: Annotated[str, Query(max_length=40)]) -> Report:
    """The page of a month, as a note that the log's key signs: every figure with the leaves that it comes from."""
    permit(gate, caller, "event", "read_all")
    return Report(month=month, note=monthly.page_of(gate.house, month, lambda: record_reading(gate, caller, "report")))


def _may_see_all(gate: Gate, caller: Principal) -> None:
    permit(gate, caller, "event", "read_all")
    permit(gate, caller, "record", "read")


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
