"""Receipts: the proof that an answer's charge, or an organisation's own event, stands in the log."""

from __future__ import annotations

from fastapi import APIRouter

from sandbox.audit import receipt
from sandbox.errors import Conflict, NotFound
from sandbox.flow import Principal
from sandbox.gateway.access import At, Caller, Gate, permit, record_reading, sees_all
from sandbox.gateway.described import PROBLEM
from sandbox.schemas import Receipt
from sandbox.store import cosignatures, log, queries

router = APIRouter(prefix="/v1", tags=["log"])


@router.get("/answers/{query_id}/receipt", responses={409: PROBLEM})
def of_answer(query_id: str, gate: At, caller: Caller) -> Receipt:
    """The receipt of the charge for an answer, for who paid it and the auditor; there within a second of the charge.

    It is the same whatever becomes of the query. `sandbox verify-receipt` checks it without this gateway.
    """
    everybodys = sees_all(gate, caller, "event", "read_all")
    if not everybodys:
        permit(gate, caller, "answer", "read", {"tenant": caller.tenant})
    with gate.house.sessions.reading() as session:
        record = queries.get(session, query_id)
    if record is None or not (everybodys or record.tenant == caller.tenant):
        raise NotFound("answer_unknown")
    return _made(gate, caller, record.event, everybodys=everybodys)


@router.get("/events/{event_id}/receipt", responses={409: PROBLEM})
def of_event(event_id: str, gate: At, caller: Caller) -> Receipt:
    """The receipt of an event of the caller's organisation; the auditor's of any."""
    everybodys = sees_all(gate, caller, "event", "read_all")
    if not everybodys:
        permit(gate, caller, "event", "read_own")
    return _made(gate, caller, event_id, everybodys=everybodys)


def _made(gate: Gate, caller: Principal, event_id: str, *, everybodys: bool) -> Receipt:
    with gate.house.sessions.reading() as session:
        found = log.find(session, event_id)
        if found is None or not (everybodys or found[0] == caller.tenant):
            raise NotFound("event_unknown")
        tenant, index, body = found
        best = None if index is None else cosignatures.best_note(session, index)
        if index is None or best is None:
            raise Conflict("receipt_not_ready")
        size, note = best
        made = receipt.make(gate.tree.at(session, size), note, index, body)
    if tenant != caller.tenant:  # the auditor reads another's event
        record_reading(gate, caller, "receipt", event=event_id)
    return Receipt(**receipt.to_json(made))
