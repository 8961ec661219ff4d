"""Recover: events that a restored database has lost get their old places back, and what they tell of is done again."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import func, insert, select, text, update
from sqlalchemy.orm import Session

from sandbox.audit.event import Event, decode
from sandbox.audit.merkle import leaf_hash
from sandbox.clock import Clock
from sandbox.errors import IntegrityFailed
from sandbox.store import log, rebuild
from sandbox.store import tables as t

_LOST_INGEST: Final[Mapping[str, Any]] = {"code": "ingest_lost_in_restore", "params": {}, "position": None}


_PART: Final = 40_000
"""Bytes of record paths in one event, which has an end at 65,535."""
_DIGEST_BYTES: Final = 80


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """How many events came back, and the records that they tell of and that are not what they should be."""

    recovered: int
    lost: tuple[str, ...]


def hold(session: Session) -> None:
    """Keep every other writer out of the log and the ledger until this transaction ends."""
    if session.get_bind().dialect.name != "sqlite":
        session.execute(text("SET LOCAL lock_timeout = '30s'"))
        session.execute(text("LOCK TABLE events, caps, ledger IN SHARE ROW EXCLUSIVE MODE"))


class Recovery:
    """Takes the lost events in their order, each with its place; every row they tell of is done again or named as lost.

    A row counts as done again when its digest is the one that the event gave, so nothing is guessed: what the event
    does not say and no other row knows (a person's name, the text of a question) is lost. What is spent and what is
    ended is done again in any case.
    """

    def __init__(self, session: Session) -> None:
        self._session = session
        self._lost: dict[str, None] = {}
        self._recovered = 0
        self._policy = 0

    def take(self, index: int, body: bytes) -> None:
        """Put one event where it was, and do again what it tells of, unless this database knew it already.

        Raises:
            IntegrityFailed: `reconcile_forked`, another event stands there; `reconcile_disagrees`, a cap or a charge
                does not come out as the event says; `event_malformed`, `reconcile_unknown_record`.
        """
        event = decode(body)
        if self._knew(index, event, body):
            return
        values = {
            "id": event.id, "idx": index, "at": event.at, "type": event.type, "tenant": event.tenant,
            "subject": event.subject, "body": body, "leaf": leaf_hash(body).hex(),
        }  # fmt: skip
        self._session.execute(insert(t.EventRow.__table__).values(seq=self._seq()), values)  # type: ignore[arg-type]
        self._recovered += 1
        self._policy = max(self._policy, event.policy)
        for path, wanted in event.details.get("records", {}).items():
            if self._again(path, wanted, event):
                self._lost.pop(path, None)
            else:
                self._lost[path] = None
        if event.type.startswith("ingest."):
            self._ingest(event)

    def close(self, clock: Clock, subject: str, *, from_size: int) -> Outcome:
        """After the last event: one event `home.reconcile`, or several where it has more to name than fits.

        A lost record is missing, or it is here as it was at the backup, or (an idempotency key) stands for what it was:
        then this event's `records` say how it is from now on.
        """
        self._session.flush()
        row = self._session.get(t.PolicyVersionRow, 1) or t.PolicyVersionRow(id=1, version=0)
        row.version = max(row.version, self._policy) + 1
        self._session.add(row)
        lost = sorted(self._lost)
        parts = list(_parts(lost))
        for number, part in enumerate(parts, 1):
            details = {
                "from_size": from_size, "to_size": log.size(self._session), "recovered": self._recovered, "lost": part,
                "part": number, "parts": len(parts),
            }  # fmt: skip
            here = [row for row in map(self._row, part) if row is not None]
            log.append(
                self._session, clock, "home.reconcile", actor=log.SYSTEM, subject=subject, details=details, records=here
            )
        return Outcome(recovered=self._recovered, lost=tuple(lost))

    def _row(self, path: str) -> t.Row | None:
        name, keys = rebuild.keys_of(path)
        return self._session.get(log.AUDITED[name][0], keys if len(keys) > 1 else keys[0])

    def _knew(self, index: int, event: Event, body: bytes) -> bool:
        """Whether the event was here, committed before the backup; it may have had no place yet."""
        here = select(t.EventRow.idx, t.EventRow.body, t.EventRow.id)
        rows = self._session.execute(here.where((t.EventRow.id == event.id) | (t.EventRow.idx == index))).all()
        if not rows:
            return False
        found = rows[0]
        if len(rows) > 1 or found.id != event.id or found.body != body or found.idx not in {None, index}:
            raise IntegrityFailed("reconcile_forked", index=index)
        if found.idx is None:
            self._session.execute(update(t.EventRow).where(t.EventRow.id == event.id).values(idx=index))
        return True

    def _seq(self) -> Any:
        if self._session.get_bind().dialect.name != "sqlite":
            return func.nextval("events_seq")
        return select(func.coalesce(func.max(t.EventRow.seq), 0) + 1).scalar_subquery()

    def _again(self, path: str, wanted: str, event: Event) -> bool:
        name, keys = rebuild.keys_of(path)
        row = self._row(path)
        well = self._made(name, keys, event, wanted) if row is None else self._changed(row, name, event, wanted)
        if not well and name in rebuild.MUST:
            raise IntegrityFailed("reconcile_disagrees", record=path, event=event.id)
        return well

    def _made(self, name: str, keys: tuple[str, ...], event: Event, wanted: str) -> bool:
        values = rebuild.made(self._session, name, keys, event, wanted)
        if values is None:
            other = rebuild.stand_in(name, keys, event)
            self._session.add_all([] if other is None else [other])
            return False
        self._session.add(log.AUDITED[name][0](**values))
        self._session.flush()
        return True

    def _changed(self, row: t.Row, name: str, event: Event, wanted: str) -> bool:
        now = rebuild.values_of(row)
        after = rebuild.changed(name, event, now)
        found = next((values for values in after if rebuild.digest(name, values) == wanted), None)
        for column, value in (found or {**now, **rebuild.forced(name, event)}).items():
            if value != now[column]:
                setattr(row, column, value)
        if found is not None and isinstance(row, t.QueryRow) and found["state"] != "charged":
            row.lease_owner, row.lease_until = None, None
        self._session.flush()
        return found is not None

    def _ingest(self, event: Event) -> None:
        """Ingests are not in the log row by row; one that went on after the backup is not begun again."""
        row = self._session.get(t.IngestRow, str(event.details.get("ingest")))
        if row is None or row.state not in {"queued", "running"}:
            return
        if event.type == "ingest.start":
            row.state, row.attempt = "running", int(event.details["attempt"])
            row.lease_owner, row.lease_until = None, event.at
        elif event.type in {"ingest.commit", "ingest.fail"}:
            row.state, row.lease_owner, row.lease_until, row.error = "failed", None, None, dict(_LOST_INGEST)
        self._session.flush()


def _parts(lost: Sequence[str]) -> Iterator[list[str]]:
    """The paths in lists that each fit one event, with a digest for each; one list even if there are none."""
    part: list[str] = []
    size = 0
    for path in lost:
        length = 2 * len(json.dumps(path)) + _DIGEST_BYTES
        if part and size + length > _PART:
            yield part
            part, size = [], 0
        part.append(path)
        size += length
    yield part
