"""The cost model's stored coefficients: measured once, so that a rung does not change from start to start."""

from __future__ import annotations

from sqlalchemy import select
from sqlalchemy.orm import Session

from sandbox.clock import Clock
from sandbox.store import tables as t


def read(session: Session, name: str) -> dict[str, float] | None:
    """The coefficients of that name, or None before they were measured."""
    row = session.execute(select(t.CalibrationRow).where(t.CalibrationRow.name == name)).scalar()
    return dict(row.value) if row else None


def save(session: Session, clock: Clock, name: str, value: dict[str, float]) -> None:
    """Keep coefficients, in place of older ones."""
    session.merge(t.CalibrationRow(name=name, value=value, at=clock.text()))
