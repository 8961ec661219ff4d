"""Removals: retire a dataset, propose its destruction, confirm or decline it, and read what was done, with proof."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, TypeAlias

from fastapi import APIRouter, Query
from sqlalchemy.orm import Session

from sandbox import schemas
from sandbox.clock import Clock
from sandbox.committee import removals
from sandbox.flow import Principal
from sandbox.gateway.access import At, Caller, Gate, permit
from sandbox.gateway.pages import After, Limit, page
from sandbox.schemas import Page, ReasonAsk
from sandbox.store import datasets
from sandbox.store import removals as store
from sandbox.store.removals import Removal

router = APIRouter(prefix="/v1", tags=["removals"])

Move: TypeAlias = Callable[[Session, Clock, Principal, str], Removal]


@router.post("/datasets/{name}/retire")
def retire(name: str, ask: ReasonAsk, gate: At, caller: Caller) -> schemas.Removal:
    """Take a dataset out of use: no new question, application or update; what was answered stays readable."""
    _permit_owner(gate, caller, name, "retire")
    with gate.house.sessions.begin() as session:
        return _removal(removals.retire(session, gate.house.clock, caller, name, reason=ask.reason))


@router.post("/datasets/{name}/destroy", status_code=201)
def propose(name: str, ask: ReasonAsk, gate: At, caller: Caller) -> schemas.Removal:
    """Propose a dataset's destruction; nothing happens before a member of the committee confirms."""
    _permit_owner(gate, caller, name, "destroy")
    with gate.house.sessions.begin() as session:
        return _removal(removals.propose(session, gate.house.clock, caller, name, reason=ask.reason))


@router.post("/removals/{removal_id}/confirm")
def confirm(removal_id: str, gate: At, caller: Caller) -> schemas.Removal:
    """Destroy what was proposed, for ever: its keys are gone when this returns, its objects soon after."""
    return _second(gate, caller, removal_id, "confirm", removals.confirm)


@router.post("/removals/{removal_id}/decline")
def decline(removal_id: str, gate: At, caller: Caller) -> schemas.Removal:
    """Say no to a proposed destruction."""
    return _second(gate, caller, removal_id, "decline", removals.decline)


@router.get("/removals")
def list_removals(
    gate: At, caller: Caller, dataset: Annotated[str | None, Query(max_length=121)] = None, after: After = "",
    limit: Limit = 100,
) -> Page[schemas.Removal]:  # fmt: skip
    """Retirements and destructions, oldest first, of all datasets or of the one of that name."""
    permit(gate, caller, "removal", "read")
    with gate.house.sessions.reading() as session:
        only = None if dataset is None else datasets.dataset(session, dataset).id
        found = store.listed(session, dataset=only, after=after, limit=limit + 1)
    return page(found, limit, lambda r: r.id, _removal)


@router.get("/removals/{removal_id}")
def read_removal(removal_id: str, gate: At, caller: Caller) -> schemas.Removal:
    """A removal; once all is gone, with its certificate, a note signed by the log's key."""
    permit(gate, caller, "removal", "read")
    with gate.house.sessions.reading() as session:
        return _removal(store.get(session, removal_id))


def _permit_owner(gate: Gate, caller: Principal, name: str, verb: str) -> None:
    with gate.house.sessions.reading() as session:
        owner = datasets.dataset(session, name).tenant
    permit(gate, caller, "dataset", verb, {"tenant": owner})


def _second(gate: Gate, caller: Principal, removal_id: str, verb: str, move: Move) -> schemas.Removal:
    with gate.house.sessions.reading() as session:
        found = store.get(session, removal_id)
    permit(gate, caller, "removal", verb, {"tenant": found.tenant, "proposed_by": found.proposed_by})
    with gate.house.sessions.begin() as session:
        return _removal(move(session, gate.house.clock, caller, removal_id))


def _removal(found: Removal) -> schemas.Removal:
    return schemas.Removal(
        id=found.id,
        dataset=found.dataset,
        name=found.name,
        tenant=found.tenant,
        proposed_by=found.proposed_by,
        decided_by=found.confirmed_by,
        state=found.state,
        reason=found.reason,
        certificate=found.certificate,
        created_at=found.created_at,
    )
