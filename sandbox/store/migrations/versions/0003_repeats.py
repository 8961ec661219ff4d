"""The third schema: what a paid query asked, what it rests on, and which stored answer a free one is made from."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the columns; queries of earlier releases have none of them, and are never found again by their question."""
    for name in ("question", "basis"):
        op.add_column("queries", sa.Column(name, sa.String(64), nullable=True))
    op.add_column("queries", sa.Column("source", sa.String(48), nullable=True))
    for name in ("question", "basis"):
        op.create_index(f"ix_queries_{name}", "queries", ["grant", "version", name])
