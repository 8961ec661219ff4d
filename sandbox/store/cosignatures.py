"""Cosignatures in SQL: witnesses' lines under checkpoints, and which checkpoints are worth keeping."""

from __future__ import annotations

from typing import Final

from sqlalchemy import delete, func, select, tuple_
from sqlalchemy.orm import Session

from sandbox.audit.cosign import with_cosignatures
from sandbox.store import tables as t
from sandbox.store.writing import insert_or_update

_RECENT: Final = 50
"""Cosigned checkpoints among which the best one is looked for."""
_MINUTE = func.substr(t.CheckpointRow.at, 1, 16)


def save(session: Session, *, size: int, witness: str, line: str, at: str) -> None:
    """Keep a witness's line under the checkpoint of that size; a newer one takes its place."""
    row = t.CosignatureRow(size=size, witness=witness, line=line, at=at)
    insert_or_update(session, row, {"line": line, "at": at})


def newest_of(session: Session, witness: str) -> int:
    """The largest size that this witness has cosigned, as far as this database knows; 0 if none."""
    found = session.scalar(select(func.max(t.CosignatureRow.size)).where(t.CosignatureRow.witness == witness))
    return found or 0


def note(session: Session, size: int | None = None) -> tuple[int, str] | None:
    """(size, signed note with all its cosignatures) of a checkpoint that is kept, or of the newest one."""
    query = select(t.CheckpointRow.size, t.CheckpointRow.note).order_by(t.CheckpointRow.size.desc()).limit(1)
    if size is not None:
        query = query.where(t.CheckpointRow.size == size)
    found = session.execute(query).one_or_none()
    if found is None:
        return None
    lines = select(t.CosignatureRow.line).where(t.CosignatureRow.size == found.size)
    return found.size, with_cosignatures(found.note, session.scalars(lines.order_by(t.CosignatureRow.witness)))


def cosigned_note(session: Session, index: int = 0) -> tuple[int, str] | None:
    """Of the newest cosigned notes that cover event `index`, one with the most cosignatures; None if there is none."""
    recent = (
        select(t.CosignatureRow.size)
        .where(t.CosignatureRow.size > index, t.CosignatureRow.size.in_(select(t.CheckpointRow.size)))
        .distinct()
        .order_by(t.CosignatureRow.size.desc())
        .limit(_RECENT)
    ).scalar_subquery()
    cosigned = (
        select(t.CosignatureRow.size)
        .where(t.CosignatureRow.size.in_(recent))
        .group_by(t.CosignatureRow.size)
        .order_by(func.count().desc(), t.CosignatureRow.size.desc())
        .limit(1)
    )
    size = session.scalar(cosigned)
    return None if size is None else note(session, size)


def best_note(session: Session, index: int) -> tuple[int, str] | None:
    """The note that says most of event `index`: a cosigned one that covers it, else the newest, if it does."""
    found = cosigned_note(session, index) or note(session)
    return found if found is not None and found[0] > index else None


def of_minutes(session: Session, *, after: str, before: str, limit: int) -> list[tuple[int, str]]:
    """(size, time) of the newest checkpoint of each minute, newest first; minutes are the first 16 characters."""
    newest = (
        select(func.max(t.CheckpointRow.size))
        .where(t.CheckpointRow.at > after, t.CheckpointRow.at < before)
        .group_by(_MINUTE)
    )
    query = select(t.CheckpointRow.size, t.CheckpointRow.at).where(t.CheckpointRow.size.in_(newest))
    return [(size, at) for size, at in session.execute(query.order_by(t.CheckpointRow.size.desc()).limit(limit))]


def prune(session: Session, *, after: int, before: str) -> int:
    """Let go of checkpoints larger than `after` and older than `before`; gives the `after` of the next time.

    Kept are each minute's newest, each minute's newest of every witness, and the newest of all.
    """
    minutes = select(func.max(t.CheckpointRow.size)).where(t.CheckpointRow.size > after).group_by(_MINUTE)
    cosigned = (
        select(func.max(t.CheckpointRow.size))
        .join(t.CosignatureRow, t.CosignatureRow.size == t.CheckpointRow.size)
        .where(t.CheckpointRow.size > after)
        .group_by(_MINUTE, t.CosignatureRow.witness)
    )
    looked_at = (t.CheckpointRow.size > after) & (t.CheckpointRow.at < before)
    session.execute(
        delete(t.CheckpointRow)
        .where(looked_at, t.CheckpointRow.size.not_in(minutes), t.CheckpointRow.size.not_in(cosigned))
        .execution_options(synchronize_session=False)
    )
    newest = select(func.max(t.CosignatureRow.size), t.CosignatureRow.witness).group_by(t.CosignatureRow.witness)
    session.execute(
        delete(t.CosignatureRow)
        .where(
            t.CosignatureRow.size > after,
            t.CosignatureRow.size.not_in(select(t.CheckpointRow.size)),
            tuple_(t.CosignatureRow.size, t.CosignatureRow.witness).not_in(newest),
        )
        .execution_options(synchronize_session=False)
    )
    return session.scalar(select(func.max(t.CheckpointRow.size)).where(looked_at)) or after
