"""The checker: ledger, log, caps, answers and objects agree, and what clients were told is there."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterator

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from sandbox.audit import merkle
from sandbox.audit.checkpoint import open_note
from sandbox.ports import ObjectStore
from sandbox.store import log
from sandbox.store import tables as t
from sandbox.store.sessions import Sessions

_COUNTERS = ("eps_p", "rho", "delta")


class Checker:
    """Looks at one home again and again; remembers the newest checkpoint that it saw, as a witness would."""

    def __init__(self, sessions: Sessions, objects: ObjectStore, vkey: str) -> None:
        self._sessions, self._objects, self._vkey = sessions, objects, vkey
        self._seen: tuple[int, bytes] = (0, merkle.EMPTY_ROOT)

    def check(self, events_told: set[str], keys_told: dict[str, str]) -> list[str]:
        """Everything that is wrong, in words. `events_told`: ids clients were given; `keys_told`: key -> query id."""
        stored = set(self._objects.list("v1/answers/"))  # before the database: an answer may come, none may be without
        with self._sessions.reading() as session:
            return [
                *self._money(session), *self._log(session, events_told), *self._answers(session, stored),
                *self._keys(session, keys_told),
            ]  # fmt: skip

    def _money(self, session: Session) -> Iterator[str]:
        """Charges are events are the caps' state."""
        told: dict[tuple[str, str], list[int]] = {}
        charged: dict[str, tuple[str, list[int], set[tuple[str, str]]]] = {}
        query = select(t.EventRow.id, t.EventRow.body).where(t.EventRow.type.in_(["cap.open", "query.charge"]))
        for event_id, body in session.execute(query.order_by(t.EventRow.seq)):
            details = json.loads(body)["details"]
            if "cap" in details:
                cap = details["cap"]
                told[cap["scope"], cap["subject"]] = [int(cap["spent"][c]) for c in _COUNTERS]
                continue
            cost = [int(details["cost"][c]) for c in _COUNTERS]
            if details["query"] in charged:
                yield f"{details['query']} is charged by two events"
            charged[details["query"]] = event_id, cost, {(scope, subject) for scope, subject in details["caps"]}
        for _, cost, caps in charged.values():
            for key in caps:
                told[key] = [a + b for a, b in zip(told[key], cost, strict=True)]
        for row in session.scalars(select(t.CapRow)):
            spent = [row.spent_eps_p, row.spent_rho, row.spent_delta]
            if told.pop((row.scope, row.subject), None) != spent:
                yield f"cap {row.scope}/{row.subject} is not what its events add up to"
        if told:
            yield f"caps without a row: {sorted(told)}"
        ledger: defaultdict[str, set[tuple[str, str]]] = defaultdict(set)
        for row in session.scalars(select(t.LedgerRow)):
            ledger[row.request].add((row.scope, row.subject))
            event = charged.get(row.request)
            if event is None or event[0] != row.event or event[1] != [row.eps_p, row.rho, row.delta]:
                yield f"ledger row of {row.request} is not its event's"
        for query_id, (_, _, caps) in charged.items():
            if ledger.get(query_id) != caps:
                yield f"{query_id}: its ledger rows are not its event's caps"
        paid = select(t.QueryRow.id, t.QueryRow.event).where(t.QueryRow.source.is_(None))
        queries = {row.id: row.event for row in session.execute(paid)}
        if queries != {query_id: event[0] for query_id, event in charged.items()}:
            yield "queries and charges differ"

    def _log(self, session: Session, events_told: set[str]) -> Iterator[str]:
        """No event lost, none doubled, none changed, nothing signed that is not there."""
        rows = session.execute(select(t.EventRow.id, t.EventRow.idx, t.EventRow.body, t.EventRow.leaf)).all()
        places = sorted(row.idx for row in rows if row.idx is not None)
        if places != list(range(len(places))):
            yield "places in the log are not 0, 1, 2, …"
        lost = events_told - {row.id for row in rows}
        if lost:
            yield f"events that clients were told of are gone: {sorted(lost)[:3]}"
        for row in rows:
            if merkle.leaf_hash(row.body).hex() != row.leaf:
                yield f"event {row.id} is not its leaf"
        leaves = log.leaves(session)
        newest = log.checkpoint(session)
        if newest is None:
            return
        _, size, root = open_note(newest[1], self._vkey)[:3]
        if size > len(leaves) or merkle.root(leaves[:size]) != root:
            yield f"the checkpoint of {size} does not sign the {len(leaves)} leaves"
        old_size, old_root = self._seen
        if size < old_size or merkle.root(leaves[:old_size]) != old_root:
            yield f"the log forgot what it had signed at {old_size}"
        self._seen = size, root

    def _answers(self, session: Session, stored: set[str]) -> Iterator[str]:
        """No answer without a charge, and none that is said to be there and is not."""
        paid = select(t.QueryRow).where(t.QueryRow.source.is_(None))
        states = {f"v1/answers/{row.id}": row for row in session.scalars(paid)}
        for key in stored - set(states):
            yield f"{key} lies there without a charge"
        for key, row in states.items():
            if row.state == "settled" and key not in stored and self._objects.size(key) is None:
                yield f"{key} is settled and not there"

    def _keys(self, session: Session, keys_told: dict[str, str]) -> Iterator[str]:
        """One charge for a key, and the one that its client was told of."""
        rows = {row.key: row.resource for row in session.execute(select(t.IdempotencyRow.key, t.IdempotencyRow.resource))}
        for key, query_id in keys_told.items():
            if rows.get(key) != query_id:
                yield f"key {key} stands for {rows.get(key)}, its client was told {query_id}"
        # The same question again is free, and its key stands for the earlier query: the log tells of each.
        free = session.scalar(select(func.count()).where(t.EventRow.type == "query.repeat")) or 0
        if len(rows) - len(set(rows.values())) > free:
            yield "two keys share a query"

    def orphans(self) -> list[str]:
        """After a sweep: objects of versions or answers that nothing refers to any more."""
        stored = list(self._objects.list("v1/"))
        with self._sessions.reading() as session:
            versions = set(session.scalars(select(t.VersionRow.id)))
            versions |= {v for v in session.scalars(select(t.IngestRow.version).where(t.IngestRow.state == "running")) if v}
            kept = (t.QueryRow.state == "settled") | (t.QueryRow.state == "charged")
            answers = set(session.scalars(select(t.QueryRow.id).where(kept)))
        return [key for key in stored if key.split("/")[1] not in versions and key.split("/")[-1] not in answers]
