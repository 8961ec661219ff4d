"""The cost model's stored coefficients: measured once a kind of machine, so that no restart changes a rung."""

from __future__ import annotations

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from sandbox.clock import Clock
from sandbox.store import tables as t
from sandbox.store.writing import insert_or_update


def read_all(session: Session) -> dict[str, dict[str, float]]:
    """The coefficients of every kind of machine that was measured, by its name."""
    return {row.name: dict(row.value) for row in session.scalars(select(t.CalibrationRow))}


def newest_at(session: Session) -> str | None:
    """When a kind of machine was last measured."""
    return session.scalar(select(func.max(t.CalibrationRow.at)))


def save(session: Session, clock: Clock, name: str, value: dict[str, float]) -> None:
    """Keep coefficients, in place of older ones."""
    row = t.CalibrationRow(name=name, value=value, at=clock.text())
    insert_or_update(session, row, {"value": row.value, "at": row.at})
