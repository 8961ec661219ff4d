"""The second schema: order of insertion, tiles, cosignatures, processes, fences, versions that end, and home state."""

from __future__ import annotations

from typing import TypeVar

import sqlalchemy as sa
from alembic import op

from sandbox.store.migrations.triggers import SECOND, SECOND_POSTGRESQL

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

T = TypeVar("T")

_ID = sa.String(48)
_AT = sa.String(24)
_BIG = sa.BigInteger()
_OPEN = sa.text("state IN ('queued', 'running')")
_WAITING = sa.text("idx IS NULL")


def upgrade() -> None:
    postgresql = op.get_bind().dialect.name == "postgresql"
    for make in (_log, _processes, _versions):
        make()
    if postgresql:
        op.execute("CREATE SEQUENCE events_seq")
    for statement in SECOND_POSTGRESQL if postgresql else SECOND:
        op.execute(statement)


def _added(table: str, name: str, kind: sa.types.TypeEngine[T], default: str) -> None:
    op.add_column(table, sa.Column(name, kind, nullable=False, server_default=default))


def _log() -> None:
    op.add_column("events", sa.Column("seq", _BIG, nullable=True))
    op.create_index(op.f("uq_events_seq"), "events", ["seq"], unique=True)
    op.create_index("ix_events_waiting", "events", ["seq"], sqlite_where=_WAITING, postgresql_where=_WAITING)
    op.create_index("ix_events_own", "events", ["tenant", "id"])
    op.create_table(
        "tiles",
        sa.Column("level", sa.Integer(), nullable=False),
        sa.Column("idx", _BIG, nullable=False),
        sa.Column("hashes", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("level", "idx", name=op.f("pk_tiles")),
    )
    op.create_table(
        "cosignatures",
        sa.Column("size", _BIG, nullable=False),
        sa.Column("witness", sa.String(200), nullable=False),
        sa.Column("line", sa.Text(), nullable=False),
        sa.Column("at", _AT, nullable=False),
        sa.PrimaryKeyConstraint("size", "witness", name=op.f("pk_cosignatures")),
    )


def _processes() -> None:
    op.create_table(
        "processes",
        sa.Column("id", _ID, nullable=False),
        sa.Column("role", sa.String(20), nullable=False),
        sa.Column("host", sa.String(200), nullable=False),
        sa.Column("release", sa.String(40), nullable=False),
        sa.Column("settings", sa.String(64), nullable=False),
        sa.Column("started_at", _AT, nullable=False),
        sa.Column("seen_at", _AT, nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_processes")),
    )
    op.create_table(
        "home_state",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("mode", sa.String(20), nullable=False),
        sa.Column("reason", sa.String(200), nullable=False),
        sa.Column("at", _AT, nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_home_state")),
    )
    _added("duties", "fence", _BIG, "0")


def _versions() -> None:
    _added("datasets", "state", sa.String(20), "active")
    _added("versions", "kind", sa.String(20), "add")
    _added("versions", "state", sa.String(20), "open")
    _added("ingests", "kind", sa.String(20), "add")
    _added("ingests", "reason", sa.String(2000), "")
    op.create_index(
        "uq_ingests_under_way", "ingests", ["dataset"], unique=True, sqlite_where=_OPEN, postgresql_where=_OPEN
    )
    op.create_table(
        "removals",
        *(sa.Column(name, _ID, nullable=False) for name in ("id", "dataset", "tenant", "proposed_by")),
        sa.Column("confirmed_by", _ID, nullable=True),
        sa.Column("state", sa.String(20), nullable=False),
        sa.Column("reason", sa.String(2000), nullable=False),
        sa.Column("certificate", sa.Text(), nullable=True),
        sa.Column("created_at", _AT, nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_removals")),
    )
    for column in ("dataset", "tenant", "state"):
        op.create_index(op.f(f"ix_removals_{column}"), "removals", [column])
