"""Questions and answers: the one route that waits, and does so without a thread."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Coroutine
from decimal import Decimal
from functools import partial
from typing import Annotated, Any, TypeAlias

import anyio
from anyio import to_thread
from fastapi import APIRouter, Header, Request, Response
from fastapi.responses import JSONResponse

from sandbox import schemas
from sandbox.committee.terms import PRESETS
from sandbox.crypto.suite import INTL
from sandbox.errors import RequestError
from sandbox.flow import Principal
from sandbox.flow import Request as Question
from sandbox.gateway import trails
from sandbox.gateway.access import At, Caller, Gate, denials_recorded, permit
from sandbox.gateway.described import PROBLEM
from sandbox.gateway.pages import After, Limit, page
from sandbox.query import answer, ends
from sandbox.query.release.render import as_arrow
from sandbox.schemas import Page, QueryAsk, QuerySummary
from sandbox.store import queries as store
from sandbox.store.queries import QueryRecord

router = APIRouter(prefix="/v1", tags=["queries"])

ARROW = "application/vnd.apache.arrow.stream"
_ANSWERS: dict[int | str, dict[str, Any]] = {
    200: {"model": schemas.Answer, "content": {ARROW: {"schema": {"type": "string", "format": "binary"}}}},
    409: PROBLEM,
}
_ASKED = {**_ANSWERS, 200: {**_ANSWERS[200], "model": schemas.Answer | schemas.Explanation}}
IdempotencyKey = Annotated[
    str | None, Header(alias="Idempotency-Key", min_length=8, max_length=200, pattern=r"^[\x21-\x7e]+$")
]


@router.post("/queries", response_model=None, responses=_ASKED)
async def ask(
    body: QueryAsk, request: Request, gate: At, caller: Caller, idempotency_key: IdempotencyKey = None
) -> Response:
    """Ask: pay, compute, wait for the rung, answer. With `explain`: plan, price and expected error, free.

    Privacy: charges grant, datasets and population before any protected row is touched; the answer leaves at a
    moment that was fixed when it was priced (P7.1).
    """
    if idempotency_key is None and not body.explain:
        raise RequestError("idempotency_key_required")
    question = _question(body, caller, idempotency_key)
    if body.explain:
        return JSONResponse(await gate.readers.run(caller.tenant, partial(_explain, gate, question)))
    pending, ended = await _paid(gate, question)
    await asyncio.shield(ended)
    found = await to_thread.run_sync(partial(answer.read, gate.parts, caller, pending.query_id, pending.source))
    return _shaped(request, found)


_Paid: TypeAlias = "tuple[answer.Pending, asyncio.Task[None]]"
"""A charged question, and the task that ends it at its rung, whether or not its caller still waits."""


async def _paid(gate: Gate, question: Question) -> _Paid:
    """Charge the question; computing goes on behind, in the slot it has, while the route holds without a thread."""
    loop = asyncio.get_running_loop()
    paid: asyncio.Future[_Paid] = loop.create_future()

    charged: list[answer.Pending] = []

    def resolve(pending: answer.Pending) -> None:
        ended = _kept(gate, _ended(gate, pending))
        if not paid.done():  # the caller may have gone
            paid.set_result((pending, ended))

    def work() -> None:
        pending = _submit(gate, question)
        charged.append(pending)
        trails.paid(pending)
        loop.call_soon_threadsafe(resolve, pending)
        answer.finish(gate.parts, pending)

    async def behind() -> None:
        try:
            await gate.slots.run(question.principal.tenant, work, lambda: max(p.leaves_in() for p in charged))
        except Exception as error:  # noqa: BLE001  # whatever it is, it belongs to the route that waits
            if not paid.done():
                paid.set_exception(error)

    _kept(gate, behind())
    return await paid


async def _ended(gate: Gate, pending: answer.Pending) -> None:
    """Hold until the rung, without a thread; then write what became of the query."""
    while (seconds := pending.leaves_in()) > 0:
        await anyio.sleep(seconds)
    trails.went("hold", 0.0)
    await to_thread.run_sync(partial(ends.end, gate.parts, pending))


def _kept(gate: Gate, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
    """A task that a stopping gateway waits for."""
    task = asyncio.create_task(work)
    gate.behind.add(task)
    task.add_done_callback(gate.behind.discard)
    return task


def _submit(gate: Gate, question: Question) -> answer.Pending:
    with denials_recorded(gate, question.principal, "query", "ask"):
        return answer.submit(gate.parts, question)


def _explain(gate: Gate, question: Question) -> dict[str, Any]:
    with denials_recorded(gate, question.principal, "query", "explain"):
        return answer.explain(gate.parts, question)


@router.get("/answers/{query_id}", response_model=None, responses=_ANSWERS)
async def read(query_id: str, request: Request, gate: At, caller: Caller) -> Response:
    """An answer that the caller's organisation has paid for."""

    def find() -> Response:
        permit(gate, caller, "answer", "read", {"tenant": caller.tenant})
        return _shaped(request, answer.read(gate.parts, caller, query_id))

    # Free and repeatable, so a few at a time: wide answers take memory.
    return await gate.readers.run(caller.tenant, find)


@router.get("/queries")
def list_own(gate: At, caller: Caller, after: After = "", limit: Limit = 100) -> Page[QuerySummary]:
    """The paid queries of the caller's organisation, oldest first."""
    permit(gate, caller, "answer", "read", {"tenant": caller.tenant})
    with gate.house.sessions.reading() as session:
        found = store.list_own(session, caller.tenant, after, limit + 1)
    return page(found, limit, lambda q: q.id, partial(_summary, gate))


def _question(body: QueryAsk, caller: Principal, idempotency_key: str | None) -> Question:
    epsilon = PRESETS[body.preset] if body.preset is not None else _units(body)
    within, relative = _errors(body)
    asked = {
        "sql": body.sql,
        "grant": body.grant,
        "purpose": body.purpose,
        "epsilon": None if epsilon is None else str(epsilon),
        "within": None if within is None else within.hex(),
        "rows": body.rows,
    }
    # What is not given is left out: the digests of earlier releases hold.
    newer = {name: getattr(body, name) for name in ("version", "bounding", "groups", "per_group")}
    newer["relative"] = relative
    asked |= {name: value for name, value in newer.items() if value is not None}
    return Question(
        principal=caller,
        sql=body.sql,
        grant=body.grant,
        purpose=body.purpose,
        epsilon=epsilon,
        within=within,
        relative=relative,
        rows=body.rows,
        version=body.version,
        bounding=body.bounding,
        groups=body.groups,
        per_group=body.per_group,
        idempotency_key=idempotency_key,
        digest=INTL.digest(json.dumps(asked, sort_keys=True).encode()).hex(),
    )


def _units(body: QueryAsk) -> int | None:
    # The schema admits at most twelve decimals, so this is exact.
    return None if body.epsilon is None else int(body.epsilon.scaleb(12))


def _errors(body: QueryAsk) -> tuple[float | None, int | None]:
    """The asked error in units of what is measured, or as a part of each number in 1e-6."""
    if isinstance(body.within, str):
        return None, int(Decimal(body.within.rstrip("% ")).scaleb(4))
    return body.within, None


def _shaped(request: Request, body: dict[str, Any]) -> Response:
    if ARROW in request.headers.get("accept", ""):
        return Response(as_arrow(body), media_type=ARROW)
    return JSONResponse(body)


def _summary(gate: Gate, record: QueryRecord) -> QuerySummary:
    state = answer.shown_state(gate.parts, record)
    return QuerySummary(id=record.id, grant=record.grant, state=state, charged_at=record.charged_at, event=record.event)
