"""The ledger in SQL: caps are opened once, and a charge passes all of its caps or none, with its event."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Final, Literal, TypeAlias

from sqlalchemy import select, tuple_
from sqlalchemy.orm import Session

from sandbox.clock import Clock
from sandbox.errors import Conflict, Denied, IntegrityFailed, RequestError
from sandbox.flow import Cost, Principal
from sandbox.ids import new_id
from sandbox.privacy import accounting
from sandbox.privacy.accounting import Cap
from sandbox.store import log
from sandbox.store import tables as t
from sandbox.store.sessions import WRITES, of_transaction
from sandbox.store.writing import insert_new

Scope: TypeAlias = Literal["grant", "dataset", "population"]
"""What a cap protects, or whom it binds: a grant's company, a dataset's lineage, a population (P1.5)."""

Key: TypeAlias = tuple[str, str]
"""(scope, id of the grant, dataset lineage or population)."""

STEP: Final = "main"
"""The step of a query that it is charged for first; of repeated releases each further one is `main-1`, `main-2`…"""


def keys_of(*, grant: str, datasets: Iterable[str], population: str) -> list[Key]:
    """The caps that a query's charge passes: the grant, every dataset it reads, the population once; sorted.

    Arguments are ids. Sorted, because locks taken in one order by everybody cannot deadlock.
    """
    return sorted({("grant", grant), ("population", population), *(("dataset", dataset) for dataset in datasets)})


def open_cap(
    session: Session,
    clock: Clock,
    actor: Principal,
    *,
    scope: Scope,
    subject: str,
    tenant: str,
    cap: Cap,
    spent: Cost,
) -> str:
    """Open a cap with its frozen frontier and what is already spent (delta_0 of P2.2); gives the event `cap.open`.

    Raises:
        RequestError: `cap_delta_too_small`, the opening delta does not fit beside the reserve for conversion.
        Conflict: `cap_exists`: a raise is a new decision, not a second opening.
    """
    if not accounting.fits(Cost(), spent, cap):
        raise RequestError("cap_delta_too_small", scope=scope, opening=str(spent.delta), delta=str(cap.delta))
    frontier = [[str(pure), str(rho)] for pure, rho in cap.frontier]
    row = t.CapRow(
        scope=scope, subject=subject, tenant=tenant, epsilon=cap.epsilon, delta=cap.delta, conversion=cap.conversion,
        frontier=frontier, spent_eps_p=spent.eps_p, spent_rho=spent.rho, spent_delta=spent.delta,
        created_at=clock.text(),
    )  # fmt: skip
    # SQLite's trigger refuses a second row before the statement could pass it over; there, nobody comes in between.
    if session.get(t.CapRow, (scope, subject)) is not None or not insert_new(session, row):
        raise Conflict("cap_exists", scope=scope, subject=subject)
    told = {
        "scope": scope,
        "subject": subject,
        "epsilon": str(cap.epsilon),
        "delta": str(cap.delta),
        "conversion": str(cap.conversion),
        "frontier": frontier,
        "spent": _told(spent),
    }
    return log.append(
        session, clock, "cap.open", actor=actor, subject=subject, details={"cap": told}, tenant=tenant, records=[row]
    )


def lock(session: Session, keys: Iterable[Key]) -> None:
    """Hold these caps until the transaction ends; what is read after it, others have committed.

    Raises:
        IntegrityFailed: `cap_missing`.
    """
    _rows(session, keys)


def read_caps(session: Session, keys: Iterable[Key]) -> list[tuple[Key, Cap, Cost]]:
    """Each cap with what is spent under it, in sorted key order; locked until its end in a write session.

    Raises:
        IntegrityFailed: `cap_missing`.
    """
    return [(_key(row), _cap(row), _spent(row)) for row in _rows(session, keys)]


def charge(
    session: Session,
    clock: Clock,
    *,
    actor: Principal,
    query_id: str,
    step: str,
    grant: str,
    keys: Sequence[Key],
    cost: Cost,
    event_id: str | None = None,
    details: Mapping[str, object],
    extra_rows: Sequence[t.Row] = (),
    extra_records: Sequence[t.Row] = (),
) -> str:
    """Spend `cost` under every cap of `keys`, or under none; gives the id of the event `query.charge`.

    Call it in a write session: on SQLite that is BEGIN IMMEDIATE, elsewhere the caps are locked in sorted order.
    `extra_rows` are new rows that the charge brings into being: they are added once it fits, and stand in its event as
    `extra_records` do, which the caller has written.
    `details` adds `plan` (sha256) and `rung_ms` to the event. An `event_id` must have been made inside this
    transaction: events are numbered in the order of their ids, which has to be the order of the charges.

    Raises:
        Denied: `budget_exhausted` with the first cap that is too small, and what is left under all of them.
        Conflict: `step_already_charged`.
        IntegrityFailed: `cap_missing`, `charge_refused` (it spares its grant's cap, or costs nothing or less).
    """
    if ("grant", grant) not in keys or min(cost.eps_p, cost.rho, cost.delta) < 0 or cost == Cost():
        raise IntegrityFailed("charge_refused", query=query_id)
    rows = _rows(session, keys)
    # After the locks: whoever charged the same step has committed by now.
    if is_charged(session, query_id, step):
        raise Conflict("step_already_charged", query=query_id, step=step)
    _check(rows, cost)
    event_id = event_id or new_id("evt")
    at = clock.text()
    entries = [
        t.LedgerRow(
            request=query_id, step=step, scope=row.scope, subject=row.subject, tenant=actor.tenant, eps_p=cost.eps_p,
            rho=cost.rho, delta=cost.delta, event=event_id, at=at,
        )
        for row in rows
    ]  # fmt: skip
    for row in rows:
        total = _spent(row) + cost
        row.spent_eps_p, row.spent_rho, row.spent_delta = total.eps_p, total.rho, total.delta
    session.add_all([*entries, *extra_rows])
    told = {"query": query_id, "grant": grant, "step": step, "cost": _told(cost), "caps": [[*_key(r)] for r in rows]}
    return log.append(
        session, clock, "query.charge", actor=actor, subject=query_id, details={**details, **told},
        records=[*rows, *entries, *extra_rows, *extra_records], event_id=event_id,
    )  # fmt: skip


def is_charged(session: Session, query_id: str, step: str) -> bool:
    """Whether a step of a query has been paid for."""
    charged = select(t.LedgerRow.scope).where(t.LedgerRow.request == query_id, t.LedgerRow.step == step).limit(1)
    return session.scalar(charged) is not None


def _check(rows: Sequence[t.CapRow], cost: Cost) -> None:
    for row in rows:
        if accounting.fits(_spent(row), cost, _cap(row)):
            continue
        pure, rho = accounting.left([(_spent(r), _cap(r)) for r in rows])
        tightest = min(rows, key=lambda r: accounting.left([(_spent(r), _cap(r))]))
        parts = [("ε", cost.eps_p), ("ρ", cost.rho)]
        needed = " + ".join(f"{sign} {accounting.decimal(amount)}" for sign, amount in parts if amount)
        raise Denied(
            "budget_exhausted",
            scope=tightest.scope,
            subject=tightest.subject,
            left_pure=accounting.decimal(pure),
            left_rho=accounting.decimal(rho),
            needed=needed or "δ",
        )


def _rows(session: Session, keys: Iterable[Key]) -> list[t.CapRow]:
    """The caps, each once, as they are now and not as this session saw them; one that writes locks them in that order.

    What this transaction has locked already cannot have changed since, and is not read again.
    """
    wanted = sorted(set(keys))
    locked: dict[Key, t.CapRow] = of_transaction(session, "locked caps")
    missing = [key for key in wanted if key not in locked]
    if missing:
        query = select(t.CapRow).where(tuple_(t.CapRow.scope, t.CapRow.subject).in_(missing))
        query = query.order_by(t.CapRow.scope, t.CapRow.subject)
        if session.info.get(WRITES):
            query = query.with_for_update()
        found = session.scalars(query.execution_options(populate_existing=True))
        locked.update({_key(row): row for row in found})
    for scope, subject in wanted:
        if (scope, subject) not in locked:
            raise IntegrityFailed("cap_missing", scope=scope, subject=subject)
    return [locked[key] for key in wanted]


def _key(row: t.CapRow) -> Key:
    return row.scope, row.subject


def _cap(row: t.CapRow) -> Cap:
    frontier = tuple((int(pure), int(rho)) for pure, rho in row.frontier)
    return Cap(epsilon=row.epsilon, delta=row.delta, conversion=row.conversion, frontier=frontier)


def _spent(row: t.CapRow) -> Cost:
    return Cost(eps_p=row.spent_eps_p, rho=row.spent_rho, delta=row.spent_delta)


def _told(cost: Cost) -> dict[str, str]:
    return {"eps_p": str(cost.eps_p), "rho": str(cost.rho), "delta": str(cost.delta)}
